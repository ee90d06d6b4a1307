"""The bytes of one log, as every reader meets them: its lines, and what stands behind them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any, NamedTuple

from jitgate.stores.extent import Told, parts
from jitgate.stores.layout import SITE, bodies_name, lines_name, log_folder
from jitgate.stores.lines import LINE_BYTES, LineInvalid, read_line
from jitgate.stores.opening import length_of, opened


class Tail(NamedTuple):
    """Bytes behind what counts in a file: where, how many, and their digest."""

    file: str
    offset: int
    bytes: int
    sha256: str


class Left(NamedTuple):
    """Where bytes stand behind what counts in a file, and how many. Nobody has read them."""

    path: Path
    offset: int
    bytes: int

    @property
    def tail(self) -> Tail:
        """The same with their digest; raises `OSError`."""
        with opened(self.path) as file:
            file.seek(self.offset)
            digest = file_digest(file, sha256).hexdigest()
        return Tail(self.path.name, self.offset, self.bytes, digest)


class Place(NamedTuple):
    """A place in a log: the number of a segment, the bytes before it there, the next entry."""

    first: int = 0
    offset: int = 0
    seq: int = 0


class Counted(NamedTuple):
    """A line that counts, the number of its segment, its content, and the bytes before it there."""

    first: int
    raw: bytes
    content: dict[str, Any]
    offset: int

    @property
    def end(self) -> Place:
        """The place behind it."""
        return Place(self.first, self.offset + len(self.raw), self.content["seq"] + 1)


def raw_lines(path: Path, offset: int = 0) -> Iterator[bytes]:
    """The lines of a file with their LF; one that is too long or unfinished comes without."""
    with opened(path, buffering=1024 * 1024) as file:
        file.seek(offset)
        while line := file.readline(LINE_BYTES):
            yield line


def counted(
    folder: Path,
    told: Told | None = None,
    since: Place | None = None,
    *,
    only: int | None = None,
) -> Iterator[Counted]:
    """Every entry that counts: up to where the next segment begins, or up to a torn end.

    ``told`` is what the site log says of the log; nothing of the site log itself, and of one that
    has not ended. With ``since``, the end of one that was read before, those behind it; with
    ``only``, those of one segment. Of a segment that was deleted there are none.
    """
    for part in parts(folder, told or Told()):
        if not part.is_there or only not in {None, part.first}:
            continue
        if since is not None and part.first < since.first:
            continue
        here = since is not None and since.first == part.first
        place = since if since is not None and here else Place(part.first, 0, part.first)
        seq, offset = place.seq, place.offset
        for raw in raw_lines(folder / lines_name(part.first), offset):
            ended = part.stop is not None and seq >= part.stop
            content = None if ended else _content(raw)
            if content is None or content["seq"] != seq:
                break
            yield Counted(part.first, raw, content, offset)
            seq, offset = seq + 1, offset + len(raw)


def told_of(folder: Path) -> Mapping[str, Told]:
    """What the site log of the recording in ``folder`` tells of each writer's log."""
    found: defaultdict[str, Told] = defaultdict(Told)
    for line in counted(log_folder(folder, SITE)):
        log = line.content.get("log")
        if isinstance(log, str):
            found[log].learn(line.content)
    return found


def left_behind(folder: Path, first: int, size: int, bodies_size: int) -> tuple[Left, ...]:
    """What stands in a segment's two files behind the bytes that count."""
    ends = {lines_name(first): size, bodies_name(first): bodies_size}
    found = (
        Left(folder / name, end, (length_of(folder / name) or 0) - end)
        for name, end in ends.items()
    )
    return tuple(left for left in found if left.bytes > 0)


def _content(raw: bytes) -> dict[str, Any] | None:
    try:
        return read_line(raw)
    except LineInvalid:
        return None
