"""What a recording shows of a store's changes and runs, for the start after whatever happened.

A run's log may be large and tell little of them: a line that begins as every other entry does is
not parsed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from zope.interface import implementer

from jitgate.errors import StateUnusable
from jitgate.interfaces import IEvidence
from jitgate.stores.layout import lines_name, log_folder, log_names, refuse_strangers, segments
from jitgate.stores.lines import RESERVED, LineInvalid, moment, read_line
from jitgate.stores.scanning import raw_lines
from jitgate.values import Entry

TOLD_OF = ("access.", "grant.", "state.", "subject.")
"""How the types of the entries begin that are read."""

_OTHER = re.compile(
    rb'\{"seq":(\d{1,18}),"time":"[0-9T:.Z-]{27}","type":"(?!(?:access|grant|state|subject)\.)[a-z.-]+"[,}]'
)
"""How a line begins, as `jitgate.stores.lines` writes it, that is not read."""


class _NotWhole(Exception):
    """A log is missing, or entries of it between others."""


@implementer(IEvidence)
class RecordedEvidence:
    """Reads the recording in ``folder``. Raises `StateUnusable` where it cannot be read at all.

    A log of which a part is missing is as good as none: what it showed is not known.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def since(self, run: str) -> Sequence[Entry] | None:
        try:
            return self._since(run)
        except _NotWhole:
            return None
        except OSError as error:
            why = (error.strerror or type(error).__name__).lower()
            raise StateUnusable(
                f"The recording in {self._folder} cannot be read: {why}."
            ) from error

    def _since(self, run: str) -> list[Entry]:
        logs = log_names(self._folder)
        if run not in logs:
            raise _NotWhole
        found: list[Entry] = []
        for log in logs[logs.index(run) :]:
            folder = log_folder(self._folder, log)
            refuse_strangers(folder)
            if log == run and not segments(folder):
                raise _NotWhole
            self._read(folder, found)
        return found

    def _read(self, folder: Path, found: list[Entry]) -> None:
        firsts = segments(folder)
        seq = 0
        for first, following in zip_longest(firsts, firsts[1:]):
            if first != seq:
                raise _NotWhole
            seq = _read_segment(folder / lines_name(first), first, following, found)


def entry_of(content: Mapping[str, Any]) -> Entry:
    """The entry that a line holds, without its bodies; raises `ValueError` for an odd time."""
    fields = {name: value for name, value in content.items() if name not in RESERVED}
    return Entry(content["type"], moment(content["time"]).timestamp(), fields)


def _read_segment(path: Path, seq: int, following: int | None, found: list[Entry]) -> int:
    """Add to ``found`` what a segment tells; the number of the first line that does not count.

    Which lines count is what `jitgate.stores.scanning.counted` says, but that a line of no
    interest need only begin as one: so more may be believed than was durable, never less.
    """
    for raw in raw_lines(path):
        if seq == following:
            break
        other = _OTHER.match(raw)
        if other is None or raw[-1:] != b"\n":
            try:
                content = read_line(raw)
            except LineInvalid:
                break
            if content["seq"] != seq:
                break
            if content["type"].startswith(TOLD_OF):
                try:
                    found.append(entry_of(content))
                except ValueError:  # a time that no calendar has: nobody has written that
                    raise _NotWhole from None
        elif int(other[1]) != seq:
            break
        seq += 1
    return seq
