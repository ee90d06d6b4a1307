"""How much anybody at the admin port can make the gateway read, and put on record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.web.server import Request

A_MINUTE = 60
"""Requests a minute that are put on record each: as many as a person makes, and a scan does not."""

SHOWN = 200
"""Bytes of what was asked for that are put on record."""

BODY_BYTES = 1024 * 1024
"""The longest body: what a channel is called back with has some 100 KiB at most."""

Note = Callable[[Mapping[str, object]], None]


class Refusals:
    """Puts on record who was refused, but not so often that a flood fills the disk.

    The rest is counted, and the next entry says how many they were.
    """

    def __init__(self, note: Note, clock: IReactorTime) -> None:
        self._note = note
        self._clock = clock
        self._minute, self._noted, self._left_out = 0, 0, 0

    def __call__(self, fields: Mapping[str, object]) -> None:
        minute = int(self._clock.seconds() // 60)
        if minute != self._minute:
            self._minute, self._noted = minute, 0
        self._noted += 1
        if self._noted > A_MINUTE:
            self._left_out += 1
            return
        left_out, self._left_out = self._left_out, 0
        self._note({**fields, **({"left_out": left_out} if left_out else {})})


def asked(request: Request) -> dict[str, object]:
    """What was asked for, and by whom, as far as it is put on record."""
    return {
        "method": request.method[:SHOWN].decode("latin-1"),
        "path": request.path[:SHOWN].decode("latin-1"),
        "peer": _peer(request),
    }


def _peer(request: Request) -> str:
    return f"{request.getClientAddress()}"[:SHOWN]


class BoundedRequest(Request):
    """A request that ends the connection (413) once its body is too long, however it is sent.

    What there is of it stays in memory: no file is made of what nobody has looked at yet.
    """

    _too_long = False

    def __init__(self, refused: Note, *channel: Any) -> None:
        super().__init__(*channel)  # type: ignore[no-untyped-call]
        self._refused = refused
        self._body = BytesIO()

    def gotLength(self, length: int | None) -> None:
        """Its head is there; ``length`` is what it says of its body, None for one in chunks."""
        self.content = self._body
        self._count(length or 0)

    def handleContentChunk(self, data: bytes) -> None:
        """A piece of its body has come."""
        self._count(self._body.tell() + len(data))
        if not self._too_long:
            self._body.write(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """All of it is there."""
        if not self._too_long:
            super().requestReceived(command, path, version)  # type: ignore[no-untyped-call]

    def _count(self, length: int) -> None:
        if length > BODY_BYTES and not self._too_long:
            self._too_long = True
            self._refused({"peer": _peer(self), "why": "The body is too long."})
            channel: Any = self.channel
            channel.transport.write(b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\n\r\n")
            channel.loseConnection()
