"""What every provider of the port for budgets promises, in memory, SQLite, PostgreSQL."""

import sqlite3
from contextlib import closing

import pytest
import pytest_twisted
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pytest_twisted import ensureDeferred
from support.kept import InDatabase, InFile, place
from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from jitgate.errors import StoreDown
from jitgate.interfaces import IBudgets
from jitgate.stores.access_sqlite import SqliteAccess
from jitgate.stores.budgets_memory import MemoryBudgets
from jitgate.stores.budgets_postgres import PostgresBudgets
from jitgate.stores.budgets_sqlite import SqliteBudgets
from jitgate.values import Charge

NOW = 1_800_000_000


class Memory:
    def __init__(self, _folder, clock):
        self.budgets = MemoryBudgets(clock)

    async def open(self):
        pass

    async def kept(self):
        return len(self.budgets)

    def breaks(self):
        self.budgets.failure = OSError("No space left on device")

    def mends(self):
        self.budgets.failure = None

    async def end(self):
        pass


class Kept:
    async def kept(self):
        return await self.in_thread(self.counted)

    def counted(self):
        with self.store.database.transaction() as connection:
            return connection.execute("SELECT count(*) FROM counted").fetchone()[0]


class Sqlite(Kept, InFile):
    def made(self):
        super().made()
        database, clock = self.store.database, self.clock
        self.budgets = SqliteBudgets(database, in_thread=self.in_thread, clock=clock)


class Postgres(Kept, InDatabase):
    def made(self):
        super().made()
        database, clock = self.store.database, self.clock
        self.budgets = PostgresBudgets(database, in_thread=self.in_thread, clock=clock)


@pytest.fixture
def clock():
    clock = Clock()
    clock.advance(NOW)
    return clock


@pytest_twisted.async_yield_fixture(params=[Memory, Sqlite, Postgres])
async def kept(request, tmp_path, clock):
    it = request.param(place(request, tmp_path), clock)
    try:
        await it.open()
        yield it
    finally:
        await it.end()


def two(key="a", within=60.0):
    return Charge(key, 2, within)


@ensureDeferred
async def test_it_provides_the_port(kept):
    assert verifyObject(IBudgets, kept.budgets)


@ensureDeferred
async def test_so_many_are_taken_and_no_more_until_the_first_leaves_the_window(kept, clock):
    assert await kept.budgets.take([two()]) is None
    clock.advance(20)
    assert await kept.budgets.take([two()]) is None
    assert await kept.budgets.take([two()]) == (two(), NOW + 60)
    clock.advance(39.5)
    assert await kept.budgets.take([two()]) == (two(), NOW + 60)
    clock.advance(0.5)
    assert await kept.budgets.take([two()]) is None
    assert await kept.budgets.take([two()]) == (two(), NOW + 80)


@ensureDeferred
async def test_looking_takes_nothing_and_sees_what_taking_would(kept):
    for _ in range(3):
        assert await kept.budgets.look([two()]) is None
    await kept.budgets.take([two()])
    assert await kept.budgets.look([two()]) is None
    await kept.budgets.take([two()])
    assert await kept.budgets.look([two()]) == (two(), NOW + 60)
    assert await kept.kept() == 2


@ensureDeferred
async def test_another_key_is_not_taken_with_it(kept):
    await kept.budgets.take([two()])
    await kept.budgets.take([two()])
    assert await kept.budgets.take([two("b")]) is None


@ensureDeferred
async def test_all_have_room_or_nothing_is_taken(kept, clock):
    await kept.budgets.take([two("a", 60.0), two("b", 90.0)])
    clock.advance(10)
    await kept.budgets.take([two("b", 90.0), two("c", 30.0)])
    full = await kept.budgets.take([two("a", 60.0), two("b", 90.0)])
    assert full == (two("b", 90.0), NOW + 90)
    assert await kept.kept() == 4
    assert await kept.budgets.take([two("a", 60.0)]) is None


@ensureDeferred
async def test_of_several_that_are_full_it_is_the_one_that_is_so_the_longest(kept):
    both = [two("a", 60.0), two("b", 90.0), two("c", 30.0)]
    await kept.budgets.take(both)
    await kept.budgets.take(both)
    assert await kept.budgets.take(both) == (two("b", 90.0), NOW + 90)


@ensureDeferred
async def test_charges_of_one_key_take_one_use_and_each_must_have_room(kept, clock):
    charges = [Charge("a", 2, 60.0), Charge("a", 3, 600.0)]
    assert await kept.budgets.take(charges) is None
    assert await kept.budgets.take(charges) is None
    assert await kept.kept() == 2
    assert await kept.budgets.take(charges) == (charges[0], NOW + 60)
    clock.advance(60)
    assert await kept.budgets.take(charges) is None
    assert await kept.budgets.take(charges) == (charges[1], NOW + 600)


