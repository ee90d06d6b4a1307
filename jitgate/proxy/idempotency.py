"""Which request an ``Idempotency-Key`` has brought: a submission that is repeated makes no other.

In memory, of one gateway: what is forgotten costs a retry its answer, and opens no second request
while the first is pending.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from twisted.internet.interfaces import IReactorTime

PER_AGENT = 1_000
"""Keys that are remembered of one subject; the oldest go first. They take under half a megabyte."""

IN_ALL = 20_000
"""The same over all subjects: as many as requests may be pending."""


@dataclass(slots=True)
class Slot:
    """What a key has brought so far."""

    digest: str
    until: float
    request: str | None = None
    """None while it is not known."""


class Keys:
    """Remembers keys for some seconds each, by owner. What it can hold is bounded."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._by_owner: OrderedDict[str, OrderedDict[str, Slot]] = OrderedDict()
        self._count = 0

    def taken(self, owner: str, key: str, digest: str, life: float) -> Slot | None:
        """The key's slot, a new one or that of the same submission; None if another has it."""
        now = self._clock.seconds()
        mine = self._by_owner.setdefault(owner, OrderedDict())
        slot = mine.get(key)
        if slot is None or slot.until <= now:
            self.forget(owner, key)
            slot = Slot(digest, now + life)
            self._by_owner.setdefault(owner, mine)[key] = slot
            self._count += 1
            self._bound(owner)
        return slot if slot.digest == digest else None

    def forget(self, owner: str, key: str) -> None:
        """It has brought nothing: whoever comes with it next is new."""
        mine = self._by_owner.get(owner)
        if mine is None:
            return
        if mine.pop(key, None) is not None:
            self._count -= 1
        if not mine:
            del self._by_owner[owner]

    def _bound(self, owner: str) -> None:
        if len(self._by_owner[owner]) > PER_AGENT:
            self.forget(owner, next(iter(self._by_owner[owner])))
        if self._count > IN_ALL:
            other = next(iter(self._by_owner))
            self.forget(other, next(iter(self._by_owner[other])))
