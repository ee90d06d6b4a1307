"""The port where agents come in, from a real socket: whatever an agent does or leaves undone."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest
from pytest_twisted import ensureDeferred
from support import listening
from support.listening import Door, hung_up, until
from support.ports import JSON, SECRET, Stand
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from zope.interface import implementer

from jitgate.core.limits import LIMITS
from jitgate.core.policy import NEEDS_BODY
from jitgate.errors import StateUnusable
from jitgate.interfaces import IListenerSource
from jitgate.proxy import listener
from jitgate.proxy.authority import load_or_create
from jitgate.proxy.port import FOR_EXCHANGES
from jitgate.testing.listeners import ListenerContract
from jitgate.values import Effect, ResponseHead, Verdict

PAGES = {"/page": b"{}", "/long": b"x" * 50_000_000}


def plain(path):
    """What anybody may have."""
    body = PAGES.get(path)
    return None if body is None else (ResponseHead(200, JSON, len(body)), body)


async def opened(folder, stand=None):
    return await listening.opened(folder, stand, plain)


@ensureDeferred
async def test_a_call_passes_both_ways(tmp_path):
    door = await opened(tmp_path)
    tunnel = await door.tunnel()
    reply = await deferToThread(tunnel.ask, "GET", "/things")
    assert (reply.status, reply.body) == (200, b'{"name":"Ada"} ')
    assert dict(door.stand.sent[0][0].headers)[b"Authorization"] == b"Bearer " + SECRET
    tunnel.close()
    await door.stop()


@ensureDeferred
async def test_a_port_that_is_taken_is_said_in_a_sentence(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        door = Door(tmp_path, Stand())
        door.listener._endpoint = TCP4ServerEndpoint(reactor, port, interface="127.0.0.1")
        with pytest.raises(StateUnusable, match=rf"127\.0\.0\.1:{port}.*listen\.proxy"):
            await door.listener.start()


# --- an agent that does not get on with it


@pytest.mark.parametrize("sent", [b"", b"CONNECT api.example:443 HTTP/1.1\r\nHost: api"])
@ensureDeferred
async def test_a_connect_that_is_never_whole_is_ended(tmp_path, sent):
    door = await opened(tmp_path)
    with socket.create_connection(door.address, 10) as peer:
        peer.sendall(sent)
        await until(lambda: door.listener._open)
        door.later(LIMITS.connect)
        assert (await hung_up(peer))[0] == b""
    await door.stop()


@ensureDeferred
async def test_a_handshake_that_is_never_whole_is_ended(tmp_path):
    door = await opened(tmp_path)
    with socket.create_connection(door.address, 10) as peer:
        peer.sendall(
            b"CONNECT api.example:443 HTTP/1.1\r\nHost: api.example:443\r\n"
            b"Proxy-Authorization: Bearer t\r\n\r\n"
        )
        assert (await deferToThread(peer.recv, 4096)).startswith(b"HTTP/1.1 200 ")
        door.later(LIMITS.handshake)
        assert (await hung_up(peer))[0] == b""
    await door.stop()


@ensureDeferred
async def test_an_agent_that_floods_before_it_is_answered_is_cut_off(tmp_path):
    door = await opened(tmp_path)
    door.stand.gateway.admit = lambda knock: _never()
    with socket.create_connection(door.address, 10) as peer:
        peer.sendall(b"CONNECT api.example:443 HTTP/1.1\r\nHost: api.example:443\r\n\r\n")
        await until(lambda: any(each._early is not None for each in door.listener._open))
        await deferToThread(_flood, peer, 4 * listener.EARLY)
        await until(lambda: not door.listener._open)
    await door.stop()


async def _never():
    await Deferred()


def _flood(peer, size):
    try:
        peer.sendall(b"x" * size)
    except ConnectionError:
        pass


@pytest.mark.parametrize("sent", [b"", b"GET /things HTTP/1.1\r\nHost: api.ex"])
@ensureDeferred
async def test_an_idle_tunnel_is_ended(tmp_path, sent):
    door = await opened(tmp_path)
    tunnel = await door.tunnel()
    tunnel.send(sent)
    await deferLater(reactor, 0.05)
    door.later(LIMITS.idle)
    data, orderly = await hung_up(tunnel.tls)
    assert (data, orderly) == (b"", True)
    tunnel.close()
    await door.stop()


@ensureDeferred
async def test_an_agent_that_takes_nothing_does_not_hold_an_exchange_for_ever(tmp_path):
    stand = Stand(answer=ResponseHead(200, (), None), pieces=(b"x" * 65536,) * 400)
    door = await opened(tmp_path, stand)
    tunnel = await door.tunnel()
    tunnel.send(b"GET /things HTTP/1.1\r\nHost: api.example\r\n\r\n")
    (inside,) = [each._inside for each in door.listener._open]
    await until(lambda: inside._response is not None and inside._response._room is not None)
    assert "release" not in stand.log
    door.later(LIMITS.stalled)
    await until(lambda: "release" in stand.log)
    await until(lambda: not door.listener._open)
    (outcome,) = stand.entries("outcome")
    assert outcome["outcome"] == "truncated"
    tunnel.close()
    await door.stop()


class ReadsBody:
    name = "reader"
    version = "1"

    def judge(self, inquiry):
        return NEEDS_BODY if inquiry.body is None else Verdict(Effect.PERMIT, "They may.")


@ensureDeferred
async def test_an_agent_that_never_ends_its_body_does_not_hold_an_exchange_for_ever(tmp_path):
    stand = Stand()
    stand.gateway._decider._policy = replace(stand.gateway._decider._policy, rules=(ReadsBody(),))
    door = await opened(tmp_path, stand)
    tunnel = await door.tunnel()
    tunnel.send(b"POST /things HTTP/1.1\r\nHost: api.example\r\nContent-Length: 10\r\n\r\nhalf")
    (inside,) = [each._inside for each in door.listener._open]
    await until(lambda: inside._request is not None and inside._request._reader is not None)
    door.later(LIMITS.stalled)
    await until(lambda: stand.entries("outcome"))
    assert stand.sent == []
    tunnel.close()
    await door.stop()


@ensureDeferred
async def test_an_agent_that_gets_on_with_it_is_given_its_time(tmp_path):
    """Each piece begins the time anew: only silence ends an exchange."""
    stand = Stand()
    door = await opened(tmp_path, stand)
    tunnel = await door.tunnel()
    tunnel.send(b"POST /things HTTP/1.1\r\nHost: api.example\r\nContent-Length: 6\r\n\r\n")
    (inside,) = [each._inside for each in door.listener._open]
    for number in range(6):
        await until(
            lambda read=number: (
                stand.read_so_far == read
                and inside._request is not None
                and inside._request._reader is not None
            )
        )
        door.later(LIMITS.stalled - 1)
        tunnel.send(b"x")
    assert (await deferToThread(tunnel.reply)).status == 200
    tunnel.close()
    await door.stop()


# --- an agent that goes


@ensureDeferred
async def test_an_agent_that_hangs_up_while_its_call_is_out_ends_it(tmp_path):
    stand = Stand(answer=ResponseHead(200, JSON, None))
    stand.slow_disk = True
    door = await opened(tmp_path, stand)
    tunnel = await door.tunnel()
    tunnel.send(b"GET /things HTTP/1.1\r\nHost: api.example\r\n\r\n")
    await until(lambda: stand.sent)
    tunnel.close()
    await until(lambda: not door.listener._open)
    stand.slow_disk = False
    while stand.waiting:
        stand.waiting.pop(0).callback(None)
    assert "release" in stand.log
    (outcome,) = stand.entries("outcome")
    assert outcome["outcome"] in {"failed", "truncated"}
    await door.stop()


# --- stopping


@ensureDeferred
async def test_stopping_ends_what_is_idle_at_once_and_accepts_nothing_more(tmp_path):
    door = await opened(tmp_path)
    address = door.address
    tunnel = await door.tunnel()
    raw = socket.create_connection(address, 10)
    await until(lambda: len(door.listener._open) == 2)
    stopping = Deferred.fromCoroutine(door.listener.stop())
    assert (await hung_up(tunnel.tls))[1] is True
    tunnel.close()
    assert (await hung_up(raw))[0] == b""
    raw.close()
    await stopping
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, 1)


@ensureDeferred
async def test_stopping_lets_an_exchange_at_hand_end(tmp_path):
    stand = Stand()
    stand.slow_disk = True
    door = await opened(tmp_path, stand)
    tunnel = await door.tunnel()
    tunnel.send(b"GET /things HTTP/1.1\r\nHost: api.example\r\n\r\n")
    await until(lambda: stand.sent)
    stopping = Deferred.fromCoroutine(door.listener.stop())
    stand.slow_disk = False
    while stand.waiting:
        stand.waiting.pop(0).callback(None)
    reply = await deferToThread(tunnel.reply)
    assert (reply.status, reply.body) == (200, b'{"name":"Ada"} ')
    tunnel.close()
    await stopping


@ensureDeferred
async def test_an_exchange_whose_target_hangs_is_refused_while_there_is_time_to_say_so(tmp_path):
    stand = Stand()
    stand.answer_when = Deferred()
    door = await opened(tmp_path, stand)
    tunnel = await door.tunnel()
    tunnel.send(b"GET /things HTTP/1.1\r\nHost: api.example\r\n\r\n")
    await until(lambda: stand.sent)
    stopping = Deferred.fromCoroutine(door.listener.stop())
    await until(lambda: not door.listener.port.connected)  # then its time begins
    door.later(FOR_EXCHANGES * stand.bounds.stop)
    (outcome,) = stand.entries("outcome")
    assert (outcome["outcome"], outcome["denial"]) == ("failed", "cut-short")
    reply = await deferToThread(tunnel.reply)
    assert reply.status == 502
    assert b"The gateway is stopping." in reply.body
    tunnel.close()
    await stopping


@ensureDeferred
async def test_stopping_cuts_what_does_not_end_in_time(tmp_path):
    stand = Stand()
    stand.slow_disk = True
    door = await opened(tmp_path, stand)
    tunnel = await door.tunnel()
    tunnel.send(b"GET /things HTTP/1.1\r\nHost: api.example\r\n\r\n")
    await until(lambda: stand.sent)
    await door.stop()
    assert (await hung_up(tunnel.tls)) == (b"", False)
    tunnel.close()
    stand.slow_disk = False
    while stand.waiting:
        stand.waiting.pop(0).callback(None)


# --- without a tunnel


async def answer_to(door, sent):
    """What a peer gets that writes these bytes, and the end."""
    with socket.create_connection(door.address, 10) as peer:
        peer.sendall(sent)
        data, orderly = await hung_up(peer)
    assert orderly
    return data


OURS = [
    b"GET http://jitgate.internal/page HTTP/1.1\r\nHost: jitgate.internal\r\n\r\n",
    b"GET HTTP://JITGATE.Internal:80/page HTTP/1.1\r\nHost: jitgate.internal:80\r\n\r\n",
    b"GET /page HTTP/1.1\r\nHost: jitgate.internal\r\n\r\n",
    b"GET /page HTTP/1.1\r\nHost: jitgate.internal\r\nProxy-Authorization: Basic forged\r\n\r\n",
    b"GET /page HTTP/1.1\r\nHost: jitgate.internal\r\nConnection: keep-alive\r\n\r\n",
    b"GET http://jitgate.internal/page HTTP/1.0\r\nHost: jitgate.internal\r\n\r\n",
]


@pytest.mark.parametrize("sent", OURS)
@pytest.mark.parametrize("at_once", [True, False])
@ensureDeferred
async def test_anybody_gets_the_gateways_own_page_and_then_the_end(tmp_path, sent, at_once):
    door = await opened(tmp_path)
    with socket.create_connection(door.address, 10) as peer:
        for piece in [sent] if at_once else [sent[:20], sent[20:]]:
            peer.sendall(piece)
            await deferLater(reactor, 0.01)
        data, orderly = await hung_up(peer)
    head, _, body = data.partition(b"\r\n\r\n")
    assert (head.split(b"\r\n")[0], body, orderly) == (b"HTTP/1.1 200 OK", b"{}", True)
    assert b"Connection: close" in head
    assert not door.stand.records.entries  # it is no secret, and leads nowhere
    await door.stop()


@ensureDeferred
async def test_a_head_request_for_it_gets_the_head_alone(tmp_path):
    door = await opened(tmp_path)
    data = await answer_to(door, OURS[0].replace(b"GET", b"HEAD"))
    assert data.startswith(b"HTTP/1.1 200 ")
    assert data.endswith(b"\r\n\r\n")
    await door.stop()


@ensureDeferred
async def test_what_follows_it_on_the_connection_is_not_answered(tmp_path):
    door = await opened(tmp_path)
    data = await answer_to(door, OURS[0] * 3)
    assert data.count(b"HTTP/1.1") == 1
    await door.stop()


HOST = b"Host: jitgate.internal\r\n"
NOT_OURS = {
    "another page": b"GET http://jitgate.internal/other HTTP/1.1\r\n" + HOST,
    "another host": b"GET http://api.example/page HTTP/1.1\r\nHost: api.example\r\n",
    "a host that only begins so": b"GET http://jitgate.internal.example/page HTTP/1.1\r\n" + HOST,
    "two hosts": b"GET http://jitgate.internal/page HTTP/1.1\r\nHost: api.example\r\n",
    "two hosts the other way round": b"GET http://api.example/page HTTP/1.1\r\n" + HOST,
    "a user": b"GET http://a@jitgate.internal/page HTTP/1.1\r\n" + HOST,
    "another scheme": b"GET https://jitgate.internal/page HTTP/1.1\r\n" + HOST,
    "another port": b"GET http://jitgate.internal:81/page HTTP/1.1\r\n" + HOST,
    "another port in Host": b"GET /page HTTP/1.1\r\nHost: jitgate.internal:81\r\n",
    "no host": b"GET http://jitgate.internal/page HTTP/1.0\r\n",
    "another method": b"DELETE http://jitgate.internal/page HTTP/1.1\r\n" + HOST,
    "a body": b"GET /page HTTP/1.1\r\nContent-Length: 1\r\n" + HOST,
    "a chunked body": b"GET /page HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + HOST,
    "a query": b"GET http://jitgate.internal/page?x HTTP/1.1\r\n" + HOST,
    "a dot segment": b"GET http://jitgate.internal/x/../page HTTP/1.1\r\n" + HOST,
    "an escaped letter": b"GET http://jitgate.internal/%70age HTTP/1.1\r\n" + HOST,
    "two slashes": b"GET http://jitgate.internal//page HTTP/1.1\r\n" + HOST,
    "a backslash": b"GET http://jitgate.internal\\page HTTP/1.1\r\n" + HOST,
    "an upgrade": b"GET /page HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n" + HOST,
}


@pytest.mark.parametrize("what", NOT_OURS)
@ensureDeferred
async def test_anything_else_without_a_tunnel_is_refused_and_on_record(tmp_path, what):
    door = await opened(tmp_path)
    data = await answer_to(door, NOT_OURS[what] + b"\r\n")
    assert data.startswith(b"HTTP/1.1 400 ")
    assert b"{}" not in data
    assert [each["denial"] for each in door.stand.entries("refused")] == ["malformed-request"]
    await door.stop()


@ensureDeferred
async def test_a_peer_that_does_not_take_the_page_is_cut_off(tmp_path):
    door = await opened(tmp_path)
    with socket.create_connection(door.address, 10) as peer:
        peer.sendall(OURS[0].replace(b"/page", b"/long"))
        assert (await deferToThread(peer.recv, 20)).startswith(b"HTTP/1.1 200 ")
        assert door.listener._open
        door.later(LIMITS.connect)
        await until(lambda: not door.listener._open)
    await door.stop()


class TestProxy(ListenerContract):
    """What is asked of a site's own listeners."""

    def make(self):
        return Source(self.folder)

    def gateway(self):
        return Stand().gateway

    def port(self, listener):
        return listener.port.getHost().port


@implementer(IListenerSource)
class Source:
    """Makes it as a plugin would, at the port that the first one found free."""

    name, version = "proxy", "1"

    def __init__(self, folder):
        self.folder = folder

    def listener(self, gateway):
        authority = load_or_create(self.folder, reactor.seconds)
        endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        limits = replace(LIMITS, stop=1.0)
        return listener.HttpProxyListener(gateway, authority, endpoint, reactor, limits=limits)
