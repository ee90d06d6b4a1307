"""Reading a recording: its entries, their bodies, and the sessions they tell of.

Nothing here says that what is read is what was written; `jitgate.stores.verifying` does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from jitgate.stores.frames import BodyRef, FrameInvalid, unpack
from jitgate.stores.layout import LOG_NAME, SITE, log_folder, log_names
from jitgate.stores.scanning import counted

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

    def part(self, field: str) -> Fields:
        """A field that is an object, an empty one if it is not there or something else."""
        value = self.content.get(field)
        return value if isinstance(value, Mapping) else {}


class Recording:
    """A folder with a recording. The site log is read under the name ``site``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def exists(self) -> bool:
        """Whether there is a recording in the folder at all."""
        return (self._folder / SITE).is_dir()

    def entries(self, log: str) -> Iterator[Kept]:
        """The entries of one log that count, in order."""
        for line in counted(log_folder(self._folder, log)):
            yield Kept(log, line.content)

    def every_entry(self) -> Iterator[Kept]:
        """The entries of all writer logs, one log after the other."""
        for log in log_names(self._folder):
            yield from self.entries(log)

    def entry(self, log: str, seq: int) -> Kept | None:
        """One entry, or None if there is none of that number."""
        if log != SITE and not LOG_NAME.fullmatch(log):
            return None
        return next((kept for kept in self.entries(log) if kept.seq == seq), None)

    def body(self, kept: Kept, name: str) -> bytes:
        """What was kept of a body, checked against its entry; raises `FrameInvalid`, `OSError`."""
        ref = BodyRef.parse(kept.content["bodies"][name])
        if "/" in ref.file:
            raise FrameInvalid("the body's file is not in the folder of its log")
        path = log_folder(self._folder, kept.log) / ref.file
        with path.open("rb") as file:
            file.seek(ref.offset)
            frame = file.read(min(ref.length, path.stat().st_size))
        return b"".join(unpack(frame, ref))


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
    for key, kept in _by_session(recording):
        found.setdefault(key, Session(key[0], kept.time)).add(kept)
    return sorted(found.values(), key=lambda session: (session.started_at, session.id))


def timelines(recording: Recording, wanted: str) -> list[list[Kept]]:
    """The entries of the sessions, or of the one exchange, called ``wanted``, each by time."""
    found: dict[tuple[str, str], list[Kept]] = {}
    for key, kept in _by_session(recording):
        if wanted in (key[0], kept.text("exchange")):
            found.setdefault(key, []).append(kept)
    return [
        sorted(entries, key=lambda kept: (kept.time, kept.log, kept.seq))
        for entries in found.values()
    ]


def _by_session(recording: Recording) -> Iterator[tuple[tuple[str, str], Kept]]:
    """Each entry of a session, with the session's name and whose it is.

    Many entries name no subject: the one that began their exchange, their access request or their
    grant, which stands before them, does.
    """
    owners: dict[str, str] = {}
    for kept in recording.every_entry():
        session = kept.text("session")
        if session is None:
            continue
        named = (kept.text(each) for each in ("exchange", "access_request", "grant"))
        keys, subject = [key for key in named if key is not None], kept.part("subject")
        owner = f"{subject.get('issuer')} {subject.get('id')}" if subject else ""
        owner = owner or next((owners[key] for key in keys if owners.get(key)), "")
        owners.update(dict.fromkeys(keys, owner))
        if kept.type == "outcome" and kept.text("grant") is None:
            owners.pop(kept.text("exchange") or "", None)
        yield (session, owner), kept
