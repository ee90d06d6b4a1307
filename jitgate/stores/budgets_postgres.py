"""Counts in sliding windows in the database that several gateways share: they count together."""

from __future__ import annotations

from typing import cast

from jitgate.stores.budgets_threaded import ThreadedBudgets
from jitgate.stores.postgres_link import Connection
from jitgate.values import Charge


class PostgresBudgets(ThreadedBudgets[Connection]):
    """When uses were taken, in a table of theirs."""

    def _have_to_itself(self, connection: Connection) -> None:
        connection.execute("LOCK TABLE counted IN SHARE ROW EXCLUSIVE MODE")

    def _last(self, connection: Connection, charge: Charge) -> float | None:
        query = """
            SELECT at FROM counted WHERE sha256(key) = sha256(%s)
            ORDER BY at DESC LIMIT 1 OFFSET %s
        """
        row = connection.execute(query, (charge.key.encode(), charge.uses - 1)).fetchone()
        return None if row is None else cast(float, row[0])

    def _forget(self, connection: Connection, now: float) -> None:
        connection.execute("DELETE FROM counted WHERE until <= %s", (now,))

    def _count(self, connection: Connection, key: str, now: float, within: float) -> None:
        longer = """
            UPDATE counted SET until = at + %s
            WHERE sha256(key) = sha256(%s) AND until < at + %s
        """
        known = key.encode()
        connection.execute(longer, (within, known, within))
        connection.execute("INSERT INTO counted VALUES (%s, %s, %s)", (known, now, now + within))
