"""Answering at the sealer's socket: one packet asks, one packet answers, in plain words.

The user that it serves can ask for ``keep``, ``seal``, ``hold``, ``expired`` and ``delete``, each
with ``LOG SEGMENT``; root alone for ``release LOG SEGMENT``; both whether it is there, by ``ping``.
It answers ``ok``, or ``no: `` and why. Who asks the kernel says (SO_PEERCRED); whoever is neither
of the two is hung up on.
"""

from __future__ import annotations

import os
import selectors
import socket
import stat
import struct
import sys
from contextlib import suppress
from pathlib import Path

from jitgate.sealer.folder import Folder
from jitgate.sealer.keeping import Refused

PACKET_BYTES = 256
"""The longest request: a verb, a log's name of at most 100 characters, a segment's of 25."""

CONNECTIONS = 72
"""Connections of one uid at a time: a gateway holds two, each of up to 64 workers one, and they
cannot keep root out."""

ROOT = 0
"""The uid that may end a hold, which the one that is served may not."""

_OWNER, _USER, _GROUP, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x10, 0x20
_USE = 6
_NOBODY = 0xFFFFFFFF
_ACL_VERSION = struct.pack("<I", 2)
_ACL_ENTRY = struct.Struct("<HHI")
"""An access control list as the kernel takes it (linux/posix_acl_xattr.h): tag, rights, id."""

_UCRED = struct.Struct("iII")
"""``struct ucred`` of unix(7): pid, uid, gid."""


def listening(path: Path, user: int) -> socket.socket:
    """A socket at ``path`` that ``user`` and root may connect to; raises `OSError`, `Refused`.

    Others would be hung up on, but could keep all places in the queue.

    Its folder must be ours alone, or another could put a socket of theirs there.
    """
    folder = path.parent.stat()
    if folder.st_uid not in {0, os.geteuid()} or folder.st_mode & 0o022:
        raise Refused(f"others may write to {path.parent}, where the socket is to be")
    if path.exists() and stat.S_ISSOCK(path.lstat().st_mode):
        path.unlink()
    made = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    made.bind(os.fsencode(path))
    _let_in(path, user)
    made.listen(CONNECTIONS)
    return made


def _let_in(path: Path, user: int) -> None:
    """By an access control list, which needs no capability; everybody where there are none."""
    path.chmod(0o600)
    entries = (
        (_OWNER, _USE, _NOBODY),
        (_USER, _USE, user),
        (_GROUP, 0, _NOBODY),
        (_MASK, _USE, _NOBODY),
        (_OTHER, 0, _NOBODY),
    )
    listed = _ACL_VERSION + b"".join(_ACL_ENTRY.pack(*each) for each in entries)
    try:
        os.setxattr(path, "system.posix_acl_access", listed)
    except OSError:
        path.chmod(0o666)


class Serving:
    """Answers ``user`` about ``folder`` at a listening socket, for as long as the process lives."""

    def __init__(self, listening: socket.socket, folder: Folder, user: int) -> None:
        self._listening = listening
        self._folder = folder
        self._user = user
        self._open: dict[socket.socket, int] = {}
        """Each with whose it is."""
        self._selector = selectors.DefaultSelector()
        listening.setblocking(False)
        self._selector.register(listening, selectors.EVENT_READ)

    def run(self) -> None:
        """Serve; never returns."""
        while True:
            self.turn()

    def turn(self) -> None:
        """Wait until something comes, and deal with it."""
        for key, _ in self._selector.select():
            if key.fileobj is self._listening:
                self._accept()
            elif isinstance(key.fileobj, socket.socket):
                self._answer(key.fileobj)

    def _accept(self) -> None:
        with suppress(BlockingIOError, ConnectionError):
            peer, _ = self._listening.accept()
            uid = _uid(peer)
            alike = list(self._open.values()).count(uid)
            if uid not in {self._user, ROOT} or alike >= CONNECTIONS:
                peer.close()
                return
            peer.setblocking(False)
            self._open[peer] = uid
            self._selector.register(peer, selectors.EVENT_READ)

    def _answer(self, peer: socket.socket) -> None:
        """Whoever does not take the answer at once has sent more than they have read."""
        try:
            packet = peer.recv(PACKET_BYTES)
            if packet:
                peer.send(self.reply(packet, self._open[peer]))
                return
        except OSError:
            pass
        self._selector.unregister(peer)
        del self._open[peer]
        peer.close()

    def reply(self, packet: bytes, uid: int) -> bytes:
        """Do what ``uid`` asks for, and say whether it is done."""
        try:
            self._do(packet.decode("ascii").split(" "), uid)
        except (OSError, Refused, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else f"{error}"
            if not packet.startswith(b"expired "):  # that was a question
                print(f"refused {packet!r}: {why}", file=sys.stderr, flush=True)
            return f"no: {why}".encode()
        if packet.startswith((b"hold ", b"release ")):  # the gateway need not have told anybody
            print(f"done {packet!r} for uid {uid}", file=sys.stderr, flush=True)
        return b"ok"

    def _do(self, words: list[str], uid: int) -> None:
        folder = self._folder
        deeds = {
            "keep": (folder.keep, self._user),
            "seal": (folder.seal, self._user),
            "hold": (folder.hold, self._user),
            "expired": (folder.check_expired, self._user),
            "delete": (folder.delete, self._user),
            "release": (folder.release, ROOT),
        }
        if words == ["ping"]:
            return
        if len(words) != 3 or words[0] not in deeds:
            raise Refused("that is nothing that a sealer does")
        deed, may = deeds[words[0]]
        if uid != may:
            raise Refused("that is not for you")
        deed(words[1], words[2])


def _uid(peer: socket.socket) -> int:
    data = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    uid: int = _UCRED.unpack(data)[1]
    return uid
