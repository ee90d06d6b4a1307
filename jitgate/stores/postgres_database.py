"""The database that several gateways share: its transactions, and whether it is still the same.

Blocking; all of it is called in one thread, where the connection lives. Every change waits for the
one row that counts them: so changes have one order, whichever gateways make them, and each is
judged by what is kept then. A notification of it is part of it.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import orjson
import psycopg

from jitgate.core.recovery import DOUBTED
from jitgate.errors import StateUnusable, StoreDown
from jitgate.stores.access_documents import WORDS, Kind, Place, Row, read
from jitgate.stores.postgres_link import SOON, Connection, Link, Server, why
from jitgate.stores.postgres_page import page_of
from jitgate.stores.postgres_schema import migrate
from jitgate.values import AccessRequest, Changed, Grant, Mark, Use

IN_DOUBT = 8.0
"""Seconds for which the server is asked what has become of a change whose end was not heard of: as
long as it takes to start again after a crash. All others wait meanwhile."""

PAYLOAD = 7_900
"""Bytes of a notification: PostgreSQL takes less than 8,000."""

_PLACE: Final = """
    SELECT concat_ws(
        ':', (SELECT system_identifier FROM pg_control_system()),
        left(pg_walfile_name(pg_current_wal_insert_lsn()), 8),
        (SELECT oid FROM pg_database WHERE datname = current_database()),
        'mark'::regclass::oid
    )
