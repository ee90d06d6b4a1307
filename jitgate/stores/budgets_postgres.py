"""Counts in sliding windows in the database that several gateways share: they count together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from jitgate.core.budgets import longest, spent, windows
from jitgate.flow.recorder import InThread
from jitgate.interfaces import IBudgets
from jitgate.stores.postgres_database import Database
from jitgate.stores.postgres_link import Connection
from jitgate.values import Charge, Spent


@implementer(IBudgets)
class PostgresBudgets:
    """When uses were taken, in a table of ``database``; ``in_thread`` calls in that one's thread.

    It is open while the access store is. Whoever takes a use has the table to itself.
    """

    def __init__(self, database: Database, *, in_thread: InThread, clock: IReactorTime) -> None:
        self._database = database
        self._in_thread = in_thread
        self._clock = clock

    async def take(self, charges: Sequence[Charge]) -> Spent | None:
        now = self._clock.seconds()
        return cast("Spent | None", await self._in_thread(self._take, charges, now))

    async def look(self, charges: Sequence[Charge]) -> Spent | None:
        now = self._clock.seconds()
        return cast("Spent | None", await self._in_thread(self._look, charges, now))

    def _look(self, charges: Sequence[Charge], now: float) -> Spent | None:
        with self._database.transaction() as connection:
            return _full(connection, charges, now)

    def _take(self, charges: Sequence[Charge], now: float) -> Spent | None:
        with self._database.transaction() as connection:
            connection.execute("LOCK TABLE counted IN SHARE ROW EXCLUSIVE MODE")
            full = _full(connection, charges, now)
            if full is None:
                connection.execute("DELETE FROM counted WHERE until <= %s", (now,))
                for key, within in windows(charges).items():
                    _count(connection, key.encode(), now, within)
        return full


def _full(connection: Connection, charges: Sequence[Charge], now: float) -> Spent | None:
    return longest(spent(each, _last(connection, each), now) for each in charges)


def _last(connection: Connection, charge: Charge) -> float | None:
    """When the newest use but ``uses - 1`` was taken."""
    query = """
        SELECT at FROM counted WHERE sha256(key) = sha256(%s)
        ORDER BY at DESC LIMIT 1 OFFSET %s
    """
    row = connection.execute(query, (charge.key.encode(), charge.uses - 1)).fetchone()
    return None if row is None else cast(float, row[0])


def _count(connection: Connection, key: bytes, now: float, within: float) -> None:
    """Keep a use for as long as it counts; those before it too, if the window is longer now."""
    longer = """
        UPDATE counted SET until = at + %s
        WHERE sha256(key) = sha256(%s) AND until < at + %s
    """
    connection.execute(longer, (within, key, within))
    connection.execute("INSERT INTO counted VALUES (%s, %s, %s)", (key, now, now + within))
