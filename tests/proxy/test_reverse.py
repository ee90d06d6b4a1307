"""Hosts of the gateway's own: every request says who it is, and one connection may say several."""

from __future__ import annotations

import base64
import http.client
import socket
import ssl
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import pytest
from pytest_twisted import ensureDeferred
from support.counterparts import TestCA
from support.listening import Hours, hung_up, until
from support.ports import SECRET, Stand, agent
from support.wire import PATIENCE, Reply
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from jitgate.core.limits import LIMITS
from jitgate.proxy.certificate import PortCertificate, PortTls
from jitgate.proxy.reverse import REMEMBERED, OwnHosts, ReverseListener
from jitgate.values import Denial, Refusal, ResponseHead

HOST = "api.gateway.example"
OTHER = "other.gateway.example"
BEARER = "Authorization: Bearer {}\r\n"


class Identities:
    """Who each token proves, and how often each was looked at."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def verify(self, token, *, again=False):
        self.asked.append(token)
        if token.startswith("bad"):
            return Refusal(Denial.TOKEN_REFUSED, "It is forged.")
        return agent(id=token)


class Front:
    """The port of the gateway's own hosts, before a gateway over ports that the test steers."""

    def __init__(self, folder, **stand: Any) -> None:
        self.stand = Stand(**stand)
        self.identities = Identities()
        gateway = self.stand.gateway
        gateway.adopt(gateway._targets, self.identities)
        self.ca = TestCA.create(folder, name="front")
        leaf = self.ca.leaf(HOST, OTHER)
        read = PortCertificate.read(leaf.cert.read_bytes(), leaf.key.read_bytes())
        self.hosts = OwnHosts({HOST: "api.example:443", OTHER: "gone.example:443"})
        self.hours = Hours()
        self.agents: list[Agent] = []
        self.listener = ReverseListener(
            gateway,
            self.hosts,
            TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1"),
            cast("IReactorTime", self.hours),
            PortTls(read).connection,
            limits=self.stand.bounds,
        )

    def agent(self, sni: str | None = HOST, alpn: Sequence[str] = ()) -> Agent:
        self.agents.append(Agent(self.listener.port.getHost().port, self.ca.pem, sni, alpn))
        return self.agents[-1]

    async def ask(self, agent: Agent, fields: str = "", **how: Any) -> Reply:
        return await deferToThread(agent.ask, fields, **how)

    async def stop(self) -> None:
        for each in self.agents:
            each.close()
        stopping = Deferred.fromCoroutine(self.listener.stop())
        await deferLater(reactor, 0.05)
        self.hours.clock.advance(self.stand.bounds.stop)
        await stopping
        assert not self.listener._open
        assert not self.stand.gateway._load._all_tunnels

    def entries(self, kind):
        return self.stand.entries(kind)


class Agent:
    """A client that writes its requests by hand."""

    def __init__(self, port: int, ca, sni: str | None, alpn: Sequence[str] = ()) -> None:
        context = ssl.create_default_context(cafile=str(ca))
        context.check_hostname = sni is not None
        if alpn:
            context.set_alpn_protocols(list(alpn))
        raw = socket.create_connection(("127.0.0.1", port), PATIENCE)
        raw.settimeout(PATIENCE)
        self.peer = "{}:{}".format(*raw.getsockname())
        self.tls = context.wrap_socket(raw, server_hostname=sni, suppress_ragged_eofs=False)

    def ask(self, fields: str = "", host: str = HOST, line: str = "GET /things HTTP/1.1") -> Reply:
        named = f"Host: {host}\r\n" if host else ""
        self.tls.sendall(f"{line}\r\n{named}{fields}\r\n".encode())
        response = http.client.HTTPResponse(cast("socket.socket", self.tls), method=line[:3])
        response.begin()
        return Reply(response.status, response.getheaders(), response.read())

    def close(self) -> None:
        self.tls.close()


