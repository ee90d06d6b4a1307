"""What somebody publishes, kept and kept fresh: keys, metadata."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from jitgate.errors import IdentityUnavailable

REFETCH_AFTER = 60.0
"""Seconds between fetches while there is something: anybody can make up an unknown key id."""

RETRY_AFTER = 5.0
"""Seconds between fetches while there is nothing at all, and so nobody is let in."""

FRESH_FOR = 900.0
"""Seconds after which it is fetched anew, so that a key that was withdrawn ends to count."""

MAX_AGE = 12 * 3600.0
"""Seconds for which counts what could not be fetched anew: an outage of the issuer's lasts hours,
and a key that was withdrawn for being stolen must not count for days."""

T = TypeVar("T")


class Fresh(Generic[T]):
    """Calls ``fetch`` for what is called ``name``. Its one fault is `IdentityUnavailable`.

    Callers who need a fetch share one. One that fails leaves what there is in force until it is
    ``max_age`` seconds old, and nobody for whom that is enough waits for the next one.
    """

    _log = Logger()

    def __init__(
        self,
        name: str,
        fetch: Callable[[], Coroutine[Any, Any, T]],
        clock: IReactorTime,
        *,
        max_age: float,
    ) -> None:
        self._name = name
        self._fetch = fetch
        self._clock = clock
        self._max_age = max_age
        self._kept: T | None = None
        self._fetched_at = self._tried_at = float("-inf")
        self._failing = False
        self._waiting: list[Deferred[None]] = []

    async def current(self, suffices: Callable[[T], bool]) -> T:
        """What is published; fetched anew where what is kept is old, or does not suffice.

        Raises `IdentityUnavailable` where there is nothing.
        """
        kept = self._young()
        enough = kept is not None and suffices(kept)
        if self._wants_fetch(kept, enough):
            fetched = self._fetched()
            if not enough or not self._failing:
                await fetched
                kept = self._young()
        if kept is None:
            raise IdentityUnavailable(f"{self._name} cannot be had; see the gateway's log.")
        return kept

    def _young(self) -> T | None:
        """What is kept, if it is not too old to be believed."""
        if self._kept is not None and self._clock.seconds() >= self._fetched_at + self._max_age:
            self._log.error("{name}: too old to be believed.", name=self._name)
            self._kept = None
        return self._kept

    def _wants_fetch(self, kept: T | None, enough: bool) -> bool:
        if self._waiting:
            return not enough
        now = self._clock.seconds()
        if kept is None:
            return now >= self._tried_at + RETRY_AFTER
        stale = now >= self._fetched_at + FRESH_FOR
        return (stale or not enough) and now >= self._tried_at + REFETCH_AFTER

    def _fetched(self) -> Deferred[None]:
        """Fires after the fetch that is under way, or after a new one.

        It runs by itself, so that a caller who gives up ends nobody else's wait.
        """
        waiter: Deferred[None] = Deferred()
        self._waiting.append(waiter)
        if len(self._waiting) == 1:
            self._tried_at = self._clock.seconds()
            Deferred.fromCoroutine(self._take_up())
        return waiter

    async def _take_up(self) -> None:
        """Take up what is published now; log why it cannot be had. Wakes who waits."""
        try:
            self._kept = await self._fetch()
            self._fetched_at = self._clock.seconds()
            self._failing = False
        except IdentityUnavailable as fault:
            self._failing = True
            self._log.warn("{name}: {fault}", name=self._name, fault=fault)
        finally:
            waiting, self._waiting = self._waiting, []
            for waiter in waiting:
                waiter.callback(None)
