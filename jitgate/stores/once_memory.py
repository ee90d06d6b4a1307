"""Remembers what was taken once for as long as the process runs: for tests and for trying out."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from jitgate.errors import StoreDown
from jitgate.interfaces import IOnce


@implementer(IOnce)
class MemoryOnce:
    """What was taken, in a dictionary. A ``failure`` is why nothing can be taken now."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._taken: dict[tuple[str, str], float] = {}
        self.failure: Exception | None = None

    async def take(self, kind: str, key: str, until: float) -> bool:
        if self.failure is not None:
            raise StoreDown("What was taken once is not known.") from self.failure
        now = self._clock.seconds()
        for each in [each for each, end in self._taken.items() if end < now]:
            del self._taken[each]
        if (kind, key) in self._taken:
            return False
        self._taken[kind, key] = until
        return True

    async def kept(self, kind: str) -> Sequence[str]:
        if self.failure is not None:
            raise StoreDown("What was taken once is not known.") from self.failure
        now = self._clock.seconds()
        return [key for (of, key), end in self._taken.items() if of == kind and end >= now]

    def __len__(self) -> int:
        """How much is remembered."""
        return len(self._taken)
