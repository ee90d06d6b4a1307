"""The way to a PostgreSQL server: who is believed to be it, and how long it may take to answer.

Blocking; all of it is called in one thread. Nothing is kept of what failed: whoever asks next gets
a new connection, but a server that is down is asked only now and again.
"""

from __future__ import annotations

import random
import select
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.conninfo import make_conninfo
from twisted.logger import Logger

from jitgate.errors import MustStop, StateUnusable, StoreDown
from jitgate.stores.state import secret_line
from jitgate.values import SecretAt

CONNECTING = 3
"""Seconds that connecting may take: a server nearby takes milliseconds."""

ANSWER = 6.0
"""Seconds that a server may take to answer a statement before the connection is given up: longer
than the server lets a statement run, which is the kinder end."""

STATEMENT, LOCK = 5_000, 4_000
"""Milliseconds that the server lets a statement run, and wait for a lock."""

IDLE = 10_000
"""Milliseconds after which the server ends a transaction that stands still: a gateway that was
stopped in one would keep all others waiting."""

SOON, LATE = 0.1, 5.0
"""Seconds until a server that is down is asked again: at first, doubled each time, and at last."""

_RV = TypeVar("_RV")


@dataclass(frozen=True, slots=True)
class Server:
    """Where the database is, and as whom the gateway comes."""

    host: str
    """A name, an address, or the folder that holds the server's Unix socket."""
    port: int
    database: str
    user: str
    password: SecretAt | Path | None = None
    """Where it stands, a path: that file; read whenever a connection is made."""
    trust: Path | None = None
    """The authorities that may vouch for the server's name; None: it is on this machine."""
    schema: str = "jitgate"

    def parameters(self) -> dict[str, Any]:
        """What libpq is told, so that its environment does not lead it elsewhere."""
        told: dict[str, Any] = {
            "host": self.host,
            "hostaddr": "",
            "port": self.port,
            "dbname": self.database,
            "user": self.user,
            "sslmode": "disable" if self.trust is None else "verify-full",
            "gssencmode": "disable",
            "target_session_attrs": "read-write",
            "application_name": "jitgate",
            "client_encoding": "UTF8",
            "connect_timeout": CONNECTING,
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "tcp_user_timeout": int(ANSWER * 1000),
            "options": self._options(),
        }
        if self.trust is not None:
            told["sslrootcert"] = f"{self.trust}"
        if self.password is not None:
            told["password"] = _password(self.password)
        return told

    def _options(self) -> str:
        settings = {
            "search_path": self.schema,
            "statement_timeout": STATEMENT,
            "lock_timeout": LOCK,
            "idle_in_transaction_session_timeout": IDLE,
            "default_transaction_isolation": r"read\ committed",
            # A statement that was planned once, for tables that were empty, reads them whole later.
            "plan_cache_mode": "force_custom_plan",
            "tcp_keepalives_idle": 5,
            "tcp_keepalives_interval": 5,
            "tcp_keepalives_count": 3,
        }
        return " ".join(f"-c {name}={value}" for name, value in settings.items())


def _password(secret: SecretAt | Path) -> str:
    try:
        return secret_line(secret).decode()
    except UnicodeDecodeError:
        raise StateUnusable(f"{secret} holds no text.") from None


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """One that is closed where the server does not answer in time, whatever became of the rest."""

    def wait(self, gen: PQGen[_RV], interval: float = 0.1, timeout: float | None = None) -> _RV:
        try:
            return super().wait(gen, interval, ANSWER if timeout is None else timeout)
        except psycopg.errors._WaitTimeout:  # noqa: SLF001 (it has no other name)
            self.pgconn.finish()
            raise


def connected(server: Server) -> Connection:
    """A connection on which each statement is a transaction by itself, unless one is begun.

    Raises `psycopg.Error`, or `StateUnusable` for a password that cannot be read.
    """
    connection = Connection.connect(make_conninfo(**server.parameters()), autocommit=True)
    assert isinstance(connection, Connection)  # noqa: S101 (its own class makes it)
    return connection


