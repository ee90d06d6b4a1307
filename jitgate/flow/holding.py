"""Exchanges that are held while people are asked: each costs a Deferred and a timer, no thread."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import Enum
from functools import partial

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from jitgate.core.waiting import Wait
from jitgate.errors import StoreDown
from jitgate.interfaces import IResponse

TOGETHER = 100
"""Calls that are decided again in one turn of the reactor: a tenth of a second's work at most, and
far fewer entries than the recorder lets wait."""

AGAIN = 1.0
"""Seconds until it is looked again whether a request has ended, where the store could not tell."""


class Woken(Enum):
    """Why an exchange is no longer held."""

    ENDED = "its access request has ended"
    TIME = "it has waited long enough"
    GONE = "its agent hung up"
    POLICY = "policy has changed"


class _Held:
    """One held exchange."""

    def __init__(self) -> None:
        self.woken: Deferred[Woken] = Deferred()

    def wake(self, why: Woken) -> None:
        """Let it go on; only the first reason counts."""
        if not self.woken.called:
            self.woken.callback(why)


class Holding:
    """The held exchanges, by the access request that they wait for."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._held: dict[str, list[_Held]] = {}
        self._dismissed = False

    def __contains__(self, key: str) -> bool:
        """Whether any exchange waits for that request."""
        return key in self._held

    def __len__(self) -> int:
        """How many exchanges are held."""
        return sum(map(len, self._held.values()))

    def awaited(self) -> list[str]:
        """The requests that any exchange waits for."""
        return list(self._held)

    async def hold(
        self, key: str, wait: Wait, response: IResponse, ended: Callable[[], Awaitable[bool]]
    ) -> Woken:
        """Hold an exchange until there is a reason to go on.

        ``ended`` is asked once it is held, for what happened before anybody could wake it; again
        and again while it raises `StoreDown`.
        """
        held = _Held()
        self._held.setdefault(key, []).append(held)
        left = 0.0 if self._dismissed else max(0.0, wait.until - self._clock.seconds())
        timer = self._clock.callLater(left, held.wake, Woken.TIME)
        response.on_gone(partial(held.wake, Woken.GONE), first=True)
        try:
            while not held.woken.called:
                try:
                    return Woken.ENDED if await ended() else await held.woken
                except StoreDown:
                    await deferLater(self._clock, AGAIN)
            return await held.woken
        finally:
            response.on_gone(None)
            if timer.active():
                timer.cancel()
            self._held[key].remove(held)
            if not self._held[key]:
                del self._held[key]

    def wake(self, key: str) -> None:
        """A request has ended. The newest exchange goes first: its agent is surely there."""
        for held in reversed(self._held.get(key, [])):
            held.wake(Woken.ENDED)

    async def wake_all(self, why: Woken) -> None:
        """Let everything go on that is held now, some in each turn of the reactor."""
        for number, held in enumerate(self._every(), 1):
            held.wake(why)
            if number % TOGETHER == 0:
                await deferLater(self._clock, 0.0)

    def _every(self) -> list[_Held]:
        return [held for every in self._held.values() for held in every]

    def dismiss(self) -> None:
        """Hold nothing any longer: what waits, and what comes, is told to come back."""
        self._dismissed = True
        for held in self._every():
            held.wake(Woken.TIME)
