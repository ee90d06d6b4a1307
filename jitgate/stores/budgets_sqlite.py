"""Counts in sliding windows in the state database, beside access requests and grants."""

from __future__ import annotations

import sqlite3
from typing import cast

from jitgate.stores.budgets_threaded import ThreadedBudgets
from jitgate.values import Charge


class SqliteBudgets(ThreadedBudgets[sqlite3.Connection]):
    """When uses were taken, in a table of the state folder's database."""

    def _have_to_itself(self, connection: sqlite3.Connection) -> None:
        """Whoever has a transaction has the database."""

    def _last(self, connection: sqlite3.Connection, charge: Charge) -> float | None:
        query = "SELECT at FROM counted WHERE key = ? ORDER BY at DESC LIMIT 1 OFFSET ?"
        row = connection.execute(query, (charge.key, charge.uses - 1)).fetchone()
        return None if row is None else cast(float, row[0])

    def _forget(self, connection: sqlite3.Connection, now: float) -> None:
        connection.execute("DELETE FROM counted WHERE until <= ?", (now,))

    def _count(self, connection: sqlite3.Connection, key: str, now: float, within: float) -> None:
        longer = "UPDATE counted SET until = at + ? WHERE key = ? AND until < at + ?"
        connection.execute(longer, (within, key, within))
        connection.execute("INSERT INTO counted VALUES (?, ?, ?)", (key, now, now + within))
