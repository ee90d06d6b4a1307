"""The frames of an agent's HTTP/2 connection (RFC 9113, section 4), told apart and within bounds.

What floods are made of is counted here, before anything is decoded, so that no flood is worth more
to whoever sends it than the bytes it takes. What frames mean is not known here. Pure: time is an
argument.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from itertools import groupby
from typing import Final, NamedTuple

from jitgate.core.limits import Limits
from jitgate.errors import HeadTooLarge, MalformedRequest, PeerFault

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a client begins with (section 3.4)."""

FRAME = 16 * 1024
"""Bytes of one frame, the least that may be said to be the most (section 4.2)."""

CONTINUATIONS = 16
"""Frames that a head may go on in: at `FRAME` bytes each the first few hold the largest head."""

SETTINGS_FRAMES = 100
"""SETTINGS frames of a connection, from its beginning to its end: clients send one or two."""

SETTINGS = 32
"""Settings in one frame. There are some ten of them, and every one that is unknown is kept."""

BURST = 10
"""Seconds for which what may come in one second may come at once."""

SMALL = 128
"""Bytes of a DATA frame below which it counts as one that carries nothing, the less the more."""

ANSWERED = 1024
"""Bytes of a body that was sent for which one frame more may come: Go's client opens each of two
windows every 4 KiB."""

ANSWERS = 64 * 1024
"""Frames that may be owed at once for bodies that were sent: those of a window of 64 MiB."""

_HEADER = 9


class Kind(enum.IntEnum):
    """The types of frames (section 6)."""

    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8


class Frame(NamedTuple):
    """A whole frame, as it came in ``data``; of the preface the ``kind`` is -1."""

    kind: int
    flags: int
    stream: int
    data: bytes

    def __repr__(self) -> str:
        return f"Frame(kind={self.kind}, stream={self.stream}, {len(self.data)} bytes)"


class Code(enum.IntEnum):
    """Why a stream or a connection ends (section 7), as far as it is said here."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    COMPRESSION_ERROR = 9
    ENHANCE_YOUR_CALM = 11


class Broken(MalformedRequest):
    """What ends a connection, with the code that its agent is told."""

    def __init__(self, message: str, code: int = Code.PROTOCOL_ERROR) -> None:
        super().__init__(message)
        self.code = code


class Calm(Broken):
    """More came than may, of what costs the gateway more than it costs the agent."""

    def __init__(self, message: str) -> None:
        super().__init__(message, Code.ENHANCE_YOUR_CALM)


class Allowance:
    """So many in a second, and `BURST` seconds' worth of them at once."""

    def __init__(self, per_second: int) -> None:
        self._per_second = per_second
        self._most = self._left = float(per_second * BURST)
        self._at: float | None = None

    def take(self, amount: float, now: float) -> bool:
        """Whether there is so much left; ``now`` in seconds, of a clock that need not be right."""
        passed = 0.0 if self._at is None else max(0.0, now - self._at)
        self._at = now
        self._left = min(self._most, self._left + passed * self._per_second) - amount
        return self._left >= 0


