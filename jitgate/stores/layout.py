"""The names in a recording's folder: what stands where, and what does not belong there."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

SITE = "site"
LOGS = "logs"
CHECKPOINTS = "checkpoints"
LOCK = "lock"
"""What stands in a recording's folder, and nothing else does."""

LINES = ".jsonl"
BODIES = ".bodies"
NOTE = ".note"

NEW = ".new"
"""Ends the name of a file that is being prepared and is no part of the recording yet."""

LOG_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,99}")
"""What a writer's log may be called: a name that is never a path, and never hidden."""

_NUMBER = re.compile(r"\d{12,18}", re.ASCII)


def lines_name(first: int) -> str:
    """The name of the file of lines whose first entry has the number ``first``."""
    return f"{first:012d}{LINES}"


def bodies_name(first: int) -> str:
    """The name of the file of bodies beside it."""
    return f"{first:012d}{BODIES}"


def note_name(size: int) -> str:
    """The name of the checkpoint over ``size`` entries of the site log."""
    return f"{size:012d}{NOTE}"


def numbered(folder: Path, suffix: str) -> list[int]:
    """The numbers that the files of one kind in ``folder`` are called by, in order."""
    numbers = (_number(name, suffix) for name in _names(folder))
    return sorted(number for number in numbers if number is not None)


def segments(folder: Path) -> list[int]:
    """The numbers of the first entries of a log's segments, in order; none if there is no log."""
    return numbered(folder, LINES)


def log_folder(folder: Path, log: str) -> Path:
    """Where a log stands in a recording, be it the site log or a writer's."""
    return folder / SITE if log == SITE else folder / LOGS / log


def log_names(folder: Path) -> list[str]:
    """The names of a recording's writer logs; they begin with a time, so this is their order."""
    return [name for name in _names(folder / LOGS) if _is_log(name)]


def size_of(folder: Path) -> int:
    """The bytes of all files below a folder."""
    return sum(
        (Path(parent) / name).lstat().st_size
        for parent, _, names in os.walk(folder)
        for name in names
    )


def strangers(folder: Path) -> Iterator[str]:
    """The paths, relative to ``folder``, of whatever is no part of a recording.

    A prepared file that a crash has left is no stranger: nothing reads it.
    """
    top = {SITE, LOGS, CHECKPOINTS}
    yield from _strangers(
        folder, folder, _is_folder(top.__contains__), _is_file({LOCK}.__contains__)
    )
    yield from _strangers(folder, folder / CHECKPOINTS, _is_file(_is_note))
    yield from _strangers(folder, folder / LOGS, _is_folder(_is_log))
    for log in (SITE, *log_names(folder)):
        inside = log_folder(folder, log)
        yield from _strangers(folder, inside, _is_file(_is_lines), _is_bodies)


_Belongs = Callable[[Path], bool]


def _strangers(folder: Path, inside: Path, *kinds: _Belongs) -> Iterator[str]:
    for name in _names(inside):
        path = inside / name
        # What has gone since it was listed was being prepared, or renamed.
        if os.path.lexists(path) and (path.is_symlink() or not any(is_(path) for is_ in kinds)):
            yield str(path.relative_to(folder))


def _is_folder(called: Callable[[str], object]) -> _Belongs:
    return lambda path: path.is_dir() and bool(called(path.name))


def _is_file(called: Callable[[str], object]) -> _Belongs:
    return lambda path: path.is_file() and bool(called(path.name))


def _is_log(name: str) -> bool:
    return LOG_NAME.fullmatch(name) is not None


def _is_note(name: str) -> bool:
    return _number(name.removesuffix(NEW), NOTE) is not None


def _is_lines(name: str) -> bool:
    return _number(name.removesuffix(NEW), LINES) is not None


def _is_bodies(path: Path) -> bool:
    """Whether it is the file beside a segment's lines, which come first into being."""
    first = _number(path.name, BODIES)
    return first is not None and path.is_file() and (path.parent / lines_name(first)).is_file()


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def _number(name: str, suffix: str) -> int | None:
    """The number that ``name`` is, if it is exactly what that number is called by."""
    stem = name.removesuffix(suffix)
    if not name.endswith(suffix) or not _NUMBER.fullmatch(stem) or f"{int(stem):012d}" != stem:
        return None
    return int(stem)
