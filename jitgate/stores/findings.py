"""What checking a recording yields: findings, progress, and the report at its end."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from jitgate.core.note import Checkpoint, VerifierKey


class Severity(enum.Enum):
    """What a finding means for the answer."""

    TAMPERED = "tampered"
    """The recording is not what was written."""
    UNCERTAIN = "uncertain"
    """Nothing shows that it is not, but something that would show it is missing."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference. ``file`` is relative to the recording; ``entry`` is a number in its log."""

    severity: Severity
    file: str
    entry: int | None
    what: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How many bytes have been checked so far, of how many."""

    done: int
    total: int


@dataclass(slots=True)
class Tally:
    """Counts things, and the span of time that they fall in (RFC 3339 text)."""

    entries: int = 0
    bodies: int = 0
    body_bytes: int = 0
    first: str | None = None
    last: str | None = None

    def count(self, time: str | None) -> None:
        """One entry more; ``time`` is None if the entry could not be read."""
        self.entries += 1
        if time is not None:
            self.first = time if self.first is None else min(self.first, time)
            self.last = time if self.last is None else max(self.last, time)


@dataclass(slots=True)
class Report:
    """The answer for one recording."""

    checkpoint: Checkpoint | None = None
    outside: bool = False
    """Whether the checkpoint was given, and not found beside the recording."""
    keys: list[tuple[VerifierKey, int | None]] = field(default_factory=list)
    """The given key and those that it leads to, each with the size up to which it signs."""
    is_retired: bool = False
    """Whether the given one signs no more."""
    logs: int = 0
    covered: Tally = field(default_factory=Tally)
    unwitnessed: Tally = field(default_factory=Tally)
    unfinished: int = 0
    """Bytes at the ends of open logs that are no entries yet, or never became any."""
    deleted: int = 0
    deleted_segments: int = 0
    """Entries that retention has deleted, of which the leaves are there, and their segments."""
    youngest: float | None = None
    """Seconds that the youngest of those segments was old at most when it was deleted."""
    tampered: int = 0
    uncertain: int = 0
    """How many findings there were of each severity."""

    @property
    def all_witnessed(self) -> bool:
        """Whether the checkpoint covers every byte."""
        return not (self.unwitnessed.entries or self.unfinished)
