"""Remembers what was taken once in the state database, beside access requests and grants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from jitgate.flow.recorder import InThread
from jitgate.interfaces import IOnce
from jitgate.stores.access_database import Database
from jitgate.stores.access_threaded import Heard, untold
from jitgate.values import Changed


@implementer(IOnce)
class SqliteOnce:
    """What was taken, in a table of ``database``; ``in_thread`` calls in that one's thread.

    It is open while the access store is.
    """

    def __init__(
        self,
        database: Database,
        *,
        in_thread: InThread,
        clock: IReactorTime,
        changed: Heard = untold,
    ) -> None:
        self._database = database
        self._in_thread = in_thread
        self._clock = clock
        self._changed = changed

    async def take(self, kind: str, key: str, until: float) -> bool:
        now = self._clock.seconds()
        taken = cast(bool, await self._in_thread(self._take, kind, key, until, now))
        if taken:
            self._changed([Changed("once", kind)])
        return taken

    async def kept(self, kind: str) -> Sequence[str]:
        now = self._clock.seconds()
        return cast("Sequence[str]", await self._in_thread(self._kept, kind, now))

    def _kept(self, kind: str, now: float) -> Sequence[str]:
        asked = "SELECT key FROM taken WHERE kind = ? AND until >= ?"
        with self._database.transaction() as connection:
            return [key for (key,) in connection.execute(asked, (kind, now))]

    def _take(self, kind: str, key: str, until: float, now: float) -> bool:
        addition = "INSERT INTO taken VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM taken WHERE until < ?", (now,))
            added = connection.execute(addition, (kind, key, until)).rowcount
        return added == 1
