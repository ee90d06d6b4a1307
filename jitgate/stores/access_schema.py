"""The tables of the state database, and how its file is opened.

Access requests, grants and uses are kept in it, what was taken once, what budgets count, and where
channels show what is asked.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from jitgate.errors import StateUnusable
from jitgate.stores.segment import FILE_MODE, Disk

BUSY = 5.0
"""Seconds to wait for a lock: another process of the gateway holds one for as long as a write."""

APPLICATION = 0x6A697467
"""What tells our file from another program's ("jitg" as `PRAGMA application_id`)."""

WAL, SHM = "-wal", "-shm"
"""What SQLite keeps beside the file while it is open; it gives them the file's own mode."""

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    (
        """
        CREATE TABLE kept (
            kind TEXT NOT NULL,
            id TEXT NOT NULL,
            live INTEGER NOT NULL,
            at REAL NOT NULL,
            subject TEXT,
            fingerprint TEXT,
            under TEXT,
            revision INTEGER NOT NULL,
            document BLOB NOT NULL,
            PRIMARY KEY (kind, id)
        ) STRICT
        """,
        """
        CREATE UNIQUE INDEX one_pending ON kept (subject, fingerprint)
        WHERE kind = 'request' AND live = 1
        """,
        "CREATE INDEX live ON kept (kind, at, id) WHERE live = 1",
        """
        CREATE INDEX grants_of ON kept (subject, at, id) WHERE kind = 'grant' AND live = 1
        """,
        "CREATE INDEX ended ON kept (at) WHERE live = 0",
        """
        CREATE TABLE mark (
            only INTEGER PRIMARY KEY CHECK (only = 1),
            run TEXT,
            revision INTEGER NOT NULL,
            place TEXT,
            machine TEXT
        ) STRICT
        """,
        "INSERT INTO mark VALUES (1, NULL, 0, NULL, NULL)",
    ),
    (
        """
        CREATE TABLE taken (
            kind TEXT NOT NULL,
            key TEXT NOT NULL,
            until REAL NOT NULL,
            PRIMARY KEY (kind, key)
        ) STRICT, WITHOUT ROWID
        """,
        "CREATE INDEX taken_until ON taken (until)",
    ),
    (
        """
        CREATE TABLE counted (
            key TEXT NOT NULL,
            at REAL NOT NULL,
            until REAL NOT NULL
        ) STRICT
        """,
        "CREATE INDEX counted_of ON counted (key, at)",
        "CREATE INDEX counted_until ON counted (until)",
    ),
    (
        """
        CREATE TABLE post (
            channel TEXT NOT NULL,
            request TEXT NOT NULL,
            slot TEXT NOT NULL,
            place TEXT NOT NULL,
            shown INTEGER NOT NULL,
            gave TEXT,
            due REAL,
            over INTEGER NOT NULL,
            document TEXT NOT NULL,
            revision INTEGER NOT NULL,
            PRIMARY KEY (channel, request, slot)
        ) STRICT, WITHOUT ROWID
        """,
        "CREATE INDEX post_at ON post (channel, place)",
        "CREATE INDEX post_open ON post (channel, request) WHERE over = 0",
        "CREATE INDEX uses_of ON kept (under, at, id) WHERE kind = 'use'",
    ),
)
"""Each brings a file of the version before it to its own, the first an empty one. Never changed.

No foreign keys: a use that the record shows is kept although its grant may be forgotten.
"""

_SETTINGS: Final = (
    ("journal_mode", "WAL", "wal"),
    ("synchronous", "FULL", 2),  # every commit waits for the disk
    ("temp_store", "MEMORY", 2),  # nothing of what is kept goes to a file elsewhere
    ("trusted_schema", "OFF", 0),
    ("cell_size_check", "ON", 1),
)


def opened(file: Path) -> sqlite3.Connection:
    """The database in ``file``, made if there is none, whole and of this version.

    Raises `StateUnusable` where somebody must see to it, else `OSError` or `sqlite3.Error`.
    """
    if not os.path.lexists(file):
        _create(file)
    for suffix in ("", WAL, SHM):
        _check_private(file.with_name(file.name + suffix))
    try:
        return connected(file, _check_whole, _migrate)
    except sqlite3.Error as error:
        if _primary(error) in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
            raise _damaged(file) from error
        raise


def connected(file: Path, *steps: Callable[[sqlite3.Connection, Path], None]) -> sqlite3.Connection:
    """A connection on which a commit is durable, once the steps have been taken on it.

    Makes no file. Raises `StateUnusable` or `sqlite3.Error`.
    """
    uri = f"{file.absolute().as_uri()}?mode=rw"
    with ExitStack() as undo:
        connection = sqlite3.connect(uri, uri=True, timeout=BUSY, isolation_level=None)
        undo.callback(connection.close)
        _check_ours(connection, file)
        for name, wanted, answer in _SETTINGS:
            connection.execute(f"PRAGMA {name} = {wanted}")
            if setting(connection, name) != answer:
                raise StateUnusable(f"{file} cannot be opened with {name} = {wanted}.")
        for step in steps:
            step(connection, file)
        undo.pop_all()
        return connection


def _primary(error: sqlite3.Error) -> int:
    """SQLite's result code without what an extended one adds; 0 where it is not SQLite's own."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def setting(connection: sqlite3.Connection, name: str) -> Any:
    """What a setting of the connection is."""
    (value,) = connection.execute(f"PRAGMA {name}").fetchone()
    return value


def _create(file: Path) -> None:
    """The file, empty and ours alone before SQLite sees it, durably in its folder."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    os.close(os.open(file, flags, FILE_MODE))
    Disk().sync_folder(file.parent)


def _check_private(path: Path) -> None:
    if not os.path.lexists(path):
        return
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise StateUnusable(f"{path} is not a regular file.")
    if status.st_mode & 0o077:
        mode = stat.S_IMODE(status.st_mode)
        raise StateUnusable(f"{path} can be used by others (mode {mode:04o}): chmod 600 {path}.")
    if status.st_uid not in {0, os.geteuid()}:
        raise StateUnusable(f"{path} belongs to another user (uid {status.st_uid}).")


def _check_ours(connection: sqlite3.Connection, file: Path) -> None:
    is_empty = setting(connection, "schema_version") == 0
    if setting(connection, "application_id") != APPLICATION and not is_empty:
        raise StateUnusable(f"{file} is another program's database: take a new state folder.")


def _check_whole(connection: sqlite3.Connection, file: Path) -> None:
    """Damage is found now, not when a grant is about to be spent."""
    if setting(connection, "integrity_check(1)") != "ok":
        raise _damaged(file)


def _migrate(connection: sqlite3.Connection, file: Path) -> None:
    version = setting(connection, "user_version")
    if version > len(MIGRATIONS):
        raise StateUnusable(
            f"{file} was written by a newer jitgate (version {version} of its tables, this one "
            f"knows {len(MIGRATIONS)}): run that one, or take a new state folder."
        )
    for number, statements in enumerate(MIGRATIONS[version:], version + 1):
        connection.execute("BEGIN IMMEDIATE")
        for statement in statements:
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute(f"PRAGMA user_version = {number}")
        connection.execute("COMMIT")


def _damaged(file: Path) -> StateUnusable:
    return StateUnusable(
        f"{file} is damaged: move it away, with {file.name}{WAL} and {file.name}{SHM}. Whatever "
        "was pending or granted is then asked for again."
    )
