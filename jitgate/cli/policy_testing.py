"""`jitgate policy test`: whether calls come out as test files expect, and which rules are tried."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jitgate.app.offline import BUILT_IN, Offline, offline
from jitgate.cli.bar import Bar
from jitgate.cli.configured import named_file
from jitgate.cli.policy_calls import attempt_of
from jitgate.cli.policy_expected import Difference, differences
from jitgate.cli.policy_words import part_rows, standing, trial_json
from jitgate.config.cases import Case, case_files, policy_files, read_cases
from jitgate.core.trial import Share, Trial
from jitgate.core.visible import visible
from jitgate.errors import ConfigurationInvalid

PASS, FAIL = 0, 1


@dataclass(frozen=True, slots=True)
class Failure:
    """A case that did not come out as expected."""

    case: Case
    trial: Trial
    differences: Sequence[Difference]


@dataclass(slots=True)
class Results:
    """What came of all cases."""

    cases: int = 0
    failures: list[Failure] = field(default_factory=list)
    touched: Counter[str] = field(default_factory=Counter)
    """By rule: how many cases it spoke of."""
    decided: Counter[str] = field(default_factory=Counter)

    def note(self, case: Case, trial: Trial) -> Failure | None:
        """Count one case; the failure, if it is one."""
        self.cases += 1
        self.touched.update(part.rule for part in trial.parts if part.touched)
        self.decided.update(part.rule for part in trial.parts if part.share is Share.DECIDES)
        found = differences(case.expect, trial)
        failure = Failure(case, trial, found) if found else None
        if failure is not None:
            self.failures.append(failure)
        return failure


def test(arguments: argparse.Namespace) -> int:
    """Try every case. Raises `ConfigurationInvalid` where it could not be told."""
    made = offline(named_file(arguments.config))
    cases = _cases(arguments.files or case_files(policy_files(made.configuration)))
    attempts = [(case, attempt_of(case.request, made.configuration)) for case in cases]
    results, bar = Results(), Bar()
    for number, (case, attempt) in enumerate(attempts):
        bar.show(number, len(attempts))
        failure = results.note(case, made.tried(attempt))
        if failure is not None and not arguments.json:
            bar.clear()
            print(*_failure_lines(failure, made), "", sep="\n")
    bar.clear()
    untouched = [rule for rule in _rules(made) if not results.touched[rule]]
    if arguments.json:
        print(json.dumps(_content(results, made), indent=2))
    else:
        print(*_summary(results, untouched, made), sep="\n")
    return FAIL if results.failures or (untouched and arguments.strict) else PASS


def _cases(files: Sequence[Path]) -> list[Case]:
    problems: list[str] = []
    cases = [case for file in files for case in read_cases(file, problems)]
    if not problems and not cases:
        problems.append(
            "There are no cases: put test files into a folder `tests` beside the policy files, or "
            "name FILES."
        )
    if problems:
        raise ConfigurationInvalid(problems)
    return cases


def _rules(made: Offline) -> list[str]:
    """Every rule that is an operator's own."""
    return [each.name for each in made.policy.rules if made.where.get(each.name) != BUILT_IN]


# --- in words


def _failure_lines(failure: Failure, made: Offline) -> Iterator[str]:
    case, trial = failure.case, failure.trial
    yield f"FAILED  {standing(case.where)}: {visible(_named(case))}"
    for each in failure.differences:
        yield f"  {each.what}: expected {_word(each.expected)}"
        yield f"  {' ' * len(each.what)}  came     {_word(each.came)}"
    spoke = [
        part
        for part in trial.parts
        if part.share is not Share.NONE or part.rule == case.expect.rule
    ]
    if spoke:
        yield ""
        yield from (f"  {row}" for row in part_rows(spoke, made.where))
    if silent := len(trial.parts) - len(spoke):
        yield f"  {silent} {'other rule does' if silent == 1 else 'other rules do'} not apply."


def _named(case: Case) -> str:
    """The case's own name, or its call."""
    call = case.request
    return case.name or f"{call.method} {call.url} as {call.caller.sub}"


def _word(value: Any) -> str:
    if value is None:
        return "none"
    return visible(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _summary(results: Results, untouched: Sequence[str], made: Offline) -> Iterator[str]:
    if untouched:
        yield "No case touches these rules:"
        yield from (
            f"  {visible(rule)}  {standing(made.where.get(rule, ''))}" for rule in untouched
        )
        yield ""
    rules = _rules(made)
    decided = sum(1 for rule in rules if results.decided[rule])
    failed = len(results.failures)
    yield (
        f"{_many(results.cases, 'case')}: {results.cases - failed} passed, {failed} failed. "
        f"{_many(len(rules), 'rule')}: {len(rules) - len(untouched)} touched, {decided} decided "
        f"one. Policy {made.policy.version}."
    )


def _many(count: int, one: str) -> str:
    return f"{count} {one}{'s' * (count != 1)}"


# --- for programs


def _content(results: Results, made: Offline) -> dict[str, Any]:
    return {
        "cases": results.cases,
        "failed": [
            {
                "where": each.case.where,
                "case": _named(each.case),
                "differences": [difference._asdict() for difference in each.differences],
                "came": trial_json(each.trial, made.where),
            }
            for each in results.failures
        ],
        "rules": [
            {
                "rule": rule,
                "where": made.where.get(rule),
                "touched": results.touched[rule],
                "decided": results.decided[rule],
            }
            for rule in _rules(made)
        ],
        "policy": made.policy.version,
    }
