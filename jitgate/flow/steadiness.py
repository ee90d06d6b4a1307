"""Tells whether the time of day was set while the gateway runs.

By a clock that is set back what has ended begins to count again: tokens, grants, keys. One that is
set ahead empties the windows in which calls and questions are counted. So nothing passes by either
until the clock is right again, or whoever set it starts the gateway anew and so says that it is.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

STEP = 60.0
"""Seconds by which a clock may be corrected between two looks at it: what keeps a clock right does
so by far less, and no end that counts here is nearer than that."""


class Steadiness:
    """Compares the time of day, ``clock``, with seconds that only ever pass, ``elapsed``."""

    _log = Logger()

    def __init__(self, clock: IReactorTime, elapsed: Callable[[], float]) -> None:
        self._clock = clock
        self._elapsed = elapsed
        self._ahead = self._difference()
        self._said: str | None = None

    def down(self) -> str | None:
        """Why the clock cannot be believed, or None. Corrections within `STEP` are followed."""
        moved = self._difference() - self._ahead
        if abs(moved) <= STEP:
            self._ahead += moved
            if self._said is not None:
                self._said = None
                self._log.info("The clock is right again.")
            return None
        way = "ahead" if moved > 0 else "back"
        if self._said is None:
            self._log.error(
                "The clock was set {way}. Everything is denied until it is right.", way=way
            )
        self._said = f"The machine's clock was set {way} by {abs(moved):.0f} s."
        return self._said

    def _difference(self) -> float:
        return float(self._clock.seconds()) - self._elapsed()
