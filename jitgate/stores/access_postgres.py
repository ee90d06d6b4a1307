"""Keeps access requests, grants and uses in a PostgreSQL database that several gateways share."""

from __future__ import annotations

from jitgate.flow.recorder import InThread
from jitgate.stores.access_threaded import ThreadedAccess
from jitgate.stores.postgres_database import Database
from jitgate.stores.postgres_link import Server


class PostgresAccess(ThreadedAccess):
    """A store on ``server``, used by ``gateway``; ``in_thread`` calls in one thread, in order.

    ``site`` is what all who share it must have in common.
    """

    def __init__(self, server: Server, *, in_thread: InThread, gateway: str, site: bytes) -> None:
        self.database = Database(server, gateway, site)
        """What it is kept in, which is open while it is; for what is kept beside."""
        super().__init__(self.database, in_thread=in_thread)
