"""Opening what stands in a recording's folder: regular files alone, and nothing is waited for.

Whoever can put a name into the folder could put a pipe there, a link or a device.
"""

from __future__ import annotations

import errno
import os
import stat
from io import DEFAULT_BUFFER_SIZE, BufferedReader, FileIO
from pathlib import Path


def opened(path: Path, buffering: int = DEFAULT_BUFFER_SIZE) -> BufferedReader:
    """The file, for reading; raises `OSError`, also for whatever is no regular file."""
    wanted = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, wanted)
    try:
        _refuse_others(path, os.fstat(descriptor).st_mode)
        return BufferedReader(FileIO(descriptor), buffering)
    except BaseException:
        os.close(descriptor)
        raise


def _refuse_others(path: Path, mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is no regular file", str(path))


def at_most(path: Path, length: int) -> bytes:
    """What a file holds, of a longer one the first ``length`` bytes; raises `OSError`."""
    with opened(path) as file:
        return file.read(length)


def length_of(path: Path) -> int | None:
    """The bytes of a regular file; None where there is none of that name. Raises `OSError`."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None
