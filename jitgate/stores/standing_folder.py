"""A recording's folder before it is written: its folders, for us alone, and the lock on it."""

from __future__ import annotations

import os
from pathlib import Path

from jitgate.errors import StateUnusable
from jitgate.stores.durably import locked, locked_folder, make_folder
from jitgate.stores.layout import CHECKPOINTS, LOCK, LOGS, SITE
from jitgate.stores.segment import FOLDER_MODE, Disk, sweep


def prepared(folder: Path, writer: str, disk: Disk) -> list[int]:
    """The descriptors of the locks that keep a second writer out, which last as long as they.

    Raises `StateUnusable`, `OSError`.
    """
    make_folder(folder.parent, 0o777)
    for each in (folder, *(folder / name for name in (SITE, LOGS, CHECKPOINTS))):
        if not each.is_dir():
            made(each, disk, exist_ok=True)
    if folder.stat().st_mode & 0o022:
        raise StateUnusable(f"Others may write to {folder}; take that right from them.")
    locks = _alone(folder)
    try:
        _refuse_taken(folder, writer)
        sweep(folder / CHECKPOINTS)
    except BaseException:
        _let_go(locks)
        raise
    return locks


def _refuse_taken(folder: Path, writer: str) -> None:
    if (folder / LOGS / writer).exists():
        raise StateUnusable(f"There is a log {writer} in {folder} already.")


def _alone(folder: Path) -> list[int]:
    """By the folder as well: the file's name may go, and another file have it."""
    locks = list[int]()
    try:
        locks.append(locked(folder / LOCK))
        locks += locked_folder(folder)
    except BlockingIOError:
        _let_go(locks)
        raise StateUnusable(
            f"Another gateway is writing to {folder}; "
            "stop it first, or give this one a recording directory of its own."
        ) from None
    return locks


def _let_go(locks: list[int]) -> None:
    while locks:
        os.close(locks.pop())


def made(folder: Path, disk: Disk, *, exist_ok: bool = False) -> None:
    """Make a folder of a recording, durably."""
    folder.mkdir(mode=FOLDER_MODE, exist_ok=exist_ok)
    disk.sync_folder(folder.parent)
