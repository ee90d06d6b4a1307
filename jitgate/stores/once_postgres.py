"""Remembers what was taken once in the database that several gateways share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from jitgate.flow.recorder import InThread
from jitgate.interfaces import IOnce
from jitgate.stores.postgres_database import Database
from jitgate.values import Changed


@implementer(IOnce)
class PostgresOnce:
    """What was taken, in a table of ``database``; ``in_thread`` calls in that one's thread.

    It is open while the access store is. Other gateways hear that something of a kind was taken.
    """

    def __init__(self, database: Database, *, in_thread: InThread, clock: IReactorTime) -> None:
        self._database = database
        self._in_thread = in_thread
        self._clock = clock

    async def take(self, kind: str, key: str, until: float) -> bool:
        now = self._clock.seconds()
        return cast(bool, await self._in_thread(self._take, kind, key, until, now))

    async def kept(self, kind: str) -> Sequence[str]:
        now = self._clock.seconds()
        return cast("Sequence[str]", await self._in_thread(self._kept, kind, now))

    def _kept(self, kind: str, now: float) -> Sequence[str]:
        asked = "SELECT key FROM taken WHERE kind = %s AND until >= %s"
        with self._database.transaction() as connection:
            return [key.decode() for (key,) in connection.execute(asked, (kind, now))]

    def _take(self, kind: str, key: str, until: float, now: float) -> bool:
        addition = "INSERT INTO taken VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM taken WHERE until < %s", (now,))
            added = connection.execute(addition, (kind, key.encode(), until)).rowcount == 1
            if added:
                self._database.tell(connection, [Changed("once", kind)])
        return added
