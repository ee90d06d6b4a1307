"""HTTP/1.1 on both sides of the real gateway: what is legal passes, what is ambiguous does not.

The vectors that the readers are tested by go through all of it here, as bytes on both wires.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import ssl
import threading
import time

import pytest
from support.gateway import wait_for
from support.http1 import messages
from support.wire import answering

HOST = b"Host: api.example\r\n"
OK = b"HTTP/1.1 200 OK\r\n"
REQUESTS = messages("requests")
RESPONSES = messages("responses")


def everything(tls):
    """All bytes until the end; and whether it was an orderly one."""
    data = b""
    try:
        while more := tls.recv(65536):
            data += more
    except (ssl.SSLError, ConnectionError):
        return data, False
    return data, True


def statuses(data):
    """The statuses of the answers in a stream of them."""
    return [int(each) for each in re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", data)]


def goodbye(tls):
    """End the connection as TLS ends one; what was open-ended before it is whole."""
    with contextlib.suppress(OSError):
        tls.unwrap()


def echo(request, tls):
    """Answer with what came."""
    said = request.line.encode() + b" " + request.body
    tls.sendall(OK + b"Content-Length: %d\r\n\r\n%b" % (len(said), said))
    return True


# --- the vectors


def begun(events):
    """The requests of a vector, each with the part of its body that came."""
    requests = []
    for event in events:
        if event[0].isupper() and not event.startswith("CONNECT"):
            requests.append((event.split(" ")[0], b""))
        elif event[0] == "=":
            requests[-1] = (requests[-1][0], event[2:].encode("latin-1"))
    return requests


@pytest.mark.parametrize("name", REQUESTS)
def test_what_reaches_the_target_is_what_the_agents_bytes_say(scene, name):
    """Each request that is whole is answered in its turn, and what is refused gets there never."""
    message, events = REQUESTS[name]
    refused = events[-1].startswith(("!", "CONNECT"))
    expected = sum(event.startswith(".") for event in events) + refused
    before, data = len(scene.gateway.entries("outcome")) if refused else 0, b""
    with scene.tunnel() as tunnel:
        tunnel.send(message.replace(b"Host: a\r\n", HOST))
        while len(answers := [each for each in statuses(data) if each != 100]) < expected:
            data += tunnel.tls.recv(65536)
    sent = [(each.line.split(" ")[0], each.body) for each in scene.origin.received]
    passed = zip(answers, [*begun(events), None], strict=False)
    assert sent == [request for status, request in passed if status == 200]
    if refused:
        assert answers[-1] == 400
        wait_for(lambda: len(scene.gateway.entries("outcome")) == before + expected)
        assert scene.gateway.entries("outcome")[-1]["denial"] == "malformed-request"


@pytest.mark.parametrize("name", RESPONSES)
def test_what_reaches_the_agent_is_what_the_targets_bytes_say(scene, name):
    message, events = RESPONSES[name]
    scene.handler = lambda _, tls: tls.sendall(message) or goodbye(tls)
    with scene.tunnel() as tunnel:
        tunnel.send(b"GET / HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
        data, orderly = everything(tunnel.tls)
    events = [each for each in events if "interim" not in each]
    head, _, body = data.partition(b"\r\n\r\n")
    if events[0].startswith("!"):
        assert statuses(data) == [502]
    elif events[-1].startswith("!"):  # more came than the answer: refused, or cut off if too late
        assert statuses(data) == [502] or not orderly
    elif any(each.startswith(".") for each in events):
        assert orderly
        assert head.startswith(b"HTTP/1.1 " + events[0][:3].encode())
        content = "".join(each[2:] for each in events if each.startswith("="))
        assert content.encode() in body
        assert content or body in {b"", b"0\r\n\r\n"}
    else:  # it broke off: refused while nothing was released, else cut off
        assert statuses(data) == [502] or not orderly


# --- the agent's side


def test_what_was_pipelined_before_a_bad_request_is_answered_and_nothing_after_it(scene):
    scene.handler = echo
    good = b"POST /%d HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\n\r\nhi"
    chunked = (
        b"POST /c HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n2\r\nyo\r\n0\r\n\r\n"
    )
    bad = b"GET /bad HTTP/1.1\r\n" + HOST + b"X : y\r\n\r\n"
    with scene.tunnel() as tunnel:
        tunnel.send(good % 1 + chunked + bad + good % 2)
        assert tunnel.reply().body == b"POST /1 HTTP/1.1 hi"
        assert tunnel.reply().body == b"POST /c HTTP/1.1 yo"
        reply = tunnel.reply()
        assert reply.status == 400
        assert reply.header("Connection") == "close"
        assert everything(tunnel.tls) == (b"", True)
    assert [each.line.split(" ")[1] for each in scene.origin.received] == ["/1", "/c"]


def test_a_body_that_looks_like_a_request_stays_a_body(scene):
    scene.handler = echo
    inner = b"GET /smuggled HTTP/1.1\r\n" + HOST + b"\r\n"
    with scene.tunnel() as tunnel:
        for method in (b"GET", b"POST", b"DELETE", b"OPTIONS"):
            head = b"%b /outer HTTP/1.1\r\n" % method + HOST
            tunnel.send(head + b"Content-Length: %d\r\n\r\n" % len(inner) + inner)
            assert tunnel.reply().body == method + b" /outer HTTP/1.1 " + inner
    assert len(scene.origin.received) == 4


@pytest.mark.parametrize(
    "field",
    [
        b"X-HTTP-Method-Override: DELETE",
        b"x-http-method: DELETE",
        b"X-Method-Override: PUT",
        b"X-Original-URL: /admin",
        b"X-Rewrite-URL: /admin",
        b"X_HTTP_Method_Override: DELETE",
    ],
)
def test_a_field_that_overrides_the_method_or_the_path_is_refused_and_the_tunnel_lives(
    scene, field
):
    with scene.tunnel() as tunnel:
        tunnel.send(b"GET / HTTP/1.1\r\n" + HOST + field + b"\r\n\r\n")
        assert tunnel.reply().status == 400
        assert scene.gateway.entries("outcome")[-1]["denial"] == "malformed-request"
        assert scene.origin.received == []
        assert tunnel.ask("GET", "/").status == 200


def test_options_of_the_server_as_a_whole_is_a_call_like_any_other(scene):
    with scene.tunnel() as tunnel:
        tunnel.send(b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n")
        assert tunnel.reply().status == 200
        tunnel.send(b"GET * HTTP/1.1\r\n" + HOST + b"\r\n")
        assert tunnel.reply().status == 400
    assert [each.line for each in scene.origin.received] == ["OPTIONS * HTTP/1.1"]


@pytest.mark.parametrize(
    ("target", "status", "path"),
    [
        ("https://api.example/x?y=1", 200, "/x?y=1"),
        ("HTTPS://API.example:443", 200, "/"),
        ("https://api.example?y", 200, "/?y"),
        ("https://other.example/x", 421, None),
        ("https://api.example:8443/x", 421, None),
        ("http://api.example/x", 400, None),
        ("https://user@api.example/x", 400, None),
        ("https://api.example@other.example/x", 400, None),
        ("https:/api.example/x", 400, None),
        ("api.example:443", 400, None),
        ("//api.example/x", 400, None),
        ("/x#fragment", 400, None),
        ("/a\\b", 400, None),
    ],
)
def test_a_target_in_another_form_means_the_same_host_or_is_refused(scene, target, status, path):
    with scene.tunnel() as tunnel:
        tunnel.send(f"GET {target} HTTP/1.1\r\n".encode() + HOST + b"\r\n")
        assert tunnel.reply().status == status
    assert [each.line for each in scene.origin.received] == (
        [f"GET {path} HTTP/1.1"] if path else []
    )


def test_a_body_that_is_sent_without_waiting_for_leave_is_taken(scene):
    scene.handler = echo
    head = b"POST /u HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n"
    with scene.tunnel() as tunnel:
        tunnel.send(head + b"hello" + head + b"again")
        data = b""
        while data.count(b"POST /u") < 2:
            data += tunnel.tls.recv(65536)
    assert [each for each in statuses(data) if each != 100] == [200, 200]
    assert [each.body for each in scene.origin.received] == [b"hello", b"again"]
    assert scene.origin.received[0].header("Expect") is None


def test_a_refusal_comes_in_place_of_leave_to_go_on_and_ends_the_connection(scene):
    head = (
        b"POST /a/../b HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n"
    )
    with scene.tunnel() as tunnel:
        tunnel.send(head)
        data, orderly = everything(tunnel.tls)
    assert statuses(data) == [400]
    assert orderly
    assert b"Connection: close" in data
    follows = b"GET /next HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
    with scene.tunnel() as tunnel:
        tunnel.send(head + b"hello" + follows)
        data, orderly = everything(tunnel.tls)
    assert statuses(data) in ([400], [400, 200])  # the second, if the body came before the refusal
    assert orderly
    assert "hello" not in "".join(each.line for each in scene.origin.received)


def test_http_1_0_is_never_told_to_go_on(scene):
    scene.handler = echo
    with scene.tunnel() as tunnel:
        tunnel.send(
            b"POST / HTTP/1.0\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        )
        tunnel.tls.settimeout(0.3)
        with pytest.raises(TimeoutError):
            tunnel.tls.recv(1)
        tunnel.tls.settimeout(10)
        tunnel.send(b"hi")
        data, orderly = everything(tunnel.tls)
    assert statuses(data) == [200]
    assert orderly


def test_trailers_of_a_request_are_read_and_stay_behind(scene):
    raw = []
    scene.handler = lambda request, tls: raw.append(request.body) or answering(b"{}")(request, tls)
    start = b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n"
    with scene.tunnel() as tunnel:
        tunnel.send(start + b"X-Sum: 1\r\n\r\n")
        assert tunnel.reply().status == 200
        tunnel.send(start + b"Authorization: Bearer x\r\n\r\n")
        assert tunnel.reply().status == 400
    assert raw == [b"hi"]


def test_chunks_of_one_byte_arrive(scene):
    scene.handler = echo
    body = bytes(range(256)) * 8
    with scene.tunnel() as tunnel:
        tunnel.send(b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n")
        tunnel.send(b"".join(b"1;x=y\r\n%c\r\n" % each for each in body) + b"0\r\n\r\n")
        assert tunnel.reply().body == b"POST / HTTP/1.1 " + body


# --- CONNECT and TLS


def raw_tunnel(scene, connect, offered):
    """A tunnel by hand; what was chosen of the offered protocols, and the connection."""
    raw = socket.create_connection(scene.gateway.proxy, 10)
    raw.sendall(connect + b"Proxy-Authorization: Bearer %b\r\n\r\n" % scene.tokens.token().encode())
    assert raw.recv(4096).startswith(b"HTTP/1.1 200 ")
    context = ssl.create_default_context(cafile=str(scene.gateway.ca))
    if offered:
        context.set_alpn_protocols(offered)
    return context.wrap_socket(raw, server_hostname="api.example")


@pytest.mark.parametrize("offered", [[], ["h2", "http/1.1"], ["http/1.1", "h2"], ["http/1.1"]])
@pytest.mark.parametrize(
    "connect",
    [
        b"CONNECT api.example:443 HTTP/1.0\r\n",
        b"CONNECT api.example:443 HTTP/1.1\r\nHost: api.example\r\n",
    ],
)
def test_http_1_1_is_spoken_whatever_else_is_offered(scene, connect, offered):
    with raw_tunnel(scene, connect, offered) as tls:
        assert tls.selected_alpn_protocol() == ("http/1.1" if offered else None)
        tls.sendall(b"GET / HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
        assert statuses(everything(tls)[0]) == [200]


@pytest.mark.parametrize("offered", [[], ["h2c"]])
def test_http_2_that_was_not_agreed_on_fails_at_once(scene, offered):
    """Nobody speaks it by prior knowledge; who offers it alone gets it (`test_http2.py`)."""
    with raw_tunnel(scene, b"CONNECT api.example:443 HTTP/1.0\r\n", offered) as tls:
        assert tls.selected_alpn_protocol() is None
        tls.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
        began = time.monotonic()
        data, _ = everything(tls)
    assert statuses(data) == [400]
    assert time.monotonic() - began < 5
    assert scene.gateway.entries("outcome")[-1]["denial"] == "malformed-request"


# --- the target's side


def test_a_flood_of_interim_responses_is_ended(scene):
    def flood(_, tls):
        while True:
            tls.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 10)

    scene.handler = flood
    with scene.tunnel() as tunnel:
        assert tunnel.ask("GET", "/").status == 502
    assert scene.gateway.entries("outcome")[-1]["denial"] == "upstream-malformed"


def test_trailers_of_a_response_arrive(scene):
    scene.handler = lambda _, tls: (
        tls.sendall(OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n")
        or True
    )
    with scene.tunnel() as tunnel:
        tunnel.send(b"GET / HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
        data, orderly = everything(tunnel.tls)
    assert data.endswith(b"2\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n")
    assert orderly
    outcome = scene.gateway.entries("outcome")[-1]
    assert outcome["response"]["trailers"] == [["X-Sum", "1"]]
    assert outcome["timings"].keys() == {"credential", "connect", "answer", "body"}
    assert sum(outcome["timings"].values()) <= outcome["seconds"]


@pytest.mark.parametrize("extra", [b"\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"])
def test_what_comes_together_with_more_than_a_response_is_none(scene, extra):
    whole = OK + b"Content-Length: 2\r\n\r\nhi"
    scene.handler = lambda _, tls: tls.sendall(whole + extra) or True
    with scene.tunnel() as tunnel:
        for _ in range(5):
            assert tunnel.ask("GET", "/").status == 502
    assert len(scene.origin.received) == 5
    assert scene.gateway.entries("outcome")[-1]["denial"] == "upstream-malformed"


def test_an_answer_before_the_body_is_whole_passes_and_its_connection_is_not_used_again(scene):
    early = threading.Event()

    def handle(request, tls):
        tls.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        return early.set()

    scene.handler = handle
    usual, scene.origin.take_body = scene.origin.take_body, lambda stream, size: b""
    before = scene.origin.connections
    try:
        with scene.tunnel() as tunnel:
            tunnel.send(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 100\r\n\r\nbegun")
            assert early.wait(10)
            assert tunnel.reply().status == 413
            tunnel.send(b"x" * 95)
            assert tunnel.ask("POST", "/").status == 413
    finally:
        scene.origin.take_body = usual
    assert scene.origin.connections - before == 2


# --- streams


def test_each_event_of_a_stream_goes_out_when_it_comes(scene):
    """The origin sends an event only once the agent has the one before it, cut oddly."""
    seen = [threading.Event() for _ in range(5)]

    def handle(_, tls):
        tls.sendall(OK + b"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number, had in enumerate(seen):
            chunk = b"9\r\ndata: %d\n\n\r\n" % number
            for at in range(0, len(chunk), 3):
                tls.sendall(chunk[at : at + 3])
            if not had.wait(10):
                return False
        tls.sendall(b"0\r\n\r\n")
        return True

    scene.handler = handle
    with scene.tunnel() as tunnel:
        tunnel.send(b"GET /events HTTP/1.1\r\n" + HOST + b"\r\n")
        stream = http.client.HTTPResponse(tunnel.tls)
        stream.begin()
        data = b""
        for number, had in enumerate(seen):
            while not data.endswith(b"data: %d\n\n" % number):
                piece = stream.read1(100)
                assert piece
                data += piece
            had.set()
        assert stream.read() == b""


@pytest.mark.parametrize("sent", [b"", OK + b"Content-Type: text/event-stream\r\n\r\ndata: 1\n\n"])
def test_an_agent_that_hangs_up_on_a_long_poll_or_a_stream_ends_it_at_the_target(scene, sent):
    asked, ended = threading.Event(), threading.Event()

    def handle(_, tls):
        if sent:
            tls.sendall(sent)
        asked.set()
        try:
            gone = not tls.recv(1)
        except (ssl.SSLError, ConnectionError):
            gone = True
        if gone:
            ended.set()

    scene.handler = handle
    tunnel = scene.tunnel()
    tunnel.send(b"GET /poll HTTP/1.1\r\n" + HOST + b"\r\n")
    assert asked.wait(10)
    if sent:
        while b"data: 1" not in tunnel.tls.recv(4096):
            pass
    before = len(scene.gateway.entries("outcome"))
    tunnel.close()
    assert ended.wait(5)
    wait_for(lambda: len(scene.gateway.entries("outcome")) > before)
    outcome = scene.gateway.entries("outcome")[-1]
    assert outcome["denial"] == "agent-gone"
    assert outcome["outcome"] == ("truncated" if sent else "failed")


def test_a_call_that_changes_something_is_heard_out_though_its_agent_is_gone(scene):
    asked, go_on, kept = threading.Event(), threading.Event(), []

    def handle(request, tls):
        asked.set()
        go_on.wait(10)
        tls.sendall(OK + b"Content-Length: 2\r\n\r\nhi")
        kept.append(True)
        return True

    scene.handler = handle
    before = len(scene.gateway.entries("outcome"))
    tunnel = scene.tunnel()
    tunnel.send(b"POST /change HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\n\r\nhi")
    assert asked.wait(10)
    tunnel.close()
    time.sleep(0.2)
    assert len(scene.gateway.entries("outcome")) == before
    go_on.set()
    wait_for(lambda: len(scene.gateway.entries("outcome")) > before)
    assert scene.gateway.entries("outcome")[-1]["upstream"] == {"status": 200}
