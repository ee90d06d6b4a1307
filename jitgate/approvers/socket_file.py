"""The file that a Unix socket is reached by: made where nobody else can put one, and taken away.

Everybody may connect (mode 0666): who gets anything is told by the peer's credentials, and whoever
gets nothing is to be refused on record, not by the file system.
"""

from __future__ import annotations

import os
import socket
import stat
import struct
from pathlib import Path
from typing import Any

from twisted.internet import tcp, unix
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IProtocolFactory
from twisted.python.failure import Failure

from jitgate.errors import StateUnusable

PATH_BYTES = 107
"""The longest path of a socket: ``sun_path`` of unix(7), less the NUL at its end."""

BACKLOG = 128
"""Connections that the kernel keeps until they are accepted: more than come in one turn of the
reactor."""

_UCRED = struct.Struct("iII")
"""``struct ucred`` of unix(7): pid, uid, gid."""

_MODE = 0o666
_NEW = ".new"


class SocketFile:
    """Listens at ``path``. Raises `StateUnusable`, a sentence each."""

    def __init__(self, path: Path, factory: IProtocolFactory, reactor: Any) -> None:
        self._path = path
        if len(os.fsencode(path)) > PATH_BYTES - len(_NEW):
            raise StateUnusable(
                f"The path of the control socket is too long for the system: {path}. Set a "
                f"control.socket of at most {PATH_BYTES - len(_NEW)} bytes."
            )
        try:
            _check_folder(path.parent)
            self._port = self._listening(factory, reactor)
        except (OSError, CannotListenError) as error:
            raise StateUnusable(
                f"The control socket {path} cannot be made: {_why(error)}."
            ) from error

    def _listening(self, factory: IProtocolFactory, reactor: Any) -> _Port:
        """Listen under another name first: at its own it answers from the first moment on."""
        new = self._path.with_name(self._path.name + _NEW)
        for each in (self._path, new):
            _check_free(each)
        new.unlink(missing_ok=True)
        port = _Port(os.fsencode(new), factory, BACKLOG, _MODE, reactor)
        port.startListening()  # type: ignore[no-untyped-call]
        new.replace(self._path)
        self._identity = _identity(self._path)
        return port

    async def close(self) -> None:
        """Accept nothing more, and remove the file unless it is another's by now."""
        await self._port.stopListening()  # type: ignore[no-untyped-call]
        try:
            if _identity(self._path) == self._identity:
                self._path.unlink()
        except FileNotFoundError:
            pass


class _Port(unix.Port):
    """A port that leaves its file to `SocketFile`, which knows by what name it goes."""

    def connectionLost(self, reason: Failure) -> None:
        tcp.Port.connectionLost(self, reason)


def _check_folder(folder: Path) -> None:
    """Whoever can write there could put a socket of their own in the place of this one."""
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    status = folder.stat()
    if status.st_mode & 0o022 or status.st_uid not in {0, os.geteuid()}:
        raise StateUnusable(
            f"The folder {folder} of the control socket can be written to by others (uid "
            f"{status.st_uid}, mode {stat.S_IMODE(status.st_mode):04o}): set a control.socket in a "
            "folder that only the gateway's user can write to."
        )


def _check_free(path: Path) -> None:
    """Nothing is at ``path``, or a socket that a crash has left."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise StateUnusable(
            f"{path} is no socket, so it is not replaced by one: remove it, or set another "
            "control.socket."
        )
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(os.fsencode(path))
        except ConnectionRefusedError:
            return
        except BlockingIOError:
            pass  # somebody listens who has no time
    raise StateUnusable(
        f"Another gateway answers on {path}: stop it, or set another control.socket."
    )


def _identity(path: Path) -> tuple[int, int]:
    status = path.lstat()
    return status.st_dev, status.st_ino


def _why(error: Exception) -> str:
    cause = error.socketError if isinstance(error, CannotListenError) else error
    strerror = cause.strerror if isinstance(cause, OSError) else None
    return (strerror or type(cause).__name__).lower()


def peer_of(connected: socket.socket) -> tuple[int, int]:
    """The process that has connected and the user it ran as then: the kernel's word."""
    data = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    pid, uid, _ = _UCRED.unpack(data)
    return pid, uid
