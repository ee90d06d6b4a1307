"""A proxy before the targets: asked strictly, told its password alone, and trusted with nothing."""

from __future__ import annotations

import base64
import socket

import pytest
from pytest_twisted import ensureDeferred
from support.counterparts import TestCA
from support.proxies import ESTABLISHED, Relay, proxy_py, squid
from support.ways import HOST, exchanged, until, way
from support.wire import Origin, answering
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread

from jitgate.errors import UpstreamUnreachable, UpstreamUntrusted
from jitgate.upstreams.dialling import connector, raced
from jitgate.upstreams.https import HttpsUpstream
from jitgate.upstreams.via import TUNNEL_WITHIN, Via, tunnelled


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return TestCA.create(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def origin(ca):
    with Origin(ca.leaf(HOST), answering(b"{}")) as made:
        yield made


async def asked(ca, via, **how):
    upstream = HttpsUpstream(way(ca.pem, via=via, **how), reactor)
    try:
        return await exchanged(await upstream.connect(fresh=True))
    finally:
        await upstream.stop()


@ensureDeferred
async def test_a_call_goes_through_the_proxy_and_the_name_is_the_proxys_to_resolve(ca, origin):
    with Relay(("127.0.0.1", origin.port)) as proxy:
        assert await asked(ca, Via(*proxy.address)) == b"{}"
    assert proxy.heads == [b"CONNECT api.example:443 HTTP/1.1\r\nHost: api.example:443\r\n\r\n"]
    assert origin.received[0].line == "GET /things HTTP/1.1"


@ensureDeferred
async def test_an_ipv6_host_is_named_in_brackets(ca):
    host = "2001:db8::7"
    with (
        Origin(ca.leaf(host), answering(b"{}")) as origin,
        Relay(("127.0.0.1", origin.port)) as proxy,
    ):
        assert await asked(ca, Via(*proxy.address), host=host, port=8443) == b"{}"
    assert proxy.heads[0].startswith(b"CONNECT [2001:db8::7]:8443 HTTP/1.1\r\n")


@ensureDeferred
async def test_the_certificate_is_verified_through_the_tunnel(ca, tmp_path):
    """The proxy can lead anywhere; whoever is there is not believed."""
    with Origin(TestCA.create(tmp_path).leaf(HOST), answering(b"{}")) as other:
        with Relay(("127.0.0.1", other.port)) as proxy, pytest.raises(UpstreamUntrusted):
            await asked(ca, Via(*proxy.address))
        assert other.received == []


@ensureDeferred
async def test_what_the_proxy_wants_is_told_to_the_proxy_alone(ca, origin):
    with Relay(("127.0.0.1", origin.port)) as proxy:
        via = Via(*proxy.address, b"Basic czNjcmV0")
        await asked(ca, via)
    assert b"\r\nProxy-Authorization: Basic czNjcmV0\r\n" in proxy.heads[0]
    assert b"czNjcmV0" not in origin.received[0].head
    assert "czNjcmV0" not in repr(via)


@pytest.mark.parametrize("value", [b"", b"Basic x\r\nX: y", b"Basic \xff", b" Basic x", b"a\x00b"])
def test_what_is_no_field_value_is_refused_and_not_shown(value):
    with pytest.raises(ValueError, match="Proxy-Authorization") as caught:
        Via("proxy.internal", 3128, value)
    assert "Basic" not in str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.0 200 Connection established\r\nProxy-agent: Apache\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 \r\nVia: 1.1 a\r\nConnection: keep-alive\r\n\r\n",
    ],
)
@pytest.mark.parametrize("piece", [1, 7, 4096])
@ensureDeferred
async def test_200_opens_the_tunnel_however_it_is_said_and_cut(ca, origin, answer, piece):
    pieces = [answer[at : at + piece] for at in range(0, len(answer), piece)]
    with Relay(("127.0.0.1", origin.port), *pieces) as proxy:
        assert await asked(ca, Via(*proxy.address)) == b"{}"


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 5\r\n\r\nhello", "407"),
        (b"HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "403"),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "502"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "204"),
        (b"HTTP/1.1 301 Moved\r\nLocation: https://other.example/\r\n\r\n", "301"),
        (ESTABLISHED + b"\x16\x03\x03", "clear answer"),
        (ESTABLISHED + b"HTTP/1.1 200 OK\r\n\r\n", "clear answer"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "clear answer"),
        (b"HTTP/1.1 200\nX: y\n\n", "clear answer"),
        (b"HTTP/2.0 200 OK\r\n\r\n", "clear answer"),
        (b"HTTP/1.1 200 OK\r\nA: b\r\n  folded\r\n\r\n", "clear answer"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "clear answer"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000, "clear answer"),
    ],
)
@ensureDeferred
async def test_an_answer_that_is_not_200_and_nothing_more_opens_nothing(ca, origin, answer, says):
    with Relay(("127.0.0.1", origin.port), answer, opens=False) as proxy:
        with pytest.raises(UpstreamUnreachable, match=says):
            await asked(ca, Via(*proxy.address))
        assert proxy.after == b""
    assert origin.connections == 0


