"""The one recording that a sealer serves, and the only way in which it opens files there.

The folder belongs to the gateway, which may be in wrong hands. So nothing is reached by a path:
every step is one name below a folder that is open already, and none of them follows a link.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from jitgate.sealer.flags import APPEND_ONLY, IMMUTABLE, add_flags, clear_flags, flags
from jitgate.sealer.keeping import Keeping, Refused

_LOG = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,99}")
_SEGMENT = re.compile(r"[0-9]{12,18}\.(?:jsonl|bodies|leaves)")
"""The names of docs/recording-format.md, which the sealer knows by itself."""

_LINES = ".jsonl"
"""Ends the name of the lines, by which a segment is held: its bodies come later, or never."""

_LEAVES = ".leaves"
"""Ends the name of what stays of a segment that was deleted, and is never deleted itself."""

_STEP = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
"""NONBLOCK, since a pipe in the place of a segment would be waited for."""


class Folder:
    """The recording in ``path``, all of whose segments belong to the user ``owner``.

    It is opened once: what is put in its place later is another folder. Raises `OSError`.
    """

    def __init__(self, path: Path, owner: int, keeping: Keeping | None = None) -> None:
        self._keeping = keeping
        self._top = os.open(path, _STEP | os.O_DIRECTORY)
        self._device = os.fstat(self._top).st_dev
        self._owner = owner

    def close(self) -> None:
        """Let go of it."""
        os.close(self._top)

    def keep(self, log: str, segment: str) -> None:
        """A segment's file only grows from now on. Raises `Refused`, `OSError`."""
        with self._opened(log, segment) as (_, descriptor):
            add_flags(descriptor, APPEND_ONLY)
            os.fsync(descriptor)

    def seal(self, log: str, segment: str) -> None:
        """A segment's file stays as it is, durably. Raises `Refused`, `OSError`.

        The flag comes first, and stays whatever follows: then nobody new can write. Who had the
        file open before still could on some file systems, so it is not sealed until they let go.
        """
        with self._opened(log, segment) as (_, descriptor):
            os.fsync(descriptor)
            add_flags(descriptor, IMMUTABLE)
            _check_unwritten(descriptor)
            os.fsync(descriptor)

    def hold(self, log: str, segment: str) -> None:
        """No file of a segment, named by its lines, is deleted. Raises `Refused`, `OSError`.

        It must have a flag: what its owner can remove would leave its number, with the hold, to
        another file.
        """
        with self._lines(log, segment) as descriptor:
            if not flags(descriptor) & (APPEND_ONLY | IMMUTABLE):
                raise Refused("it is not kept from change yet")
            self._kept().hold(os.fstat(descriptor).st_ino, f"{log} {segment}")

    def release(self, log: str, segment: str) -> None:
        """Whoever may say so has ended a hold. Raises `Refused`, `OSError`."""
        with self._lines(log, segment) as descriptor:
            self._kept().release(os.fstat(descriptor).st_ino, f"{log} {segment}")

    def check_expired(self, log: str, segment: str) -> None:
        """Raises `Refused` where a segment's file may not be deleted yet, or ever; `OSError`."""
        with self._opened(log, segment) as (at, descriptor):
            self._check_expired(log, segment, at, descriptor)

    def delete(self, log: str, segment: str) -> None:
        """Remove a segment's file that has expired. Raises `Refused`, `OSError`."""
        with self._opened(log, segment) as (at, descriptor):
            self._check_expired(log, segment, at, descriptor)
            clear_flags(descriptor)
            try:
                os.unlink(segment, dir_fd=at)
            finally:
                if os.fstat(descriptor).st_nlink:  # it was given another name meanwhile
                    add_flags(descriptor, IMMUTABLE)

    def _check_expired(self, log: str, segment: str, at: int, descriptor: int) -> None:
        """By the inode's change time, which nobody can set, nor move while the flag stands."""
        if log == "site" or segment.endswith(_LEAVES):
            raise Refused("that is never deleted")
        self._check_released(segment, at, descriptor)
        if not flags(descriptor) & IMMUTABLE:
            raise Refused("it is not sealed")
        self._kept().check_expired(os.fstat(descriptor).st_ctime)

    def _check_released(self, segment: str, at: int, descriptor: int) -> None:
        """By the lines beside it: what has a flag leaves its folder no more than its name."""
        self._kept().check_released(os.fstat(descriptor).st_ino)
        with ExitStack() as stack, suppress(FileNotFoundError):  # they are deleted first
            lines = _open(stack, segment.partition(".")[0] + _LINES, at)
            self._kept().check_released(os.fstat(lines).st_ino)

    def _kept(self) -> Keeping:
        if self._keeping is None:
            raise Refused("this sealer knows of no retention, so nothing expires")
        return self._keeping

    def _parent(self, stack: ExitStack, log: str) -> int:
        at = self._top
        for step in ("site",) if log == "site" else ("logs", log):
            at = _open(stack, step, at, os.O_DIRECTORY)
        return at

    @contextmanager
    def _lines(self, log: str, segment: str) -> Iterator[int]:
        if not segment.endswith(_LINES):
            raise Refused("a segment is held by its lines")
        with self._opened(log, segment) as (_, descriptor):
            yield descriptor

    @contextmanager
    def _opened(self, log: str, segment: str) -> Iterator[tuple[int, int]]:
        """The folder of a log, and a file in it."""
        if not (_LOG.fullmatch(log) and _SEGMENT.fullmatch(segment)):
            raise Refused("that is not the name of a segment")
        with ExitStack() as stack:
            at = self._parent(stack, log)
            descriptor = _open(stack, segment, at)
            self._check(os.fstat(descriptor))
            yield at, descriptor

    def _check(self, found: os.stat_result) -> None:
        if not stat.S_ISREG(found.st_mode):
            raise Refused("it is not a regular file")
        if found.st_nlink != 1:
            raise Refused("it has another name as well")
        if found.st_uid != self._owner or found.st_dev != self._device:
            raise Refused("it is another's, or on another file system")


def _open(stack: ExitStack, name: str, at: int, more: int = 0) -> int:
    descriptor = os.open(name, _STEP | more, dir_fd=at)
    stack.callback(os.close, descriptor)
    return descriptor


def _check_unwritten(descriptor: int) -> None:
    """The kernel leases a file to a reader only while nobody has it open for writing."""
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        if error.errno == errno.EAGAIN:
            raise Refused("somebody has it open for writing") from None
        raise
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
