"""Which entries of a log count, for who verifies it and for who reads it.

Its own files say where segments begin. The site log says where a log has ended, and which of its
segments were deleted lawfully. A file of leaf hashes says nothing by itself: anybody could put one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from jitgate.stores.layout import segments

MOST = 10**18
"""Entries of a log: its segments' names have at most 18 digits."""


class Part(NamedTuple):
    """One segment's share of a log."""

    first: int
    """The number of its first entry."""
    stop: int | None
    """The number behind its last one; None while nothing says that."""
    is_there: bool
    """Whether its lines are there; of a segment that was deleted they are not."""


class Deleted(NamedTuple):
    """A segment that retention has deleted, as the site log tells."""

    first: int
    entries: int
    sha256: str
    """Of its leaf hashes."""
    abandoned: object = None
    """What its first entry said was left behind in the segment before it."""

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> Deleted | None:
        """What an entry tells; None if that is nothing."""
        first, entries, digest = (content.get(name) for name in ("first", "entries", "leaves"))
        if type(first) is not int or type(entries) is not int or type(digest) is not str:
            return None
        if not (0 <= first < MOST and 0 < entries < MOST):
            return None
        return cls(first, entries, digest, content.get("abandoned"))


@dataclass(slots=True)
class Told:
    """What the site log tells of the extent of one log: what it tells first stays."""

    closed: int | None = None
    """How many entries it ended with, if it has ended."""
    abandoned: object = None
    """What its closing says was left behind them."""
    deleted: dict[int, Deleted] = field(default_factory=dict)
    """The segments that retention has deleted, by the numbers of their first entries."""

    def learn(self, content: Mapping[str, Any]) -> bool:
        """Take what an entry says of the log; False if it says otherwise than one before."""
        size = content.get("size")
        if content["type"] == "segment.deleted":
            told = Deleted.read(content)
            return told is None or self.deleted.setdefault(told.first, told) == told
        if content["type"] == "log.closed" and type(size) is int:
            if self.closed is not None:
                return False
            self.closed, self.abandoned = size, content.get("abandoned")
        return True


def parts(folder: Path, told: Told) -> Iterator[Part]:
    """The parts of the log in ``folder``, in order."""
    there = set(segments(folder))
    firsts = sorted({*there, *told.deleted})
    for first, following in zip_longest(firsts, firsts[1:]):
        yield Part(first, told.closed if following is None else following, first in there)
