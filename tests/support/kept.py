"""Where a gateway keeps things, for the contracts of its stores: in a file, or in a database.

Each can be opened anew and made to fail. What is kept beside access requests, a contract adds in
`made`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.postgres import Postgres
from twisted.internet import threads
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.threadpool import ThreadPool

from jitgate.stores.access_postgres import PostgresAccess
from jitgate.stores.access_sqlite import SqliteAccess


class InFile:
    """The database of a state folder, in which one thread works."""

    store: Any

    def __init__(self, file: Path, clock: Clock | None = None) -> None:
        self.file, self.clock = file, clock
        self.begin()

    def begin(self) -> None:
        self.pool = ThreadPool(minthreads=1, maxthreads=1)
        self.pool.start()
        self.made()

    def made(self) -> None:
        """As a start makes it."""
        self.store = SqliteAccess(self.file, in_thread=self.in_thread, machine="m")

    def in_thread(self, work: Callable[..., Any], *args: Any) -> Deferred[Any]:
        from twisted.internet import reactor  # noqa: PLC0415 - installed by pytest-twisted

        return threads.deferToThreadPool(reactor, self.pool, work, *args)  # type: ignore[arg-type]

    async def open(self) -> Any:
        return await self.store.open()

    async def reopened(self) -> Any:
        """A start after a stop; what the store answers to that."""
        await self.store.close()
        self.made()
        return await self.open()

    def breaks(self) -> None:
        self.file.rename(self.file.with_name("away"))

    def mends(self) -> None:
        self.file.with_name("away").rename(self.file)

    async def end(self) -> None:
        try:
            await self.store.close()
        finally:
            self.pool.stop()


class InDatabase(InFile):
    """A schema of a PostgreSQL server that nobody else uses."""

    def __init__(self, shared: Postgres, clock: Clock | None = None) -> None:
        self.shared, self.server, self.clock = shared, shared.server(), clock
        self.begin()

    def made(self) -> None:
        self.store = PostgresAccess(self.server, in_thread=self.in_thread, gateway="g", site=b"s")

    def breaks(self) -> None:
        self.shared.shut_out()

    def mends(self) -> None:
        self.shared.let_in()


def place(request: pytest.FixtureRequest, folder: Path) -> Path | Postgres:
    """Where the fixture's parameter keeps things: only what needs a server starts one."""
    if issubclass(request.param, InDatabase):
        server: Postgres = request.getfixturevalue("postgres")
        return server
    return folder / "state.db"
