"""The tables of the state database in PostgreSQL: made, and brought up to date, by who comes first.

Each file of ``postgres/`` brings the tables of the version before it to its own. None is changed
once it has been in a release: what it made is there.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from psycopg import sql

from jitgate.errors import StateUnusable
from jitgate.stores.postgres_link import Connection

LOCKED: Final = 0x6A697467
"""What is locked while the tables are looked at: an advisory lock of this number ("jitg")."""


def migrations() -> list[str]:
    """The statements that lead to each version, in order."""
    folder = files("jitgate.stores") / "postgres"
    found = sorted(each.name for each in folder.iterdir() if each.name.endswith(".sql"))
    return [(folder / name).read_text("utf-8") for name in found]


def migrate(connection: Connection, schema: str) -> None:
    """Bring the tables to this version. Raises `StateUnusable`, `psycopg.Error`.

    Whoever comes second waits, and finds it done.
    """
    steps = migrations()
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCKED,))
        version = _version(connection, schema)
        if version > len(steps):
            raise StateUnusable(
                f"The state database was written by a newer jitgate (version {version} of its "
                f"tables, this one knows {len(steps)}): run that one."
            )
        for number, statements in enumerate(steps[version:], version + 1):
            connection.execute(statements.encode())
            connection.execute("INSERT INTO version VALUES (%s, now())", (number,))


def _version(connection: Connection, schema: str) -> int:
    """Of the tables that there are; where there are none, the table that tells it is made."""
    found = connection.execute("SELECT to_regnamespace(quote_ident(%s))", (schema,)).fetchone()
    if found == (None,):
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
    if connection.execute("SELECT to_regclass('version')").fetchone() == (None,):
        connection.execute(
            "CREATE TABLE version (number integer PRIMARY KEY, since timestamptz NOT NULL)"
        )
    row = connection.execute("SELECT coalesce(max(number), 0) FROM version").fetchone()
    assert row is not None  # noqa: S101 (it is an aggregate)
    return int(row[0])