async def opened(folder, **stand) -> Front:
    front = Front(folder, **stand)
    await front.listener.start()
    return front


async def joined(front, sni: str | None = HOST, *alpn: str) -> Agent:
    return await deferToThread(front.agent, sni, alpn)


@pytest.mark.parametrize(
    ("offered", "agreed"), [(["h2", "http/1.1"], "http/1.1"), (["h2"], None), ([], None)]
)
@ensureDeferred
async def test_http_1_1_is_spoken_whatever_else_is_offered(tmp_path, offered, agreed):
    front = await opened(tmp_path)
    agent = await joined(front, HOST, *offered)
    assert agent.tls.selected_alpn_protocol() == agreed
    assert (await front.ask(agent, BEARER.format("t-1"))).status == 200
    await front.stop()


@ensureDeferred
async def test_the_token_is_the_gateways_and_never_goes_on(tmp_path):
    front = await opened(tmp_path)
    agent = await joined(front)
    fields = BEARER.format("t-1") + "Jitgate-Session: run-7\r\nAccept: a/b\r\n"
    reply = await front.ask(agent, fields)
    assert (reply.status, reply.body) == (200, b'{"name":"Ada"} ')
    ((head, _),) = front.stand.sent
    sent = dict(head.headers)
    assert sent[b"Authorization"] == b"Bearer " + SECRET
    assert sent[b"Host"] == b"api.example"
    assert sent[b"Accept"] == b"a/b"
    assert not [name for name, value in head.headers if b"t-1" in value or b"run-7" in value]
    (tunnel,) = front.entries("tunnel")
    assert (tunnel["name"], tunnel["authority"], tunnel["near"]) == (
        "run-7",
        "api.example:443",
        HOST,
    )
    await front.stop()


@ensureDeferred
async def test_a_token_is_looked_at_once_on_a_connection_and_many_agents_share_one(tmp_path):
    front = await opened(tmp_path)
    agent = await joined(front)
    for _ in range(3):
        for token in ("ada", "bob"):
            reply = await front.ask(agent, BEARER.format(token))
            assert reply.status == 200
    assert front.identities.asked == ["ada", "bob"]
    who = [each["subject"]["id"] for each in front.entries("decision")]
    assert who == ["ada", "bob"] * 3
    sessions = {each["session"] for each in front.entries("decision")}
    assert len(sessions) == 2
    agent.close()
    await until(lambda: not front.stand.gateway._load._all_tunnels)
    await front.stop()


@ensureDeferred
async def test_requests_that_come_together_each_count_by_their_own_token(tmp_path):
    front = await opened(tmp_path)
    agent = await joined(front)
    tokens = ["ada", "bob", "ada", "eve"]
    together = [
        f"GET /things HTTP/1.1\r\nHost: {HOST}\r\n{BEARER.format(each)}\r\n" for each in tokens
    ]
    await deferToThread(agent.tls.sendall, "".join(together).encode())
    await until(lambda: len(front.entries("outcome")) == len(tokens))
    assert [each["subject"]["id"] for each in front.entries("decision")] == tokens
    await front.stop()


@ensureDeferred
async def test_a_connection_remembers_so_many_and_no_more(tmp_path):
    front = await opened(tmp_path)
    agent = await joined(front)
    for number in range(REMEMBERED + 1):
        assert (await front.ask(agent, BEARER.format(f"t-{number}"))).status == 200
    assert front.stand.gateway._load._all_tunnels == REMEMBERED
    await front.ask(agent, BEARER.format("t-0"))
    assert front.identities.asked[-1] == "t-0"
    await front.stop()


