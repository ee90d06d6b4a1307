"""Keeps access requests, grants and uses in an SQLite database."""

from __future__ import annotations

from pathlib import Path

from jitgate.flow.recorder import InThread
from jitgate.stores.access_database import Database
from jitgate.stores.access_threaded import Heard, ThreadedAccess, untold


class SqliteAccess(ThreadedAccess):
    """A store in ``file``, on ``machine`` (its id); ``in_thread`` calls in one thread, in order.

    Several processes of one machine may have the file open; each tells by ``changed``.
    """

    def __init__(
        self, file: Path, *, in_thread: InThread, machine: str, changed: Heard = untold
    ) -> None:
        self.database = Database(file, machine)
        """What it is kept in, which is open while it is; for what is kept beside."""
        super().__init__(self.database, in_thread=in_thread, changed=changed)
