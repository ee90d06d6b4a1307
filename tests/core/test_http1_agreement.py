"""What the readers take, parsers that nobody here wrote take for the same: h11, and llhttp.

The messages are the vectors, and mutations of them by what parsers are known to disagree about.
The other parsers may refuse more; what must never be is two readings of the same bytes.
"""

from __future__ import annotations

import contextlib

import h11
import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.http1 import messages, notation

from jitgate.core.http1_reading import Data, End, Request, RequestReader, Response, ResponseReader
from jitgate.core.http1_writing import chunk_bytes, last_chunk_bytes, request_bytes, response_bytes
from jitgate.errors import PeerFault
from jitgate.values import RequestHead, ResponseHead

REQUESTS = {name: message for name, (message, _) in messages("requests").items()}
RESPONSES = {name: message for name, (message, _) in messages("responses").items()}

# Requests, as (method, target, body) each -----------------------------------------------------


def ours(data):
    """The requests that are whole, as we read them; and whether we would read on."""
    whole, goes_on = [], True
    for event in RequestReader().feed(data):
        if isinstance(event, Request):
            method, target, body = event.head.method, event.head.target, b""
            goes_on = event.keep_alive
        elif isinstance(event, Data):
            body += event.data
        elif isinstance(event, End):
            whole.append((method, target, body))
        else:
            goes_on = False
    return whole, goes_on


def of_h11(data):
    """The requests that are whole, as h11 reads them; and whether it would read on."""
    whole = []
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    with contextlib.suppress(h11.RemoteProtocolError):
        connection.receive_data(data)
        while (event := connection.next_event()) is not h11.NEED_DATA:
            if isinstance(event, h11.Request):
                method, target, body = event.method.decode(), event.target.decode(), b""
            elif isinstance(event, h11.Data):
                body += event.data
            if method == "CONNECT":
                return whole, False
            if isinstance(event, h11.EndOfMessage):
                whole.append((method, target, body))
                connection.send(h11.Response(status_code=204, headers=()))
                connection.send(h11.EndOfMessage())
                if connection.our_state is h11.MUST_CLOSE:
                    return whole, False
                connection.start_next_cycle()
        return whole, True
    return whole, False


class Llhttp:
    """What llhttp makes of requests, until it refuses something."""

    def __init__(self):
        self.whole = []
        self.parser = httptools.HttpRequestParser(self)

    def on_message_begin(self):
        self.target, self.body = b"", b""

    def on_url(self, target):
        self.target += target

    def on_body(self, data):
        self.body += data

    def on_message_complete(self):
        self.whole.append((self.parser.get_method().decode(), self.target.decode(), self.body))


def of_llhttp(data):
    """The requests that are whole, as llhttp reads them; and whether it would read on."""
    reader = Llhttp()
    try:
        reader.parser.feed_data(data)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        return reader.whole, False
    return reader.whole, True


def agree(mine, theirs):
    """Whether one is no other reading of the bytes than the other is, refusals apart."""
    (we_read, we_go_on), (they_read, they_go_on) = mine, theirs
    common = min(len(we_read), len(they_read))
    if we_read[:common] != they_read[:common]:
        return False
    return not we_go_on or len(they_read) == len(we_read) or not (they_go_on or they_read[common:])


TRICKY = (
    b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"\0", b" ", b"\t", b"\x0b", b"\x85", b"\xa0", b"\xff", b":", b";", b",", b"=",
    b'"', b"0", b"00", b"0x", b"+", b"-", b"_", b"chunked", b"identity", b"0\r\n\r\n", b"5\r\n", b"X: y\r\n",
    b"Content-Length: 5\r\n", b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n", b"Host: b\r\n",
    b"Connection: close\r\n", b"Expect: 100-continue\r\n", b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0", b"HTTP/1.1", b"HEAD", b"POST", b"#", b"\\", b"%00",
)  # fmt: skip


@st.composite
def mutated(draw, messages):
    """A few messages in a row, cut up and put together wrongly here and there."""
    message = b"".join(draw(st.lists(st.sampled_from(sorted(messages)), min_size=1, max_size=3)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(message)))
        gone = draw(st.sampled_from((0, 0, 0, 1, 2, 5)))
        message = message[:at] + draw(st.sampled_from((b"", *TRICKY))) + message[at + gone :]
    return message