@pytest.mark.parametrize(
    ("fields", "status", "denial"),
    [
        ("", 401, "token-missing"),
        ("Authorization: Digest t\r\n", 401, "token-missing"),
        (BEARER.format("a") + BEARER.format("b"), 400, "malformed-request"),
        (BEARER.format("a") + "Jitgate-Session: " + "x" * 129 + "\r\n", 400, "malformed-request"),
        (BEARER.format("a") + "Jitgate-Session: a\r\n" * 2, 400, "malformed-request"),
        (BEARER.format("a") + f"Jitgate-Session: {'abcdefgh.' * 3}x\r\n", 400, "malformed-request"),
    ],
)
@ensureDeferred
async def test_who_brings_no_token_is_refused_as_a_knock_and_the_connection_ends(
    tmp_path, fields, status, denial
):
    front = await opened(tmp_path)
    agent = await joined(front)
    reply = await front.ask(agent, fields)
    assert reply.status == status
    assert reply.header("Connection") == "close"
    (refused,) = front.entries("refused")
    assert refused["denial"] == denial
    assert refused["peer"] == agent.peer
    assert ("request" in refused) == (denial == "malformed-request")
    assert not front.entries("decision")
    asked = [value for name, value in reply.headers if name == "WWW-Authenticate"]
    assert asked == (['Bearer realm="jitgate"', 'Basic realm="jitgate"'] if status == 401 else [])
    assert (await hung_up(agent.tls))[0] == b""
    assert not front.stand.sent
    await front.stop()


@ensureDeferred
async def test_a_bad_token_is_told_why_by_the_target_s_own_form_and_may_not_try_on(tmp_path):
    front = await opened(tmp_path)
    agent = await joined(front)
    reply = await front.ask(agent, BEARER.format("bad"))
    assert reply.status == 401
    assert "invalid_token" in (reply.header("WWW-Authenticate") or "")
    assert reply.header("Connection") == "close"
    (tunnel,) = front.entries("tunnel")
    assert (tunnel["result"], tunnel["denial"]) == ("refused", "token-refused")
    assert (tunnel["peer"], len(tunnel["token"])) == (agent.peer, 64)
    assert not front.stand.sent
    await front.stop()


@ensureDeferred
async def test_basic_carries_the_token_as_password(tmp_path):
    front = await opened(tmp_path)
    agent = await joined(front)
    pair = base64.b64encode(b"run-8:t-9").decode()
    assert (await front.ask(agent, f"Authorization: Basic {pair}\r\n")).status == 200
    assert front.identities.asked == ["t-9"]
    assert front.entries("tunnel")[0]["name"] == "run-8"
    await front.stop()


@pytest.mark.parametrize("value", ["bearer t-9", "SSWS t-9", "token t-9", "Bearert-9", "SSWSt-9"])
@ensureDeferred
async def test_targets_own_schemes_carry_the_token_too(tmp_path, value):
    front = await opened(tmp_path)
    agent = await joined(front)
    assert (await front.ask(agent, f"Authorization: {value}\r\n")).status == 200
    assert front.identities.asked == ["t-9"]
    await front.stop()


@pytest.mark.parametrize(
    ("sni", "how", "status"),
    [
        (HOST, {"host": f"{HOST}:8443"}, 200),
        (None, {"host": HOST}, 200),
        (HOST, {"host": "", "line": "GET /things HTTP/1.0"}, 200),
        (HOST, {"line": f"GET https://{HOST}/things HTTP/1.1"}, 200),
        (HOST, {"host": OTHER}, 421),
        (HOST, {"host": "api.example"}, 421),
        (None, {"host": "api.example"}, 421),
        (None, {"host": "", "line": "GET /things HTTP/1.0"}, 421),
        (HOST, {"line": "GET https://api.example/things HTTP/1.1"}, 421),
        (OTHER, {"host": OTHER}, 403),
    ],
)
@ensureDeferred
async def test_server_name_and_host_are_one_of_the_gateways_own(tmp_path, sni, how, status):
    front = await opened(tmp_path)
    agent = await joined(front, sni)
    reply = await front.ask(agent, BEARER.format("t"), **how)
    assert reply.status == status
    assert len(front.stand.sent) == (status == 200)
    assert bool(front.entries("refused")) == (status != 200)
    await front.stop()


