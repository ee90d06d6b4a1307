"""An agent in HTTP/2: python-h2's client, on a tunnel made by hand, and frames made by hand."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from hpack import Encoder
from support.wire import PATIENCE, Tunnel

from jitgate.core.http2_frames import Kind

Pairs = Iterable[tuple[bytes, bytes]]


@dataclass
class Stream:
    """What came on one stream."""

    heads: list[list[tuple[bytes, bytes]]] = field(default_factory=list)
    body: bytes = b""
    trailers: list[tuple[bytes, bytes]] = field(default_factory=list)
    ended: bool = False
    reset: int | None = None

    @property
    def status(self) -> int:
        """Of the response; interim ones before it do not count."""
        return int(dict(self.heads[-1])[b":status"]) if self.heads else 0

    def header(self, name: bytes) -> bytes | None:
        return dict(self.heads[-1]).get(name)


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    """A frame, whatever is in it (RFC 9113, section 4.1)."""
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


def block(*pairs: tuple[bytes, bytes]) -> bytes:
    """Fields coded without a table: the same bytes at any time."""
    coder = Encoder()
    coder.header_table_size = 0
    return bytes(coder.encode(list(pairs), huffman=False))


def asking(
    method: bytes = b"GET", path: bytes = b"/things", *more: tuple[bytes, bytes]
) -> list[tuple[bytes, bytes]]:
    """The fields of a request."""
    first = (b":method", method), (b":scheme", b"https"), (b":authority", b"api.example")
    return [*first, (b":path", path), *more]


class Agent2:
    """Blocking; each wait reads until what is waited for is there."""

    def __init__(self, tunnel: Tunnel, *, takes: bool = True) -> None:
        self.tunnel = tunnel
        self.takes = takes
        self.h2 = H2Connection(
            H2Configuration(
                client_side=True,
                header_encoding=None,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self.streams: dict[int, Stream] = {}
        self.goaway: int | None = None
        self.over: bool | None = None
        """Once the connection has ended: whether that was orderly."""
        self.pings = 0
        self.h2.initiate_connection()
        self.flush()

    def flush(self) -> None:
        self.raw(self.h2.data_to_send())

    def raw(self, data: bytes) -> None:
        if data:
            self.tunnel.send(data)

    def ask(self, fields: Pairs | None = None, body: bytes | None = None) -> int:
        """Send a request; the number of its stream."""
        number = self.open(fields, ends=body is None)
        if body is not None:
            self.h2.send_data(number, body, end_stream=True)
            self.flush()
        return number

    def open(self, fields: Pairs | None = None, *, ends: bool = False) -> int:
        number = self.h2.get_next_available_stream_id()
        self.streams[number] = Stream()
        self.h2.send_headers(number, list(fields or asking()), end_stream=ends)
        self.flush()
        return number

    def give(self, number: int, data: bytes, *, ends: bool = False) -> None:
        """Send a part of a body."""
        self.h2.send_data(number, data, end_stream=ends)
        self.flush()

    def read(self) -> None:
        """Take what comes next."""
        try:
            data = self.tunnel.tls.recv(65536)
        except (ConnectionError, ssl.SSLError):
            data, self.over = b"", False
        if not data:
            self.over = True if self.over is None else self.over
            return
        try:
            found = self.h2.receive_data(data)
        except Exception as broken:
            raise AssertionError(f"the gateway broke HTTP/2: {broken!r}") from broken
        for event in found:
            self._hear(event)
        if self.goaway is None:
            self.flush()

    def _hear(self, event: Any) -> None:
        if isinstance(event, events.ConnectionTerminated):
            self.goaway = int(event.error_code or 0)
            # What was asked before is still answered, which h2 does not know.
            self.h2.state_machine.state = type(self.h2.state_machine.state).CLIENT_OPEN
        elif isinstance(event, events.PingAckReceived):
            self.pings += 1
        if (stream := self.streams.get(getattr(event, "stream_id", None) or 0)) is None:
            return
        if isinstance(event, events.ResponseReceived | events.InformationalResponseReceived):
            stream.heads.append(list(event.headers or []))
        elif isinstance(event, events.TrailersReceived):
            stream.trailers = list(event.headers or [])
        elif isinstance(event, events.DataReceived):
            stream.body += event.data or b""
            if self.takes:
                self.h2.acknowledge_received_data(
                    event.flow_controlled_length or 0, event.stream_id or 0
                )
        elif isinstance(event, events.StreamEnded):
            stream.ended = True
        elif isinstance(event, events.StreamReset):
            stream.reset = int(event.error_code or 0)

    def until(self, seen: Any) -> None:
        """Read until that is so, or the connection is over."""
        deadline = time.monotonic() + PATIENCE
        while not seen() and self.over is None:
            assert time.monotonic() < deadline, "it never came"
            self.read()

    def answer(self, number: int) -> Stream:
        """The whole answer, or as much as there is of it."""
        stream = self.streams[number]
        self.until(lambda: stream.ended or stream.reset is not None)
        return stream

    def end(self) -> int | None:
        """What the gateway says at the end of the connection."""
        self.until(lambda: False)
        return self.goaway

    def last_words(self) -> int | None:
        """What the gateway says at the end, whatever else it says: of frames made by hand."""
        data, code = b"", None
        try:
            while more := self.tunnel.tls.recv(65536):
                data += more
        except (ConnectionError, ssl.SSLError):
            pass
        while data:
            end = 9 + int.from_bytes(data[:3])
            if data[3] == Kind.GOAWAY:
                code = int.from_bytes(data[13:17])
            data = data[end:]
        return code

    def close(self) -> None:
        self.tunnel.close()
