"""One segment of a log while it is written: a file of lines, and beside it a file of bodies.

A segment comes into being whole, with its first line durable in it, and then only grows. Whatever
fails, neither of its files is written or synced again.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from jitgate.stores.durably import sync_folder
from jitgate.stores.layout import NEW, bodies_name, lines_name

FOLDER_MODE = 0o700
FILE_MODE = 0o600
FINISHED_MODE = 0o440
"""Of a segment that nothing will be added to."""


class Standing(NamedTuple):
    """How far a recording is kept from change, as its checkpoints say."""

    wanted: str
    """What the configuration asks for: ``required``, ``preferred`` or ``off``."""
    why_not: str | None
    """Why it is not write-once now; None while it is."""

    @property
    def line(self) -> str:
        """The line in a checkpoint."""
        return "write-once: " + ("kept" if self.why_not is None else f"not kept: {self.why_not}")

    @property
    def fields(self) -> dict[str, object]:
        """What the site log says of it."""
        why = {} if self.why_not is None else {"why": self.why_not}
        return {"wanted": self.wanted, "kept": self.why_not is None, **why}


class Disk:
    """The calls that can fail while a log is written; tests put a failing one in its place.

    What keeps files from change is the disk's as well: this one keeps none.
    """

    standing: Standing | None = None
    """How far what is on it is kept from change, where anybody wants that said."""

    took: Callable[[float], None] | None = None
    """Hears how many seconds each sync of a file took, in whichever thread that was."""

    def ready(self, *, ask: bool = False) -> None:
        """Raise `OSError` where nothing may be written now. ``ask``: though it takes a while."""

    def keep(self, path: Path) -> None:
        """Let the file only grow from now on. What fails is made up for, or `ready` raises."""

    def seal(self, path: Path) -> None:
        """Let the file, if it is there, stay as it is. What fails is made up for as well."""

    def close(self) -> None:
        """Let go of whatever is open beside the files."""

    def write(self, descriptor: int, data: bytes) -> int:
        """Write some or all of ``data``; the number of bytes that were taken."""
        return os.write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        """Return when what was written is on stable storage."""
        begun = time.perf_counter()
        os.fdatasync(descriptor)
        if self.took is not None:
            self.took(time.perf_counter() - begun)

    def sync_folder(self, folder: Path) -> None:
        """Return when the folder's names are on stable storage."""
        sync_folder(folder)


def write_all(disk: Disk, descriptor: int, data: bytes) -> None:
    """Write ``data`` in one call and sync it; a short write is a failure like any other."""
    if disk.write(descriptor, data) != len(data):
        raise OSError(errno.EIO, "the disk took only a part of what was written")
    disk.sync(descriptor)


def place(disk: Disk, path: Path, data: bytes) -> int:
    """Make ``data`` appear at ``path`` as a whole, durably; the open file's descriptor.

    Raises `OSError`, and then tries to leave nothing behind. Never takes the place of a file.
    """
    prepared = path.with_name(path.name + NEW)
    prepared.unlink(missing_ok=True)
    descriptor = os.open(prepared, _APPEND | os.O_EXCL, FILE_MODE)
    try:
        write_all(disk, descriptor, data)
        if path.exists():
            raise FileExistsError(errno.EEXIST, "the file is there already", str(path))
        prepared.rename(path)
    except OSError:
        _drop(descriptor, prepared)
        raise
    try:
        disk.sync_folder(path.parent)
    except OSError:
        _drop(descriptor, path)
        raise
    return descriptor


class Segment:
    """The open end of a log. ``size`` and ``bodies_size`` are the bytes that are durable."""

    def __init__(self, folder: Path, first: int, opening: bytes, disk: Disk) -> None:
        self.first = first
        self.size = len(opening)
        self.bodies_size = 0
        self._folder = folder
        self._disk = disk
        self._bodies: int | None = None
        self._path = folder / lines_name(first)
        disk.ready()
        self._lines: int | None = place(disk, self._path, opening)
        disk.keep(self._path)
        self._in_place = {self._path: _identity(os.fstat(self._lines))}
        """What stands where, as it was opened."""

    def write(self, lines: bytes, frames: bytes) -> None:
        """Append both, durably, the bodies first; raises `OSError`, and then neither counts."""
        if self._lines is None:
            raise OSError(errno.EBADF, "the segment is finished")
        self._check_in_place()
        bodies = self._bodies_file() if frames else None
        self._disk.ready()
        if bodies is not None:
            write_all(self._disk, bodies, frames)
            if self.bodies_size == 0:
                self._disk.sync_folder(self._folder)
        write_all(self._disk, self._lines, lines)
        self.size += len(lines)
        self.bodies_size += len(frames)

    def _check_in_place(self) -> None:
        """Writing to a file that was removed or moved away succeeds, and keeps nothing."""
        for path, identity in self._in_place.items():
            if _identity(path.stat()) != identity:
                raise OSError(errno.ENOENT, "the segment's file was taken away")

    def finish(self) -> None:
        """Give the files up for good, readable alone. Nothing durable depends on it."""
        descriptors, self._lines, self._bodies = (self._lines, self._bodies), None, None
        for descriptor in descriptors:
            if descriptor is not None:
                with suppress(OSError):
                    os.fchmod(descriptor, FINISHED_MODE)
                with suppress(OSError):
                    os.close(descriptor)
        if descriptors[0] is not None:
            for name in (lines_name(self.first), bodies_name(self.first)):
                self._disk.seal(self._folder / name)

    def _bodies_file(self) -> int:
        if self._bodies is None:
            path = self._folder / bodies_name(self.first)
            self._bodies = os.open(path, _APPEND | os.O_EXCL, FILE_MODE)
            self._in_place[path] = _identity(os.fstat(self._bodies))
            self._disk.keep(path)
        return self._bodies


def put_away(disk: Disk, folder: Path, firsts: Sequence[int]) -> None:
    """Make segments that another process left readable alone. Nothing durable depends on it."""
    for first in firsts:
        for name in (lines_name(first), bodies_name(first)):
            with suppress(OSError):
                (folder / name).chmod(FINISHED_MODE)
            disk.seal(folder / name)


def sweep(folder: Path) -> None:
    """Remove what was being prepared when a crash came; it never was part of the recording."""
    for path in folder.glob(f"*{NEW}"):
        path.unlink()


_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def _drop(descriptor: int, path: Path) -> None:
    with suppress(OSError):
        os.close(descriptor)
    with suppress(OSError):
        path.unlink()
