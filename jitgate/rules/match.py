"""The rule that operators write in policy files: what it matches, and what it answers then."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from zope.interface import implementer

from jitgate.core.globs import globs_matcher
from jitgate.core.lookalikes import BroadTemplate, broad_matcher
from jitgate.core.operation import PathTemplate
from jitgate.interfaces import IExplainedRule, IStatedRule
from jitgate.values import Effect, Inquiry, Risk, Subject, Verdict


@dataclass(frozen=True, slots=True)
class Criteria:
    """What an operation must be, and whose, for a rule to apply.

    None tests nothing, () matches nothing. In ``actions``, ``subjects`` and ``agents`` ``*`` stands
    for any run of characters; ``paths`` are templates; ``agents`` are the programs, which for a
    Subject that names none beside it is the Subject itself. GET among ``methods`` is HEAD too, but
    for a rule that permits. An operation of unknown ``risk`` meets
    every one but a rule's that permits. One that a catalog calls ``by_name`` is met only by a rule
    that denies, or that has its name among its ``actions`` as it is.
    """

    targets: tuple[str, ...] | None = None
    actions: tuple[str, ...] | None = None
    groups: tuple[str, ...] | None = None
    methods: tuple[str, ...] | None = None
    paths: tuple[str, ...] | None = None
    issuers: tuple[str, ...] | None = None
    subjects: tuple[str, ...] | None = None
    agents: tuple[str, ...] | None = None
    risk: tuple[Risk, ...] | None = None


@implementer(IStatedRule, IExplainedRule)
class MatchRule:
    """Answers its verdict for every operation that meets its criteria."""

    def __init__(self, name: str, criteria: Criteria, verdict: Verdict) -> None:
        self.name = name
        self.version = hashlib.sha256(f"{criteria!r} {verdict!r}".encode()).hexdigest()
        self.verdict = verdict
        self._criteria = criteria
        self._each: Mapping[str, MatchRule] | None = None
        self._groups = None if criteria.groups is None else frozenset(criteria.groups)
        self._targets = None if criteria.targets is None else frozenset(criteria.targets)
        self._actions = None if criteria.actions is None else globs_matcher(criteria.actions)
        self._named = frozenset(criteria.actions or ())
        self._issuers = None if criteria.issuers is None else frozenset(criteria.issuers)
        self._subjects = None if criteria.subjects is None else globs_matcher(criteria.subjects)
        self._agents = None if criteria.agents is None else globs_matcher(criteria.agents)
        self._risk = None if criteria.risk is None else frozenset(criteria.risk)
        permits = getattr(verdict, "effect", None) is Effect.PERMIT
        self._methods = None if criteria.methods is None else frozenset(criteria.methods)
        if not permits and "GET" in (self._methods or ()):  # it asks for the same
            self._methods = frozenset({*(self._methods or ()), "HEAD"})
        matcher = _exact_matcher if permits else _broad_matcher
        self._paths = None if criteria.paths is None else matcher(criteria.paths)
        self._names_who = any(
            each is not None for each in (criteria.issuers, criteria.subjects, criteria.agents)
        )

    def judge(self, inquiry: Inquiry) -> Verdict | None:
        operation = inquiry.operation
        if self._meets(operation.target, operation.action, operation.method, operation.risk):
            return self._judge_rest(inquiry)
        return None

    @property
    def judge_concerned(self) -> Callable[[Inquiry], Verdict | None]:
        """What a subclass answers may be anything: it is asked by its own `judge`."""
        return self._judge_rest if type(self) is MatchRule else self.judge

    def _judge_rest(self, inquiry: Inquiry) -> Verdict | None:
        """Its answer for an operation that meets the rest of its criteria."""
        operation, subject = inquiry.operation, inquiry.subject
        if (
            (operation.by_name and not self._meets_by_name(operation.action))
            or (self._groups is not None and self._groups.isdisjoint(subject.groups))
            or (self._names_who and not self._is_one_of(subject))
            or (self._paths is not None and not self._paths(operation.path))
        ):
            return None
        return self.verdict

    def why_not(self, inquiry: Inquiry) -> str | None:
        operation = inquiry.operation
        if operation.by_name and not self._meets_by_name(operation.action):
            return f"actions: {operation.action} passes by its name alone"
        inquiry = inquiry._replace(operation=replace(operation, by_name=False))
        for test, rule in self._alone().items():
            if rule.judge(inquiry) is None:
                wanted = getattr(self._criteria, test)
                listed = ", ".join(getattr(each, "value", each) for each in wanted) or "nothing"
                return f"{test}: {_looked_at(inquiry)[test]} is none of {listed}"
        return None

    def _alone(self) -> Mapping[str, MatchRule]:
        """For each criterion, in the order of `judge`, a rule that has this one alone."""
        if self._each is None:
            self._each = {
                test: MatchRule(self.name, Criteria(**{test: criterion}), self.verdict)
                for test in _ORDER
                if (criterion := getattr(self._criteria, test)) is not None
            }
        return self._each

    def _is_one_of(self, subject: Subject) -> bool:
        if self._issuers is not None and subject.issuer not in self._issuers:
            return False
        if self._subjects is not None and self._subjects(subject.id) is None:
            return False
        agent = subject.id if subject.agent is None else subject.agent
        return self._agents is None or self._agents(agent) is not None

    def concerns(self, target: str, action: str, method: str, risk: Risk | None) -> bool:
        """Whether it may answer; a subclass may always, since its answers are its own."""
        return type(self) is not MatchRule or self._meets(target, action, method, risk)

    def _meets(self, target: str, action: str, method: str, risk: Risk | None) -> bool:
        return (
            (self._targets is None or target in self._targets)
            and (self._risk is None or self._takes(risk))
            and (self._methods is None or method in self._methods)
            and (self._actions is None or self._actions(action) is not None)
        )

    def _meets_by_name(self, action: str) -> bool:
        """Whether it may be met by what only a rule that names it may let pass."""
        return self.verdict.effect is Effect.DENY or action in self._named

    def _takes(self, risk: Risk | None) -> bool:
        """An operation whose risk nobody knows may be of any: nothing is permitted for it."""
        if risk is None:
            return self.verdict.effect is not Effect.PERMIT
        return self._risk is not None and risk in self._risk


def _exact_matcher(paths: Sequence[str]) -> Callable[[str], object]:
    return re.compile("|".join(PathTemplate(each).pattern for each in paths) or "(?!)").fullmatch


def _broad_matcher(paths: Sequence[str]) -> Callable[[str], object]:
    return broad_matcher(map(BroadTemplate, paths))


_ORDER = (
    "targets",
    "risk",
    "methods",
    "actions",
    "groups",
    "issuers",
    "subjects",
    "agents",
    "paths",
)
"""The criteria as `MatchRule.judge` goes through them."""


def _looked_at(inquiry: Inquiry) -> Mapping[str, str]:
    """What each criterion looks at, for people."""
    operation, subject = inquiry.operation, inquiry.subject
    return {
        "targets": operation.target,
        "risk": "an unknown risk" if operation.risk is None else operation.risk.value,
        "methods": operation.method,
        "actions": operation.action,
        "groups": ", ".join(sorted(subject.groups)) or "a subject without groups",
        "issuers": subject.issuer,
        "subjects": subject.id,
        "agents": subject.id if subject.agent is None else subject.agent,
        "paths": operation.path,
    }
