"""Writers' logs: how one is begun, written alone by a worker, and what the site log is told of it.

A run has a log of its own (`jitgate.stores.recordings`), and one for each worker that it starts.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from zope.interface import implementer

from jitgate.errors import StateUnusable
from jitgate.interfaces import IRecordStore
from jitgate.stores.layout import SITE, is_log_name, log_folder, segments
from jitgate.stores.lines import FORMAT
from jitgate.stores.log import SEGMENT_BYTES, Log
from jitgate.stores.segment import Disk, put_away, sweep
from jitgate.stores.standing_folder import made
from jitgate.stores.stock import Stock, take_stock
from jitgate.values import Entry


class Head(NamedTuple):
    """How far a log has grown: its durable entries, and the root of their tree in hex."""

    size: int
    root: str


def opening(log: str, site: str, run: Mapping[str, object], now: float) -> Entry:
    """The first entry of a writer's log."""
    return Entry("log.open", now, {"format": FORMAT, "log": log, "site": site, "run": dict(run)})


def accounted(recording: Path, log: str, disk: Disk, now: float) -> Entry:
    """What the site log says of a writer's log that nobody has closed.

    It says what was found. If that is less than an earlier head, `verify` will tell.
    """
    if not is_log_name(log):
        raise StateUnusable(f"The site log names a log {log!r}, which cannot be one's name.")
    folder = log_folder(recording, log)
    sweep(folder)
    stock = take_stock(folder, lambda _content, _tree: None)
    put_away(disk, folder, segments(folder))
    fields: dict[str, object] = {
        "log": log,
        "size": stock.tree.size,
        "root": stock.tree.root.hex(),
        "clean": False,
    }
    if stock.abandoned:
        fields["abandoned"] = [tail._asdict() for tail in stock.abandoned]
    return Entry("log.closed", now, fields)


class Others:
    """What is known of the logs of a run's workers, until the site log has it.

    Heads may be noted in any thread; all else is the recorder's.
    """

    def __init__(self, run: str) -> None:
        self._run = run
        self.open: set[str] = set()
        """Those that are written, as far as is known."""
        self.lost: set[str] = set()
        """Those whose worker has died, and whose end is on no record yet."""
        self._heads: dict[str, Head] = {}
        self._told: dict[str, int] = {}
        self._cut: dict[str, int] = {}
        """What the site log had been told of each when the run's logs were cut last."""

    def check(self, log: str) -> None:
        """Raise `StateUnusable` if a worker of this run cannot begin a log that is called so."""
        if not (is_log_name(log) and log.startswith(f"{self._run}.")):
            raise StateUnusable(f"{log!r} cannot be the name of a worker's log.")
        if log in self.open | self.lost:
            raise StateUnusable(f"There is a log {log} already.")

    def note(self, log: str, head: Head) -> None:
        """A worker says how far its log has grown; no log shrinks."""
        if head.size >= self._heads.get(log, Head(0, "")).size:
            self._heads[log] = head

    def grown(self) -> list[tuple[str, Head]]:
        """The heads that the site log has not been told."""
        known = [(log, head) for log, head in list(self._heads.items()) if log in self.open]
        return [(log, head) for log, head in known if head.size != self._told.get(log, 0)]

    def told(self, heads: Sequence[tuple[str, Head]]) -> None:
        """It has been told these."""
        self._told.update({log: head.size for log, head in heads})

    @property
    def have_grown(self) -> bool:
        """Whether it has been told of more since, than of what a cut itself begins."""
        return any(size > self._cut.get(log, 0) + 1 for log, size in self._told.items())

    def to_cut(self) -> None:
        """What it has been told by now is to be in segments that have ended."""
        self._cut = dict(self._told)

    def have_cut(self, recording: Path) -> bool:
        """Whether that is so."""
        return all(
            max(segments(log_folder(recording, log)), default=0) >= size
            for log, size in self._cut.items()
            if log in self.open
        )

    def ended(self, log: str) -> None:
        """Nothing more is to be said of a log."""
        self.open.discard(log)
        self.lost.discard(log)
        self._heads.pop(log, None)
        self._told.pop(log, None)


@implementer(IRecordStore)
class WorkerFiles:
    """A worker's log ``log`` in a recording whose site log another process writes.

    That one has put on its site log that this one is begun before `open` is called.
    """

    def __init__(
        self,
        folder: Path,
        *,
        site: str,
        log: str,
        run: Mapping[str, object],
        now: Callable[[], float],
        disk: Disk | None = None,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        self._folder = log_folder(folder, log)
        self._site = log_folder(folder, SITE)
        self._opening = (log, site, run)
        self._now = now
        self._disk = disk or Disk()
        self._segment_bytes = segment_bytes
        self._log: Log | None = None
        self._cut_behind: list[int] = []
        """The newest segment of the site log when this one was cut last."""
        self.last = Head(0, "")
        """How far the log had grown when it was closed."""

    def open(self) -> None:
        if self._folder.name == SITE or self._folder.exists():
            raise StateUnusable(f"There is a log {self._folder.name} already.")
        made(self._folder, self._disk)
        self._disk.ready(ask=True)
        log = Log(
            self._folder,
            Stock(),
            now=self._now,
            disk=self._disk,
            segment_bytes=self._segment_bytes,
        )
        log.begin(opening(*self._opening, self._now()))
        self._cut_behind = segments(self._site)[-1:]
        self._log = log

    def append(self, entries: Sequence[Entry]) -> None:
        self._opened().append(entries)

    def recover(self) -> None:
        log = self._opened()
        if log.failed:
            log.resume()

    def checkpoint(self) -> None:
        """What is signed, whoever writes the site log signs; here files are kept from change.

        Where the site log was cut, this one is: then the archive has a whole recording by itself.
        """
        log = self._opened()
        self._disk.ready(ask=True)
        newest = segments(self._site)[-1:]
        if newest != self._cut_behind:
            log.cut()
            self._cut_behind = newest

    def head(self) -> Head:
        """How far the log has grown. In the thread that writes it."""
        log = self._opened()
        return Head(log.size, log.root)

    def close(self) -> None:
        log = self._opened()
        try:
            self.recover()
            log.append([Entry("log.close", self._now(), {"why": "stopped"})])
            self.last = Head(log.size, log.root)
        finally:
            log.finish()
            self._log = None
            self._disk.close()

    def _opened(self) -> Log:
        if self._log is None:
            raise OSError(errno.EBADF, "the log is not open")
        return self._log
