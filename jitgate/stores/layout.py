"""The names in a recording's folder: what stands where, and what does not belong there."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import groupby
from pathlib import Path

from jitgate.stores.opening import opened

SITE = "site"
LOGS = "logs"
CHECKPOINTS = "checkpoints"
LOCK = "lock"
"""What stands in a recording's folder, and nothing else does."""

LINES = ".jsonl"
BODIES = ".bodies"
NOTE = ".note"
LEAVES = ".leaves"

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


def is_bodies_name(name: str) -> bool:
    """Whether a file of bodies may be called so: never a path, and nothing else in the folder."""
    return _number(name, BODIES) is not None


def leaves_name(first: int) -> str:
    """The name of the file of leaf hashes that stays of a segment which was deleted."""
    return f"{first:012d}{LEAVES}"


def note_name(size: int) -> str:
    """The name of the checkpoint over ``size`` entries of the site log."""
    return f"{size:012d}{NOTE}"


def numbered(folder: Path, suffix: str) -> list[int]:
    """The numbers that the files of one kind in ``folder`` are called by, in order.

    Whatever else is called so (a folder, a link, a pipe) is a stranger, and not among them.
    """
    return sorted(number for number, is_file in _called(folder, suffix) if is_file)


def refuse_strangers(folder: Path) -> None:
    """Raise `OSError` where something else than a file is called as a log's segments are.

    Readers pass over it. Who goes on writing, or believes what the log shows, must not.
    """
    for number, is_file in _called(folder, LINES):
        if not is_file:
            opened(folder / lines_name(number)).close()


def segments(folder: Path) -> list[int]:
    """The numbers of the first entries of a log's segments, in order; none if there is no log."""
    return numbered(folder, LINES)


def is_log_name(name: str) -> bool:
    """Whether a writer's log may be called so."""
    return name != SITE and LOG_NAME.fullmatch(name) is not None


def log_folder(folder: Path, log: str) -> Path:
    """Where a log stands in a recording, be it the site log or a writer's."""
    return folder / SITE if log == SITE else folder / LOGS / log


def run_of(log: str) -> str:
    """Which run of a gateway a log is of, by its name; several logs of one are written at once.

    A run's own log is called as it is, those of its workers have a full stop behind that.
    """
    return log.partition(".")[0]


def runs(names: Iterable[str]) -> list[list[str]]:
    """Writers' logs, in order, those of one run together."""
    return [list(each) for _, each in groupby(names, run_of)]


def log_names(folder: Path) -> list[str]:
    """The names of a recording's writer logs; they begin with a time, so this is their order.

    What is a link is no log, wherever it leads.
    """
    inside = folder / LOGS
    return [name for name in _names(inside) if is_log_name(name) and is_folder(inside / name)]


def is_folder(path: Path) -> bool:
    """Whether it is a folder, and no link to one."""
    return path.is_dir() and not path.is_symlink()


def is_part(path: str) -> bool:
    """Whether a path in the folder can be that of a file which a copy has as well."""
    folder, _, name = path.rpartition("/")
    if folder == CHECKPOINTS:
        return _number(name, NOTE) is not None
    above, _, log = folder.rpartition("/")
    if folder != SITE and not (above == LOGS and is_log_name(log)):
        return False
    return any(_number(name, suffix) is not None for suffix in (LINES, BODIES, LEAVES))


def size_of(folder: Path) -> int:
    """About the bytes of all files below a folder, for a bar: some may come and go meanwhile."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                total += (Path(parent) / name).lstat().st_size
    return total


def strangers(folder: Path) -> Iterator[str]:
    """The paths, relative to ``folder``, of whatever is no part of a recording.

    A prepared file that a crash has left is no stranger: nothing reads it.
    """
    top = {SITE, LOGS, CHECKPOINTS}
    yield from _strangers(
        folder, folder, _is_folder(top.__contains__), _is_file({LOCK}.__contains__)
    )
    yield from _strangers(folder, folder / CHECKPOINTS, _is_file(_is_note))
    yield from _strangers(folder, folder / LOGS, _is_folder(is_log_name))
    yield from _strangers(folder, folder / SITE, _is_file(_is_lines), _is_bodies)
    for log in log_names(folder):
        inside = log_folder(folder, log)
        yield from _strangers(folder, inside, _is_file(_is_lines), _is_file(_is_leaves), _is_bodies)


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


def _is_note(name: str) -> bool:
    return _number(name.removesuffix(NEW), NOTE) is not None


def _is_lines(name: str) -> bool:
    return _number(name.removesuffix(NEW), LINES) is not None


def _is_leaves(name: str) -> bool:
    return _number(name.removesuffix(NEW), LEAVES) is not None


def _is_bodies(path: Path) -> bool:
    """Whether it is the file beside a segment's lines, which come first into being."""
    first = _number(path.name, BODIES)
    beside = () if first is None else (lines_name(first), leaves_name(first))
    return path.is_file() and any((path.parent / name).is_file() for name in beside)


def _called(folder: Path, suffix: str) -> list[tuple[int, bool]]:
    """The numbers that whatever is in ``folder`` is called by, each with whether it is a file."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as found:
        numbers = [(_number(each.name, suffix), each) for each in found]
    return [
        (number, each.is_file(follow_symlinks=False))
        for number, each in numbers
        if number is not None
    ]


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def _number(name: str, suffix: str) -> int | None:
    """The number that ``name`` is, if it is exactly what that number is called by."""
    stem = name.removesuffix(suffix)
    if not name.endswith(suffix) or not _NUMBER.fullmatch(stem) or f"{int(stem):012d}" != stem:
        return None
    return int(stem)
