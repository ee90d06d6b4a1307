"""The bytes of one log, as every reader meets them: its lines, and what stands behind them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from hashlib import file_digest, sha256
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from jitgate.stores.layout import bodies_name, lines_name, segments
from jitgate.stores.lines import LINE_BYTES, LineInvalid, read_line


class Tail(NamedTuple):
    """Bytes behind what counts in a file: where, how many, and their digest."""

    file: str
    offset: int
    bytes: int
    sha256: str


class Counted(NamedTuple):
    """A line that counts, the number of its segment, and its content."""

    first: int
    raw: bytes
    content: dict[str, Any]


def raw_lines(path: Path) -> Iterator[bytes]:
    """The lines of a file with their LF; one that is too long or unfinished comes without."""
    with path.open("rb", buffering=1024 * 1024) as file:
        while line := file.readline(LINE_BYTES):
            yield line


def counted(folder: Path) -> Iterator[Counted]:
    """Every entry that counts: up to where the next segment begins, or up to a torn end."""
    firsts = segments(folder)
    for first, following in zip_longest(firsts, firsts[1:]):
        seq = first
        for raw in raw_lines(folder / lines_name(first)):
            content = None if seq == following else _content(raw)
            if content is None or content["seq"] != seq:
                break
            yield Counted(first, raw, content)
            seq += 1


def tail(path: Path, offset: int) -> Tail | None:
    """What stands in a file from ``offset`` on; None if nothing does."""
    if not path.exists():
        return None
    with path.open("rb") as file:
        length = os.fstat(file.fileno()).st_size - offset
        if length <= 0:
            return None
        file.seek(offset)
        return Tail(path.name, offset, length, file_digest(file, sha256).hexdigest())


def left_behind(folder: Path, first: int, size: int, bodies_size: int) -> tuple[Tail, ...]:
    """What stands in a segment's two files behind the bytes that count."""
    ends = {lines_name(first): size, bodies_name(first): bodies_size}
    found = [tail(folder / name, end) for name, end in ends.items()]
    return tuple(one for one in found if one is not None)


def _content(raw: bytes) -> dict[str, Any] | None:
    try:
        return read_line(raw)
    except LineInvalid:
        return None
