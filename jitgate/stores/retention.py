"""How long segments are kept, which are held, and the lawful deletion of those that have expired.

A segment expires so long after it was sealed. The sealer knows the same by itself and has the last
word: what it does not say has expired is not deleted. What stays of a segment are its leaf hashes,
and an entry of the site log that tells who deleted it, so that the trees are as they were.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple, Protocol

from jitgate.core.merkle import HASH_BYTES, leaf_hash
from jitgate.sealer.flags import IMMUTABLE
from jitgate.sealer.keeping import HELD
from jitgate.stores.extent import Part, Told, parts
from jitgate.stores.layout import (
    LEAVES,
    LINES,
    bodies_name,
    leaves_name,
    lines_name,
    log_folder,
    log_names,
    numbered,
)
from jitgate.stores.opening import at_most
from jitgate.stores.scanning import counted, told_of
from jitgate.stores.sealing import Sealer, SealerRefused, has_flag
from jitgate.stores.segment import Disk, place
from jitgate.values import Entry


class SiteLog(Protocol):
    """What is needed of the recording's writer (`jitgate.stores.recordings.RecordFiles`)."""

    @property
    def ended(self) -> set[str]:
        """The writer logs that nobody adds to any more."""

    def tell(self, entry: Entry) -> None:
        """Put an entry on the site log; durable and signed when it returns. Raises `OSError`."""


class Term(NamedTuple):
    """A segment of a writer's log, and how long it is kept."""

    log: str
    first: int
    bytes: int
    until: float | None
    """Seconds since the epoch; None while it is not sealed, so that its time has not begun."""
    held: bool
    expired: bool
    """Whether the sealer would delete it now."""

    @property
    def name(self) -> str:
        """What people call it by."""
        return f"{self.log}:{self.first}"


