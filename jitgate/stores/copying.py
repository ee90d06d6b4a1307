"""A copy of a recording, for who may not read its files: given out and taken in piece by piece."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from jitgate.errors import StateUnusable
from jitgate.stores.layout import CHECKPOINTS, LOGS, SITE, is_part, log_folder, log_names
from jitgate.stores.opening import length_of, opened

PIECE: Final = 64 * 1024
"""Bytes of a file that are given out at a time."""


class Piece(NamedTuple):
    """What comes next of a file, which is called by its path in the recording."""

    file: str
    data: bytes


def files(folder: Path) -> Iterator[str]:
    """The files of a recording, in the order in which a copy of them can be verified.

    While others write: first what is signed, then what was signed, then what that is about. Each
    folder is looked into once those before it were given out: what they tell of is there by then.
    """
    yield from _parts(folder, folder / CHECKPOINTS)
    yield from _parts(folder, folder / SITE)
    for log in log_names(folder):
        yield from _parts(folder, log_folder(folder, log))


def _parts(folder: Path, inside: Path) -> Iterator[str]:
    paths = sorted(inside.iterdir()) if inside.is_dir() else ()
    names = (path.relative_to(folder).as_posix() for path in paths if length_of(path) is not None)
    return filter(is_part, names)


def pieces(folder: Path, names: Iterable[str]) -> Iterator[Piece]:
    """All of these files; each has a piece at least, be it an empty one. Raises `OSError`.

    One that is not there any more has been deleted meanwhile, and is left out.
    """
    for name in names:
        with suppress(FileNotFoundError), opened(folder / name) as file:
            yield Piece(name, file.read(PIECE))
            while data := file.read(PIECE):
                yield Piece(name, data)


class Copy:
    """A copy in a folder that is not there yet. Raises `StateUnusable`, `OSError`."""

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            raise StateUnusable(f"{folder} is there already: name a folder that is not.") from None
        for inside in (CHECKPOINTS, SITE, LOGS):
            (folder / inside).mkdir()
        self.files = 0
        self.bytes = 0
        self._folder = folder
        self._open = ""

    def take(self, piece: Piece) -> None:
        """Write what comes next. What it is called is somebody else's word, and is checked."""
        if not is_part(piece.file):
            raise StateUnusable(f"The gateway sent a file {piece.file!r}, which no recording has.")
        path = self._folder / piece.file
        is_new = piece.file != self._open
        if is_new:
            path.parent.mkdir(exist_ok=True)
            self._open = piece.file
            self.files += 1
        with path.open("xb" if is_new else "ab") as file:
            file.write(piece.data)
        self.bytes += len(piece.data)
