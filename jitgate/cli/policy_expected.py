"""Whether what came of a call is what its case expects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from jitgate.cli.policy_words import duty, outcome
from jitgate.config.cases import Expected
from jitgate.config.kinds import Duration
from jitgate.core.trial import Trial
from jitgate.values import Decision, Denial, Effect

_DURATION: TypeAdapter[float] = TypeAdapter(Duration)


class Difference(NamedTuple):
    """What a case expects, and what came instead."""

    what: str
    expected: Any
    came: Any


def differences(expected: Expected, trial: Trial) -> list[Difference]:
    """Everything in which a call did not come out as expected; nothing: the case passes."""
    return [
        *_effect(expected, trial),
        *_by_decision(expected, trial.decision),
        *_operation(expected, trial),
    ]


def _effect(expected: Expected, trial: Trial) -> Iterator[Difference]:
    """What never reaches policy is no denial of its rules, unless the case says which it is."""
    wanted = expected.denial
    if wanted is None and expected.effect == Effect.DENY.value:
        wanted = Denial.POLICY
    if wanted is not None and wanted is not trial.denial:
        hint = ""
        if expected.denial is None and trial.denial is not None:
            hint = f" If that is meant, expect {{denial: {trial.denial.value}}}."
        yield Difference("denial", wanted.value, _came(trial) + hint)
    elif wanted is None and (trial.effect is None or expected.effect != trial.effect.value):
        yield Difference("effect", expected.effect, _came(trial))
    if expected.reason is not None:
        reason = trial.refusal.detail if trial.refusal else trial.decision and trial.decision.reason
        if expected.reason not in (reason or ""):
            yield Difference("reason", expected.reason, reason)


def _came(trial: Trial) -> str:
    if trial.effect is None:
        return f'{outcome(trial)}: give the case a body (one that is empty: body: "")'
    return outcome(trial)


def _by_decision(expected: Expected, decision: Decision | None) -> Iterator[Difference]:
    if expected.rule is not None and (decision is None or decision.rule != expected.rule):
        yield Difference("rule", expected.rule, decision and decision.rule)
    for name, wanted in expected.obligations.items():
        duties = () if decision is None else decision.obligations
        came = [duty(each) for each in duties if each.name == name]
        if not _met(wanted, came):
            yield Difference(f"obligations.{name}", wanted, came)
    observed = {} if decision is None else dict(decision.observed)
    for rule, effect in expected.observed.items():
        found = observed.get(rule)
        came_effect = found and found.effect and found.effect.value
        if came_effect != effect:
            yield Difference(f"observed.{rule}", effect, came_effect)


def _operation(expected: Expected, trial: Trial) -> Iterator[Difference]:
    operation = trial.operation
    if expected.action is not None and (operation and operation.action) != expected.action:
        yield Difference("action", expected.action, operation and operation.action)
    if expected.risk is not None and (operation and operation.risk) is not expected.risk:
        risk = operation and operation.risk
        yield Difference("risk", expected.risk.value, risk and risk.value)
    if expected.resource is not None:
        resource = None if operation is None else dict(operation.resource)
        if resource != expected.resource:
            yield Difference("resource", expected.resource, resource)


def _met(wanted: Any, came: list[Any]) -> bool:
    """Whether one of the duties of a name is the one that is wanted; of a list, all are."""
    if any(_same(wanted, each) for each in came):
        return True
    return isinstance(wanted, list) and (
        all(any(_same(want, each) for each in came) for want in wanted)
        and all(any(_same(want, each) for want in wanted) for each in came)
    )


def _same(wanted: Any, came: Any) -> bool:
    """Of a mapping only what is written counts; a duration may stand as it does in rules."""
    if isinstance(wanted, Mapping) and isinstance(came, Mapping):
        return all(name in came and _same(each, came[name]) for name, each in wanted.items())
    if isinstance(wanted, str) and isinstance(came, int | float) and not isinstance(came, bool):
        try:
            return _DURATION.validate_python(wanted) == came
        except ValidationError:
            return False
    return isinstance(wanted, bool) is isinstance(came, bool) and bool(wanted == came)