class FrameReader:
    """Cuts bytes into frames. A fault comes last of all, and nothing is read after it."""

    def __init__(self, limits: Limits) -> None:
        self._head_bytes = limits.head_bytes
        self._idle = Allowance(limits.http2_frames)
        self._answers = 0.0
        self._rest = b""
        self._over = False
        self._begun = False
        self._settings = 0
        self._block: int | None = None
        """The stream whose head has begun and is not whole."""
        self._block_bytes = 0
        self._continuations = 0
        self._newest = 0
        """The stream that was opened last."""
        self._again = 0
        """The stream of the last head that opened none."""
        self._open_ended = 0
        """Streams that were opened and are still to be ended: so many frames may do just that."""

    @property
    def in_head(self) -> bool:
        """Whether a head has begun that is not whole."""
        rest = self._rest
        begun = self._begun and len(rest) > 3 and rest[3] in {Kind.HEADERS, Kind.CONTINUATION}
        return self._block is not None or begun

    def sent(self, size: int) -> None:
        """So many bytes of bodies have gone out. Clients open two windows, and do so by and by."""
        self._answers = min(ANSWERS, self._answers + 2 + size / ANSWERED)

    def feed(self, data: bytes, now: float) -> list[Frame | PeerFault]:
        """The frames that are whole now, but for those of types that mean nothing to anybody."""
        if self._over:
            return []
        data, self._rest = self._rest + data if self._rest else data, b""
        events: list[Frame | PeerFault] = []
        try:
            self._rest = data[self._read(data, now, events) :]
        except PeerFault as fault:
            self._over = True
            events.append(fault)
        return events

    def _read(self, data: bytes, now: float, events: list[Frame | PeerFault]) -> int:
        """Take the frames that are whole; where the one begins that is not."""
        at = 0 if self._begun else self._preface(data, events)
        while self._begun and len(data) - at >= _HEADER:
            size = int.from_bytes(data[at : at + 3])
            if size > FRAME:
                raise Broken(f"A frame is longer than {FRAME} bytes.", Code.FRAME_SIZE_ERROR)
            end = at + _HEADER + size
            if end > len(data):
                break
            stream = int.from_bytes(data[at + 5 : at + 9]) & 0x7FFFFFFF
            frame = Frame(data[at + 3], data[at + 4], stream, data[at:end])
            self._check(frame, size, now)
            if frame.kind in _KNOWN:
                events.append(frame)
            at = end
        return at

    def _preface(self, data: bytes, events: list[Frame | PeerFault]) -> int:
        """Take the preface, once it is whole; what differs from it is refused at its first byte."""
        if data[: len(PREFACE)] != PREFACE[: len(data)]:
            raise Broken("This does not begin like a connection of HTTP/2.")
        if len(data) < len(PREFACE):
            return 0
        self._begun = True
        events.append(Frame(-1, 0, 0, PREFACE))
        return len(PREFACE)

    def _check(self, frame: Frame, size: int, now: float) -> None:
        """Raises if there may be no such frame, or no more of its kind."""
        kind = frame.kind
        if not self._settings and (kind != Kind.SETTINGS or frame.flags & ACK):
            raise Broken("The first frame is one of SETTINGS (RFC 9113, section 3.4).")
        if kind in {Kind.HEADERS, Kind.CONTINUATION} or self._block is not None:
            self._in_block(frame, size)
        elif kind == Kind.SETTINGS:
            self._settings += 1
            if self._settings > SETTINGS_FRAMES or size > 6 * SETTINGS:
                raise Calm("The connection has been given too many settings.")
        cost = self._cost(frame, size)
        if 0 < cost <= self._answers:
            self._answers -= cost
        elif cost and not self._idle.take(cost, now):
            raise Calm("Too many frames carry nothing, or next to nothing.")

    def _in_block(self, frame: Frame, size: int) -> None:
        """A head, which nothing may interrupt (section 4.3), and which is bounded as it came."""
        if self._block is None:
            if frame.kind == Kind.CONTINUATION:
                raise Broken("A head goes on that has not begun.")
            self._block_bytes = self._continuations = 0
        elif frame.kind != Kind.CONTINUATION or frame.stream != self._block:
            raise Broken("A head is interrupted by another frame.")
        else:
            self._continuations += 1
        self._block_bytes += size
        if self._continuations > CONTINUATIONS or self._block_bytes > self._head_bytes:
            raise HeadTooLarge(
                f"The head is longer than {self._head_bytes} bytes, or comes in too many pieces."
            )
        self._block = None if frame.flags & END_HEADERS else frame.stream

    def _cost(self, frame: Frame, size: int) -> float:
        """How much a frame is one that carries nothing."""
        ends = bool(frame.flags & END_STREAM)
        if frame.kind == Kind.HEADERS and frame.stream > self._newest:
            self._newest, self._again = frame.stream, 0
            self._open_ended += not ends
            return 0.0  # counted as the head of a request
        if frame.kind == Kind.HEADERS:
            # Trailers are rare. On a stream that is closed it is decoded, answered, and nothing.
            self._again = frame.stream
            return 1.0 + size / SMALL
        if frame.kind == Kind.CONTINUATION:
            return 1.0 + size / SMALL if frame.stream == self._again else 0.0  # as its head
        if frame.kind != Kind.DATA:
            return 1.0
        if ends and self._open_ended:
            self._open_ended -= 1
            return 0.0
        return _emptiness(frame, size)


def joined(events: Iterable[Frame | PeerFault]) -> list[Frame | PeerFault]:
    """The same, where plain frames of DATA that follow each other on a stream are few large ones.

    Each costs what reads it as much as one of `FRAME` bytes does, and agents may send tiny ones.
    """
    fewer: list[Frame | PeerFault] = []
    for stream, those in groupby(events, _plain):
        frames = [*those]
        if stream and len(frames) > 1:
            body = b"".join([each.data[_HEADER:] for each in frames if isinstance(each, Frame)])
            starts = range(0, len(body), FRAME) or (0,)
            frames = [_data(stream, body[at : at + FRAME]) for at in starts]
        fewer += frames
    return fewer


def _plain(event: Frame | PeerFault) -> int:
    """The stream of a frame of DATA that holds nothing else and does not end it; 0 of others."""
    if isinstance(event, PeerFault) or event.kind != Kind.DATA:
        return 0
    return 0 if event.flags & (END_STREAM | PADDED) else event.stream


def _data(stream: int, body: bytes) -> Frame:
    header = len(body).to_bytes(3) + bytes((Kind.DATA, 0)) + stream.to_bytes(4)
    return Frame(Kind.DATA, 0, stream, header + body)


_KNOWN = frozenset(Kind)


def _emptiness(frame: Frame, size: int) -> float:
    """How little a frame of DATA carries: 0 to 1."""
    if frame.flags & PADDED and size:
        size -= 1 + frame.data[_HEADER]
    return 1.0 - min(max(0, size), SMALL) / SMALL
