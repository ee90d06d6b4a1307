"""Whether an endpoint is asked at all: one that fails again and again is left alone for a while."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from jitgate.errors import CredentialUnavailable

FAILURES = 5
"""Failures in a row after which the endpoint is left alone: a lone one says little."""

FIRST_PAUSE = 1.0
"""Seconds of the first pause; each that follows at once is twice as long."""

LONGEST_PAUSE = 60.0
"""Seconds of the longest: as long as Okta's rate limits last, and an agent's patience."""


class LeftAlone(CredentialUnavailable):
    """The endpoint is not asked at all."""


class Circuit:
    """Counts what became of the calls of an endpoint.

    Closed: everybody calls. Open: nobody does, until a time; after that one does at a time, the
    trial, and the first success closes it.

    Args:
        name: What is called, to begin a sentence with.
        jitter: A number from 0 to 1, another at each call: gateways do not come back all at once.
    """

    def __init__(self, name: str, jitter: Callable[[], float]) -> None:
        self._name = name
        self._jitter = jitter
        self._failures = 0
        self._pauses = 0
        self._since = 0.0
        self._until = 0.0
        self._trying = False

    def enter(self, now: float) -> bool:
        """Let one in, who then tells `succeeded`, `failed` or `left`; whether it is the trial.

        Raises `LeftAlone` where the endpoint is.
        """
        if not self._until:
            return False
        if now >= self._until and not self._trying:
            self._trying = True
            return True
        again = f"until {_moment(self._until)}" if now < self._until else "but for one that tries"
        raise LeftAlone(
            f"{self._name} has failed since {_moment(self._since)} and is left alone {again}."
        )

    def succeeded(self) -> None:
        """It answered, whatever it said."""
        self._failures = self._pauses = 0
        self._until, self._trying = 0.0, False

    def failed(self, now: float, *, trial: bool) -> None:
        """It did not."""
        self.left(trial=trial)
        if not self._failures:
            self._since = now
        self._failures += 1
        if now < self._until or self._failures < FAILURES:
            return  # who was under way when it opened adds nothing
        longest = min(FIRST_PAUSE * 2.0**self._pauses, LONGEST_PAUSE)
        self._pauses = min(self._pauses + 1, 16)
        self._until = now + longest * (0.5 + self._jitter() / 2)

    def left(self, *, trial: bool) -> None:
        """Nobody waits any more for what becomes of it."""
        if trial:
            self._trying = False


def _moment(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
