"""Whether Slack can be used at all, since when it cannot, and how long it is left alone then."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from jitgate.errors import SlackFault

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 60.0
"""Seconds until Slack is tried again that does not answer: each time twice as long, up to that."""


class Outage:
    """What is known of Slack by the last calls. The beginning and the end of an outage are logged.

    ``jitter``: a number from 0 to 1, another at each call: gateways do not come back all at once.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, jitter: Callable[[], float]) -> None:
        self._clock = clock
        self._jitter = jitter
        self._failures = 0
        self._since = 0.0
        self._why = ""

    def failed(self, fault: SlackFault) -> float:
        """A call has failed, as every other would; returns for how long to make none."""
        if not self._why:
            self._since = self._clock.seconds()
            self._log.error("Nothing can be shown in Slack: {why}", why=f"{fault}")
        self._why = f"{fault}"
        longest = min(FIRST_PAUSE * 2.0 ** min(self._failures, 16), LONGEST_PAUSE)
        self._failures += 1
        return longest * (0.5 + self._jitter() / 2)

    def is_over(self) -> None:
        """A call was answered."""
        if self._why:
            self._log.info("Slack can be used again.")
        self._why, self._failures = "", 0

    @property
    def told(self) -> str | None:
        """Why Slack cannot be used, and since when, for people."""
        if not self._why:
            return None
        since = datetime.fromtimestamp(self._since, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return f"{self._why} So it has been since {since}."