def said(reader, pieces):
    events = [event for piece in pieces for event in reader.feed(piece)]
    faults = [at for at, event in enumerate(events) if isinstance(event, PeerFault)]
    assert faults in ([], [len(events) - 1])
    if faults:
        assert reader.feed(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n") == []
    return notation(events), [f"{events[at]}" for at in faults]


@given(mutated(REQUESTS.values()))
def test_no_other_parser_sees_other_requests_in_what_we_take(data):
    assert agree(ours(data), of_h11(data))
    assert agree(ours(data), of_llhttp(data))


@pytest.mark.parametrize("name", REQUESTS)
def test_no_other_parser_sees_other_requests_in_a_vector(name):
    assert agree(ours(REQUESTS[name]), of_h11(REQUESTS[name]))
    assert agree(ours(REQUESTS[name]), of_llhttp(REQUESTS[name]))


@given(mutated(REQUESTS.values()), st.data())
def test_cuts_never_change_what_is_read_of_requests(data, drawn):
    cuts = sorted(drawn.draw(st.sets(st.integers(0, len(data)), max_size=6)))
    pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    if b"CONNECT" not in data:  # what follows one comes as it comes
        assert said(RequestReader(), pieces) == said(RequestReader(), [data])


# Responses, as (status, body) -----------------------------------------------------------------


def our_response(data, method):
    """The response as we read it, or None."""
    reader, status, body, whole = ResponseReader(method), 0, b"", False
    for event in (*reader.feed(data), *reader.eof()):
        if isinstance(event, Response):
            status = event.head.status
        elif isinstance(event, Data):
            body += event.data
        elif isinstance(event, End):
            whole = True
    return (status, body) if whole else None


def h11_response(data, method):
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
    connection.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
    connection.send(h11.EndOfMessage())
    status, body = 0, b""
    try:
        for piece in (data, b""):
            connection.receive_data(piece)
            while not isinstance(event := connection.next_event(), type(h11.NEED_DATA)):
                if isinstance(event, h11.Response):
                    status = event.status_code
                elif isinstance(event, h11.Data):
                    body += event.data
                elif isinstance(event, h11.EndOfMessage):
                    return status, bytes(body)
    except h11.RemoteProtocolError:
        return None
    return None


@given(mutated(RESPONSES.values()), st.sampled_from(["GET", "HEAD"]))
def test_no_other_parser_sees_another_response_in_what_we_take(data, method):
    mine, theirs = our_response(data, method), h11_response(data, method)
    assert mine is None or theirs is None or mine == theirs


@given(mutated(RESPONSES.values()), st.data())
def test_cuts_never_change_what_is_read_of_a_response(data, drawn):
    cuts = sorted(drawn.draw(st.sets(st.integers(0, len(data)), max_size=6)))
    pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    assert said(ResponseReader("GET"), pieces) == said(ResponseReader("GET"), [data])


# What is written ------------------------------------------------------------------------------

tokens = st.text("abcXYZ019-_", min_size=1, max_size=12).map(lambda text: b"X-" + text.encode())
values = st.text("abc XYZ:,;=\"'\t~", max_size=20).map(lambda text: text.strip().encode())
fields = st.lists(st.tuples(tokens, values), max_size=6).map(tuple)
pieces = st.lists(st.binary(min_size=1, max_size=40), max_size=4)
targets = st.text("abc/?&=%20-._~", max_size=20).map(lambda text: "/" + text)


@given(
    st.sampled_from(["GET", "POST", "DELETE", "OPTIONS"]), targets, fields, pieces, st.booleans()
)
def test_a_request_that_is_written_reads_back_here_and_elsewhere(method, target, more, body, known):
    length = sum(map(len, body)) if known else None
    head = RequestHead(method, target, ((b"Host", b"a.example"), *more), length)
    written = request_bytes(head)
    written += b"".join(body if known else map(chunk_bytes, body))
    written += b"" if known else last_chunk_bytes()
    read = RequestReader().feed(written)[0].head
    kept = tuple(
        pair for pair in read.headers if pair[0] not in {b"Content-Length", b"Transfer-Encoding"}
    )
    assert (read.method, read.target, kept, read.length) == (method, target, head.headers, length)
    assert ours(written) == ([(method, target, b"".join(body))], True)
    assert ours(written) == of_h11(written) == of_llhttp(written)


@given(st.sampled_from([200, 201, 404, 500]), fields, pieces, st.booleans())
def test_a_response_that_is_written_reads_back_here_and_elsewhere(status, more, body, known):
    length = sum(map(len, body)) if known else None
    head = ResponseHead(status, more, length)
    written = response_bytes(head, chunked=not known, keep_alive=True)
    written += b"".join(body if known else map(chunk_bytes, body))
    written += b"" if known else last_chunk_bytes()
    whole = (status, b"".join(body))
    assert our_response(written, "GET") == h11_response(written, "GET") == whole
