"""Socket Mode: WebSockets over which payloads come instead of over HTTP.

docs.slack.dev, apis/events-api/using-socket-mode: `apps.connections.open` gives a URL that is good
for one connection; Slack greets with `hello`, wraps payloads in envelopes, each of which is
acknowledged by its id, and announces with `disconnect` that it will close. An app has at most ten
connections, and a payload goes to any one of them.

slack_sdk's built-in client speaks TLS at port 443 alone, and through a proxy: so what it is given
here is a ``ws://`` URL, or with `secure` a ``wss://`` one for who comes through a proxy.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import uuid
from collections.abc import Callable
from typing import Literal

from aiohttp import WSCloseCode, WSMsgType, web
from support.slack.blocks import Json

MOST = 10
"""Connections that an app may have."""

PINGS = 0.2
"""Seconds between pings; Slack's own come more seldom. The built-in client lets go of a connection
only when bytes arrive on it or 3 seconds have passed."""

Reason = Literal["warning", "refresh_requested", "link_disabled"]


class Sockets:
    """The app's connections, and the envelopes that wait for an acknowledgement."""

    def __init__(self, app_id: str) -> None:
        self.app_id = app_id
        self.secure = False
        self.open: dict[web.WebSocketResponse, web.Request] = {}
        self.opened = 0
        """Connections there have been."""
        self.acknowledged: list[Json] = []
        self.strange: list[str] = []
        """What came that acknowledges no envelope that waits for it, or does so too late."""
        self.ports: tuple[int, int] = (0, 0)
        """Where it listens: without TLS, and with."""
        self.changed: Callable[[], None] = lambda: None
        self._tickets: set[str] = set()
        self._waiting: dict[str, asyncio.Future[Json]] = {}
        self._turn = 0

    def url(self) -> str:
        """An address that is good for one connection."""
        ticket = str(uuid.uuid4())
        self._tickets.add(ticket)
        scheme, port = ("wss", self.ports[1]) if self.secure else ("ws", self.ports[0])
        return f"{scheme}://127.0.0.1:{port}/link/?ticket={ticket}&app_id={self.app_id}"

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """A connection, for as long as it lives."""
        ticket = request.query.get("ticket", "")
        if ticket not in self._tickets:
            return web.Response(status=401)
        self._tickets.discard(ticket)
        peer = web.WebSocketResponse(autoping=True)
        await peer.prepare(request)
        if len(self.open) >= MOST:
            await peer.send_json({"type": "disconnect", "reason": "too_many_websockets"})
            await peer.close()
            return peer
        self.open[peer] = request
        self.opened += 1
        await peer.send_json(self._hello())
        self.changed()
        pinging = asyncio.create_task(_ping(peer))
        try:
            with contextlib.suppress(ConnectionError):  # it is cut while it is answered
                async for message in peer:
                    if message.type is WSMsgType.TEXT:
                        self._acknowledge(message.data)
        finally:
            pinging.cancel()
            self.open.pop(peer, None)
            self.changed()
        return peer

    def _hello(self) -> Json:
        return {
            "type": "hello",
            "num_connections": len(self.open),
            "debug_info": {
                "host": f"applink-{secrets.token_hex(4)}",
                "build_number": 10,
                "approximate_connection_time": 18060,
            },
            "connection_info": {"app_id": self.app_id},
        }

    def _acknowledge(self, text: str) -> None:
        try:
            told = json.loads(text)
            waiting = self._waiting.pop(told["envelope_id"])
        except (ValueError, KeyError, TypeError):
            self.strange.append(text)
        else:
            self.acknowledged.append(told)
            if not waiting.done():
                waiting.set_result(told)
        self.changed()

    async def send(
        self,
        kind: str,
        payload: Json,
        *,
        accepts: bool,
        patience: float,
        envelope_id: str | None = None,
        more: Json | None = None,
    ) -> tuple[str, Json | None, str | None]:
        """Send an envelope to one of the connections.

        Gives back its id, what the acknowledgement bore, and why there was none.
        """
        number = envelope_id or str(uuid.uuid4())
        if not self.open:
            return number, None, "connection_failed"
        self._turn += 1
        peer = list(self.open)[self._turn % len(self.open)]
        acknowledged = asyncio.get_running_loop().create_future()
        self._waiting[number] = acknowledged
        envelope = {
            "envelope_id": number,
            "payload": payload,
            "type": kind,
            "accepts_response_payload": accepts,
            **({"retry_attempt": 0, "retry_reason": ""} if kind == "events_api" else {}),
            **(more or {}),
        }
        try:
            await peer.send_json(envelope)
            told = await asyncio.wait_for(acknowledged, patience)
        except TimeoutError:
            return number, None, "timeout"
        except ConnectionError:
            return number, None, "connection_failed"
        finally:
            self._waiting.pop(number, None)
        if told.get("payload") is not None and not accepts:
            self.strange.append(f"a payload for {kind}, which takes none")
        return number, told.get("payload"), None

    async def disconnect(self, reason: Reason) -> None:
        """Announce the end of every connection; all but a warning is followed by the end."""
        for peer in list(self.open):
            told = {"type": "disconnect", "reason": reason, "debug_info": {"host": "applink"}}
            await peer.send_json(told)
            if reason != "warning":
                self.open.pop(peer, None)
                await peer.close(code=WSCloseCode.OK)

    def drop(self) -> None:
        """Cut every connection without a word."""
        for request in self.open.values():
            if request.transport is not None:
                request.transport.abort()
        self.open.clear()


async def _ping(peer: web.WebSocketResponse) -> None:
    while not peer.closed:
        await asyncio.sleep(PINGS)
        with contextlib.suppress(ConnectionError):
            await peer.ping(b"Ping from applink")
