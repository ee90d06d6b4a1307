"""The database of access requests, grants and uses: its transactions, and what may go wrong.

Blocking; all of it is called in one thread, where the connection lives.
"""

from __future__ import annotations

import ctypes
import os
import sqlite3
import struct
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from jitgate.errors import StoreDown
from jitgate.stores.access_documents import WORDS, Kind, Place, Row, read
from jitgate.stores.access_schema import SHM, WAL, connected, opened
from jitgate.values import AccessRequest, Grant, Mark, Use


class Database:
    """The database in ``file``, on ``machine``. Every method raises `StoreDown`.

    It goes on by itself when the disk can be written again: nothing is kept of what failed.
    """

    def __init__(self, file: Path, machine: str) -> None:
        self._file = file
        self._machine = machine
        self._connection: sqlite3.Connection | None = None
        self._places: dict[Path, str] = {}
        """Where the files were when they were opened: those are what is written to."""

    def open(self) -> Mark:
        """What the database knew of itself; raises `StateUnusable` too."""
        query = "SELECT run, revision, place, machine FROM mark"
        with _faults("opened"), ExitStack() as undo:
            connection = opened(self._file)
            undo.callback(connection.close)
            run, revision, place, machine = connection.execute(query).fetchone()
            self._places = {self._file: _place(self._file), **self._beside()}
            self._connection = connection
            undo.pop_all()
        here = self._places[self._file], self._machine
        moved = run is not None and (place, machine) != here
        seen = None if place is None else _file_of(place)
        copied = run is not None and (seen, machine) != (_file_of(here[0]), self._machine)
        return Mark(run, revision, moved=moved, copied=copied)

    def mark(self, run: str, revision: int) -> None:
        """Note who writes from now on, and where."""
        change = "UPDATE mark SET run = ?, revision = max(revision, ?), place = ?, machine = ?"
        with self.transaction() as connection:
            connection.execute(change, (run, revision, self._places[self._file], self._machine))

    def close(self) -> None:
        """Give the files back; what is in the write-ahead log goes into the database."""
        connection, self._connection, self._places = self._connection, None, {}
        if connection is not None:
            with _faults("closed"):
                connection.close()

    def commit(self, changes: Sequence[Sequence[Row]]) -> list[int | None]:
        """Judge each change by itself, in order; those that can be made are durable together."""
        fates: list[int | None] = []
        with self.transaction() as connection:
            (before,) = connection.execute("SELECT revision FROM mark").fetchone()
            revision = before
            for rows in changes:
                made = _replaced(connection, rows, revision + 1)
                revision += made
                fates.append(revision if made else None)
            if revision != before:
                connection.execute("UPDATE mark SET revision = ?", (revision,))
        return fates

    def forget(self, before: float) -> None:
        """Drop what ended and is from before then; uses stay as long as their grant is live."""
        with self.transaction() as connection:
            connection.execute(
                """
                DELETE FROM kept WHERE live = 0 AND at < ? AND NOT EXISTS (
                    SELECT 1 FROM kept AS other
                    WHERE other.kind = 'grant' AND other.id = kept.under AND other.live = 1
                )
                """,
                (before,),
            )

    # --- reading

    def one(self, kind: type[Kind], key: str) -> Kind | None:
        """The value of that kind and id."""
        query = "SELECT id, revision, document FROM kept WHERE kind = ? AND id = ?"
        return next(iter(self._read(kind, query, WORDS[kind], key)), None)

    def pending(self, subject: str, fingerprint: str) -> AccessRequest | None:
        """The access request that is pending for them."""
        query = """
            SELECT id, revision, document FROM kept
            WHERE kind = 'request' AND live = 1 AND subject = ? AND fingerprint = ?
        """
        return next(iter(self._read(AccessRequest, query, subject, fingerprint)), None)

    def live(self, kind: type[Kind], after: Place, most: int) -> list[Kind]:
        """What of that kind may still change and comes after that place, the earliest first."""
        query = """
            SELECT id, revision, document FROM kept
            WHERE kind = ? AND live = 1 AND (at, id) > (?, ?) ORDER BY at, id LIMIT ?
        """
        return self._read(kind, query, WORDS[kind], *after, most)

    def grants_of(self, subject: str) -> list[Grant]:
        """The grants of a subject that may still change, the earliest first."""
        query = """
            SELECT id, revision, document FROM kept
            WHERE kind = 'grant' AND live = 1 AND subject = ? ORDER BY at, id
        """
        return self._read(Grant, query, subject)

    def uses_of(self, grant: str) -> list[Use]:
        """The uses of a grant, the earliest first."""
        query = """
            SELECT id, revision, document FROM kept
            WHERE kind = 'use' AND under = ? ORDER BY at, id
        """
        return self._read(Use, query, grant)

    def _read(self, kind: type[Kind], query: str, *sought: str | float) -> list[Kind]:
        try:
            for each in sought:
                f"{each}".encode()
        except UnicodeEncodeError:
            return []  # what is not Unicode was never kept
        with _faults("read"):
            rows = self._usable().execute(query, sought).fetchall()
        return [read(kind, *row) for row in rows]

    # --- what everything stands on

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """What is done in it is durable when it ends, or nothing of it is."""
        with _faults("written"):
            connection = self._usable()
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                self._roll_back(connection)
                raise
            self._check_in_place()

    def _roll_back(self, connection: sqlite3.Connection) -> None:
        """Back to what was durable; a connection that cannot do even that is given up."""
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error:
            self._connection = None
            with suppress(sqlite3.Error):
                connection.close()

    def _usable(self) -> sqlite3.Connection:
        if not self._places:
            raise StoreDown("The state database has not been opened.")
        if self._connection is not None:
            self._check_in_place()
            return self._connection
        # It was given up, and took with it what stood beside the file.
        self._places = {self._file: self._places[self._file]}
        self._check_in_place()
        self._connection = connected(self._file)
        self._places |= self._beside()
        return self._connection

    def _check_in_place(self) -> None:
        """Writing to a file that was removed or moved away succeeds, and keeps nothing.

        They are not opened to look: to close one of its files takes SQLite's locks away.
        """
        for path, place in self._places.items():
            if _place(path) != place:
                raise StoreDown("The state database was taken away.")

    def _beside(self) -> dict[Path, str]:
        """The files that SQLite keeps beside the database, which are its as much as that is."""
        paths = [self._file.with_name(self._file.name + suffix) for suffix in (WAL, SHM)]
        return {path: _place(path) for path in paths}


