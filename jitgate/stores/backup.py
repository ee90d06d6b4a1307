"""A backup of a gateway's state and recording: taken while it runs, put back where there is none.

What is in it is all that the gateway has of its own: its keys, what it knows of access requests and
grants, the recording. A gateway that starts on what was put back sees that it is a copy: it gives
nothing of what was granted, and believes no token from before (`jitgate.core.recovery`).
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

from jitgate.errors import StateUnusable
from jitgate.stores.access_schema import BUSY
from jitgate.stores.copying import Copy, files, pieces
from jitgate.stores.durably import sync_folder

STATE, RECORDING = "state", "recordings"
"""What a backup's folder holds."""

DATABASE: Final = "access.sqlite"

SECRET: Final = ("ca.key", "ca-next.key", "site.key.next", "site.key", "site.name", "site-hmac.key")
OPEN: Final = ("ca.pem", "ca-next.pem", "ca-next.at", "site.vkey")
"""The files of a state folder that a gateway cannot make anew: agents, auditors and records know
them. Those that nobody else may read, and the others. A key that is to take over comes before the
one whose name it will have: whatever the moment, one of the two copies is it."""


def back_up(state: Path, recording: Path, into: Path, passed: Callable[[int], None]) -> int:
    """Copy all of it into a folder that is not there yet; how many bytes of a recording that was.

    The state first: so the recording knows of all that the state does. ``passed`` hears how far it
    is. Raises `StateUnusable`, `OSError`.

    Where a key was changed meanwhile nothing is left of the copy: its keys may not fit each other,
    nor the recording.
    """
    if not (state / "site-hmac.key").is_file():
        raise StateUnusable(f"{state} is no state folder of a gateway.")
    _made(into)
    _made(into / STATE)
    for name in (*SECRET, *OPEN):
        if (state / name).is_file():
            _copied(state / name, into / STATE / name, 0o600 if name in SECRET else 0o644)
    if (state / DATABASE).is_file():
        _database(state / DATABASE, into / STATE / DATABASE)
    copy = Copy(into / RECORDING)
    for piece in pieces(recording, files(recording)):
        copy.take(piece)
        passed(copy.bytes)
    if any(_held(state / name) != _held(into / STATE / name) for name in (*SECRET, *OPEN)):
        shutil.rmtree(into)
        raise StateUnusable("Keys were changed while they were copied: take the backup again.")
    _synced(into)
    return copy.bytes


def put_back(backup: Path, state: Path, recording: Path) -> None:
    """Put a backup where there is nothing yet. Raises `StateUnusable`, `OSError`.

    What is put there is its folder's owner's: root does it for the gateway's user.
    """
    if not (backup / STATE / "site-hmac.key").is_file() or not (backup / RECORDING).is_dir():
        raise StateUnusable(f"{backup} is no backup of a gateway.")
    for folder in (state, recording):
        if folder.is_dir() and any(folder.iterdir()) and not _holds_only(folder, recording):
            raise StateUnusable(
                f"{folder} is not empty: a backup is put where there is nothing yet. Move it away."
            )
    _made(state, there=True)
    for file in sorted((backup / STATE).iterdir()):
        secret = file.name in SECRET or file.name == DATABASE
        _copied(file, state / file.name, 0o600 if secret else 0o644)
    recording.parent.mkdir(parents=True, exist_ok=True)
    if recording.is_dir():
        recording.rmdir()
    copy = Copy(recording)
    for piece in pieces(backup / RECORDING, files(backup / RECORDING)):
        copy.take(piece)
    owner = state.stat()
    for folder in (state, recording):
        _given(folder, owner)
        _synced(folder)


def _given(folder: Path, owner: os.stat_result) -> None:
    """Make all of a folder somebody's, where this is root's to do."""
    if os.geteuid() == 0:
        for parent, _, names in os.walk(folder):
            for path in (Path(parent), *(Path(parent, name) for name in names)):
                os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _holds_only(folder: Path, recording: Path) -> bool:
    """Whether all that a folder holds is an empty one for the recording."""
    within = list(folder.iterdir())
    return within == [recording] and not any(recording.iterdir())


def _database(file: Path, into: Path) -> None:
    """A copy of the database as it is at one moment, whoever writes to it meanwhile."""
    source = f"{file.absolute().as_uri()}?mode=rw"
    into.touch(mode=0o600)
    try:
        with (
            closing(sqlite3.connect(source, uri=True, timeout=BUSY)) as one,
            closing(sqlite3.connect(into)) as other,
        ):
            one.execute("PRAGMA wal_autocheckpoint = 0")  # that is the gateway's to do
            one.backup(other)
    except sqlite3.Error as error:
        raise StateUnusable(f"{file} cannot be copied: {error}.") from error


def _held(file: Path) -> bytes | None:
    """What is in a file; None if there is none."""
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None


def _copied(file: Path, into: Path, mode: int) -> None:
    with file.open("rb") as source:
        descriptor = os.open(into, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as copy:
            shutil.copyfileobj(source, copy)


def _made(folder: Path, *, there: bool = False) -> None:
    try:
        folder.mkdir(mode=0o700, parents=there)
    except FileExistsError:
        if not there:
            raise StateUnusable(f"{folder} is there already: name a folder that is not.") from None


def _synced(folder: Path) -> None:
    """Return once all of a folder is on the disk."""
    for parent, _, names in os.walk(folder):
        for name in names:
            descriptor = os.open(Path(parent, name), os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        sync_folder(Path(parent))