"""
"""Which server, which of its timelines (another after every recovery from a backup and after every
promotion), which database, which table: another one after a dump was put back."""


class Database:
    """The database on ``server`` as ``gateway`` uses it. Every method raises `StoreDown`.

    ``site`` is what all who share it must have in common.
    """

    def __init__(self, server: Server, gateway: str, site: bytes) -> None:
        self._server = server
        self._gateway = gateway
        self._site = site
        self._link = Link(server, self._greet)
        self._place: str | None = None
        self._highest = 0

    @property
    def down(self) -> str | None:
        """Why nothing can be had at present, if so."""
        return self._link.down

    @property
    def highest(self) -> int:
        """The number of the last change that was seen: no server that is meant knows less."""
        return self._highest

    @property
    def channel(self) -> str:
        """Where changes are told of."""
        return self._server.schema

    @property
    def server(self) -> Server:
        """Where it is."""
        return self._server

    def open(self) -> Mark:
        """What the database knew of itself and of this gateway; raises `StateUnusable` too."""
        self._place, self._highest = None, 0
        self._link.open()
        with self.transaction() as connection:
            mark = "SELECT revision, place, doubted, site FROM mark FOR UPDATE"
            revision, place, doubted, site = _one(connection, mark)
            if site is None:
                connection.execute("UPDATE mark SET site = %s", (self._site,))
            found = connection.execute(
                "SELECT run FROM gateway WHERE name = %s", (self._gateway,)
            ).fetchone()
        if site not in (None, self._site):
            self.close()
            raise StateUnusable(
                "The gateways that share the state database have another site key: copy "
                "site-hmac.key from the state folder of one of them."
            )
        self._highest = revision
        run = None if found is None else str(found[0])
        moved = place not in (None, self._place)
        return Mark(run, revision, moved=moved, copied=moved, doubted=doubted)

    def mark(self, run: str, revision: int) -> None:
        """Note which run of this gateway writes from now on, or that all of it is doubted."""
        with self.transaction() as connection:
            connection.execute("UPDATE mark SET revision = greatest(revision, %s)", (revision,))
            if run == DOUBTED:
                connection.execute("UPDATE mark SET doubted = true")
                return
            connection.execute("UPDATE mark SET doubted = false, place = %s", (self._place,))
            connection.execute(
                "INSERT INTO gateway VALUES (%s, %s) "
                "ON CONFLICT (name) DO UPDATE SET run = excluded.run",
                (self._gateway, run),
            )

    def close(self) -> None:
        """Give the connection back."""
        self._link.close()

    def commit(self, changes: Sequence[Sequence[Row]]) -> list[int | None]:
        """Judge each change by itself, in order; those that can be made are durable together.

        Where the connection ends while that is said, the server is asked what has become of it: an
        approval that nobody knows of would be on no record.
        """
        fates: list[int | None] = []
        asked: str | None = None
        try:
            with self.transaction() as connection:
                (number,) = _one(connection, "SELECT pg_current_xact_id()::text")
                self._change(connection, changes, fates)
                asked = number
        except StoreDown:
            if asked is None or not self._was_made(asked):
                raise
        self._highest = max([self._highest, *(fate for fate in fates if fate is not None)])
        return fates

    def _change(
        self, connection: Connection, changes: Sequence[Sequence[Row]], fates: list[int | None]
    ) -> None:
        (before,) = _one(connection, "SELECT revision FROM mark FOR UPDATE")
        page = page_of(connection, [row.columns for rows in changes for row in rows])
        revision = before
        for rows in changes:
            made = page.turn(rows, revision + 1)
            revision += made
            fates.append(revision if made else None)
        if revision != before:
            page.write(connection)
            connection.execute("UPDATE mark SET revision = %s", (revision,))
            self.tell(connection, page.changed())

    def _was_made(self, number: str) -> bool:
        """What has become of a transaction whose end was not heard of; one may go on for a while.

        Raises `StoreDown` where nobody can tell in time: then it may or may not have been made.
        """
        deadline = time.monotonic() + IN_DOUBT
        while True:
            try:
                with self._faults("read"):
                    query = "SELECT pg_xact_status(%s::xid8)"
                    (state,) = _one(self._link.usable(), query, number)
            except StoreDown:
                if time.monotonic() > deadline:
                    raise
                state = "in progress"
            if state != "in progress":
                return bool(state == "committed")
            if time.monotonic() > deadline:
                raise StoreDown("Nobody can tell whether the state database has kept it.")
            time.sleep(SOON)

    def tell(self, connection: Connection, changed: Iterable[Changed]) -> None:
        """Have the other gateways hear of it, once it is durable: ids, and nothing else."""
        payloads = _payloads(self._gateway, changed)
        connection.execute(
            "SELECT pg_notify(%s, each) FROM unnest(%s::text[]) AS each", (self.channel, payloads)
        )

    def forget(self, before: float) -> None:
        """Drop what ended and is from before then; uses stay as long as their grant is live."""
        with self.transaction() as connection:
            connection.execute("SELECT FROM mark FOR UPDATE")
            connection.execute(
                """
                DELETE FROM kept WHERE NOT live AND at < %s AND NOT EXISTS (
                    SELECT FROM kept AS other
                    WHERE other.kind = 'grant' AND other.id = kept.under AND other.live
                )
                """,
                (before,),
            )

    # --- reading

    def one(self, kind: type[Kind], key: str) -> Kind | None:
        """The value of that kind and id."""
        query = "WHERE kind = %s AND sha256(id) = sha256(%s)"
        return next(iter(self._read(kind, query, key)), None)

    def pending(self, subject: str, fingerprint: str) -> AccessRequest | None:
        """The access request that is pending for them."""
        query = """
            WHERE kind = %s AND kind = 'request' AND live
            AND sha256(subject) = sha256(%s) AND sha256(fingerprint) = sha256(%s)
        """
        return next(iter(self._read(AccessRequest, query, subject, fingerprint)), None)

    def live(self, kind: type[Kind], after: Place, most: int) -> list[Kind]:
        """What of that kind may still change and comes after that place, the earliest first."""
        query = "WHERE kind = %s AND live AND (at, id) > (%s, %s) ORDER BY at, id LIMIT %s"
        return self._read(kind, query, *after, most)

    def grants_of(self, subject: str) -> list[Grant]:
        """The grants of a subject that may still change, the earliest first."""
        query = """
            WHERE kind = %s AND kind = 'grant' AND live AND sha256(subject) = sha256(%s)
            ORDER BY at, id
        """
        return self._read(Grant, query, subject)

    def uses_of(self, grant: str) -> list[Use]:
        """The uses of a grant, the earliest first."""
        query = """
            WHERE kind = %s AND kind = 'use' AND sha256(under) = sha256(%s) ORDER BY at, id
        """
        return self._read(Use, query, grant)

    def _read(self, kind: type[Kind], which: str, *sought: str | float) -> list[Kind]:
        try:
            keys: list[bytes | float]
            keys = [each.encode() if isinstance(each, str) else each for each in sought]
        except UnicodeEncodeError:
            return []  # what is not Unicode was never kept
        query = f"SELECT id, revision, document FROM kept {which}"  # noqa: S608 (constants alone)
        with self._faults("read"):
            rows: list[tuple[Any, ...]]
            rows = self._link.usable().execute(query.encode(), (WORDS[kind], *keys)).fetchall()
        self._highest = max([self._highest, *(revision for _, revision, _ in rows)])
        return [read(kind, key.decode(), revision, data) for key, revision, data in rows]

    # --- what everything stands on

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """What is done in it is durable when it ends, or nothing of it is."""
        with self._faults("written"):
            connection = self._link.usable()
            with connection.transaction():
                yield connection

    @contextmanager
    def _faults(self, done: str) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            told = f"The state database cannot be {done}: {why(error)}."
            self._link.failed(told, error)
            raise StoreDown(told) from error

    def _greet(self, connection: Connection) -> None:
        """See whom a new connection has led to: the server that is meant, as it was left."""
        _check_durable(connection)
        migrate(connection, self._server.schema)
        self._alone(connection)
        (place,) = _one(connection, _PLACE)
        (revision,) = _one(connection, "SELECT revision FROM mark")
        if self._place is None:
            self._place = place
        elif place != self._place or revision < self._highest:
            raise StoreDown(
                "The state database was restored, or another server serves it: restart the "
                "gateway, which then takes back what was granted."
            )

    def _alone(self, connection: Connection) -> None:
        """Keep out whoever runs on a copy of this gateway's state folder."""
        digest = hashlib.sha256(f"{self._server.schema}\0{self._gateway}".encode()).digest()
        number = int.from_bytes(digest[:8], signed=True)
        try:
            connection.execute("SELECT pg_advisory_lock(%s)", (number,))
        except psycopg.errors.LockNotAvailable as error:
            if self._place is not None:
                raise StoreDown("The state database still holds the connection before.") from error
            raise StateUnusable(
                "Another gateway uses the state database with the key of this state folder: each "
                "has a folder of its own."
            ) from error


