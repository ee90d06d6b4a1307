"""Following a recording while it is written."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from jitgate.stores.layout import log_folder, run_of, runs, segments
from jitgate.stores.reading import Kept, Recording
from jitgate.stores.scanning import Place


class Withdrawn(NamedTuple):
    """So many entries at the end of a log were given and never counted: their writing failed."""

    log: str
    entries: int


class Follower:
    """Gives each entry once, as the files grow, those of several logs by their time.

    What it gives may not be durable yet.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._recording = Recording(folder)
        self._read: dict[str, Place] = {}
        self._last: dict[str, str] = {}
        """The type of the last entry of each log that was seen."""

    @property
    def ended(self) -> bool:
        """Whether the newest run has ended in order, so that nothing comes before another run."""
        newest = max(map(run_of, self._last), default="")
        return self._last.get(newest) == "log.close"

    def grown(self) -> Iterator[Kept | Withdrawn]:
        """What has come since the last time, one run after the other."""
        newest = max(map(run_of, self._read), default="")
        for logs in runs(self._recording.logs):
            if run_of(logs[0]) < newest:
                continue  # one run at a time: it has ended, and was read to its end
            for log in logs:
                yield from self._withdrawn(log, log_folder(self._folder, log))
            yield from merge(*map(self._more, logs), key=attrgetter("time"))

    def _more(self, log: str) -> Iterator[Kept]:
        self._last.setdefault(log, "")
        for line in self._recording.lines(log, self._read.get(log)):
            kept = Kept(log, line.content)
            self._read[log], self._last[log] = line.end, kept.type
            yield kept

    def _withdrawn(self, log: str, folder: Path) -> Iterator[Withdrawn]:
        """Whether the log goes on before where it was read to; then reading goes back to there."""
        place = self._read.get(log)
        if place is None:
            return
        on = next((first for first in segments(folder) if first > place.first), place.seq)
        if on < place.seq:
            self._read[log] = Place(on, 0, on)
            yield Withdrawn(log, place.seq - on)