@ensureDeferred
async def test_a_proxy_that_hangs_up_gives_no_clear_answer(ca):
    with socket.create_server(("127.0.0.1", 0)) as server:
        asking = Deferred.fromCoroutine(asked(ca, Via(*server.getsockname())))
        (await deferToThread(server.accept))[0].close()
        with pytest.raises(UpstreamUnreachable, match="clear answer"):
            await asking


@ensureDeferred
async def test_a_proxy_that_is_silent_is_waited_for_no_longer_than_may_be():
    clock = Clock()
    with socket.create_server(("127.0.0.1", 0)) as server:
        wire = await raced([server.getsockname()], connector(reactor, 10.0), clock, 10.0)
        asking = Deferred.fromCoroutine(
            tunnelled(wire, Via(*server.getsockname()), "api.example:443", clock)
        )
        clock.advance(TUNNEL_WITHIN)
        with pytest.raises(UpstreamUnreachable):
            await asking
        await wire.lost


@ensureDeferred
async def test_a_proxy_that_is_down_is_named_as_what_is_down(ca):
    with socket.create_server(("127.0.0.1", 0)) as free:
        via = Via(*free.getsockname())
    with pytest.raises(UpstreamUnreachable, match="proxy .* connection refused"):
        await asked(ca, via)


@ensureDeferred
async def test_a_proxys_name_is_resolved_and_may_lead_inside(ca, origin):
    async def resolve(host):
        assert host == "proxy.internal"
        return ["127.0.0.1"]

    with Relay(("127.0.0.1", origin.port)) as proxy:
        via = Via("proxy.internal", proxy.address[1])
        assert await asked(ca, via, resolve=resolve) == b"{}"


@ensureDeferred
async def test_a_connection_through_the_proxy_is_kept_like_any_other(ca, origin):
    with Relay(("127.0.0.1", origin.port)) as proxy:
        upstream = HttpsUpstream(way(ca.pem, via=Via(*proxy.address)), reactor)
        for _ in range(3):
            connection = await upstream.connect(fresh=False)
            assert await exchanged(connection) == b"{}"
            connection.release()
            await until(lambda: upstream._idle)
        await upstream.stop()
    assert len(proxy.heads) == 1


# --- proxies that nobody here wrote


@pytest.mark.needs_debian("squid")
@ensureDeferred
async def test_squid_lets_a_call_through(ca, origin):
    with squid({HOST: "127.0.0.1"}) as address:
        via = Via(*address)
        assert await asked(ca, via, port=origin.port) == b"{}"
        with pytest.raises(UpstreamUnreachable, match=r"refused a tunnel \(50\d\)"):
            await asked(ca, via, host="nowhere.invalid", port=origin.port)


@ensureDeferred
async def test_proxy_py_lets_in_whom_it_knows(ca):
    with (
        Origin(ca.leaf("localhost"), answering(b"{}")) as origin,
        proxy_py("ada:s3cret") as address,
    ):
        known = b"Basic " + base64.b64encode(b"ada:s3cret")
        how = {"host": "localhost", "port": origin.port}
        assert await asked(ca, Via(*address, known), **how) == b"{}"
        with pytest.raises(UpstreamUnreachable, match=r"refused a tunnel \(407\)"):
            await asked(ca, Via(*address), **how)
