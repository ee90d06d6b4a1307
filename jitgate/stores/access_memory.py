"""The memory driver of the access store's port: for tests, and for gateways without a state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

from zope.interface import implementer

from jitgate.errors import StoreDown
from jitgate.interfaces import IAccessStore
from jitgate.stores.access_documents import WORDS, Columns, Kind, columns, document
from jitgate.values import AccessRequest, Grant, Mark, Stored, Use

_Key = tuple[str, str]


@implementer(IAccessStore)
class MemoryAccess:
    """Keeps values as long as the process lives. While ``failure`` is set, every method fails."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self._mark = Mark()
        self._is_open = False
        self._kept: dict[_Key, tuple[Columns, Stored]] = {}
        self._live: dict[_Key, Columns] = {}
        """What of it may still change."""
        self._slots: dict[tuple[str | None, str | None], _Key] = {}
        """Which request is pending for a subject and a fingerprint."""

    async def open(self) -> Mark:
        self._fail_if_told()
        self._is_open = True
        return self._mark

    async def mark(self, run: str, revision: int) -> None:
        self._check()
        self._mark = Mark(run, max(self._mark.revision, revision))

    async def close(self) -> None:
        self._fail_if_told()
        self._is_open = False

    async def commit(self, values: Sequence[Stored]) -> int | None:
        self._check()
        for value in values:
            document(value)  # what a database could not keep is refused here too
        found = {columns(value).key: (columns(value), value) for value in values}
        if len(found) < len(values) or not self._fits(found):
            return None
        revision = self._mark.revision + 1
        self._mark = replace(self._mark, revision=revision)
        for key in found:
            self._take_out(key)
        for told, value in found.values():
            self._put_in(told, replace(value, revision=revision))
        return revision

    async def request(self, key: str) -> AccessRequest | None:
        return self._one(AccessRequest, key)

    async def pending(self, subject: str, fingerprint: str) -> AccessRequest | None:
        self._check()
        key = self._slots.get((subject, fingerprint))
        return None if key is None else self._one(AccessRequest, key[1])

    async def requests(self) -> Sequence[AccessRequest]:
        return self._every(AccessRequest)

    async def grant(self, key: str) -> Grant | None:
        return self._one(Grant, key)

    async def grants(self, subject: str | None = None) -> Sequence[Grant]:
        return self._every(Grant, subject)

    async def use(self, key: str) -> Use | None:
        return self._one(Use, key)

    async def uses(self) -> Sequence[Use]:
        return self._every(Use)

    async def uses_of(self, grant: str) -> Sequence[Use]:
        self._check()
        found = [told for told, _ in self._kept.values() if told.under == grant]
        found.sort(key=lambda told: (told.at, told.id))
        return [cast(Use, self._kept[told.key][1]) for told in found]

    def versions(self) -> Mapping[_Key, tuple[int, bool]]:
        """Of everything that is kept, by kind and id: its revision, and whether it may change."""
        self._check()
        return {key: (value.revision, told.live) for key, (told, value) in self._kept.items()}

    async def forget(self, before: float) -> None:
        self._check()
        for key, (told, _) in list(self._kept.items()):
            is_under_live = ("grant", told.under) in self._live
            if not told.live and told.at < before and not is_under_live:
                self._take_out(key)

    def _fail_if_told(self) -> None:
        if self.failure is not None:
            raise StoreDown("The access store was told to fail.") from self.failure

    def _check(self) -> None:
        self._fail_if_told()
        if not self._is_open:
            raise StoreDown("The access store is not open.")

    def _fits(self, found: dict[_Key, tuple[Columns, Stored]]) -> bool:
        """Whether each has the revision of what it replaces, and no two would be pending as one."""
        for key, (_, value) in found.items():
            kept = self._kept.get(key)
            if value.revision != (0 if kept is None else kept[1].revision):
                return False
        slots = [told.slot for told, _ in found.values() if told.slot is not None]
        holders = [self._slots[slot] for slot in slots if slot in self._slots]
        return len(set(slots)) == len(slots) and all(holder in found for holder in holders)

    def _take_out(self, key: _Key) -> None:
        if key in self._kept:
            told, _ = self._kept.pop(key)
            self._live.pop(key, None)
            if told.slot is not None:
                del self._slots[told.slot]

    def _put_in(self, told: Columns, value: Stored) -> None:
        self._kept[told.key] = told, value
        if told.live:
            self._live[told.key] = told
        if told.slot is not None:
            self._slots[told.slot] = told.key

    def _one(self, kind: type[Kind], key: str) -> Kind | None:
        self._check()
        kept = self._kept.get((WORDS[kind], key))
        return None if kept is None else cast(Kind, kept[1])

    def _every(self, kind: type[Kind], subject: str | None = None) -> list[Kind]:
        """All of a kind that may still change, of one subject or of all, the earliest first."""
        self._check()
        found = [
            told
            for told in self._live.values()
            if told.kind == WORDS[kind] and subject in (None, told.subject)
        ]
        found.sort(key=lambda told: (told.at, told.id))
        return [cast(Kind, self._kept[told.key][1]) for told in found]
