"""Room for so many at once: who comes when it is full waits its turn, and not for ever."""

from __future__ import annotations

from collections import deque

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

ROOM_WITHIN = 10.0
"""Seconds that one waits for room: as long as one would wait for a connection."""


class Room:
    """Who has entered has to leave. Turns are taken in the order in which they were asked for."""

    def __init__(self, most: int, clock: IReactorTime) -> None:
        self._left = most
        self._clock = clock
        self._waiting: deque[Deferred[None]] = deque()

    @property
    def full(self) -> bool:
        """Whether the next to enter has to wait."""
        return self._left == 0

    @property
    def waited_for(self) -> bool:
        """Whether somebody waits."""
        return bool(self._waiting)

    async def enter(self) -> None:
        """Raises `twisted.internet.defer.TimeoutError` if there is no room for too long."""
        if self._left:
            self._left -= 1
            return
        turn: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(turn)
        turn.addTimeout(ROOM_WITHIN, self._clock)
        await turn

    def leave(self) -> None:
        """Whoever waits longest enters in place of the one who leaves."""
        if self._waiting:
            self._waiting.popleft().callback(None)
        else:
            self._left += 1
