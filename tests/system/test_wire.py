"""What crosses the real gateway, byte for byte, seen from both ends of the wire."""

from __future__ import annotations

import re
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.gateway import wait_for
from support.wire import Tunnel, answering


def test_a_call_goes_through_and_comes_back(scene):
    with scene.tunnel() as tunnel:
        reply = tunnel.ask("GET", "/v1/things?x=1", headers="User-Agent: t\r\nX-Other: 1\r\n")
    assert (reply.status, reply.body) == (200, b'{"name":"Ada"}')
    (received,) = scene.origin.received
    assert received.line == "GET /v1/things?x=1 HTTP/1.1"
    assert received.header("Host") == "api.example"
    assert received.header("User-Agent") == f"t {tokens(scene)[-1]}"
    assert received.header("X-Other") is None
    assert received.header("Accept-Encoding") == "identity"


def tokens(scene):
    """What the record says of which requests were sent, in order."""
    sent = [each.get("user_agent_tokens", []) for each in scene.gateway.entries("outcome")]
    return [token for each in sent for token in each]


def test_each_request_has_a_token_of_its_own_that_is_on_record(scene):
    """Pipelined in one tunnel, and in others at the same time."""
    before = len(tokens(scene))

    def pipeline():
        with scene.tunnel() as tunnel:
            tunnel.send(b"GET / HTTP/1.1\r\nHost: api.example\r\nUser-Agent: t\r\n\r\n" * 10)
            for _ in range(10):
                assert tunnel.reply().status == 200

    with ThreadPoolExecutor(4) as agents:
        for done in [agents.submit(pipeline) for _ in range(4)]:
            done.result()
    seen = [each.header("User-Agent") for each in scene.origin.received]
    assert len(set(seen)) == len(seen) == 40
    assert all(re.fullmatch(r"t jitgate/[-!#$%&'*+.^_`|~0-9A-Za-z]+", each) for each in seen)
    recorded = wait_for(lambda: len(tokens(scene)) >= before + 40 and tokens(scene)[before:])
    assert sorted(seen) == sorted(f"t {token}" for token in recorded)


def test_what_was_not_sent_has_no_token(scene):
    before = len(scene.gateway.entries("outcome"))
    with scene.tunnel(authority="api.example:443") as tunnel:
        assert tunnel.ask("GET", "/", headers="Content-Encoding: gzip\r\n").status == 400
    outcomes = wait_for(lambda: scene.gateway.entries("outcome")[before:])
    assert "user_agent_tokens" not in outcomes[0]


def test_empty_segments_are_merged_before_anybody_decides(scene):
    """msgraph-sdk writes one into every path."""
    with scene.tunnel() as tunnel:
        assert tunnel.ask("GET", "/v1.0//users//7?x=a//b").status == 200
    assert scene.origin.received[-1].line == "GET /v1.0/users/7?x=a//b HTTP/1.1"
    operation = scene.gateway.entries("decision")[-1]["operation"]
    assert operation["resource"] == {"path": "/v1.0/users/7"}


def test_several_calls_on_one_tunnel_use_one_upstream_connection(scene):
    before = scene.origin.connections
    with scene.tunnel() as tunnel:
        for number in range(5):
            assert tunnel.ask("GET", f"/{number}").status == 200
    assert scene.origin.connections - before <= 1


def test_pipelined_calls_are_answered_in_order(scene):
    def handle(request, tls):
        body = request.line.encode()
        tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        return True

    scene.handler = handle
    with scene.tunnel() as tunnel:
        tunnel.send(
            b"".join(b"GET /%d HTTP/1.1\r\nHost: api.example\r\n\r\n" % n for n in range(20))
        )
        bodies = [tunnel.reply().body for _ in range(20)]
    assert bodies == [b"GET /%d HTTP/1.1" % n for n in range(20)]


