"""What of a recording is in which archive, as its site log says with ``file.archived``."""

from __future__ import annotations

import dataclasses
import stat
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from jitgate.flow.archiving import Sealed
from jitgate.stores.layout import LEAVES, bodies_name, leaves_name, lines_name, log_folder, numbered
from jitgate.stores.lines import moment, timestamp
from jitgate.values import Archived


class InArchives:
    """By the archive's place and the file's path in the recording: a new place has nothing yet."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], Archived] = {}

    def get(self, place: str, key: str) -> Archived | None:
        """A file as the archive at ``place`` keeps it."""
        return self._kept.get((place, key))

    def add(self, kept: Archived, key: str) -> None:
        """It is on record that a file is there."""
        self._kept[kept.place, key] = kept

    def missing(self, place: str, key: str) -> None:
        """A file is there no more: it is to be put there again."""
        self._kept.pop((place, key), None)

    def lacking(
        self, place: str, folder: Path, ended: Iterable[tuple[str, Sequence[int]]]
    ) -> list[Sealed]:
        """Of some segments of some logs in ``folder``, and of deleted ones, what is not there."""
        paths = [
            log_folder(folder, log) / name
            for log, firsts in ended
            for first in sorted({*firsts, *numbered(log_folder(folder, log), LEAVES)})
            for name in (lines_name(first), bodies_name(first), leaves_name(first))
        ]
        found = (sealed_at(folder, path) for path in paths)
        return [each for each in found if each and self.get(place, each.key) is None]

    def learn(self, content: Mapping[str, Any]) -> None:
        """Take in a line of the site log. A file of which it does not say enough is put again."""
        with suppress(KeyError, TypeError, ValueError):
            said = {each.name: content[each.name] for each in dataclasses.fields(Archived)}
            said["until"] = moment(said["until"]).timestamp()
            self.add(Archived(**said), content["file"])


def told_of(kept: Archived, key: str) -> dict[str, object]:
    """What the site log says of it."""
    return {"file": key, **dataclasses.asdict(kept), "until": timestamp(kept.until)}


def sealed_at(folder: Path, path: Path) -> Sealed | None:
    """A regular file of the recording in ``folder``; None for what is none, or is not there."""
    try:
        found = path.lstat()
    except OSError:
        return None
    key = path.relative_to(folder).as_posix()
    return Sealed(str(path), key, found.st_size) if stat.S_ISREG(found.st_mode) else None
