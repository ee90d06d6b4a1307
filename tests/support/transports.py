"""What a connection is given instead of a socket."""

from __future__ import annotations

from collections.abc import Callable


class Wire:
    """A transport that keeps what it is given."""

    def __init__(self) -> None:
        self.data = b""
        self.ended: str | None = None

    def write(self, data: bytes) -> None:
        self.data += data

    def registerProducer(self, producer: object, streaming: bool) -> None: ...

    def unregisterProducer(self) -> None: ...

    def pauseProducing(self) -> None: ...

    def resumeProducing(self) -> None: ...

    def loseConnection(self) -> None:
        self.ended = "orderly"

    def abortConnection(self) -> None:
        self.ended = "cut"

    def when_sent(self, call: Callable[[], object]) -> None:
        call()

    def hang_up(self) -> None: ...

    def getHandle(self) -> Wire:
        return self

    def get_servername(self) -> bytes:
        return b"api.example"
