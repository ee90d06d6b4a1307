"""The suite for record stores: what counts is kept in order, and what failed does not count."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from zope.interface.verify import verifyObject

from jitgate.interfaces import IRecordStore
from jitgate.testing.contract import Contract
from jitgate.values import Entry


def entry(number: int) -> Entry:
    """One that can be told from others by its number, ``n``."""
    return Entry("decision", 1_795_485_960.0 + number, {"n": number})


class RecordStoreContract(Contract):
    """What every `IRecordStore` promises. That it is durable is yours to test."""

    open: tuple[IRecordStore, ...] = ()

    @pytest.fixture(autouse=True)
    def _closed(self) -> Iterator[None]:
        yield
        for store in self.open:
            with contextlib.suppress(OSError):
                store.close()

    def make(self) -> IRecordStore:
        """The store over `folder`; what is made later takes up what was kept there before."""
        raise NotImplementedError("let make() return what your plugin provides")

    def kept(self, store: Any) -> Sequence[int]:
        """The field ``n`` of each entry that counts and has one, in order."""
        raise NotImplementedError("let kept() read back what counts")

    def breaks(self, store: Any) -> None:
        """See to it that nothing can be written."""
        raise NotImplementedError("let breaks() fill the disk, or hang up")

    def mends(self, store: Any) -> None:
        """Undo that."""
        raise NotImplementedError("let mends() undo what breaks() did")

    def test_it_provides_its_port(self) -> None:
        assert verifyObject(IRecordStore, self.make())

    def test_it_keeps_entries_in_order_over_a_restart(self) -> None:
        store = self._opened(1, 2)
        store.append([entry(3)])
        store.checkpoint()
        store.append([])
        assert [*self.kept(store)] == [1, 2, 3]
        self._close(store)
        store = self._opened(4)
        assert [*self.kept(store)] == [1, 2, 3, 4]

    def test_it_keeps_nothing_before_it_is_open(self) -> None:
        store = self.make()
        with pytest.raises(OSError):
            store.append([entry(1)])
        assert not self.kept(store)

    def test_it_keeps_nothing_after_it_is_closed(self) -> None:
        store = self._opened(1)
        self._close(store)
        with pytest.raises(OSError):
            store.append([entry(2)])
        assert [*self.kept(store)] == [1]

    def test_of_a_batch_that_fails_nothing_counts(self) -> None:
        store = self._opened(1)
        self._fails(store, 2, 3)
        assert [*self.kept(store)] == [1]

    def test_after_a_failure_it_takes_nothing_until_it_has_recovered(self) -> None:
        store = self._opened()
        self._fails(store, 1)
        self.mends(store)
        with pytest.raises(OSError):
            store.append([entry(2)])
        store.recover()
        store.append([entry(3)])
        assert [*self.kept(store)] == [3]

    def test_it_does_not_recover_while_it_could_not_write(self) -> None:
        store = self._opened()
        self._fails(store, 1)
        for _ in range(3):
            with pytest.raises(OSError):
                store.recover()
        self.mends(store)
        store.recover()
        store.append([entry(2)])
        assert [*self.kept(store)] == [2]

    def test_to_recover_from_nothing_changes_nothing(self) -> None:
        store = self._opened(1)
        store.recover()
        assert [*self.kept(store)] == [1]

    def test_a_disk_that_is_full_at_the_start_is_told(self) -> None:
        store = self.make()
        self.breaks(store)
        with pytest.raises(OSError):
            store.open()

    def _opened(self, *numbers: int) -> IRecordStore:
        store = self.make()
        store.open()
        self.open += (store,)
        if numbers:
            store.append([entry(each) for each in numbers])
        return store

    def _close(self, store: IRecordStore) -> None:
        self.open = tuple(each for each in self.open if each is not store)
        store.close()

    def _fails(self, store: IRecordStore, *numbers: int) -> None:
        self.breaks(store)
        with pytest.raises(OSError):
            store.append([entry(each) for each in numbers])
