"""Reading a recording: its entries, their bodies, and the sessions they tell of.

Nothing here says that what is read is what was written; `jitgate.stores.verifying` does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from heapq import merge
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

from jitgate.stores.extent import Told
from jitgate.stores.frames import PIECE_BYTES, BodyRef, FrameInvalid, unpack
from jitgate.stores.layout import (
    SITE,
    is_bodies_name,
    log_folder,
    log_names,
    runs,
    segments,
)
from jitgate.stores.opening import length_of, opened
from jitgate.stores.scanning import Counted, Place, counted, told_of

Fields = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Kept:
    """An entry as it was read; ``time`` is RFC 3339 text, ``content`` the whole line."""

    log: str
    content: Fields

    @property
    def seq(self) -> int:
        return int(self.content["seq"])

    @property
    def time(self) -> str:
        return str(self.content["time"])

    @property
    def type(self) -> str:
        return str(self.content["type"])

    @property
    def name(self) -> str:
        """What `jitgate show` finds it by."""
        return f"{self.log}:{self.seq}"

    def text(self, field: str) -> str | None:
        """A field that is text, None if it is not there or something else."""
        value = self.content.get(field)
        return value if isinstance(value, str) else None

    def is_about(self, wanted: str) -> bool:
        """Whether it names this exchange, access request or grant."""
        return wanted in (self.text(field) for field in ("exchange", "access_request", "grant"))

    def part(self, field: str) -> Fields:
        """A field that is an object, an empty one if it is not there or something else."""
        value = self.content.get(field)
        return value if isinstance(value, Mapping) else {}


class Recording:
    """A folder with a recording. The site log is read under the name ``site``.

    ``passed`` is told how many bytes of lines have been read while all of it is.
    """

    def __init__(self, folder: Path, passed: Callable[[int], None] = lambda _: None) -> None:
        self.folder = folder
        self._passed = passed
        self._done = 0

    @property
    def exists(self) -> bool:
        """Whether there is a recording in the folder at all."""
        return (self.folder / SITE).is_dir()

    def entries(self, log: str) -> Iterator[Kept]:
        """The entries of one log that count, in order."""
        for line in self.lines(log):
            yield Kept(log, line.content)

    @property
    def logs(self) -> list[str]:
        """The writer logs, in order: those that the site log names.

        It does before a log begins. What it does not name is no part of the recording.
        """
        present = log_names(self.folder)
        if not self._told.keys() >= {*present}:
            del self._told  # another run may have begun since it was read
        return [log for log in present if log in self._told]

    @property
    def deleted(self) -> int:
        """How many segments of its logs retention has deleted, as the site log says."""
        return sum(len(self.told(log).deleted) for log in self.logs)

    def is_deleted(self, log: str, seq: int) -> bool:
        """Whether an entry of that number was deleted by retention."""
        gone = self.told(log).deleted.values()
        return any(each.first <= seq < each.first + each.entries for each in gone)

    @property
    def strangers(self) -> list[str]:
        """What looks like a log there, and is none."""
        return sorted({*log_names(self.folder)}.difference(self.logs))

    def every_entry(self) -> Iterator[Kept]:
        """The entries of all writer logs, one run after the other, those of one run by time."""
        self._done = 0
        for together in runs(self.logs):
            yield from merge(*map(self._passing, together), key=attrgetter("time"))

    def _passing(self, log: str) -> Iterator[Kept]:
        for line in self.lines(log):
            self._done += len(line.raw)
            self._passed(self._done)
            yield Kept(log, line.content)

    def entry(self, log: str, seq: int) -> Kept | None:
        """One entry, or None if there is none of that number."""
        if log != SITE and log not in self.logs:
            return None
        there = segments(log_folder(self.folder, log))
        first = max((first for first in there if first <= seq), default=0)
        found = self.lines(log, only=first)
        return next((Kept(log, line.content) for line in found if line.content["seq"] == seq), None)

    def lines(
        self, log: str, since: Place | None = None, *, only: int | None = None
    ) -> Iterator[Counted]:
        """The lines of one log that count, as `jitgate.stores.scanning.counted` gives them."""
        return counted(log_folder(self.folder, log), self.told(log), since, only=only)

    def told(self, log: str) -> Told:
        """What the site log says of a log. It is read once, when this is first asked."""
        return Told() if log == SITE else self._told.get(log, Told())

    @cached_property
    def _told(self) -> Mapping[str, Told]:
        return told_of(self.folder)

    def body(self, kept: Kept, name: str, most: int | None = None) -> bytes:
        """What was kept of a body, checked against its entry; raises `FrameInvalid`, `OSError`.

        With ``most``, not much more than so many bytes of it; then the rest is not looked at.
        """
        ref = BodyRef.parse(kept.content["bodies"][name])
        if not is_bodies_name(ref.file):
            raise FrameInvalid("the body's file is not in the folder of its log")
        path = log_folder(self.folder, kept.log) / ref.file
        size = length_of(path) or 0
        with opened(path) as file:
            file.seek(min(ref.offset, size))
            frame = file.read(min(ref.length, size))
        pieces: list[bytes] = []
        for piece in unpack(frame, ref):
            pieces.append(piece)
            if most is not None and len(pieces) * PIECE_BYTES >= most:
                break
        return b"".join(pieces)


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request with its answer; what is not known, or not yet, is None."""

    id: str
    target: str | None = None
    action: str | None = None
    method: str | None = None
    url: str | None = None
    effect: str | None = None
    rule: str | None = None
    status: int | None = None
    outcome: str = "unknown"

    def told(self, kept: Kept) -> Exchange:
        """The exchange with what one more of its entries tells."""
        if kept.type == "decision":
            operation, request = kept.part("operation"), kept.part("request")
            return replace(
                self,
                target=operation.get("target"),
                action=operation.get("action"),
                method=operation.get("method") or request.get("method"),
                url=operation.get("url") or request.get("target"),
                effect=kept.text("effect"),
                rule=kept.text("rule"),
            )
        if kept.type == "outcome":
            outcome = kept.text("outcome") or self.outcome
            return replace(self, status=kept.content.get("status"), outcome=outcome)
        return self


