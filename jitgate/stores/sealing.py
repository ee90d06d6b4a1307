"""A disk whose files are write-once: the sealer is asked, and what it did is looked at.

Nothing that the sealer answers is believed: the file's flags are. What it could not do yet is owed;
while anything is, and write-once is required, nothing may be written.
"""

from __future__ import annotations

import errno
import os
import select
import socket
from contextlib import suppress
from pathlib import Path

from twisted.logger import Logger

from jitgate.sealer.flags import APPEND_ONLY, IMMUTABLE, flags
from jitgate.stores.segment import FINISHED_MODE, Disk, Standing

REQUIRED, PREFERRED, OFF = "required", "preferred", "off"
"""What the configuration may ask for."""

ANSWER_WITHIN = 5.0
"""Seconds for an answer: setting a flag is one write to the file system's journal."""

ANSWER_BYTES = 512
"""The longest answer that is read."""

CAP_LINUX_IMMUTABLE = 9
"""The bit of capabilities(7) that lets a process clear the flags."""

_DONE = {"keep": APPEND_ONLY | IMMUTABLE, "seal": IMMUTABLE}
"""Of which flags one must stand after a request. What is sealed need not grow any more."""


class SealerRefused(OSError):
    """The sealer said no; ``why`` is its own word for it."""

    def __init__(self, why: str) -> None:
        super().__init__(errno.EPERM, f"the sealer refused: {why}")
        self.why = why


class NotSealed(OSError):
    """Write-once is required, and cannot be had now; ``strerror`` says why."""


class Sealer:
    """A connection to the sealer at ``path``, made when it is needed. For one thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._peer: socket.socket | None = None

    @property
    def connected(self) -> bool:
        """Whether there is a connection, be it that the sealer has gone."""
        return self._peer is not None

    def ask(self, request: str) -> None:
        """Have something done; raises `OSError`, and `SealerRefused` for a no."""
        try:
            if self._peer is None:
                self._peer = _connected(self._path)
            self._peer.send(request.encode())
            answer = self._peer.recv(ANSWER_BYTES)
        except OSError as error:
            self.hang_up()
            why = (error.strerror or "it does not answer").lower()
            raise OSError(errno.EIO, f"no sealer answers at {self._path} ({why})") from error
        if not answer:
            self.hang_up()
            raise OSError(errno.EIO, f"the sealer at {self._path} hung up")
        if answer != b"ok":
            raise SealerRefused(answer.decode("ascii", "replace").removeprefix("no: "))

    def hung_up(self) -> bool:
        """Whether it is gone, as far as can be told without asking it: in microseconds."""
        if self._peer is not None:
            poll = select.poll()
            poll.register(self._peer, select.POLLIN)
            if not poll.poll(0):
                return False
        self.hang_up()
        return True

    def hang_up(self) -> None:
        """End the connection, if there is one."""
        if self._peer is not None:
            self._peer.close()
            self._peer = None


class UnsealedDisk(Disk):
    """Keeps nothing from change, and has that said."""

    standing: Standing | None = Standing(OFF, OFF)

    _log = Logger()
    _said = False

    def ready(self, *, ask: bool = False) -> None:
        if not self._said:
            self._log.info("The recording is not write-once: recording.write_once is off.")
            self._said = True


class SealedDisk(Disk):
    """Has what is on it kept from change by the sealer at ``path``.

    Without one nothing is written if it is ``required``; else that is said, and it is tried again
    with every checkpoint. ``powerful`` is whether the gateway itself could clear the flags, which
    then prove nothing.
    """

    _log = Logger()

    def __init__(self, path: Path, *, required: bool, powerful: bool) -> None:
        self._sealer = Sealer(path)
        self._required = required
        self._powerful = powerful
        self._owed: dict[Path, str] = {}
        self._wanted = REQUIRED if required else PREFERRED
        self.standing: Standing | None = None

    def ready(self, *, ask: bool = False) -> None:
        if not (ask or self._required):
            return  # whether it stands is said at the next checkpoint
        try:
            self._check_power()
            if ask or self._owed or self._sealer.hung_up():
                self._sealer.ask("ping")
                self._make_up()
        except OSError as error:
            why = f"{error.strerror or error}"
            self._stand(why)
            if self._required:
                raise NotSealed(error.errno, f"write-once: {why}") from error
        else:
            self._stand(None)

    def keep(self, path: Path) -> None:
        """The mode is the last one from the start: of a file with the flag it cannot be changed."""
        with suppress(OSError):
            path.chmod(FINISHED_MODE)
        self._do(path, "keep")

    def seal(self, path: Path) -> None:
        if path.exists():
            self._do(path, "seal")

    def close(self) -> None:
        self._sealer.hang_up()

    def _check_power(self) -> None:
        if self._powerful:
            raise OSError(errno.EPERM, "the gateway's own process has CAP_LINUX_IMMUTABLE")

    def _do(self, path: Path, verb: str) -> None:
        self._owed[path] = verb
        if not self._sealer.connected:
            return  # `ready` makes up for it
        try:
            self._make_up()
        except OSError as error:
            self._stand(f"{error.strerror or error}")

    def _make_up(self) -> None:
        """Have done what is owed, in order; raises `OSError` at the first that is not."""
        for path, verb in list(self._owed.items()):
            if not has_flag(path, _DONE[verb]):
                self._sealer.ask(f"{verb} {path.parent.name} {path.name}")
                if not has_flag(path, _DONE[verb]):
                    raise OSError(errno.EPERM, "the sealer serves another folder")
            del self._owed[path]

    def _stand(self, why_not: str | None) -> None:
        before, self.standing = self.standing, Standing(self._wanted, why_not)
        if before == self.standing:
            return
        if why_not is None:
            self._log.info("The recording is write-once.")
        else:
            self._log.warn("The recording is not write-once: {why}.", why=why_not)


def may_clear_flags(status: Path = Path("/proc/self/status")) -> bool:
    """Whether this process has, or by becoming root's again could have, the sealer's power."""
    lines = dict(line.split(":\t", 1) for line in status.read_text("ascii").splitlines())
    held = int(lines["CapPrm"], 16)
    if os.geteuid() == 0:
        held |= int(lines["CapBnd"], 16)
    return bool(held >> CAP_LINUX_IMMUTABLE & 1)


def has_flag(path: Path, wanted: int) -> bool:
    """Whether a file has one of the flags; raises `OSError` where there are none."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        return bool(flags(descriptor) & wanted)
    except OSError as error:
        raise OSError(error.errno, "the file system has no flags for it") from error
    finally:
        os.close(descriptor)


def _connected(path: Path) -> socket.socket:
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        peer.settimeout(ANSWER_WITHIN)
        peer.connect(os.fsencode(path))
    except BaseException:
        peer.close()
        raise
    return peer
