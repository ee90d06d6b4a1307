"""Calls that take their time: streams, WebSockets, and what people are asked about."""

from __future__ import annotations

import contextlib
import http.client
import json
import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import orjson
from support.wire import Tunnel
from wsproto import ConnectionType, WSConnection
from wsproto.events import CloseConnection, Message, RejectConnection, Request

from jitgate.approvers.slack.about import APPROVE
from jitgate.cli.calling import NotTold, SaidNo

from .agent import JSON, LATER, Agent, Unexpected, same
from .far import EVENTS, SECRET, SILENCE
from .judging import Answered
from .site import HOST, Site


def events(agent: Agent) -> None:
    path = agent.path("events")
    with agent.tunnel() as tunnel:
        body = agent.expect(tunnel.ask("GET", path), path, 200)
        same(body.count(b"data: "), EVENTS)


def websocket(agent: Agent) -> None:
    path = agent.path("ws")
    with agent.tunnel() as tunnel:
        ws = WSConnection(ConnectionType.CLIENT)
        tunnel.send(ws.send(Request(host=HOST, target=path)))
        opened = next(_events_of(ws, tunnel))
        if isinstance(opened, RejectConnection):
            raise Unexpected(f"{opened.status_code} where a WebSocket was wanted")
        for number in range(agent.chance.randint(1, 6)):
            said = json.dumps({"n": number, "password": f"{SECRET}-{number}"})
            tunnel.send(ws.send(Message(data=said)))
            heard = next(_events_of(ws, tunnel))
            if not isinstance(heard, Message):
                raise Unexpected(f"a WebSocket said {heard}")
            agent.is_clean(str(heard.data).encode())
            same(orjson.loads(str(heard.data))["n"], number)
            time.sleep(0.1)
        tunnel.send(ws.send(CloseConnection(code=1000)))
        same(type(next(_events_of(ws, tunnel))), CloseConnection)
    agent.tally.answered.append(Answered(path, 101, time.monotonic()))


def _events_of(ws: WSConnection, tunnel: Tunnel) -> Iterator[Any]:
    while True:
        yield from ws.events()
        data = tunnel.tls.recv(65536)
        if not data:
            raise Unexpected("a WebSocket ended without a word")
        ws.receive_data(data)


def held(agent: Agent) -> None:
    """A call that people approve while its agent waits, or deny."""
    path = agent.path("held")
    with agent.tunnel() as tunnel:
        tunnel.send(_change(path))
        says_yes = agent.chance.random() < 0.85
        _answered(agent, path, says_yes)
        agent.expect(tunnel.reply("POST"), path, 200 if says_yes else 403)


def later(agent: Agent) -> None:
    """A call whose agent comes again once people have approved it."""
    path = agent.path("later")
    with agent.tunnel() as tunnel:
        tunnel.send(_change(path, LATER))
        agent.expect(tunnel.reply("POST"), path, 202)
        _answered(agent, path, True)
        tunnel.send(_change(path, LATER))
        agent.expect(tunnel.reply("POST"), path, 200)


def flight(agent: Agent) -> None:
    """A grant is revoked while its call is under way."""
    path = agent.path("flight")
    with agent.tunnel() as tunnel:
        tunnel.send(_change(path, LATER))
        agent.expect(tunnel.reply("POST"), path, 202)
        request = _answered(agent, path, True)
        grant = agent.site.people.one("request", request)["request"]["grant"]
        tunnel.send(_change(path, LATER))
        _until(lambda: path in agent.site.sent[-200:], SILENCE / 2)
        agent.site.people.one("revoke", grant, reason="Not that one")
        agent.expect(tunnel.reply("POST"), path, 403)


GONE = 100
"""Subjects that are revoked, one after another: of a newer token each is believed again once its
clock can be told from the gateway's."""

_gone = count()


def disowned(agent: Agent) -> None:
    """A subject that is revoked while its tunnel is open: it ends, and its token counts no more."""
    first, second = agent.path("read"), agent.path("read")
    subject = f"gone-{next(_gone) % GONE}"
    token = agent.site.tokens.token(subject)
    with agent.tunnel(token=token) as tunnel:
        agent.expect(tunnel.ask("GET", first), first, 200)
        agent.site.revoke_subject(subject)
        try:
            agent.expect(tunnel.ask("GET", second), second, 401)
        except (OSError, http.client.HTTPException):
            """It has ended."""
    with agent.tunnel(token=token) as tunnel:
        agent.expect(tunnel.ask("GET", second), second, 401)


def _change(path: str, fields: str = "") -> bytes:
    body = b'{"name":"Ada"}'
    head = f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\n{JSON}{fields}Content-Length: {len(body)}"
    return f"{head}\r\n\r\n".encode() + body


def _answered(agent: Agent, path: str, says_yes: bool) -> str:
    """Have somebody answer: at the control socket, or by a click in Slack; the request's id."""
    site = agent.site
    found = _until(lambda: _waiting(site, path), 15)
    if found is None:
        raise Unexpected("nobody was asked")
    request: str = found["id"]
    by_slack = says_yes and site.slack is not None and agent.chance.random() < 0.25
    # Whoever is told that a click could not be taken says it again, elsewhere.
    clicked = by_slack and site.is_slack_up and _clicked(site, path)
    if clicked and _until(lambda: _waiting(site, path) is None, 5):
        return request
    word = "approve" if says_yes else "deny"
    with contextlib.suppress(SaidNo):  # a click that came through late was first
        _until(lambda: _said(site, word, request), 10)
    return request


def _said(site: Site, word: str, request: str) -> bool:
    """Whether it could be said; a store that is down for a moment is asked again."""
    try:
        site.people.one(word, request, reason="Seen")
    except NotTold:
        return False
    return True


def _waiting(site: Site, path: str) -> dict[str, Any] | None:
    for each in site.people.all("requests"):
        request: dict[str, Any] = each["request"]
        if request["url"].endswith(path):
            return request
    return None


def _clicked(site: Site, path: str) -> bool:
    """Whether somebody approved it in Slack: its card must be there soon."""
    slack = site.slack
    assert slack is not None

    def card() -> Any:
        for call in reversed(slack.calls("chat.postMessage")[-100:]):
            if call.answer.get("ok") and path in f"{call.arguments}":
                return {"channel": call.answer["channel"], "ts": call.answer["ts"]}
        return None

    message = _until(card, 6)
    if message is None:
        return False
    try:
        return bool(slack.click(message, APPROVE, slack["alice"]).ok)
    except Exception:  # noqa: BLE001 (Slack is down in this moment: whatever its parts say to that)
        return False


def _until(look: Callable[[], Any], seconds: float) -> Any:
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        if time.monotonic() > deadline:
            return None
        time.sleep(0.1)
    return seen
