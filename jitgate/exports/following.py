"""Follows a recording while it is written, as far as the site log says that it has grown.

An entry is told once it is durable: a log is synced before the site log says its size. What stands
behind that may be lost yet, by a failed sync or a power cut.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from jitgate.exports.exchanges import Exchanges, Told, count
from jitgate.stores import extent
from jitgate.stores.layout import SITE, log_folder, log_names
from jitgate.stores.reading import Kept
from jitgate.stores.scanning import Place, counted


class Follower:
    """Tells each exchange once, log by log: call `more` from time to time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._site = Tail(folder, SITE)
        self._durable: dict[str, int] = {}
        """For each writer's log, the entries that are durable."""
        self._extents: defaultdict[str, extent.Told] = defaultdict(extent.Told)
        self._ended: set[str] = set()
        self._logs: dict[str, tuple[Tail, Exchanges]] = {}
        """Those that are followed: several of one run are written at once."""

    def more(self) -> Iterator[Told]:
        """What has come since; without an outcome only what nobody can go on with."""
        self._look()
        for name in log_names(self._folder):
            if name in self._extents and name not in self._ended:
                log, begun = self._logs.setdefault(name, (Tail(self._folder, name), Exchanges()))
                yield from self._grown(log, begun)

    def _grown(self, log: Tail, begun: Exchanges) -> Iterator[Told]:
        said = self._extents[log.name]
        for kept in log.more(said, self._durable.get(log.name, 0)):
            if (told := begun.add(kept)) is not None:
                yield told
        if said.closed is not None:
            self._ended.add(log.name)
            del self._logs[log.name]
            yield from begun.rest()

    def _look(self) -> None:
        """Read on what the site log says of the writers' logs."""
        for kept in self._site.more(extent.Told()):
            log, size = kept.text("log"), count(kept.content.get("size"))
            if log is not None:
                self._extents[log].learn(kept.content)
            if kept.type in ("log.head", "log.closed") and log is not None and size is not None:
                self._durable[log] = max(size, self._durable.get(log, 0))


class Tail:
    """One log, read on from where it was."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self._folder = log_folder(folder, name)
        self._seq = 0
        self._first = -1
        self._offset = 0

    def more(self, said: extent.Told, size: int | None = None) -> Iterator[Kept]:
        """The entries since the last time, up to so many in all; ``said`` is what counts of it."""
        while (part := self._enter(said)) is not None and (size is None or self._seq < size):
            before, place = self._seq, Place(part.first, self._offset, self._seq)
            for line in counted(self._folder, said, place, only=part.first):
                if self._seq == size:
                    return
                _, self._offset, self._seq = line.end
                yield Kept(self.name, line.content)
            if self._seq == before:
                return

    def _enter(self, said: extent.Told) -> extent.Part | None:
        """Go to the segment that holds the next entry; None: there is none yet.

        Where lines of a failed batch were read, the next segment begins before them; where
        segments are gone, with those that are there.
        """
        found = list(extent.parts(self._folder, said))
        at = max((at for at, part in enumerate(found) if part.first <= self._seq), default=0)
        part = next((part for part in found[at:] if part.is_there), None)
        if part is not None and part.first != self._first:
            self._first, self._seq, self._offset = part.first, part.first, 0
        return part
