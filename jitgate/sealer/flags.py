"""The flags of a file that only CAP_LINUX_IMMUTABLE may change (ioctl_iflags(2))."""

from __future__ import annotations

import fcntl
import struct

APPEND_ONLY = 0x20
"""``FS_APPEND_FL``: the file only grows, and is neither removed nor renamed."""

IMMUTABLE = 0x10
"""``FS_IMMUTABLE_FL``: nothing of the file changes, its name included."""

_READ, _WRITE = 2, 1


def _request(direction: int, number: int) -> int:
    """What ``_IOR('f', number, long)`` and ``_IOW`` make of it, as on most architectures."""
    return direction << 30 | struct.calcsize("l") << 16 | ord("f") << 8 | number


_GET = _request(_READ, 1)
_SET = _request(_WRITE, 2)
_INT = struct.Struct("i")
_LONG = struct.calcsize("l")


def flags(descriptor: int) -> int:
    """The flags of an open file; raises `OSError` (ENOTTY) where its file system has none."""
    return _value(fcntl.ioctl(descriptor, _GET, bytes(_LONG)))


def add_flags(descriptor: int, wanted: int) -> None:
    """Set what is wanted beside what is set already; raises `OSError`."""
    before = flags(descriptor)
    if before & wanted != wanted:
        fcntl.ioctl(descriptor, _SET, _INT.pack(before | wanted).ljust(_LONG, b"\0"))


def clear_flags(descriptor: int) -> None:
    """Clear both of ours; raises `OSError`. Who calls it has made sure that it may be."""
    kept = flags(descriptor) & ~(APPEND_ONLY | IMMUTABLE)
    fcntl.ioctl(descriptor, _SET, _INT.pack(kept).ljust(_LONG, b"\0"))


def _value(answer: bytes) -> int:
    """The kernel reads and writes an int, whatever the request's number says."""
    value: int = _INT.unpack_from(answer)[0]
    return value