def test_the_tls_hello_may_come_with_the_connect(scene):
    """Some clients do not wait for the answer to CONNECT."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context(cafile=str(scene.gateway.ca))
    client = context.wrap_bio(incoming, outgoing, server_hostname="api.example")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    connect = (
        b"CONNECT api.example:443 HTTP/1.1\r\nHost: api.example:443\r\n"
        b"Proxy-Authorization: Bearer %b\r\n\r\n" % scene.tokens.token().encode()
    )
    with socket.create_connection(scene.gateway.proxy, 10) as raw:
        raw.sendall(connect + outgoing.read())
        established = b"HTTP/1.1 200 Connection established\r\n\r\n"
        data = b""
        while len(data) < len(established):
            data += raw.recv(4096)
        assert data.startswith(established)
        incoming.write(data[len(established) :])
        for _ in range(10):
            try:
                client.do_handshake()
            except ssl.SSLWantReadError:
                raw.sendall(outgoing.read())
                incoming.write(raw.recv(65536))
            else:
                break
        assert client.version() in {"TLSv1.2", "TLSv1.3"}


def test_the_first_event_arrives_while_the_origin_holds_the_rest(scene):
    first_seen = threading.Event()

    def handle(request, tls):
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        tls.sendall(head + b"9\r\ndata: 1\n\n\r\n")
        held = first_seen.wait(10)
        tls.sendall(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n" if held else b"")
        return True

    scene.handler = handle
    with scene.tunnel() as tunnel:
        tunnel.send(b"GET /events HTTP/1.1\r\nHost: api.example\r\n\r\n")
        data = b""
        while b"data: 1\n\n" not in data:
            data += tunnel.tls.recv(4096)
        assert b"data: 2" not in data
        first_seen.set()
        while not data.endswith(b"0\r\n\r\n"):
            data += tunnel.tls.recv(4096)
    assert b"data: 2\n\n" in data


def test_a_large_body_streams_both_ways(scene):
    def handle(request, tls):
        tls.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(request.body) + request.body
        )
        return True

    scene.handler = handle
    body = bytes(range(256)) * 20_000
    with scene.tunnel() as tunnel:
        reply = tunnel.ask("POST", "/upload", body)
    assert reply.body == body
    (outcome,) = [
        each for each in scene.gateway.entries("outcome") if each["released"]["bytes"] == len(body)
    ]
    assert outcome["request"]["bytes"] == len(body)
    assert "hmac" in outcome["request"]


def test_a_chunked_upload_of_unknown_length(scene):
    scene.handler = lambda request, tls: answering(request.body)(request, tls)
    with scene.tunnel() as tunnel:
        tunnel.send(b"POST /u HTTP/1.1\r\nHost: api.example\r\nTransfer-Encoding: chunked\r\n\r\n")
        tunnel.send(b"5\r\nhello\r\n")
        time.sleep(0.05)
        tunnel.send(b"6\r\n world\r\n0\r\n\r\n")
        assert tunnel.reply().body == b"hello world"
    assert scene.origin.received[0].header("Transfer-Encoding") == "chunked"


def test_expect_continue_is_answered_when_the_body_is_wanted(scene):
    scene.handler = lambda request, tls: answering(request.body)(request, tls)
    with scene.tunnel() as tunnel:
        tunnel.send(
            b"POST /u HTTP/1.1\r\nHost: api.example\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
        )
        assert tunnel.tls.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        tunnel.send(b"hello")
        assert tunnel.reply().body == b"hello"


def test_head_and_bodiless_answers(scene):
    with scene.tunnel() as tunnel:
        reply = tunnel.ask("HEAD", "/x")
        assert (reply.status, reply.body) == (200, b"")
        assert reply.header("Content-Length") == "14"  # what GET brings
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        scene.handler = lambda _, tls: tls.sendall(head) or True
        assert tunnel.ask("HEAD", "/x").header("Content-Length") is None
        scene.handler = lambda _, tls: tls.sendall(b"HTTP/1.1 204 No Content\r\n\r\n") or True
        assert tunnel.ask("DELETE", "/x").status == 204
        scene.handler = answering(b"{}")
        assert tunnel.ask("GET", "/x").body == b"{}"


def test_an_http_1_0_agent_gets_its_answer_and_the_end(scene):
    with scene.tunnel() as tunnel:
        tunnel.send(b"GET / HTTP/1.0\r\nHost: api.example\r\n\r\n")
        data = b""
        while more := tunnel.tls.recv(4096):
            data += more
    assert data.startswith(b"HTTP/1.1 200 OK\r\n")
    assert data.endswith(b'{"name":"Ada"}')
    assert b"Connection: close" in data


MALFORMED = {
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: api.example\r\nHost: api.example\r\n\r\n",
    "length and chunked": b"POST / HTTP/1.1\r\nHost: api.example\r\nContent-Length: 5\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "gzip, chunked": b"POST / HTTP/1.1\r\nHost: api.example\r\nTransfer-Encoding: gzip, chunked\r\n"
    b"\r\n0\r\n\r\n",
    "chunked on 1.0": b"POST / HTTP/1.0\r\nHost: api.example\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"0\r\n\r\n",
    "bare lf": b"GET / HTTP/1.1\nHost: api.example\n\n",
    "nested connect": b"CONNECT other.example:443 HTTP/1.1\r\nHost: other.example:443\r\n\r\n",
    "h2c": b"GET / HTTP/1.1\r\nHost: api.example\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
    "trace": b"TRACE / HTTP/1.1\r\nHost: api.example\r\n\r\n",
    "dot segment": b"GET /a/../b HTTP/1.1\r\nHost: api.example\r\n\r\n",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_request_gets_400_and_a_record_and_goes_nowhere(scene, name):
    before = len(scene.gateway.entries("outcome"))
    with scene.tunnel() as tunnel:
        tunnel.send(MALFORMED[name])
        reply = tunnel.reply()
    assert reply.status == 400
    assert reply.header("Content-Type") == "application/problem+json"
    assert b"malformed-request" in reply.body
    assert scene.origin.received == []
    outcomes = scene.gateway.entries("outcome")[before:]
    assert [each["denial"] for each in outcomes] == ["malformed-request"]


def test_what_a_malformed_request_asked_for_is_on_record_as_far_as_it_was_read(scene):
    smuggled = b"POST /p2?token=hush HTTP/1.1\r\nHost: api.example\r\nContent-Length: 1\r\n"
    for sent in (smuggled + b"Transfer-Encoding: chunked\r\n\r\n", b"GET /p1 \r\n\r\n"):
        with scene.tunnel() as tunnel:
            tunnel.send(b"GET /first HTTP/1.1\r\nHost: api.example\r\n\r\n" + sent)
            tunnel.reply()
            assert tunnel.reply().status == 400
    asked = [each["request"] for each in scene.gateway.entries("decision")[-4:]]
    assert asked[1::2] == [
        {"method": "POST", "target": "/p2?token=***"},
        {"method": "", "target": ""},
    ]
    tunnel = scene.gateway.entries("tunnel")[-1]
    assert tunnel["peer"].startswith("127.0.0.1:")


def test_a_head_too_large_gets_431_and_a_record(scene):
    with scene.tunnel() as tunnel:
        tunnel.send(b"GET / HTTP/1.1\r\nHost: api.example\r\nX: " + b"a" * 70_000 + b"\r\n\r\n")
        assert tunnel.reply().status == 431
    assert scene.gateway.entries("outcome")[-1]["denial"] == "head-too-large"


def test_a_body_that_breaks_off_reaches_nobody_as_whole(scene):
    whole = []

    def handle(request, tls):
        whole.append(request)
        return True

    scene.handler = handle
    with scene.tunnel() as tunnel:
        tunnel.send(b"POST / HTTP/1.1\r\nHost: api.example\r\nContent-Length: 50\r\n\r\nbroken!")
    (outcome,) = wait_for(
        lambda: [e for e in scene.gateway.entries("outcome") if e["request"]["bytes"] == 7]
    )
    assert whole == []
    assert outcome["outcome"] == "failed"


# --- CONNECT


def test_no_token_is_407(scene):
    with Tunnel(scene.gateway.proxy, scene.gateway.ca, None) as tunnel:
        assert tunnel.status == 407
        assert b"Proxy-Authenticate: Bearer" in tunnel.answer


def test_a_bad_token_is_told_inside(scene):
    with scene.tunnel(token="not-a-token") as tunnel:
        assert tunnel.status == 200
        reply = tunnel.ask("GET", "/")
    assert reply.status == 401
    assert scene.origin.received == []


def test_an_expired_token_is_told_inside(scene):
    with scene.tunnel(token=scene.tokens.token(life=-5)) as tunnel:
        assert tunnel.ask("GET", "/").status == 401
    assert scene.origin.received == []


def test_a_host_that_no_target_names_gets_403(scene):
    with scene.tunnel(authority="other.example:443") as tunnel:
        assert tunnel.status == 403


def test_another_port_of_a_named_host_gets_403(scene):
    with scene.tunnel(authority="api.example:22") as tunnel:
        assert tunnel.status == 403


@pytest.mark.parametrize("how", [{"sni": "other.example"}, {}])
def test_another_name_inside_the_tunnel_is_421(scene, how):
    host = "other.example" if not how else "api.example"
    with scene.tunnel(sni=None) if not how else unchecked(scene, how["sni"]) as tunnel:
        tunnel.send(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert tunnel.reply().status == 421
    assert scene.origin.received == []


def test_each_request_on_a_tunnel_is_held_to_the_host_that_it_names_itself(scene):
    with scene.tunnel() as tunnel:
        for host, status in (("api.example", 200), ("other.example", 421), ("api.example", 200)):
            tunnel.send(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            assert tunnel.reply().status == status
    assert len(scene.origin.received) == 2


def unchecked(scene, sni):
    """A tunnel whose client asks for another name and takes the CONNECT host's leaf."""
    tunnel = Tunnel.__new__(Tunnel)
    raw = socket.create_connection(scene.gateway.proxy, 10)
    raw.sendall(
        b"CONNECT api.example:443 HTTP/1.1\r\nHost: api.example:443\r\n"
        b"Proxy-Authorization: Bearer %b\r\n\r\n" % scene.tokens.token().encode()
    )
    tunnel.raw = raw
    tunnel.answer = tunnel._head()
    context = ssl.create_default_context(cafile=str(scene.gateway.ca))
    context.check_hostname = False
    tunnel.tls = context.wrap_socket(raw, server_hostname=sni)
    return tunnel


