"""Budgets: what a call is counted as, when there is room, and how that is said. No clock, no store.

A window slides: of any `within` seconds, wherever they begin, at most `uses` calls are taken.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from jitgate.values import Budget, Charge, Operation, Per, Spent, Subject

_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))

_WHOSE = {
    Per.SUBJECT: "for this subject",
    Per.AGENT: "for this agent",
    Per.TARGET: "for this target",
    Per.ALL: "for all agents together",
}


def charges(
    budgets: Iterable[Budget], subject: Subject, operation: Operation
) -> tuple[Charge, ...]:
    """What a call takes of budgets."""
    return tuple([_charge(each, subject, operation) for each in budgets])


def _charge(budget: Budget, subject: Subject, operation: Operation) -> Charge:
    """The count is named by the rule and by whom it counts apart: neither size is part of it."""
    apart: dict[Per, Sequence[str]] = {
        Per.SUBJECT: (subject.issuer, subject.id),
        Per.AGENT: (subject.issuer, subject.id if subject.agent is None else subject.agent),
        Per.TARGET: (operation.target,),
        Per.ALL: (),
    }
    key = json.dumps([budget.rule, budget.per.value, *apart[budget.per]])
    return Charge(key, budget.uses, budget.within)


def spent(charge: Charge, last: float | None, now: float) -> Spent | None:
    """Whether there is no room: ``last`` is when the newest use but ``uses - 1`` was taken.

    None: so many were never taken. As long as that one is in the window, it is full.
    """
    if last is None or last + charge.within <= now:
        return None
    return Spent(charge, last + charge.within)


def longest(every: Iterable[Spent | None]) -> Spent | None:
    """The one for which there is no room the longest."""
    found = [each for each in every if each is not None]
    return max(found, key=lambda each: each.until, default=None)


def windows(every: Iterable[Charge]) -> Mapping[str, float]:
    """By key, the longest window in which a use of it counts."""
    found: dict[str, float] = {}
    for each in every:
        found[each.key] = max(each.within, found.get(each.key, 0.0))
    return found


def told(budget: Budget, when: str) -> str:
    """Why a call does not go, for whoever sent it; ``when`` there is room again."""
    calls = "1 call" if budget.uses == 1 else f"{budget.uses} calls"
    return f"At most {calls} in {span(budget.within)} {_WHOSE[budget.per]}; room again at {when}."


def span(seconds: float) -> str:
    """A span of time in the largest unit that it is a whole number of."""
    for unit, name in _UNITS:
        if seconds >= unit and seconds % unit == 0:
            return f"{int(seconds) // unit} {name}"
    return f"{seconds:g} s"
