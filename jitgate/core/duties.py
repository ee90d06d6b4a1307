"""What a decision obliges the gateway to beside people and masks: hold, record, budgets.

The values of obligations come from rules, a site's own among them: what is not of the stated form
raises `RuleFault`, and denies. What people are asked, and `auto`, is `jitgate.core.access`'s.

- ``hold``: seconds for which a call's connection is held while people are waited for.
- ``record``: `HEAD` or `BODIES`.
- ``budget``: a `jitgate.values.Budget`.
- ``reuse``: seconds for which a credential may serve other calls that need the same of it.
"""

from __future__ import annotations

import math
from typing import Final

from jitgate.errors import RuleFault
from jitgate.values import Budget, Decision, Per

HEAD: Final = "head"
"""No body is kept with the outcome; how long each is, and its keyed digest, are."""

BODIES: Final = "bodies"
"""The bodies are kept, as far as they can be shown: what holds where no rule says."""

USES: Final = 10_000
"""Calls that a budget may allow in its window: each is a row that is kept."""

LONGEST: Final = 31 * 86400.0
"""Seconds of a budget's window: a month, for which its rows are kept."""


REUSED: Final = 3600.0
"""Seconds of a reuse: as long as a token of Okta's lives."""


def hold_of(decision: Decision) -> float | None:
    """For how many seconds a call is held at most; None: no rule says. Of several the shortest."""
    spans = []
    for value in decision.obliged("hold"):
        span = _number(value)
        if span is None or span < 0:
            raise RuleFault(
                f"Rule {decision.rule} obliges to a hold that is no span of time.", decision.rule
            )
        spans.append(span)
    return min(spans, default=None)


def reuse_of(decision: Decision) -> float:
    """For how many seconds a credential may serve other calls. Of several the shortest; else 0."""
    spans = []
    for value in decision.obliged("reuse"):
        span = _number(value)
        if span is None or not 0 <= span <= REUSED:
            raise RuleFault(
                f"Rule {decision.rule} obliges to a reuse that is no span of time.", decision.rule
            )
        spans.append(span)
    return min(spans, default=0.0)


def keeps_bodies(decision: Decision) -> bool:
    """Whether bodies are kept with the outcome: of several levels the fullest holds."""
    levels = decision.obliged("record")
    return not levels or any(level != HEAD for level in levels)


def budgets_of(decision: Decision) -> tuple[Budget, ...]:
    """The budgets that a call is counted in: those of every rule that agrees."""
    found = []
    for value in decision.obliged("budget"):
        if not isinstance(value, Budget) or not _is_sound(value):
            raise RuleFault(
                f"Rule {decision.rule} obliges to a budget that is none.", decision.rule
            )
        found.append(value)
    return tuple(found)


def check_duties(decision: Decision) -> None:
    """Raise `RuleFault` for a duty that could not be fulfilled later, when it would be too late."""
    hold_of(decision)
    budgets_of(decision)
    reuse_of(decision)
    if any(level not in (HEAD, BODIES) for level in decision.obliged("record")):
        raise RuleFault(
            f"Rule {decision.rule} obliges to a record of an unknown level.", decision.rule
        )


def _is_sound(budget: Budget) -> bool:
    return (
        isinstance(budget.rule, str)
        and isinstance(budget.per, Per)
        and type(budget.uses) is int
        and 1 <= budget.uses <= USES
        and 0 < (_number(budget.within) or 0) <= LONGEST
    )


def _number(value: object) -> float | None:
    """It, if it is a number that can be counted with."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value
