"""Hears what other gateways change in the database: LISTEN, on a connection of its own.

The reactor waits for it, so that hearing costs no thread. What comes while there is no connection
is lost: once there is one again, everything is to be looked at. A server that says nothing is asked
now and again whether it is there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, cast

import orjson
import psycopg
from psycopg import sql
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from jitgate.errors import MustStop, StoreDown
from jitgate.flow.recorder import InThread
from jitgate.interfaces import INews
from jitgate.stores.postgres_database import Database
from jitgate.stores.postgres_link import BackOff, Connection, connected, why
from jitgate.values import Changed

PROBE = 5.0
"""Seconds between two questions whether the server is there; one that was not answered by the next
has lost it. A held call that was answered elsewhere waits no longer for that."""

Heard = Callable[[Sequence[Changed] | None], None]


@implementer(INews, IReadDescriptor)
class PostgresNews:
    """What is told of in ``database``, but for what ``gateway`` changes itself."""

    _log = Logger()

    def __init__(
        self, database: Database, gateway: str, *, in_thread: InThread, reactor: Any
    ) -> None:
        self._database = database
        self._gateway = gateway
        self._in_thread = in_thread
        self._reactor = reactor
        self._heard: Heard = lambda _: None
        self._connection: Connection | None = None
        self._number = -1
        """The connection's descriptor, as a copy: libpq closes its own while the reactor has it."""
        self._back_off = BackOff()
        self._next: IDelayedCall | None = None
        self._asked = False
        self._stopped = False
        self.down: str | None = None
        """Why nothing is heard at present, for people."""

    async def start(self, heard: Heard) -> None:
        self._heard = heard
        await self._listen()

    async def stop(self) -> None:
        self._stopped = True
        self._let_go()

    # --- the connection

    async def _listen(self) -> None:
        connection = cast(Connection, await self._in_thread(self._listening))
        if self._stopped:
            connection.close()
            return
        self._connection, self._asked = connection, False
        self._number = os.dup(connection.fileno())
        self._back_off.reset()
        self.down = None
        self._reactor.addReader(self)
        self._next = self._reactor.callLater(PROBE, self._probe)

    def _listening(self) -> Connection:
        """A connection on which notifications come."""
        try:
            connection = connected(self._database.server)
            channel = sql.Identifier(self._database.channel)
            connection.execute(sql.SQL("LISTEN {}").format(channel))
            connection.pgconn.nonblocking = 1
        except psycopg.Error as error:
            raise StoreDown(f"The state database cannot be heard: {why(error)}.") from error
        return connection

    def _lost(self) -> None:
        """Whatever happened to it, a new one is made."""
        self._let_go()
        self.down = "The state database has ended the connection."
        if not self._stopped:
            self._next = self._reactor.callLater(self._back_off.next(), self._return)

    def _return(self) -> None:
        listening = Deferred.fromCoroutine(self._listen())
        listening.addCallbacks(lambda _: self._missed(), self._not_back)

    def _missed(self) -> None:
        if not self._stopped:
            self._heard(None)

    def _not_back(self, failure: Failure) -> None:
        failure.trap(StoreDown, MustStop)
        self._lost()

    def _let_go(self) -> None:
        if self._next is not None and self._next.active():
            self._next.cancel()
        connection, self._connection = self._connection, None
        if connection is not None:
            self._reactor.removeReader(self)
            os.close(self._number)
            self._number = -1
            connection.close()

    def _probe(self) -> None:
        """Ask for nothing; what comes of it is seen to by `doRead`."""
        connection = self._connection
        assert connection is not None  # noqa: S101 (it is let go together with this call)
        if self._asked:
            self._lost()
            return
        try:
            connection.pgconn.send_query(b"")
            connection.pgconn.flush()
        except psycopg.Error:
            self._lost()
            return
        self._asked = True
        self._next = self._reactor.callLater(PROBE, self._probe)

    # --- what the reactor asks

    def fileno(self) -> int:
        """Where notifications come in."""
        return self._number

    def doRead(self) -> None:
        """Hear what has come."""
        connection = self._connection
        if connection is None:
            return
        try:
            payloads = _arrived(connection)
        except psycopg.Error:
            self._lost()
            return
        if connection.closed:
            self._lost()
            return
        self._asked = self._asked and connection.pgconn.is_busy() != 0
        for payload in payloads:
            self._tell(payload)

    def connectionLost(self, reason: Failure) -> None:
        """The reactor gives it up, at its end."""
        self._let_go()

    def logPrefix(self) -> str:
        """What it is called in the log."""
        return "state database"

    def _tell(self, payload: bytes) -> None:
        """Anybody who may connect to the database may notify: it is a reason to look, no more."""
        try:
            gateway, changed = orjson.loads(payload)
            changes = None if changed is None else [Changed(*map(str, each)) for each in changed]
        except (TypeError, ValueError):
            gateway, changes = None, None
        if gateway != self._gateway:
            self._heard(changes)


def _arrived(connection: Connection) -> list[bytes]:
    """The notifications that have come; raises `psycopg.Error` where the server has gone."""
    pgconn = connection.pgconn
    pgconn.consume_input()
    while not pgconn.is_busy() and pgconn.get_result() is not None:
        pass
    payloads = []
    while (notice := pgconn.notifies()) is not None:
        payloads.append(notice.extra)
    return payloads