@dataclass(slots=True)
class Session:
    """One agent's run, over all logs that tell of it."""

    id: str
    started_at: str
    subject: Fields = field(default_factory=dict)
    exchanges: dict[str, Exchange] = field(default_factory=dict)

    def add(self, kept: Kept) -> None:
        self.started_at = min(self.started_at, kept.time)
        self.subject = self.subject or kept.part("subject")
        if (exchange := kept.text("exchange")) is not None:
            so_far = self.exchanges.get(exchange, Exchange(exchange))
            self.exchanges[exchange] = so_far.told(kept)


def sessions(recording: Recording) -> list[Session]:
    """Every session, the earliest first. One name under two subjects is two sessions."""
    found: dict[tuple[str, str], Session] = {}
    sorter = Sorter()
    for kept in recording.every_entry():
        if (place := sorter.place(kept)) is not None:
            found.setdefault(place[:2], Session(place.session, kept.time)).add(kept)
    return in_order(found.values())


def in_order(found: Iterable[Session]) -> list[Session]:
    """Sessions, the earliest first."""
    return sorted(found, key=lambda session: (session.started_at, session.id))


def timelines(recording: Recording, wanted: str) -> list[list[Kept]]:
    """The entries of the sessions called ``wanted``, or of one thing in them, each by time.

    Such a thing is an exchange, an access request or a grant.
    """
    found: dict[tuple[str, str], list[Kept]] = {}
    sorter = Sorter()
    for kept in recording.every_entry():
        place = sorter.place(kept)
        if place is not None and (wanted == place.session or kept.is_about(wanted)):
            found.setdefault(place[:2], []).append(kept)
    return [
        sorted(entries, key=lambda kept: (kept.time, kept.log, kept.seq))
        for entries in found.values()
    ]


class Belongs(NamedTuple):
    """Where an entry belongs: a session's name, whose it is, and the exchange if it is of one."""

    session: str
    owner: str
    exchange: str | None


class Sorter:
    """Sorts entries into sessions and exchanges; it is shown all of them, in order.

    Many entries name no subject, and answers no exchange: what began their exchange, their access
    request or their grant, and stands before them, does.
    """

    def __init__(self) -> None:
        self.owners: dict[str, str] = {}
        """Whose each exchange without an outcome is, and each access request and grant."""
        self.asked: dict[str, str] = {}
        """The exchange that each access request was opened for."""

    def place(self, kept: Kept) -> Belongs | None:
        """Where one more entry belongs; None if that is no session."""
        session = kept.text("session")
        if session is None:
            return None
        exchange, request = kept.text("exchange"), kept.text("access_request")
        keys = [key for key in (exchange, request, kept.text("grant")) if key is not None]
        subject = kept.part("subject")
        owner = f"{subject.get('issuer')} {subject.get('id')}" if subject else ""
        owner = owner or next((self.owners[key] for key in keys if self.owners.get(key)), "")
        self.owners.update(dict.fromkeys(keys, owner))
        if kept.type == "outcome" and kept.text("grant") is None:
            self.owners.pop(exchange or "", None)
        if exchange is None:
            exchange = self.asked.get(request or "")
        elif request is not None and kept.type.startswith("access."):
            self.asked.setdefault(request, exchange)
        return Belongs(session, owner, exchange)
