"""How long the parts of an exchange took, for its record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

PARTS: Final = ("credential", "connect", "answer", "body")
"""What the gateway and the target take; what people take is ``people``."""

PLACES: Final = 6
"""Decimals of a second that are kept."""


class Timing:
    """From now on. ``now`` gives seconds by a clock that nobody sets."""

    __slots__ = ("_answered", "_begun", "_now", "_parts")

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._begun = now()
        self._answered: float | None = None
        self._parts: dict[str, float] = {}

    def now(self) -> float:
        """A moment, for `spent`."""
        return self._now()

    def spent(self, part: str, since: float) -> None:
        """The time since then went by for this; what goes by for it several times adds up."""
        self._parts[part] = self._parts.get(part, 0.0) + self._now() - since

    def answered(self, since: float) -> None:
        """The head of the target's answer is there, after it has had the request since then."""
        self._answered = self._now()
        self.spent("answer", since)

    def seconds(self) -> float:
        """All that has gone by."""
        return self._now() - self._begun

    def parts(self) -> dict[str, float]:
        """What of it went by for what, as far as it came."""
        parts = dict(self._parts)
        if self._answered is not None:
            parts["body"] = self._now() - self._answered
        return parts

    def told(self) -> dict[str, object]:
        """What the outcome says of it."""
        told: dict[str, object] = {"seconds": round(self.seconds(), PLACES)}
        if parts := self.parts():
            told["timings"] = {part: round(each, PLACES) for part, each in parts.items()}
        return told
