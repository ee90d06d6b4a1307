"""The same bytes before several parsers: ours, h11, and llhttp, which nobody here wrote."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

import h11
import httptools
from support.http1 import notation

from jitgate.core.http1_reading import (
    Data,
    End,
    Event,
    Request,
    RequestReader,
    Response,
    ResponseReader,
)
from jitgate.errors import PeerFault

Whole = list[tuple[str, str, bytes]]
"""Requests that are whole: method, target, body."""

Read = tuple[Whole, bool]
"""What a parser made of some bytes, and whether it would read on."""

TRICKY = (
    b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"\0", b" ", b"\t", b"\x0b", b"\x85", b"\xa0", b"\xff", b":", b";", b",", b"=",
    b'"', b"0", b"00", b"0x", b"+", b"-", b"_", b"chunked", b"identity", b"0\r\n\r\n", b"5\r\n", b"X: y\r\n",
    b"Content-Length: 5\r\n", b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n", b"Host: b\r\n",
    b"Connection: close\r\n", b"Expect: 100-continue\r\n", b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0", b"HTTP/1.1", b"HEAD", b"POST", b"#", b"\\", b"%00",
)  # fmt: skip
"""What parsers are known to disagree about."""


def ours(data: bytes) -> Read:
    """As our reader reads requests."""
    whole: Whole = []
    method, target, body, goes_on = "", "", b"", True
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


def of_h11(data: bytes) -> Read:
    """As h11 reads requests."""
    whole: Whole = []
    method, target, body = "", "", b""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    with contextlib.suppress(h11.RemoteProtocolError):
        if data:  # no bytes would be the end
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
                connection.send(h11.Response(status_code=204, headers=[]))
                connection.send(h11.EndOfMessage())
                if connection.our_state is h11.MUST_CLOSE:
                    return whole, False
                connection.start_next_cycle()
        return whole, True
    return whole, False


class _Llhttp:
    """What llhttp makes of requests, until it refuses something."""

    def __init__(self) -> None:
        self.whole: Whole = []
        self.parser = httptools.HttpRequestParser(self)

    def on_message_begin(self) -> None:
        self.target, self.body = b"", b""

    def on_url(self, target: bytes) -> None:
        self.target += target

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.whole.append((self.parser.get_method().decode(), self.target.decode(), self.body))


def of_llhttp(data: bytes) -> Read:
    """As llhttp reads requests."""
    reader = _Llhttp()
    try:
        reader.parser.feed_data(data)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        return reader.whole, False
    return reader.whole, True


def agree(mine: Read, theirs: Read) -> bool:
    """Whether one is no other reading of the bytes than the other is, refusals apart."""
    (we_read, we_go_on), (they_read, they_go_on) = mine, theirs
    common = min(len(we_read), len(they_read))
    if we_read[:common] != they_read[:common]:
        return False
    return not we_go_on or len(they_read) == len(we_read) or not (they_go_on or they_read[common:])


def our_response(data: bytes, method: str) -> tuple[int, bytes] | None:
    """Status and body as our reader reads the whole connection, or None."""
    reader, status, body, whole = ResponseReader(method), 0, b"", False
    for event in (*reader.feed(data), *reader.eof()):
        if isinstance(event, Response):
            status = event.head.status
        elif isinstance(event, Data):
            body += event.data
        elif isinstance(event, End):
            whole = True
    return (status, body) if whole else None


def h11_response(data: bytes, method: str) -> tuple[int, bytes] | None:
    """Status and body as h11 reads the whole connection, or None."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
    connection.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
    connection.send(h11.EndOfMessage())
    status, body = 0, b""
    try:
        for piece in (data, b"")[not data :]:  # nothing at all is the end, which is said once
            connection.receive_data(piece)
            while (event := connection.next_event()) is not h11.NEED_DATA:
                if isinstance(event, h11.Response):
                    status = event.status_code
                elif isinstance(event, h11.Data):
                    body += event.data
                elif isinstance(event, h11.EndOfMessage):
                    return status, body
    except h11.RemoteProtocolError:
        return None
    return None


def said(reader: RequestReader | ResponseReader, pieces: Iterable[bytes]) -> list[str]:
    """What a reader says of the pieces, a fault in full; at most one, and nothing after it."""
    events: list[Event] = [event for piece in pieces for event in reader.feed(piece)]
    faults = [at for at, event in enumerate(events) if isinstance(event, PeerFault)]
    assert faults in ([], [len(events) - 1])
    assert not faults or reader.feed(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n") == []
    return [*notation(events), *(f"{events[at]}" for at in faults)]