@ensureDeferred
async def test_of_many_at_once_only_so_many_take_it(kept):
    takes = [Deferred.fromCoroutine(kept.budgets.take([Charge("a", 5, 60.0)])) for _ in range(20)]
    assert (await gatherResults(takes)).count(None) == 5


@ensureDeferred
async def test_a_change_of_its_size_keeps_the_count(kept, clock):
    for _ in range(4):
        await kept.budgets.take([Charge("a", 4, 60.0)])
        clock.advance(1)
    assert await kept.budgets.take([Charge("a", 2, 60.0)]) == (("a", 2, 60.0), NOW + 62)
    assert await kept.budgets.take([Charge("a", 5, 600.0)]) is None
    clock.advance(100)
    assert await kept.budgets.take([two("other")]) is None
    assert await kept.budgets.take([Charge("a", 5, 600.0)]) == (("a", 5, 600.0), NOW + 600)


@ensureDeferred
async def test_what_counts_no_more_is_dropped(kept, clock):
    await kept.budgets.take([two("gone")])
    clock.advance(59)
    await kept.budgets.take([two("later")])
    assert await kept.kept() == 2
    clock.advance(1)
    await kept.budgets.take([two("now")])
    assert await kept.kept() == 2


@ensureDeferred
async def test_a_clock_that_was_set_back_makes_no_room(tmp_path, postgres):
    for kind, where in ((Memory, None), (Sqlite, tmp_path / "state.db"), (Postgres, postgres)):
        ahead = Clock()
        ahead.advance(NOW)
        kept = kind(where, ahead)
        try:
            await kept.open()
            await kept.budgets.take([two()])
            await kept.budgets.take([two()])
            ahead.rightNow -= 3600
            assert await kept.budgets.take([two()]) == (two(), NOW + 60)
        finally:
            await kept.end()


@ensureDeferred
async def test_where_nobody_can_tell_there_is_no_room(kept):
    kept.breaks()
    with pytest.raises(StoreDown):
        await kept.budgets.take([two()])
    with pytest.raises(StoreDown):
        await kept.budgets.look([two()])
    kept.mends()
    assert await kept.budgets.take([two()]) is None


Walks = st.lists(st.tuples(st.integers(0, 6), st.booleans()), max_size=60)
"""Seconds between tries, and whose each is."""


def _never_more(make, uses, within, walk):
    """Take as often as there is room: never more in any window, and none is refused in vain."""
    clock = Clock()
    budgets, taken = make(clock), {"a": [], "b": []}
    for pause, whose in walk:
        clock.advance(pause)
        key, now = "ab"[whose], clock.seconds()
        tried = Deferred.fromCoroutine(budgets.take([Charge(key, uses, float(within))])).result
        inside = [at for at in taken[key] if at > now - within]
        if tried is None:
            taken[key].append(now)
            assert len(inside) < uses
        else:
            assert len(inside) == uses
            assert tried.until == inside[0] + within


@given(st.integers(1, 3), st.integers(1, 12), Walks)
def test_never_more_than_so_many_in_any_window_in_memory(uses, within, walk):
    _never_more(MemoryBudgets, uses, within, walk)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(2, 12, [(0, False), (1, False), (1, False)])
@given(st.integers(1, 3), st.integers(1, 12), Walks)
def test_never_more_than_so_many_in_any_window_in_sqlite(tmp_path, uses, within, walk):
    def in_line(work, *args):
        return succeed(work(*args))

    store = SqliteAccess(tmp_path / "state.db", in_thread=in_line, machine="m")
    assert Deferred.fromCoroutine(store.open()).result is not None
    try:
        with store.database.transaction() as connection:
            connection.execute("DELETE FROM counted")

        def make(clock):
            return SqliteBudgets(store.database, in_thread=in_line, clock=clock)

        _never_more(make, uses, within, walk)
    finally:
        Deferred.fromCoroutine(store.close())


@ensureDeferred
async def test_a_database_from_before_there_was_such_a_table_gets_one(tmp_path, clock):
    kept = Sqlite(tmp_path / "state.db", clock)
    try:
        await kept.open()
        await kept.store.close()
        with closing(sqlite3.connect(kept.file)) as connection:
            connection.executescript(
                "DROP TABLE counted; DROP TABLE post; DROP INDEX uses_of; PRAGMA user_version = 2"
            )
        kept.made()
        await kept.open()
        assert await kept.budgets.take([two()]) is None
    finally:
        await kept.end()


@ensureDeferred
async def test_what_was_taken_stays_so_over_a_restart(tmp_path, clock):
    kept = Sqlite(tmp_path / "state.db", clock)
    try:
        await kept.open()
        await kept.budgets.take([two()])
        await kept.budgets.take([two()])
        await kept.store.close()
        with pytest.raises(StoreDown):
            await kept.budgets.take([two("b")])
        kept.made()
        await kept.open()
        assert await kept.budgets.take([two()]) == (two(), NOW + 60)
    finally:
        await kept.end()
