"""What must happen to things that are kept when their time has come, and again where it failed."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from jitgate.errors import JitgateError, traced

RETRY = 5.0
"""Seconds until what failed is tried again: a store or a disk that is down is down for longer."""


class Deadline:
    """The one deadline of something; to move it back and forth costs next to nothing.

    The clock's call stays where it is, and looks when it comes whether it is time by then: a
    connection's deadline moves several times an exchange, and hardly ever comes.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._call: IDelayedCall | None = None
        self._looks_at = 0.0
        self._due = 0.0
        self._act: Callable[[], object] | None = None

    def set(self, seconds: float, act: Callable[[], object]) -> None:
        """Call ``act`` after so many seconds, instead of what was to be called."""
        self._due, self._act = self._clock.seconds() + seconds, act
        if self._call is None:
            self._look_after(seconds)
        elif self._due < self._looks_at:
            self._call.cancel()
            self._look_after(seconds)

    def clear(self) -> None:
        """Call nothing, for now."""
        self._act = None

    def stop(self) -> None:
        """Call nothing, ever, and leave nothing behind."""
        self._act = None
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _look_after(self, seconds: float) -> None:
        self._looks_at = self._clock.seconds() + seconds
        self._call = self._clock.callLater(seconds, self._look)

    def _look(self) -> None:
        self._call = None
        act, left = self._act, self._due - self._clock.seconds()
        if act is None:
            return
        if left > 0:
            self._look_after(left)
            return
        self._act = None
        act()


class Deadlines:
    """Calls ``act`` with a thing's key at its time. Times are seconds since the epoch."""

    _log = Logger()

    def __init__(
        self, clock: IReactorTime, act: Callable[[str], Coroutine[Any, Any, object]]
    ) -> None:
        self._clock = clock
        self._act = act
        self._timers: dict[str, tuple[str, IDelayedCall]] = {}
        self._owned: dict[str, set[str]] = {}

    def __len__(self) -> int:
        """How many things are watched."""
        return len(self._timers)

    def owned(self, owner: str) -> int:
        """How many of them are somebody's."""
        return len(self._owned.get(owner, ()))

    def of(self, owner: str) -> list[str]:
        """The keys of those that are somebody's."""
        return list(self._owned.get(owner, ()))

    def watched(self) -> set[str]:
        """The keys of all things that are watched."""
        return set(self._timers)

    def set(self, key: str, when: float, owner: str = "") -> None:
        """Watch a thing, or watch it for another time."""
        self.forget(key)
        wait = max(0.0, when - self._clock.seconds())
        self._timers[key] = owner, self._clock.callLater(wait, self._due, key)
        self._owned.setdefault(owner, set()).add(key)

    def forget(self, key: str) -> None:
        """Watch it no longer."""
        owner, timer = self._timers.pop(key, ("", None))
        if timer is None:
            return
        self._owned[owner].discard(key)
        if not self._owned[owner]:
            del self._owned[owner]
        if timer.active():
            timer.cancel()

    def stop(self) -> None:
        """Watch nothing."""
        for key in list(self._timers):
            self.forget(key)

    def _due(self, key: str) -> None:
        Deferred.fromCoroutine(self._act(key)).addErrback(self._failed, key)

    def _failed(self, failure: Failure, key: str) -> None:
        fault = cast(BaseException, failure.value)
        say = self._log.error if isinstance(fault, JitgateError) else self._log.critical
        say("What was due could not be done: {how}", how=traced(fault))
        if key in self._timers:
            self.set(key, self._clock.seconds() + RETRY, self._timers[key][0])
