"""Names that last: what a folder calls a file is durable once the folder is synced, not before.

And locks that last as long as who holds them.
"""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Return when the folder's names are on stable storage; raises `OSError`."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_whole(file: Path, data: bytes, mode: int) -> None:
    """Put ``data`` in the place of what the file held, at once and durably; raises `OSError`."""
    temporary = file.with_suffix(file.suffix + ".new")
    temporary.unlink(missing_ok=True)
    temporary.touch(mode=mode, exist_ok=False)
    with temporary.open("wb") as opened:
        opened.write(data)
        opened.flush()
        os.fsync(opened.fileno())
    temporary.replace(file)
    sync_folder(file.parent)


def make_folder(folder: Path, mode: int) -> None:
    """Make the folder unless it is there, and those above it, durably; raises `OSError`."""
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    if not folder.exists():
        make_folder(folder.parent, 0o777)
        folder.mkdir(mode=mode, exist_ok=True)
        sync_folder(folder.parent)


def locked(file: Path) -> int:
    """A file that this process alone holds until it closes it. Raises `BlockingIOError`, `OSError`.

    It is made if need be.
    """
    return _held(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def locked_folder(folder: Path) -> list[int]:
    """The same of a folder; none where only files can be locked, as on NFS."""
    try:
        return [_held(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))]
    except BlockingIOError:
        raise
    except OSError:
        return []


def _held(descriptor: int) -> int:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
