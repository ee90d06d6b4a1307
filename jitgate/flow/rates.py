"""The gateway slows itself: what a target has no room for waits here, not there.

It is asked before anything is lent, counted or spent for a call. What it knows is in memory, and
outlives a reload: a target does not begin to count anew for one.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping

from twisted.internet.interfaces import IReactorTime

from jitgate.core.rates import Rates, kind_of, spread, told
from jitgate.values import Denial, Operation, Pending, Refusal, ResponseHead


def busy(detail: str, wait: float, now: float, *, approved: bool) -> Refusal:
    """What an agent is told whose call is not to leave for so many seconds."""
    again = math.ceil(wait)
    stands = ", and the approval stands" if approved else ""
    return Refusal(
        Denial.TARGET_BUSY,
        detail,
        advice=f"Nothing was sent{stands}. Send the same call again in {again} s.",
        pending=Pending("", "", now, now, again=again),
        manner="busy",
    )


class Pace:
    """How fast calls go to the targets. ``chance`` gives a number from 0 to 1, 1 left out."""

    def __init__(self, clock: IReactorTime, chance: Callable[[], float] = random.random) -> None:
        self._clock = clock
        self._chance = chance
        self._rates: dict[str, Rates] = {}
        """By target: none makes the gateway forget what another said."""

    def objection(self, operation: Operation, *, approved: bool) -> Refusal | None:
        """Why the call is not to leave now, if it is not; else it is counted as one that leaves."""
        rates = self._rates.get(operation.target)
        if rates is None:
            return None
        now = self._clock.seconds()
        until = rates.take(kind_of(operation), now, approved=approved)
        if until is None:
            return None
        return busy(
            f"{operation.target} takes no more of these calls for now ({operation.action}), or "
            "only so few that they are kept for calls that people approved.",
            spread(until - now, self._chance()),
            now,
            approved=approved,
        )

    def heard(self, operation: Operation, answer: ResponseHead) -> None:
        """Remember what an answer says of the calls to come."""
        now = self._clock.seconds()
        new = told(answer, now)
        rates = self._rates.get(operation.target)
        if rates is None:
            if new is None:
                return
            rates = self._rates[operation.target] = Rates()
        rates.hear(kind_of(operation), new, now)

    def slowed(self) -> Mapping[str, float]:
        """The targets of which some calls wait, and until when the last of those does."""
        now = self._clock.seconds()
        found = {target: rates.slowed(now) for target, rates in self._rates.items()}
        return {target: until for target, until in found.items() if until is not None}
