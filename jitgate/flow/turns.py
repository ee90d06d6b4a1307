"""Turns: what is about one thing is done one after the other, in the order in which it came."""

from __future__ import annotations

from collections.abc import Hashable
from weakref import WeakValueDictionary

from twisted.internet.defer import DeferredLock


class Turns:
    """A lock for each thing, which is kept for as long as somebody has it or waits for it."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[Hashable, DeferredLock] = WeakValueDictionary()

    def at(self, key: Hashable) -> DeferredLock:
        """A turn at what has this key: ``async with turns.at(key)``."""
        lock = self._locks.get(key)
        if lock is None:
            lock = self._locks[key] = DeferredLock()
        return lock
