"""One side of a WebSocket: bytes into whole messages, and messages into bytes (RFC 6455, 5).

wsproto reads and writes the frames. Extensions are not spoken.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from wsproto import events
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.frame_protocol import CloseReason

from jitgate.core.pausing import paused
from jitgate.core.pieces import Pieces

NO_CODE: Final = 1005
"""In place of a code where a close has none (RFC 6455, section 7.4.1)."""

TOO_BIG: Final = 1009

_CLOSING = frozenset({ConnectionState.REMOTE_CLOSING, ConnectionState.CLOSED})
_SAID = frozenset({ConnectionState.LOCAL_CLOSING, ConnectionState.CLOSED})


@dataclass(frozen=True, slots=True)
class Message:
    """A whole message."""

    data: bytes = field(repr=False)
    is_text: bool
    """Whether it is UTF-8, which has been checked."""


@dataclass(frozen=True, slots=True)
class Pinged:
    """A ping, to be answered with its payload. Of a pong nothing is told but that it came."""

    payload: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Closed:
    """The peer has said its last."""

    code: int
    reason: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Broken:
    """The peer sends what is no WebSocket, or too much; nothing more is read of it."""

    code: int
    why: str


Heard = Message | Pinged | Closed | Broken


class Side:
    """The frames that are exchanged with one peer. ``most`` are the bytes of one message."""

    def __init__(self, most: int, *, serves: bool) -> None:
        self._frames = Connection(ConnectionType.SERVER if serves else ConnectionType.CLIENT)
        self._most = most
        self._pieces = Pieces(b"")

    def feed(self, data: bytes) -> Iterator[Heard]:
        """What these bytes complete; behind `Closed` and `Broken` nothing follows, ever."""
        self._frames.receive_data(data)
        for event in paused(self._frames.events()):
            heard = self._heard(event)
            if heard is not None:
                yield heard
            if isinstance(heard, Closed | Broken):
                return

    @property
    def held(self) -> int:
        """Bytes of memory that a message takes that is not whole."""
        return self._pieces.held

    def message(self, message: Message) -> bytes:
        """A message as it is sent."""
        if message.is_text:
            return self._frames.send(events.TextMessage(data=message.data.decode("utf-8")))
        return self._frames.send(events.BytesMessage(data=message.data))

    def pong(self, payload: bytes) -> bytes:
        """The answer to a ping."""
        return self._frames.send(events.Pong(payload=payload))

    def close(self, code: int, reason: str = "") -> bytes:
        """The last that is said; nothing where it has been. Of a long reason the beginning."""
        if self._frames.state in _SAID:
            return b""
        # wsproto knows that one by its name alone, and writes another number as 1000.
        said = CloseReason.NO_STATUS_RCVD if code == NO_CODE else code
        return self._frames.send(events.CloseConnection(code=said, reason=reason))

    @property
    def open(self) -> bool:
        """Whether anything but a close may still be said."""
        return self._frames.state is ConnectionState.OPEN

    def _heard(self, event: events.Event) -> Heard | None:
        if isinstance(event, events.TextMessage):
            return self._piece(event.data.encode("utf-8"), event, is_text=True)
        if isinstance(event, events.BytesMessage):
            return self._piece(bytes(event.data), event, is_text=False)
        if isinstance(event, events.Ping):
            return Pinged(bytes(event.payload))
        if isinstance(event, events.CloseConnection):
            if self._frames.state in _CLOSING:
                return Closed(int(event.code), event.reason or "")
            return Broken(int(event.code), "The frames are none of a WebSocket (RFC 6455).")
        return Pinged(None)

    def _piece(self, data: bytes, event: events.Message[Any], *, is_text: bool) -> Heard | None:
        self._pieces.add(data)
        if self._pieces.size > self._most:
            return Broken(TOO_BIG, f"Messages of up to {self._most} bytes are carried.")
        return Message(self._pieces.taken(), is_text) if event.message_finished else None