def _replaced(connection: sqlite3.Connection, rows: Sequence[Row], revision: int) -> bool:
    """Put every row in the place of the one before it, or change nothing."""
    connection.execute("SAVEPOINT change")
    done = all(_taken_out(connection, row) for row in rows) and all(
        _put_in(connection, row, revision) for row in rows
    )
    if not done:
        connection.execute("ROLLBACK TO change")
    connection.execute("RELEASE change")
    return done


def _taken_out(connection: sqlite3.Connection, row: Row) -> bool:
    """First all that is replaced goes, so that what ends makes room for what begins."""
    if row.revision == 0:
        return True
    removal = "DELETE FROM kept WHERE kind = ? AND id = ? AND revision = ?"
    return connection.execute(removal, (*row.columns.key, row.revision)).rowcount == 1


def _put_in(connection: sqlite3.Connection, row: Row, revision: int) -> bool:
    addition = "INSERT INTO kept VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
    values = (*row.columns, revision, row.document)
    return connection.execute(addition, values).rowcount == 1


@contextmanager
def _faults(done: str) -> Iterator[None]:
    """What SQLite and the system say, without a path; what was to be kept is in neither."""
    try:
        yield
    except sqlite3.Error as error:
        raise StoreDown(f"The state database cannot be {done}: {error}.") from error
    except OSError as error:
        why = (error.strerror or type(error).__name__).lower()
        raise StoreDown(f"The state database cannot be {done}: {why}.") from error


def _place(path: Path) -> str:
    """Which file stands there: its device, its number, and when it came into being.

    A number is given again once it is free: a file that was restored often has the old one's. The
    time of birth nobody can set; it is 0 where the file system does not tell.
    """
    found = ctypes.create_string_buffer(_STATX.size)
    if _libc.statx(_AT_FDCWD, os.fsencode(path), 0, _INO | _BTIME, found):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    number, seconds, nanoseconds, major, minor = _STATX.unpack(found)
    return f"{major}:{minor}:{number}:{seconds}.{nanoseconds:09}"


def _file_of(place: str) -> str:
    """Which file it is, without its device: that is numbered anew where a volume is mounted."""
    return place.split(":", 2)[-1]


_AT_FDCWD, _INO, _BTIME = -100, 0x100, 0x800

_STATX = struct.Struct("=32xQ40xqI44xII112x")
"""``struct statx`` of statx(2), of which Python does not show the time of birth: ``stx_ino``,
``stx_btime``, ``stx_dev_major`` and ``stx_dev_minor``."""

_libc = ctypes.CDLL(None, use_errno=True)
