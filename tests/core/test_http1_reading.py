"""Messages read whole, byte by byte, and with what follows them; everything ambiguous refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitgate.core.fields import end_to_end
from jitgate.core.http1_reading import (
    HEAD_BYTES,
    HEAD_FIELDS,
    Data,
    End,
    Request,
    RequestReader,
    Response,
    ResponseReader,
    Tunnel,
)
from jitgate.core.http1_writing import chunk_bytes, last_chunk_bytes, request_bytes, response_bytes
from jitgate.errors import HeadTooLarge, MalformedRequest, PeerFault, UpstreamMalformed
from jitgate.values import RequestHead, ResponseHead

POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
LEGAL_REQUESTS = {
    "get": b"GET /x?y=1 HTTP/1.1\r\nHost: a\r\n\r\n",
    "length": POST + b"Content-Length: 5\r\n\r\nhello",
    "chunked": POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3;x=y\r\nabc\r\n0\r\n\r\n",
    "trailers": POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nSum: 1\r\n\r\n",
    "old": b"GET / HTTP/1.0\r\nHost: a\r\n\r\n",
    "close": b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    "two": b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
    "expect": POST + b"Expect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
    "port": b"GET / HTTP/1.1\r\nHost: a.example:8443\r\n\r\n",
    "v6": b"GET / HTTP/1.1\r\nHost: [::1]:443\r\n\r\n",
}
ILLEGAL_REQUESTS = {
    "length and chunked": POST
    + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "same length twice": POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "length list": POST + b"Content-Length: 5, 5\r\n\r\nhello",
    "length sign": POST + b"Content-Length: +5\r\n\r\nhello",
    "length huge": POST + b"Content-Length: 99999999999999999999\r\n\r\nhello",
    "length not ascii": POST + "Content-Length: ٥\r\n\r\nhello".encode(),
    "bare lf": b"GET / HTTP/1.1\nHost: a\n\n",
    "bare cr": b"GET / HTTP/1.1\rHost: a\r\r",
    "fold": b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n",
    "space before colon": b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    "gzip, chunked": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "two codings": POST + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "identity": POST + b"Transfer-Encoding: identity\r\n\r\nhello",
    "chunked on 1.0": b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    "empty host": b"GET / HTTP/1.1\r\nHost:\r\n\r\n",
    "host with user": b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
    "host with path": b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "host list": b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n",
    "0.9": b"GET /\r\n\r\n",
    "2.0": b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
    "h2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "trace": b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n",
    "made-up method": b"FOO / HTTP/1.1\r\nHost: a\r\n\r\n",
    "lower case": b"get / HTTP/1.1\r\nHost: a\r\n\r\n",
    "other protocol's method": b"SUBSCRIBE / HTTP/1.1\r\nHost: a\r\n\r\n",
    "h2c": b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    "upgrade alone": b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n",
    "nul": b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n",
    "no name": b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
    "target not ascii": "GET /é HTTP/1.1\r\nHost: a\r\n\r\n".encode(),
    "chunk size prefix": POST + b"Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
    "chunk size sign": POST + b"Transfer-Encoding: chunked\r\n\r\n-1\r\nhello\r\n0\r\n\r\n",
    "chunk bare lf": POST + b"Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
    "chunk too long": POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n",
    "expect other": POST + b"Expect: 200-ok\r\nContent-Length: 1\r\n\r\nx",
}
HEAD = b"HTTP/1.1 200 OK\r\n"
LEGAL_RESPONSES = {
    "length": HEAD + b"Content-Length: 2\r\n\r\nhi",
    "chunked": HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nT: v\r\n\r\n",
    "continue": b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + b"Content-Length: 2\r\n\r\nhi",
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "not modified": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n",
    "no reason": b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
}
ILLEGAL_RESPONSES = {
    "both": HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nhi",
    "gzip": HEAD + b"Transfer-Encoding: gzip\r\n\r\nhi",
    "more than the length": HEAD + b"Content-Length: 2\r\n\r\nhiHTTP",
    "a second response": (HEAD + b"Content-Length: 2\r\n\r\nhi") * 2,
    "body of a 204": b"HTTP/1.1 204 No\r\nContent-Length: 2\r\n\r\nhi",
    "bare lf": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "fold": HEAD + b"Content-Length: 1\r\nX: a\r\n b\r\n\r\nh",
    "switching": b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    "status 099": b"HTTP/1.1 099 No\r\nContent-Length: 0\r\n\r\n",
    "status 999": b"HTTP/1.1 999 No\r\nContent-Length: 0\r\n\r\n",
    "http/2": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "not http": b"SSH-2.0-OpenSSH\r\n\r\n",
}


def joined(events):
    """The events with neighbouring pieces of a body made one, so that cuts do not matter."""
    out = []
    for event in events:
        if isinstance(event, Data) and out and isinstance(out[-1], Data):
            out[-1] = Data(out[-1].data + event.data)
        else:
            out.append(str(event) if isinstance(event, PeerFault) else event)
    return out


def fed(reader, pieces):
    return joined([event for piece in pieces for event in reader.feed(piece)])


@pytest.mark.parametrize("name", LEGAL_REQUESTS)
def test_a_legal_request_reads_the_same_whole_and_byte_by_byte(name):
    message = LEGAL_REQUESTS[name]
    whole = fed(RequestReader(), [message])
    assert isinstance(whole[0], Request)
    assert isinstance(whole[-1], End)
    assert fed(RequestReader(), [bytes([byte]) for byte in message]) == whole


@pytest.mark.parametrize("name", ILLEGAL_REQUESTS)
def test_an_ambiguous_request_is_refused_whole_and_byte_by_byte(name):
    message = ILLEGAL_REQUESTS[name]
    for pieces in ([message], [bytes([byte]) for byte in message]):
        reader = RequestReader()
        faults = [e for piece in pieces for e in reader.feed(piece) if isinstance(e, PeerFault)]
        assert [type(fault) for fault in faults] == [MalformedRequest]
        assert reader.feed(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n") == []


@given(st.data())
def test_cuts_never_change_what_is_read(data):
    message = b"".join(
        data.draw(st.lists(st.sampled_from(list(LEGAL_REQUESTS.values())), max_size=4))
    )
    cuts = sorted(data.draw(st.sets(st.integers(0, len(message)), max_size=6)))
    pieces = [message[a:b] for a, b in zip([0, *cuts], [*cuts, len(message)], strict=True)]
    assert fed(RequestReader(), pieces) == fed(RequestReader(), [message])


@given(st.binary(max_size=400))
def test_no_bytes_make_the_reader_itself_fail(junk):
    for reader in (RequestReader(), ResponseReader("GET")):
        reader.feed(junk)
        reader.feed(POST + junk)


def test_the_head_says_how_long_the_body_is():
    def length(message):
        return next(iter(RequestReader().feed(message))).head.length

    assert length(LEGAL_REQUESTS["get"]) == 0
    assert length(LEGAL_REQUESTS["length"]) == 5
    assert length(LEGAL_REQUESTS["chunked"]) is None


def test_values_lose_the_white_space_around_them():
    head = RequestReader().feed(b"GET / HTTP/1.1\r\nHost: a\r\nX: \t b \t\r\n\r\n")[0].head
    assert dict(head.headers)[b"X"] == b"b"


def test_connect_hands_over_the_rest_unread():
    events = RequestReader().feed(b"CONNECT a:443 HTTP/1.0\r\n\r\n\x16\x03\x01")
    assert [type(event) for event in events] == [Tunnel]
    assert events[0].rest == b"\x16\x03\x01"
    assert events[0].request.head.target == "a:443"


def test_what_follows_a_last_request_is_ignored():
    events = RequestReader().feed(LEGAL_REQUESTS["close"] + b"GARBAGE")
    assert [type(event) for event in events] == [Request, End]
    assert not events[0].keep_alive


@pytest.mark.parametrize("size", [HEAD_BYTES + 1, 3 * HEAD_BYTES])
def test_a_head_is_bounded_in_bytes_even_if_it_never_ends(size):
    reader = RequestReader()
    events = reader.feed(b"GET / HTTP/1.1\r\nHost: a\r\nX: ")
    for _ in range(size // 1024 + 2):
        events += reader.feed(b"a" * 1024)
    assert [type(event) for event in events] == [HeadTooLarge]


def test_a_head_is_bounded_in_fields():
    fields = b"".join(b"X-%d: 1\r\n" % each for each in range(HEAD_FIELDS))
    events = RequestReader().feed(b"GET / HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n")
    assert [type(event) for event in events] == [HeadTooLarge]


def test_trailers_are_bounded_too():
    reader = RequestReader()
    reader.feed(POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n")
    fields = b"".join(b"X-%d: 1\r\n" % each for each in range(HEAD_FIELDS + 1))
    assert [type(event) for event in reader.feed(fields + b"\r\n")] == [HeadTooLarge]


@pytest.mark.parametrize("name", LEGAL_RESPONSES)
def test_a_legal_response_reads_the_same_whole_and_byte_by_byte(name):
    message = LEGAL_RESPONSES[name]
    whole = fed(ResponseReader("GET"), [message])
    assert isinstance(whole[-1], End)
    assert fed(ResponseReader("GET"), [bytes([byte]) for byte in message]) == whole


@pytest.mark.parametrize("name", ILLEGAL_RESPONSES)
def test_an_ambiguous_response_is_refused_whole_and_byte_by_byte(name):
    message = ILLEGAL_RESPONSES[name]
    for pieces in ([message], [bytes([byte]) for byte in message]):
        reader = ResponseReader("GET")
        events = [event for piece in pieces for event in reader.feed(piece)]
        assert any(isinstance(event, UpstreamMalformed) for event in events)


def test_the_answer_to_head_has_no_body_whatever_its_length_says():
    events = ResponseReader("HEAD").feed(HEAD + b"Content-Length: 5\r\n\r\n")
    assert [type(event) for event in events] == [Response, End]
    assert events[0].head.length == 0
    assert events[1].reusable


def test_a_body_after_the_answer_to_head_is_refused():
    events = ResponseReader("HEAD").feed(HEAD + b"Content-Length: 5\r\n\r\nhello")
    assert isinstance(events[-1], UpstreamMalformed)


def test_an_orderly_end_ends_a_body_of_unknown_length_only():
    open_ended = ResponseReader("GET")
    open_ended.feed(HEAD + b"\r\nhel")
    assert open_ended.eof() == [End(reusable=False)]
    counted = ResponseReader("GET")
    counted.feed(HEAD + b"Content-Length: 5\r\n\r\nhel")
    assert [type(event) for event in counted.eof()] == [UpstreamMalformed]


def test_fields_of_one_hop_are_dropped_with_those_that_connection_names():
    fields = (
        (b"Connection", b"close, X-Secret"),
        (b"x-secret", b"1"),
        (b"Proxy-Authorization", b"Bearer t"),
        (b"TE", b"trailers"),
        (b"Accept", b"*/*"),
    )
    assert end_to_end(fields) == ((b"Accept", b"*/*"),)


def test_framing_is_written_from_the_length_alone():
    smuggled = ((b"Host", b"a"), (b"Content-Length", b"99"), (b"Transfer-Encoding", b"gzip"))
    assert request_bytes(RequestHead("POST", "/", smuggled, 3)) == (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n"
    )
    assert (
        request_bytes(RequestHead("GET", "/", smuggled, 0)) == b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    )
    head = ResponseHead(200, smuggled[1:], None)
    assert response_bytes(head, chunked=True, keep_alive=True) == (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    assert response_bytes(head, chunked=False, keep_alive=False) == (
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
    )


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=5))
def test_what_is_written_in_chunks_reads_back(pieces):
    message = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    message += b"".join(chunk_bytes(piece) for piece in pieces) + last_chunk_bytes(((b"T", b"v"),))
    events = ResponseReader("GET").feed(message)
    assert b"".join(event.data for event in events if isinstance(event, Data)) == b"".join(pieces)
    assert events[-1] == End(((b"T", b"v"),), reusable=True)