class Retention:
    """The segments of a recording in ``folder``, each kept for ``period`` seconds once sealed.

    Blocking, and one call at a time. Everything raises `OSError`. ``may_go`` says of a file, by its
    path in the recording, whether it may be deleted once it has expired: where there is an archive,
    whether it is there.
    """

    def __init__(
        self,
        folder: Path,
        records: SiteLog,
        sealer: Sealer,
        period: float,
        *,
        now: Callable[[], float],
        disk: Disk | None = None,
        may_go: Callable[[str], bool] = lambda _file: True,
    ) -> None:
        self._folder = folder
        self._records = records
        self._sealer = sealer
        self._period = period
        self._now = now
        self._disk = disk or Disk()
        self._may_go = may_go

    def terms(self) -> Iterator[Term]:
        """Every segment of the writers' logs that is there, in order."""
        for log in log_names(self._folder):
            for first in numbered(log_folder(self._folder, log), LINES):
                yield self._term(log, first)

    def hold(self, name: str, by: str, why: str) -> list[str]:
        """Hold a segment, or all of a log's that are there; their names, once that is on record."""
        held = self._named(name)
        for log, first in held:
            self._sealer.ask(f"hold {log} {lines_name(first)}")
        return self._tell_each("hold.placed", held, by, why)

    def release(self, name: str, by: str, why: str) -> list[str]:
        """Put on record that holds end. They do once root says so to the sealer itself."""
        return self._tell_each("hold.released", self._named(name), by, why)

    def delete_expired(self, by: str) -> list[str]:
        """Delete what has expired, of logs that have ended; the names of the segments.

        Raises `OSError`, once all else is deleted, for a segment that is not whole: which of its
        entries there were could not be told any more.
        """
        self._finish_deletions()
        told = told_of(self._folder)
        ended = [each for each in self.terms() if each.expired and each.log in self._records.ended]
        gone = [each for each in ended if all(map(self._may_go, self._paths(each)))]
        broken = [each.name for each in gone if not self._delete(each, told[each.log], by)]
        if broken:
            what = f"{' and '.join(broken)} is not whole, so it stays; `jitgate verify` tells where"
            raise OSError(errno.EBADMSG, what)
        return [term.name for term in gone]

    def close(self) -> None:
        """Let go of the sealer until the next call."""
        self._sealer.hang_up()

    def _term(self, log: str, first: int) -> Term:
        path = log_folder(self._folder, log) / lines_name(first)
        sealed = has_flag(path, IMMUTABLE)
        why = self._why_not(log, first)
        return Term(
            log,
            first,
            sum((path.parent / file).stat().st_size for file in self._files(log, first)),
            path.stat().st_ctime + self._period if sealed else None,
            why == HELD,
            why is None and self._now() >= path.stat().st_ctime + self._period,
        )

    def _why_not(self, log: str, first: int) -> str | None:
        """Why the sealer would not delete a segment."""
        for file in self._files(log, first):
            try:
                self._sealer.ask(f"expired {log} {file}")
            except SealerRefused as refused:
                return refused.why
        return None

    def _delete(self, term: Term, site: Told, by: str) -> bool:
        """The leaves first, then the word on record, then the files: each durable in turn.

        Where not all entries are there, nothing is done; returns whether they were.
        """
        folder, name = log_folder(self._folder, term.log), leaves_name(term.first)
        lines = list(counted(folder, site, only=term.first))
        if Part(term.first, term.first + len(lines), True) not in parts(folder, site) or not lines:
            return False
        leaves = b"".join(leaf_hash(line.raw) for line in lines)
        _place(self._disk, folder / name, leaves)
        self._sealer.ask(f"seal {term.log} {name}")
        told: dict[str, object] = {
            "log": term.log,
            "first": term.first,
            "entries": len(leaves) // HASH_BYTES,
            "leaves": sha256(leaves).hexdigest(),
            "from": lines[0].content["time"],
            "to": lines[-1].content["time"],
            "by": by,
            "why": "expired",
        }
        if (abandoned := lines[0].content.get("abandoned")) is not None:
            told["abandoned"] = abandoned  # what it explains may stay
        self._records.tell(Entry("segment.deleted", self._now(), told))
        self._remove(term.log, term.first)
        return True

    def _remove(self, log: str, first: int) -> None:
        """The lines first: while they are there, they are verified with their bodies."""
        for file in self._files(log, first):
            self._sealer.ask(f"delete {log} {file}")

    def _finish_deletions(self) -> None:
        """Bodies whose lines were deleted before something came between."""
        for log in log_names(self._folder):
            folder = log_folder(self._folder, log)
            for first in numbered(folder, LEAVES):
                if not (folder / lines_name(first)).exists():
                    with suppress(SealerRefused):
                        self._remove(log, first)

    def _named(self, name: str) -> list[tuple[str, int]]:
        """The segments meant; raises `OSError` (ENOENT) where there are none."""
        found = [
            (log, first)
            for log in log_names(self._folder)
            for first in numbered(log_folder(self._folder, log), LINES)
            if name in {log, f"{log}:{first}"}
        ]
        if not found:
            raise OSError(errno.ENOENT, "there is no such log or segment")
        return found

    def _tell_each(
        self, kind: str, segments: list[tuple[str, int]], by: str, why: str
    ) -> list[str]:
        for log, first in segments:
            fields = {"log": log, "first": first, "by": by, "why": why}
            self._records.tell(Entry(kind, self._now(), fields))
        return [f"{log}:{first}" for log, first in segments]

    def _paths(self, term: Term) -> list[str]:
        """Those of a segment's files, in the recording."""
        folder = log_folder(self._folder, term.log).relative_to(self._folder)
        return [(folder / file).as_posix() for file in self._files(term.log, term.first)]

    def _files(self, log: str, first: int) -> list[str]:
        folder = log_folder(self._folder, log)
        names = (lines_name(first), bodies_name(first))
        return [name for name in names if (folder / name).exists()]


def _place(disk: Disk, path: Path, leaves: bytes) -> None:
    """Leaves that are there already, and are these, were left by a deletion that got no further."""
    try:
        os.close(place(disk, path, leaves))
    except FileExistsError:
        if at_most(path, len(leaves) + 1) != leaves:
            raise