def _check_durable(connection: Connection) -> None:
    for name, good in (
        ("fsync", {"on"}),
        ("full_page_writes", {"on"}),
        ("synchronous_commit", {"on", "remote_apply"}),
    ):
        (value,) = _one(connection, f"SHOW {name}")
        if value not in good:
            raise StateUnusable(
                f"The state database has {name} = {value}: what it says is kept could be lost. "
                f"Set {name} = on."
            )


def _one(connection: Connection, query: str, *sought: Any) -> tuple[Any, ...]:
    row = connection.execute(query.encode(), sought).fetchone()
    assert row is not None  # noqa: S101 (there is always one)
    return row


# --- what is told


def _payloads(gateway: str, changed: Iterable[Changed]) -> list[str]:
    """Notifications that tell all of it; one that does not fit tells that there is something."""
    payloads, some = [], list(changed)
    while some:
        count = len(some)
        while len(told := _payload(gateway, some[:count])) > PAYLOAD and count > 1:
            count = (count + 1) // 2
        payloads.append(told if len(told) <= PAYLOAD else _payload(gateway, None))
        some = some[count:]
    return [each.decode() for each in payloads]


def _payload(gateway: str, changed: Sequence[Changed] | None) -> bytes:
    told = None if changed is None else [tuple(each) for each in changed]
    return orjson.dumps([gateway, told])
