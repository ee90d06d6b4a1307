"""What became of a call that was tried: for people, and for programs."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

from jitgate.cli.columns import table
from jitgate.cli.moments import span
from jitgate.core.trial import Part, Share, Trial
from jitgate.core.visible import visible
from jitgate.values import Budget, Obligation, Per, Quorum

CELL_CHARS = 70
"""Characters of a cell that tells why: a criterion and some names; the rest is for --json."""

_SPANS = frozenset({"hold", "reuse"})
"""Obligations that are seconds."""


def plain(value: object) -> Any:
    """What an obligation obliges to, in JSON's types."""
    if isinstance(value, Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {f"{plain(key)}": plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(each) for each in value]
    return value if isinstance(value, str | int | float | bool | None) else f"{value}"


def duty(obligation: Obligation) -> Any:
    """The same; those that rules in files name, as they stand there."""
    if isinstance(obligation.value, Quorum):
        return _quorum(obligation.value)
    value = plain(obligation.value)
    names = {"approvers": ("groups", "quorum"), "grant": ("uses", "life")}.get(obligation.name)
    if names and isinstance(value, list) and len(value) == len(names):
        return dict(zip(names, value, strict=True))
    return value


def _quorum(quorum: Quorum) -> dict[str, Any]:
    """Whom a rule asks, as it stands there; what is as it is anyway is left out."""
    told: dict[str, Any] = {"groups": list(quorum.groups), "quorum": quorum.count}
    if quorum.escalations:
        told["escalate"] = [plain(each) for each in quorum.escalations]
    if quorum.reason:
        told["reason"] = "required"
    if quorum.denials > 1:
        told["denials"] = quorum.denials
    told |= {name: True for name in _FLAGS if getattr(quorum, name)}
    return told


def _asked_words(value: Mapping[str, Any]) -> str:
    """Whom a rule asks, in a few words."""
    parts = [f"{value['quorum']} of {', '.join(value['groups'])}"]
    parts += [
        f"after {span(each['after'])} of {', '.join(each['groups'])} too"
        for each in value.get("escalate", ())
    ]
    if "reason" in value:
        parts.append("with a reason")
    if "denials" in value:
        parts.append(f"{value['denials']} must deny")
    parts += [words for name, words in _FLAGS.items() if name in value]
    return ", ".join(parts)


_FLAGS = {"signs": "a reaction counts", "privately": "each by themselves"}
"""What a quorum says by being there at all, in words."""


def duty_words(obligation: Obligation) -> str:
    """An obligation in a few words."""
    value = duty(obligation)
    if isinstance(value, dict) and value.keys() >= {"groups", "quorum"}:
        return _asked_words(value)
    if isinstance(value, dict) and set(value) == {"uses", "life"}:
        uses = "1 use" if value["uses"] == 1 else f"{value['uses']} uses"
        return f"{uses} in {span(value['life'])}"
    if isinstance(obligation.value, Budget):
        budget = obligation.value
        per = "" if budget.per is Per.ALL else f" for each {budget.per.value}"
        return f"at most {budget.uses} in {span(budget.within)}{per}"
    if obligation.name in _SPANS and isinstance(value, int | float):
        return f"{obligation.name} {span(value)}"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"{obligation.name} {text}"


def outcome(trial: Trial) -> str:
    """What came of it, in a line."""
    if trial.refusal is not None:
        return f"refused, {trial.refusal.denial.value}: {trial.refusal.detail}"
    if trial.decision is None:
        return "it depends on the body, which is not given"
    decision = trial.decision
    return f"{decision.effect.value}, by {decision.rule}: {decision.reason}"


def part_rows(
    parts: Sequence[Part], where: Mapping[str, str], chars: int = CELL_CHARS
) -> Iterator[str]:
    """A table of each rule's part."""
    rows = [("RULE", "PART", "EFFECT", "WHERE", "WHY, OR WITH WHAT")]
    for part in parts:
        why = visible(_why(part))
        rows.append(
            (
                visible(part.rule),
                part.share.value,
                _effect(part),
                standing(where.get(part.rule, "")),
                why if len(why) <= chars else f"{why[:chars]}…",
            )
        )
    yield from table(rows)


def standing(where: str) -> str:
    """A place in a file, from the folder in which the command runs where it is below that."""
    return visible(where.removeprefix(f"{Path.cwd()}/"))


def _effect(part: Part) -> str:
    if part.share is Share.OBSERVED:
        return "(cannot tell)" if part.observed is None else f"({part.observed.value})"
    return "" if part.verdict is None else part.verdict.effect.value


def _why(part: Part) -> str:
    if part.verdict is None:
        return part.why
    return "; ".join(map(duty_words, part.verdict.obligations))


def part_json(part: Part, where: Mapping[str, str]) -> dict[str, Any]:
    """One rule's part, for a program."""
    verdict = part.verdict
    return {
        "rule": part.rule,
        "part": part.share.value,
        "effect": None if verdict is None else verdict.effect.value,
        "reason": None if verdict is None else verdict.reason,
        "obligations": [] if verdict is None else duties_json(verdict.obligations),
        "observed": None if part.observed is None else part.observed.value,
        "why": part.why or None,
        "where": where.get(part.rule),
    }


def duties_json(obligations: Sequence[Obligation]) -> list[dict[str, Any]]:
    """Obligations, for a program."""
    return [{"name": each.name, "value": duty(each)} for each in obligations]


def trial_json(trial: Trial, where: Mapping[str, str]) -> dict[str, Any]:
    """What came of a call, for a program."""
    operation, decision, refusal = trial.operation, trial.decision, trial.refusal
    return {
        "effect": None if trial.effect is None else trial.effect.value,
        "denial": None if trial.denial is None else trial.denial.value,
        "rule": None if decision is None else decision.rule,
        "reason": refusal.detail if refusal else decision and decision.reason,
        "policy": None if decision is None else decision.policy,
        "obligations": [] if decision is None else duties_json(decision.obligations),
        "operation": None
        if operation is None
        else {
            "target": operation.target,
            "action": operation.action,
            "resource": dict(operation.resource),
            "parameters": dict(operation.parameters),
            "method": operation.method,
            "url": operation.url,
            "risk": None if operation.risk is None else operation.risk.value,
            "scopes": list(operation.scopes),
        },
        "facts": sorted(trial.facts),
        "parts": [part_json(part, where) for part in trial.parts],
    }