@pytest.mark.parametrize(
    "line",
    [
        b"GET http://api.example/ HTTP/1.1\r\nHost: api.example\r\n\r\n",
        b"CONNECT api.example HTTP/1.1\r\nHost: api.example\r\n\r\n",
        b"CONNECT api.example:443 HTTP/1.1\r\nHost: other.example\r\n\r\n",
        b"CONNECT http://api.example:443/ HTTP/1.1\r\nHost: api.example\r\n\r\n",
        b"CONNECT a@api.example:443 HTTP/1.1\r\nHost: api.example\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
def test_anything_but_a_plain_connect_is_400(scene, line):
    with socket.create_connection(scene.gateway.proxy, 10) as raw:
        raw.sendall(line)
        assert raw.recv(4096).startswith(b"HTTP/1.1 400 ")


def test_a_client_that_sends_no_server_name_is_taken_to_mean_the_connect_host(scene):
    with scene.tunnel(sni=None) as tunnel:
        assert tunnel.ask("GET", "/").status == 200


# --- what the target does


BROKEN = {
    "both framings": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "not http": b"SSH-2.0-OpenSSH_9\r\n",
    "switching": b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    "nothing": b"",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_malformed_response_is_502(scene, name):
    scene.handler = lambda _, tls: tls.sendall(BROKEN[name]) and False
    with scene.tunnel() as tunnel:
        reply = tunnel.ask("GET", "/")
    assert reply.status == 502
    assert b"upstream-" in reply.body


def test_a_response_cut_short_is_never_completed(scene):
    scene.handler = lambda _, tls: (
        tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"a" * 100_000) and False
    )
    with scene.tunnel() as tunnel:
        tunnel.send(b"GET / HTTP/1.1\r\nHost: api.example\r\n\r\n")
        data = b""
        with pytest.raises((ssl.SSLError, ConnectionError)):  # noqa: PT012 (it may come anywhere)
            while more := tunnel.tls.recv(65536):
                data += more
            raise AssertionError("the connection was ended as if all had come")
    assert len(data) < 200_000
    wait_for(lambda: scene.gateway.entries("outcome")[-1]["outcome"] == "truncated")


def test_a_coded_response_is_withheld(scene):
    scene.handler = lambda _, tls: (
        tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc")
        and True
    )
    with scene.tunnel() as tunnel:
        reply = tunnel.ask("GET", "/")
    assert reply.status == 502
    assert b"response-withheld" in reply.body
