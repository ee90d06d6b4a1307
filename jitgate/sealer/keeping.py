"""How long the sealer keeps what it has sealed: until it has expired, and no hold is on it.

It knows both by itself. A hold is a file in a folder of the sealer's own, named by the inode of the
lines that are held: that stays, whatever becomes of the folders above them. In it stands what they
were called when they were held, which whoever ends the hold must mean.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

DAY = 24 * 60 * 60.0

HELD = "held"
"""Why something is not deleted however old it is."""


class Refused(Exception):
    """What was asked is not done; the message says why, in a few words."""


class Keeping:
    """Keeps for ``days`` after sealing; holds stand in ``holds``, which is ours alone.

    ``now`` gives seconds since the epoch. Raises `OSError`, `Refused`.
    """

    def __init__(self, days: int, holds: Path, now: Callable[[], float] = time.time) -> None:
        found = holds.stat()
        if found.st_uid != os.geteuid() or found.st_mode & 0o022:
            raise Refused(f"others may write to {holds}, where holds are to be")
        if days < 1:
            raise Refused("what is sealed is kept for a day at least")
        self._seconds = days * DAY
        self._holds = holds
        self._now = now

    def hold(self, inode: int, name: str) -> None:
        """Durable when it returns. What is held under another name is `Refused`: it stays so."""
        path = self._hold(inode)
        if path.exists():
            self._check_named(path, name)
            return
        new = path.with_name(f"{inode}.new")
        new.touch(mode=0o600)
        with new.open("w", encoding="ascii") as file:
            file.write(name)
            file.flush()
            os.fsync(file.fileno())
        new.rename(path)
        self._sync()

    def release(self, inode: int, name: str) -> None:
        """End a hold, if there is one, on what was called ``name`` then. Raises `Refused`."""
        path = self._hold(inode)
        if path.exists():
            self._check_named(path, name)
            path.unlink()
            self._sync()

    def check_released(self, inode: int) -> None:
        """Raise `Refused` for what is held."""
        if self._hold(inode).exists():
            raise Refused(HELD)

    def check_expired(self, sealed_at: float) -> None:
        """Raise `Refused` for what was sealed too short a time ago."""
        if self._now() < sealed_at + self._seconds:
            raise Refused("not expired")

    def _hold(self, inode: int) -> Path:
        return self._holds / str(inode)

    def _check_named(self, path: Path, name: str) -> None:
        """Folders have no flags, so that a name may lead to what had another."""
        held = path.read_text("ascii")
        if held != name:
            raise Refused(f"it is held as {held or 'nothing'}")

    def _sync(self) -> None:
        folder = os.open(self._holds, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
