"""What the readers take, parsers that nobody here wrote take for the same: h11, and llhttp.

The messages are the vectors, and mutations of them by what parsers are known to disagree about.
The other parsers may refuse more; what must never be is two readings of the same bytes.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.agreement import (
    TRICKY,
    agree,
    h11_response,
    of_h11,
    of_llhttp,
    our_response,
    ours,
    said,
)
from support.http1 import messages

from jitgate.core.http1_reading import End, Request, RequestReader, ResponseReader
from jitgate.core.http1_writing import chunk_bytes, last_chunk_bytes, request_bytes, response_bytes
from jitgate.errors import PeerFault
from jitgate.values import RequestHead, ResponseHead

REQUESTS = {name: message for name, (message, _) in messages("requests").items()}
RESPONSES = {name: message for name, (message, _) in messages("responses").items()}


@st.composite
def mutated(draw, messages):
    """A few messages in a row, cut up and put together wrongly here and there."""
    message = b"".join(draw(st.lists(st.sampled_from(sorted(messages)), min_size=1, max_size=3)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(message)))
        gone = draw(st.sampled_from((0, 0, 0, 1, 2, 5)))
        message = message[:at] + draw(st.sampled_from((b"", *TRICKY))) + message[at + gone :]
    return message


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


@given(mutated(RESPONSES.values()), st.sampled_from(["GET", "HEAD"]))
def test_no_other_parser_sees_another_response_in_what_we_take(data, method):
    mine, theirs = our_response(data, method), h11_response(data, method)
    assert mine is None or theirs is None or mine == theirs


@given(mutated(RESPONSES.values()), st.data())
def test_cuts_never_change_what_is_read_of_a_response(data, drawn):
    cuts = sorted(drawn.draw(st.sets(st.integers(0, len(data)), max_size=6)))
    pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    assert said(ResponseReader("GET"), pieces) == said(ResponseReader("GET"), [data])


# At once, or line by line ----------------------------------------------------------------------


class LinewiseRequests(RequestReader):
    """Takes no head at once."""

    def _at_once(self, data, at):
        return at


class LinewiseResponses(ResponseReader):
    """Takes no head at once."""

    def _at_once(self, data, at):
        return at


def events(reader, pieces):
    """All that a reader says, faults by their kind and words."""
    read = [event for piece in pieces for event in reader.feed(piece)]
    read += reader.eof() if isinstance(reader, ResponseReader) else []
    return [(type(each), str(each)) if isinstance(each, PeerFault) else each for each in read]


SCRAPS = (
    *(
        b"GET /a HTTP/1.1\r\n",
        b"POST /b HTTP/1.0\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.0 204 \r\n",
    ),
    *(b"Host: a\r\n", b"host:b \t\r\n", b"Content-Length: 2\r\n", b"Content-Length:2\r\n"),
    *(b"Transfer-Encoding: chunked\r\n", b"2\r\n{}\r\n0\r\n\r\n", b"Expect: 100-continue\r\n"),
    *(b"Connection: close, x\r\n", b"Connection: Host\r\n", b"Upgrade: h2c\r\n"),
    *(b"Content-Type: a/b\r\n", b"Content-Type: a/b, c/d\r\n", b"Location:\r\n", b"{}", b"X"),
    *(
        b"\r\n",
        b"\r\n\r\n",
        b"\r",
        b"\n",
        b":",
        b": ",
        b" ",
        b"\t",
        b"\x00",
        b"\x7f",
        b"\xff",
        b"X:\ny",
    ),
)
"""Of these any head can be made, and nearly any."""


@st.composite
def scrappy(draw):
    """Heads of scraps, of which one may come again and again behind other first lines."""
    heads = []
    for _ in range(draw(st.integers(1, 3))):
        lines = draw(st.lists(st.sampled_from(SCRAPS[:4]), min_size=1, max_size=3))
        rest = b"".join(draw(st.lists(st.sampled_from(SCRAPS[4:]), max_size=8)))
        heads += [line + rest + b"\r\n" for line in lines]
    return b"".join(heads)


@st.composite
def pieces_of(draw, whole):
    """The same bytes, cut anywhere."""
    data = draw(whole)
    cuts = sorted(draw(st.sets(st.integers(0, len(data)), max_size=6)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


@given(pieces_of(st.one_of(scrappy(), mutated(REQUESTS.values()), st.binary(max_size=200))))
def test_requests_taken_at_once_are_those_taken_line_by_line(pieces):
    assert events(RequestReader(), pieces) == events(LinewiseRequests(), pieces)
    assert events(RequestReader(60, 3), pieces) == events(LinewiseRequests(60, 3), pieces)


@given(
    pieces_of(st.one_of(scrappy(), mutated(RESPONSES.values()), st.binary(max_size=200))),
    st.sampled_from(["GET", "HEAD"]),
)
def test_responses_taken_at_once_are_those_taken_line_by_line(pieces, method):
    assert events(ResponseReader(method), pieces) == events(LinewiseResponses(method), pieces)
    narrow = events(ResponseReader(method, 60, 3), pieces)
    assert narrow == events(LinewiseResponses(method, 60, 3), pieces)


@given(st.lists(st.sampled_from(SCRAPS[4:]), max_size=8).map(b"".join), st.data())
def test_fields_that_come_again_mean_what_they_mean_alone(block, drawn):
    """What is remembered of a connection is never taken for what other fields say."""
    lines = drawn.draw(st.lists(st.sampled_from(SCRAPS[:2]), min_size=2, max_size=4))
    reader = RequestReader()
    for line in lines:
        message = line + block + b"\r\n"
        alone = events(LinewiseRequests(), [message])
        if [type(each) for each in alone] != [Request, End] or not alone[0].keep_alive:
            break
        assert events(reader, [message]) == alone


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
