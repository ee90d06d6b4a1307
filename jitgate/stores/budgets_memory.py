"""Counts in sliding windows for as long as the process runs: for tests and for trying out."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from jitgate.core.budgets import longest, spent, windows
from jitgate.errors import StoreDown
from jitgate.interfaces import IBudgets
from jitgate.values import Charge, Spent


@implementer(IBudgets)
class MemoryBudgets:
    """When uses were taken, in a dictionary. A ``failure`` is why nothing can be told now."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._taken: dict[str, list[tuple[float, float]]] = {}
        """By key: when each use was taken, and until when it counts, in order."""
        self.failure: Exception | None = None

    async def take(self, charges: Sequence[Charge]) -> Spent | None:
        full = await self.look(charges)
        if full is not None:
            return full
        now = self._clock.seconds()
        self._forget(now)
        for key, within in windows(charges).items():
            uses = [(at, max(until, at + within)) for at, until in self._taken.get(key, [])]
            self._taken[key] = sorted([*uses, (now, now + within)])
        return None

    async def look(self, charges: Sequence[Charge]) -> Spent | None:
        if self.failure is not None:
            raise StoreDown("What was counted is not known.") from self.failure
        now = self._clock.seconds()
        return longest(spent(each, self._last(each), now) for each in charges)

    def _last(self, charge: Charge) -> float | None:
        uses = self._taken.get(charge.key, [])
        return uses[-charge.uses][0] if len(uses) >= charge.uses else None

    def _forget(self, now: float) -> None:
        for key, uses in list(self._taken.items()):
            self._taken[key] = [use for use in uses if use[1] > now]
            if not self._taken[key]:
                del self._taken[key]

    def __len__(self) -> int:
        """How many uses are remembered."""
        return sum(map(len, self._taken.values()))
