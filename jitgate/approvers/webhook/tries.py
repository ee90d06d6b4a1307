"""How often a message was tried, and when it is tried again; kept in its post, over restarts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import orjson

FIRST: Final = 5.0
"""Seconds until the second try ("Deliverability and reliability" has as many)."""

LONGEST: Final = 3600.0
"""Seconds between two tries at most: what is asked is over within minutes or hours."""

MOST: Final = 24
"""Tries of one message: some fifteen hours. What is asked then is over."""

SPREAD: Final = 0.25
"""The part of a wait by which it is longer at random, so that not all come at once again."""


def wait(tries: int, jitter: float) -> float:
    """Seconds until the next try after so many; ``jitter`` is below 1, and at random."""
    doubled = FIRST * 2.0 ** min(tries - 1, 16)
    return min(LONGEST, doubled) * (1 + SPREAD * jitter)


def is_ahead(due: float | None, now: float) -> bool:
    """Whether it is not time yet. What is farther than any wait is of a clock that was set back."""
    return due is not None and now < due <= now + LONGEST * (1 + SPREAD)


@dataclass(frozen=True, slots=True)
class Tries:
    """Of the message that shows a revision: how often it was tried, and since when."""

    shows: int = 0
    number: int = 0
    since: float = 0.0

    @classmethod
    def read(cls, document: str) -> Tries:
        """As a post keeps it."""
        return cls(*orjson.loads(document)) if document else cls()

    @property
    def document(self) -> str:
        return orjson.dumps([self.shows, self.number, self.since]).decode()

    def another(self, shows: int, now: float) -> Tries:
        """With one more try of the message that shows this."""
        if shows != self.shows:
            return Tries(shows, 1, now)
        return Tries(shows, self.number + 1, self.since)