@ensureDeferred
async def test_what_the_parser_refuses_is_on_record(tmp_path):
    front = await opened(tmp_path)
    agent = await joined(front)
    reply = await front.ask(agent, line="CONNECT api.example:443 HTTP/1.1")
    assert reply.status == 400
    (refused,) = front.entries("refused")
    assert (refused["denial"], refused["peer"]) == ("malformed-request", agent.peer)
    assert refused["request"] == {"method": "CONNECT", "target": "api.example:443"}
    await front.stop()


@ensureDeferred
async def test_expiry_is_looked_at_for_each_request(tmp_path):
    front = await opened(tmp_path)
    agent = await joined(front)
    assert (await front.ask(agent, BEARER.format("t"))).status == 200
    front.stand.clock.advance(1001)
    reply = await front.ask(agent, BEARER.format("t"))
    assert reply.status == 401
    assert len(front.stand.sent) == 1
    await front.stop()


@ensureDeferred
async def test_urls_of_the_targets_own_lead_back(tmp_path):
    answer = ResponseHead(201, ((b"Location", b"https://api.example/things/1"),), 0)
    front = await opened(tmp_path, answer=answer, pieces=())
    agent = await joined(front)
    reply = await front.ask(agent, BEARER.format("t"), host=f"{HOST}:8443")
    assert reply.header("Location") == f"https://{HOST}:8443/things/1"
    headers = front.entries("outcome")[0]["response"]["headers"]
    assert ["Location", f"https://{HOST}:8443/things/1"] in headers
    await front.stop()


@ensureDeferred
async def test_a_revoked_subject_s_connection_ends(tmp_path):
    front = await opened(tmp_path)
    ada, bob = await joined(front), await joined(front)
    await front.ask(ada, BEARER.format("ada"))
    await front.ask(bob, BEARER.format("bob"))
    assert front.listener.end_of("It was.", lambda subject: subject.id == "ada") == 1
    assert (await hung_up(ada.tls)) == (b"", True)
    assert (await front.ask(bob, BEARER.format("bob"))).status == 200
    await front.stop()


@ensureDeferred
async def test_who_has_not_proved_themselves_makes_room(tmp_path):
    front = await opened(tmp_path, bounds=replace(LIMITS, unproved=2))
    proved = await joined(front)
    assert (await front.ask(proved, BEARER.format("t"))).status == 200
    waiting = [await joined(front) for _ in range(3)]
    assert (await hung_up(waiting[0].tls)) == (b"", False)
    assert (await front.ask(proved, BEARER.format("t"))).status == 200
    await front.stop()


@ensureDeferred
async def test_a_hang_up_while_the_token_is_looked_at_leaves_nothing_behind(tmp_path):
    front = await opened(tmp_path)
    agent = await joined(front)
    gate: Deferred[None] = Deferred()
    verify = front.identities.verify

    asked = []

    async def slowly(token, *, again=False):
        asked.append(token)
        await gate
        return await verify(token)

    front.identities.verify = slowly
    await deferToThread(
        agent.tls.sendall, f"GET / HTTP/1.1\r\nHost: {HOST}\r\n{BEARER.format('t')}\r\n".encode()
    )
    await until(lambda: asked)
    agent.close()
    await until(lambda: not front.listener._open)
    gate.callback(None)
    assert not front.stand.gateway._load._all_tunnels
    assert not front.stand.sent
    await front.stop()


@ensureDeferred
async def test_another_mapping_counts_for_the_next_request(tmp_path):
    front = await opened(tmp_path)
    agent = await joined(front)
    assert (await front.ask(agent, BEARER.format("t"))).status == 200
    front.hosts.adopt({OTHER: "api.example:443"})
    assert (await front.ask(agent, BEARER.format("t"))).status == 421
    await front.stop()