class BackOff:
    """When to ask again somebody who does not answer: ever later, and not with all others."""

    def __init__(self) -> None:
        self._wait = 0.0

    def next(self) -> float:
        """Seconds until then."""
        self._wait = min(max(SOON, 2 * self._wait), LATE)
        return self._wait * random.uniform(0.5, 1.0)

    def reset(self) -> None:
        """Somebody answers again."""
        self._wait = 0.0


class Link:
    """The connection of the one thread; ``greet`` is called with each new one, and may refuse it.

    Its methods raise `StoreDown`.
    """

    _log = Logger()

    def __init__(self, server: Server, greet: Callable[[Connection], None]) -> None:
        self._server = server
        self._greet = greet
        self._connection: Connection | None = None
        self._back_off = BackOff()
        self._not_before = 0.0
        self.down: str | None = "The state database has not been opened."
        """Why nothing can be had at present, for people."""
        self._opened = False
        self._said = ""

    def open(self) -> None:
        """The first connection. Raises what `greet` raises, too."""
        self._connection = self._made()
        self._opened, self.down = True, None

    def close(self) -> None:
        """Give it back."""
        self._opened, self.down = False, "The state database has been closed."
        self._drop()

    def usable(self) -> Connection:
        """A connection that was there a moment ago."""
        if not self._opened:
            raise StoreDown(self.down or "The state database has not been opened.")
        if self._connection is not None and _has_ended(self._connection):
            self._drop()
        if self._connection is None:
            if time.monotonic() < self._not_before:
                raise StoreDown(f"{self.down}")
            try:
                self._connection = self._made()
            except (StoreDown, MustStop) as error:
                self.down = f"{error}"
                self._not_before = time.monotonic() + self._back_off.next()
                raise StoreDown(self.down) from error
            self._back_off.reset()
            self.down, self._said = None, ""
        return self._connection

    def failed(self, why: str, error: psycopg.Error) -> None:
        """What was asked has failed: a connection that is not whole is given up.

        So is one to a server that takes no more changes: another may by now (a failover).
        """
        read_only = isinstance(error, psycopg.errors.ReadOnlySqlTransaction)
        if self._connection is not None and (self._connection.closed or read_only):
            self._drop()
            self.down = why

    def _made(self) -> Connection:
        try:
            connection = connected(self._server)
        except psycopg.Error as error:
            # Where it is and as whom is for the log: agents see what is raised.
            if f"{error}" != self._said:
                self._said = f"{error}"
                self._log.warn("The state database cannot be reached: {how}", how=self._said)
            raise StoreDown(f"The state database cannot be reached: {why(error)}.") from error
        try:
            self._greet(connection)
        except psycopg.Error as error:
            connection.close()
            raise StoreDown(f"The state database cannot be used: {why(error)}.") from error
        except BaseException:
            connection.close()
            raise
        return connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def why(error: psycopg.Error) -> str:
    """What went wrong, without what was to be kept or found, nor where the server is."""
    if error.diag.message_primary is not None:
        return error.diag.message_primary.rstrip(".")
    if isinstance(error, psycopg.errors._WaitTimeout | psycopg.errors.ConnectionTimeout):  # noqa: SLF001 (it has no other name)
        return "it does not answer in time"
    if isinstance(error, psycopg.OperationalError):
        return "there is no connection"
    return type(error).__name__


def _has_ended(connection: Connection) -> bool:
    """Whether the server has hung up meanwhile: it says nothing unasked but that."""
    if connection.closed:
        return True
    waiting = select.poll()
    waiting.register(connection.fileno(), select.POLLIN)
    if not waiting.poll(0):
        return False
    try:
        connection.pgconn.consume_input()
    except psycopg.Error:
        return True
    return connection.closed or bool(waiting.poll(0))
