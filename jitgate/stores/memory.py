"""The memory drivers of the ports to the recording: for tests, and for looking at what it holds."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
from zope.interface import implementer

from jitgate.interfaces import IEvidence, IRecordStore
from jitgate.stores.evidence import TOLD_OF, entry_of
from jitgate.stores.lines import timestamp, write_line
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


@implementer(IEvidence)
class MemoryEvidence:
    """Reads back what is in ``records``. `begin` says which run's entries come from then on."""

    def __init__(self, records: MemoryRecords) -> None:
        self._records = records
        self._runs: dict[str, int] = {}

    def begin(self, run: str) -> None:
        """A run's log begins here, and the one before it has ended."""
        self._runs[run] = len(self._records.entries)

    def since(self, run: str) -> Sequence[Entry] | None:
        if run not in self._runs:
            return None
        entries = self._records.entries[self._runs[run] :]
        return [_as_read(entry) for entry in entries if entry.type.startswith(TOLD_OF)]


def _as_read(entry: Entry) -> Entry:
    """What is read of an entry that was written: lists for tuples, and no bodies."""
    line = write_line(0, timestamp(entry.time), entry, {})
    return entry_of(orjson.loads(line))
