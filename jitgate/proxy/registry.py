"""Which connections are open, and which of them must make room for others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from jitgate.values import Subject

Note = Callable[[Mapping[str, object]], None]
"""Puts something on record that nothing depends on."""


class Connection(Protocol):
    """What is counted here."""

    closed: Deferred[None]

    def end(self) -> None:
        """The gateway stops: finish the exchange at hand, if there is one, and close."""

    def end_of(self, whose: Callable[[Subject], bool]) -> bool:
        """End the tunnel if it is of one of those subjects; whether it is."""

    def abort(self) -> None:
        """Close at once."""


class Connections:
    """The open connections. Those that have not proved who they are have a share of their own.

    When it is full the oldest of them makes room, like a half-open connection in a SYN queue: a
    flood of them does not lock out those who prove themselves in time. How many were dropped goes
    on record once a second, whatever their number.
    """

    def __init__(self, clock: IReactorTime, unproved: int, note: Note) -> None:
        self._clock = clock
        self._share = unproved
        self._note = note
        self._open: dict[Connection, None] = {}
        self._unproved: dict[Connection, None] = {}
        self._dropped = 0
        self._telling: IDelayedCall | None = None

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Connection]:
        return iter(self._open)

    def add(self, connection: Connection) -> None:
        """Another one, of which nothing is known."""
        self._open[connection] = self._unproved[connection] = None
        if len(self._unproved) > self._share:
            oldest = next(iter(self._unproved))
            del self._unproved[oldest]
            oldest.abort()
            self._dropped += 1
            if self._telling is None:
                self._telling = self._clock.callLater(1.0, self._tell)

    def proved(self, connection: Connection) -> None:
        """It is an agent's, and counts among that agent's from now on."""
        self._unproved.pop(connection, None)

    def discard(self, connection: Connection) -> None:
        """It has ended."""
        self._open.pop(connection, None)
        self._unproved.pop(connection, None)

    def stop(self) -> None:
        """Tell what there is still to tell."""
        if self._telling is not None:
            self._telling.cancel()
            self._tell()

    def _tell(self) -> None:
        self._telling = None
        dropped, self._dropped = self._dropped, 0
        self._note({"count": dropped, "share": self._share})
