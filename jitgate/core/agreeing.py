"""What rules that agree oblige the gateway to together: none takes away what another relies on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from jitgate.core.duties import BODIES
from jitgate.values import Effect, Obligation, Verdict

DEFAULTS = (Obligation("mask", "catalog"),)
"""Duties of a verdict that names none of their name: what the catalog marks stays hidden, even if
another rule that agrees hides nothing."""

ONCE = (Obligation("grant", (1, 300.0)),)
"""What a review that names no grant gives: else it would not tighten a broader one beside it."""

UNSAID = (Obligation("record", BODIES), Obligation("auto", False))
"""What a verdict says by naming no duty of that name, beside one that does and agrees: else the one
would take away what the other relies on."""


def duties_of(agreeing: Sequence[Verdict]) -> tuple[Obligation, ...]:
    """The duties of a decision that these make, each once."""
    return _each_once([*_named(agreeing), *_unsaid(agreeing)])


def _duties(verdict: Verdict) -> tuple[Obligation, ...]:
    """Its own duties, and those that it has by naming none of their name."""
    named = {duty.name for duty in verdict.obligations}
    defaults = (*DEFAULTS, *(ONCE if verdict.effect is Effect.REVIEW else ()))
    return (*verdict.obligations, *(duty for duty in defaults if duty.name not in named))


def _named(agreeing: Iterable[Verdict]) -> Iterable[Obligation]:
    return (duty for each in agreeing for duty in _duties(each))


def _unsaid(agreeing: Sequence[Verdict]) -> Iterable[Obligation]:
    """What those say that do not name a duty that another names."""
    for duty in UNSAID:
        naming = sum(any(own.name == duty.name for own in each.obligations) for each in agreeing)
        if 0 < naming < len(agreeing):
            yield duty


def _each_once(duties: Iterable[Obligation]) -> tuple[Obligation, ...]:
    """Duties, each once; but every quorum stands for itself, to be met by people of its own."""
    once = {
        (duty, number if duty.name == "approvers" else None): duty
        for number, duty in enumerate(duties)
    }
    return tuple(once.values())
