"""Two record stores as one: an entry counts once it is durable in both."""

from __future__ import annotations

from collections.abc import Sequence

from zope.interface import implementer

from jitgate.interfaces import IRecordStore
from jitgate.values import Entry


@implementer(IRecordStore)
class BothStores:
    """Keeps every entry in ``beside`` first, then in ``files``, which alone is read back.

    So what ``files`` holds counted, as if there were no other; ``beside`` may hold entries beyond
    that, of batches that ``files`` could not keep. Either one's failure is the failure of both.
    """

    def __init__(self, files: IRecordStore, beside: IRecordStore) -> None:
        self._files = files
        self._beside = beside

    def open(self) -> None:
        self._files.open()
        try:
            self._beside.open()
        except BaseException:
            self._files.close()
            raise

    def append(self, entries: Sequence[Entry]) -> None:
        self._beside.append(entries)
        self._files.append(entries)

    def recover(self) -> None:
        self._files.recover()
        self._beside.recover()

    def checkpoint(self) -> None:
        self._files.checkpoint()
        self._beside.checkpoint()

    def close(self) -> None:
        try:
            self._beside.close()
        finally:
            self._files.close()
