"""What every provider of the port for what counts once promises, in memory, SQLite, PostgreSQL."""

import sqlite3
from contextlib import closing

import pytest
import pytest_twisted
from pytest_twisted import ensureDeferred
from support.kept import InDatabase, InFile, place
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from jitgate.errors import StoreDown
from jitgate.interfaces import IOnce
from jitgate.stores.once_memory import MemoryOnce
from jitgate.stores.once_postgres import PostgresOnce
from jitgate.stores.once_sqlite import SqliteOnce

NOW = 1_800_000_000


class Memory:
    def __init__(self, _folder, clock):
        self.once = MemoryOnce(clock)

    async def open(self):
        pass

    async def kept(self):
        return len(self.once)

    def breaks(self):
        self.once.failure = OSError("No space left on device")

    def mends(self):
        self.once.failure = None

    async def end(self):
        pass


class Kept:
    async def kept(self):
        return await self.in_thread(self.counted)

    def counted(self):
        with self.store.database.transaction() as connection:
            return connection.execute("SELECT count(*) FROM taken").fetchone()[0]


class Sqlite(Kept, InFile):
    def made(self):
        super().made()
        database, clock = self.store.database, self.clock
        self.once = SqliteOnce(database, in_thread=self.in_thread, clock=clock)


class Postgres(Kept, InDatabase):
    def made(self):
        super().made()
        database, clock = self.store.database, self.clock
        self.once = PostgresOnce(database, in_thread=self.in_thread, clock=clock)


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


@ensureDeferred
async def test_it_provides_the_port(kept):
    assert verifyObject(IOnce, kept.once)


@ensureDeferred
async def test_the_first_takes_it_and_nobody_after(kept):
    assert await kept.once.take("saml", "a", NOW + 60)
    assert not await kept.once.take("saml", "a", NOW + 60)
    assert not await kept.once.take("saml", "a", NOW + 6000)


@ensureDeferred
async def test_another_key_and_another_kind_are_not_taken_with_it(kept):
    assert await kept.once.take("saml", "a", NOW + 60)
    assert await kept.once.take("saml", "b", NOW + 60)
    assert await kept.once.take("token", "a", NOW + 60)


@ensureDeferred
async def test_of_many_at_once_one_takes_it(kept):
    takes = [Deferred.fromCoroutine(kept.once.take("saml", "a", NOW + 60)) for _ in range(10)]
    assert sorted(await gatherResults(takes)) == [False] * 9 + [True]


@ensureDeferred
async def test_it_is_kept_until_its_end_and_then_no_longer(kept, clock):
    assert await kept.once.take("saml", "a", NOW + 60)
    clock.advance(60)
    assert not await kept.once.take("saml", "a", NOW + 60)
    clock.advance(1)
    assert await kept.once.take("saml", "b", NOW + 600)
    assert await kept.kept() == 1


@ensureDeferred
async def test_where_nobody_can_tell_nothing_is_taken(kept):
    kept.breaks()
    with pytest.raises(StoreDown):
        await kept.once.take("saml", "a", NOW + 60)
    kept.mends()
    assert await kept.once.take("saml", "b", NOW + 60)


@ensureDeferred
async def test_a_database_from_before_there_was_such_a_table_gets_one(tmp_path, clock):
    kept = Sqlite(tmp_path / "state.db", clock)
    try:
        await kept.open()
        await kept.store.close()
        with closing(sqlite3.connect(kept.file)) as connection:
            connection.executescript(
                "DROP TABLE taken; DROP TABLE counted; DROP TABLE post; DROP INDEX uses_of; PRAGMA user_version = 1"
            )
        kept.made()
        await kept.open()
        assert await kept.once.take("saml", "a", NOW + 60)
    finally:
        await kept.end()


@ensureDeferred
async def test_what_was_taken_stays_so_over_a_restart(tmp_path, clock):
    kept = Sqlite(tmp_path / "state.db", clock)
    try:
        await kept.open()
        assert await kept.once.take("saml", "a", NOW + 60)
        await kept.store.close()
        with pytest.raises(StoreDown):
            await kept.once.take("saml", "b", NOW + 60)
        kept.made()
        await kept.open()
        assert not await kept.once.take("saml", "a", NOW + 60)
    finally:
        await kept.end()
