"""Counts in sliding windows in a database, a transaction each, without blocking the reactor."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Generic, Protocol, TypeVar, cast

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from jitgate.core.budgets import longest, spent, windows
from jitgate.flow.recorder import InThread
from jitgate.interfaces import IBudgets
from jitgate.values import Charge, Spent

Connection = TypeVar("Connection")
_Lent_co = TypeVar("_Lent_co", covariant=True)


class Database(Protocol[_Lent_co]):
    """Where they are kept; what is done in a transaction is durable when it ends, or undone."""

    def transaction(self) -> AbstractContextManager[_Lent_co]: ...


@implementer(IBudgets)
class ThreadedBudgets(Generic[Connection]):
    """When uses were taken, in a table of ``database``; ``in_thread`` calls in that one's thread.

    It is open while the access store is. How that database is asked, a class for it says.
    """

    def __init__(
        self, database: Database[Connection], *, in_thread: InThread, clock: IReactorTime
    ) -> None:
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
            return self._full(connection, charges, now)

    def _take(self, charges: Sequence[Charge], now: float) -> Spent | None:
        with self._database.transaction() as connection:
            self._have_to_itself(connection)
            full = self._full(connection, charges, now)
            if full is None:
                self._forget(connection, now)
                for key, within in windows(charges).items():
                    self._count(connection, key, now, within)
        return full

    def _full(self, connection: Connection, charges: Sequence[Charge], now: float) -> Spent | None:
        return longest(spent(each, self._last(connection, each), now) for each in charges)

    def _have_to_itself(self, connection: Connection) -> None:
        """Keep everybody else from taking a use until the transaction ends."""
        raise NotImplementedError

    def _last(self, connection: Connection, charge: Charge) -> float | None:
        """When the newest use but ``uses - 1`` was taken."""
        raise NotImplementedError

    def _forget(self, connection: Connection, now: float) -> None:
        """Forget what counts no more."""
        raise NotImplementedError

    def _count(self, connection: Connection, key: str, now: float, within: float) -> None:
        """Keep a use for as long as it counts; those before it too, if the window is longer now."""
        raise NotImplementedError
