"""`jitgate policy explain`: what policy makes of one call, and each rule's part in that."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from jitgate.app.far import manner_of
from jitgate.app.notices import patience_of
from jitgate.app.offline import Attempt, Offline, offline
from jitgate.cli.columns import UNBOUNDED, labelled, width
from jitgate.cli.configured import named_file
from jitgate.cli.moments import span, typed
from jitgate.cli.policy_calls import body_of, subject_of
from jitgate.cli.policy_words import (
    CELL_CHARS,
    duty,
    duty_words,
    outcome,
    part_rows,
    trial_json,
)
from jitgate.config.schema import GroupElsewhere
from jitgate.core.access import terms_of
from jitgate.core.answers import is_self
from jitgate.core.duties import hold_of
from jitgate.core.profiles import MarkedFields
from jitgate.core.trial import Share, Trial
from jitgate.core.visible import visible
from jitgate.core.waiting import preference, waiting
from jitgate.errors import ConfigurationInvalid
from jitgate.values import Decision, Effect, Facts, Operation, Subject

YES, NO, NOT_TOLD = 0, 1, 2

_TOLD_APART = frozenset({"approvers", "mask"})
"""Obligations that have a line of their own."""


def explain(arguments: argparse.Namespace) -> int:
    """Explain one call. Raises `ConfigurationInvalid` where it cannot be told."""
    made = offline(named_file(arguments.config))
    attempt = _attempt(arguments, made)
    trial = made.tried(attempt)
    if arguments.json:
        content = trial_json(trial, made.where)
        content["approvers"] = list(_approvers(trial, attempt, made))
        content["masks"] = list(_masks(trial, made))
        content["waits"] = _waits(trial, attempt, made)
        print(json.dumps(content, indent=2))
    else:
        for line in _in_words(trial, attempt, made, whole=arguments.all):
            print(line)
    if trial.effect is None:
        return NOT_TOLD
    return NO if trial.effect is Effect.DENY else YES


# --- what is asked


def _attempt(arguments: argparse.Namespace, made: Offline) -> Attempt:
    at = time.time() if arguments.at is None else _moment(arguments.at)
    subject = subject_of(
        made.configuration,
        arguments.subject,
        at,
        groups=arguments.group,
        issuer=arguments.issuer,
        agent=arguments.agent,
        humans=arguments.human,
    )
    return Attempt(
        method=arguments.method,
        url=arguments.url,
        subject=subject,
        at=at,
        headers=tuple(map(_header, arguments.header)),
        body=body_of(arguments.method, _body(arguments.body)),
        facts=_facts(arguments.fact),
    )


def _moment(text: str) -> float:
    moment = typed(text)
    if moment is None:
        raise ConfigurationInvalid(
            ["--at: a time with its zone was expected, such as 2026-01-05T09:30:00+01:00"]
        )
    return moment


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name:
        raise ConfigurationInvalid(["--header: 'NAME: VALUE' was expected"])
    return name, value.strip()


def _body(name: str | None) -> bytes | None:
    if name is None:
        return None
    return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()


def _facts(texts: list[str]) -> Facts:
    facts = {}
    for text in texts:
        name, _, written = text.partition("=")
        try:
            value = json.loads(written)
        except (ValueError, RecursionError):
            value = None
        if not name or not isinstance(value, dict):
            raise ConfigurationInvalid(
                ["--fact: NAME=JSON was expected, an object such as ticket='{\"open\": true}'"]
            )
        facts[name] = value
    return facts


# --- what comes of it


def _approvers(trial: Trial, attempt: Attempt, made: Offline) -> Iterator[str]:
    """Who could approve, a line for each quorum; nobody does whose agent asks."""
    groups = made.configuration.settings.approvals.groups
    for value in [] if trial.decision is None else trial.decision.obligations:
        asked = duty(value)
        if value.name != "approvers" or not isinstance(asked, dict):
            continue
        later = [name for step in asked.get("escalate", ()) for name in step["groups"]]
        names = [*asked["groups"], *later]
        people = dict.fromkeys(each for name in names for each in _named(groups.get(name, ())))
        may = [each for each in people if not is_self(each, attempt.subject)]
        yield f"{duty_words(value)}: {', '.join(may) or 'nobody who may'}"


def _named(group: tuple[str, ...] | GroupElsewhere) -> tuple[str, ...]:
    """Who is in a group, or where that is known: nobody is asked offline."""
    if isinstance(group, GroupElsewhere):
        return (f"whoever is in {group.group} of {group.source}",)
    return group


def _masks(trial: Trial, made: Offline) -> Iterator[str]:
    """What is hidden of the answer: by which profile, and which fields the catalog marks."""
    decision = trial.decision
    if decision is None or decision.effect is Effect.DENY:
        return
    profiles = {each.profile: each for each in made.configuration.profiles}
    for name in decision.obliged("mask"):
        profile = profiles.get(f"{name}")
        if profile is not None:
            named = [*profile.names, *(f"(masker {each})" for each in profile.maskers)]
            yield f"by {name}: {', '.join(named) or 'nothing of its own'}"
    marked = [masker for masker in trial.maskers if isinstance(masker, MarkedFields)]
    if marked:
        yield f"by the catalog: {', '.join(sorted(marked[0].fields))}"


def _waits(trial: Trial, attempt: Attempt, made: Offline) -> str | None:
    """How the agent would wait for people."""
    decision, operation = trial.decision, trial.operation
    terms = None if decision is None or operation is None else terms_of(decision)
    if decision is None or operation is None or trial.effect is not Effect.REVIEW:
        return None
    if terms is None or not terms.quorums:
        return None
    patience = patience_of(made.configuration.settings.approvals).held(hold_of(decision))
    fields = tuple((name.encode(), value.encode()) for name, value in attempt.headers)
    sdks = {each.name for each in made.configuration.settings.targets if manner_of(each) == "okta"}
    resends = operation.target in sdks
    wait = waiting(patience, preference(fields), since=0.0, resends=resends, life=terms.life)
    told = {
        "accepted": "told (202) where to ask",
        "slow-down": f"told (429) to come back after {span(wait.again)}, as Okta's SDKs do",
        None: "told (403) to come back",
    }[wait.manner]
    held = f"held for {span(wait.until)}, then " if wait.until else "at once "
    return f"{held}{told}; it expires after {span(wait.expire)}"


# --- in words


def _in_words(trial: Trial, attempt: Attempt, made: Offline, *, whole: bool) -> Iterator[str]:
    columns = width()
    yield visible(f"{attempt.method} {attempt.url}")
    yield ""
    for label, value in _told(trial, attempt, made):
        yield from labelled(label, visible(value), columns)
    if trial.parts:
        yield ""
        order = list(Share)
        parts = sorted(trial.parts, key=lambda part: order.index(part.share))
        yield from part_rows(parts, made.where, UNBOUNDED if whole else CELL_CHARS)


def _told(trial: Trial, attempt: Attempt, made: Offline) -> Iterator[tuple[str, str]]:
    """What there is to tell, each with its label."""
    yield "decision", outcome(trial)
    yield from _observed(trial)
    yield from _subject(attempt.subject)
    if trial.operation is not None:
        yield from _operation(trial.operation)
    yield from (("approval", line) for line in _approvers(trial, attempt, made))
    if trial.decision is not None:
        yield from _others(trial.decision, trial.operation)
    waits = _waits(trial, attempt, made)
    if waits is not None:
        yield "waiting", waits
    yield from (("masked", line) for line in _masks(trial, made))
    for name in sorted(trial.facts):
        yield "fact", name if name in attempt.facts else f"{name}, which is not given"
    yield "policy", made.policy.version


def _observed(trial: Trial) -> Iterator[tuple[str, str]]:
    for rule, observed in () if trial.decision is None else trial.decision.observed:
        effect = "could not tell" if observed.effect is None else observed.effect.value
        yield "observed", f"{rule}: {effect}: {observed.reason}"


def _subject(subject: Subject) -> Iterator[tuple[str, str]]:
    groups = ", ".join(sorted(subject.groups)) or "no groups"
    yield "subject", f"{subject.id} of {subject.issuer}, {groups}"
    if subject.agent is not None:
        yield "agent", subject.agent
    if subject.humans:
        yield "acts for", ", ".join(subject.humans)


def _operation(operation: Operation) -> Iterator[tuple[str, str]]:
    yield "operation", f"{operation.action} on {operation.target}"
    for name, value in operation.resource.items():
        yield "resource", f"{name} {value}"
    for name, value in operation.parameters.items():
        yield "parameter", f"{name}={value}"
    yield "risk", "unknown" if operation.risk is None else operation.risk.value
    yield "scopes", " ".join(operation.scopes) or "none"


def _others(decision: Decision, operation: Operation | None) -> Iterator[tuple[str, str]]:
    for each in decision.obligations:
        words = duty_words(each)
        if each.name == "reuse" and operation is not None and operation.changes:
            words += ", which is not for a call that may change something"
        if each.name not in _TOLD_APART:
            yield ("grant" if each.name == "grant" else "also"), words
