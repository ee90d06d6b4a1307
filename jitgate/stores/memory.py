"""The memory driver of the recorder's port: for tests, and for looking at what was recorded."""

from __future__ import annotations

from collections.abc import Sequence

from zope.interface import implementer

from jitgate.interfaces import IRecordStore
from jitgate.values import Entry


@implementer(IRecordStore)
class MemoryRecords:
    """Keeps entries in a list. While ``failure`` is set, nothing can be kept and it is raised."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        """Every entry that counts, in order."""
        self.checkpoints: list[int] = []
        """How many entries there were at each checkpoint."""
        self.failure: OSError | None = None
        self._open = False
        self._failed = False

    def open(self) -> None:
        self._fail_if_told()
        self._open = True
        self.checkpoint()

    def append(self, entries: Sequence[Entry]) -> None:
        if not self._open or self._failed:
            raise OSError("the record has failed or is closed, and was not recovered")
        self._fail_if_told()
        self.entries.extend(entries)

    def recover(self) -> None:
        self._fail_if_told()
        self._failed = False

    def checkpoint(self) -> None:
        self._fail_if_told()
        if self.checkpoints[-1:] != [len(self.entries)]:
            self.checkpoints.append(len(self.entries))

    def close(self) -> None:
        self.checkpoint()
        self._open = False

    def _fail_if_told(self) -> None:
        if self.failure is not None:
            self._failed = True
            raise self.failure
