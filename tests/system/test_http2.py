"""HTTP/2 from agents through the real gateway, to a target that is spoken to in HTTP/1.1."""

from __future__ import annotations

import ssl

import pytest
from support.gateway import wait_for
from support.http2 import Agent2, asking
from support.wire import answering

OK = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture
def agent(scene):
    with scene.tunnel(alpn=("h2",)) as tunnel:
        yield Agent2(tunnel)


def outcomes(scene):
    return scene.gateway.entries("outcome")


SMUGGLED = {
    "a request in a value": asking(
        b"GET", b"/", (b"x", b"y\r\n\r\nDELETE /things HTTP/1.1\r\nhost: api.example\r\n\r\n")
    ),
    "a request in a name": asking(
        b"GET", b"/", (b"x: y\r\n\r\nDELETE /things HTTP/1.1\r\na", b"b")
    ),
    "a request in the method": asking(b"GET / HTTP/1.1\r\nhost: api.example\r\n\r\nDELETE"),
    "a request in the path": asking(b"GET", b"/ HTTP/1.1\r\nhost: a\r\n\r\nDELETE /things"),
    "a field in the authority": [
        *asking()[:2],
        (b":authority", b"api.example\r\nx: y"),
        (b":path", b"/"),
    ],
    "a space in the path": asking(b"GET", b"/a b"),
    "a fragment in the path": asking(b"GET", b"/a#b"),
    "another path in the path": asking(b"GET", b"/a/../things"),
    "a URL in the path": asking(b"GET", b"https://other.example/"),
    "no path": asking(b"GET", b""),
    "a second path": asking(b"GET", b"/", (b":path", b"/things")),
    "a late method": asking(b"GET", b"/", (b"x", b"y"), (b":method", b"DELETE")),
    "Transfer-Encoding": asking(b"POST", b"/", (b"transfer-encoding", b"chunked")),
    "TE": asking(b"POST", b"/", (b"te", b"chunked")),
    "Connection": asking(b"GET", b"/", (b"connection", b"x")),
    "two lengths": asking(b"POST", b"/", (b"content-length", b"0"), (b"content-length", b"3")),
    "a length that does not come": asking(b"POST", b"/", (b"content-length", b"3")),
    "upper case": asking(b"GET", b"/", (b"X-Up", b"y")),
    "another method in a field": asking(b"GET", b"/", (b"x-http-method-override", b"DELETE")),
    "another method in the query": asking(b"GET", b"/?_method=DELETE"),
    "CONNECT": [(b":method", b"CONNECT"), (b":authority", b"other.example:443")],
    "extended CONNECT": asking(b"CONNECT", b"/", (b":protocol", b"websocket")),
}


@pytest.mark.parametrize("name", SMUGGLED)
def test_what_is_not_one_request_reaches_nobody_and_is_on_record(scene, agent, name):
    before = len(outcomes(scene))
    got = agent.answer(agent.ask(SMUGGLED[name]))
    assert got.status == 400
    assert scene.origin.received == []
    assert agent.answer(agent.ask()).status == 200  # the connection is as good as before
    wait_for(lambda: len(outcomes(scene)) == before + 2)
    assert outcomes(scene)[before]["denial"] == "malformed-request"


def test_the_handshakes_name_counts(scene):
    tunnel = unchecked(scene, "other.example")
    agent = Agent2(tunnel)
    assert agent.answer(agent.ask()).status == 421
    assert scene.origin.received == []
    tunnel.close()


def test_a_body_of_unknown_length_and_trailers_pass(scene, agent):
    def handle(request, tls):
        tls.sendall(
            OK + b"Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
            b"5\r\nhello\r\n0\r\nX-Sum: 5\r\nX-Other: a\r\n\r\n"
        )
        return True

    scene.handler = handle
    number = agent.open(asking(b"POST"))
    agent.give(number, b"some ")
    agent.give(number, b"more", ends=True)
    got = agent.answer(number)
    assert (got.body, got.ended) == (b"hello", True)
    assert dict(got.trailers) == {b"x-sum": b"5", b"x-other": b"a"}
    (request,) = scene.origin.received
    assert request.body == b"some more"
    assert request.header("Transfer-Encoding") == "chunked"


def test_a_response_that_breaks_off_is_reset(scene, agent):
    def handle(request, tls):
        tls.sendall(OK + b"Content-Length: 200000\r\n\r\n" + b"x" * 100_000)
        tls.close()

    scene.handler = handle
    got = agent.answer(agent.ask())
    assert (got.status, got.ended, got.reset) == (200, False, 2)
    wait_for(lambda: outcomes(scene)[-1]["outcome"] == "truncated")
    scene.handler = answering(b"{}")
    assert agent.answer(agent.ask()).body == b"{}"


def test_many_at_once_on_one_connection(scene, agent):
    numbers = [agent.ask(asking(b"GET", b"/%d" % each)) for each in range(60)]
    assert {agent.answer(each).status for each in numbers} == {200}
    assert len(scene.origin.received) == 60


def unchecked(scene, sni):
    """A tunnel whose client asks for another name and takes the CONNECT host's leaf."""
    tunnel = scene.tunnel(sni=None, alpn=("h2",), shakes=False)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    tunnel.tls = context.wrap_socket(tunnel.raw, server_hostname=sni)
    return tunnel
