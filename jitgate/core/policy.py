"""How rules combine into one decision: deny overrides, then review over permit, else deny.

The order of rules never matters. A rule that must see the body postpones the decision, unless one
that need not has already denied.
"""

from __future__ import annotations

import functools
import hashlib
import operator
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from jitgate.core.agreeing import duties_of
from jitgate.core.duties import check_duties
from jitgate.errors import RuleFault
from jitgate.interfaces import IConcernedRule, IInformedRule, IRule, IStatedRule
from jitgate.values import (
    Decision,
    Effect,
    Facts,
    Inquiry,
    Obligation,
    Observed,
    Operation,
    Risk,
    Undecided,
    Verdict,
)


class Needs:
    """What is answered in place of a decision that cannot be had yet; a kind for each reason."""


class NeedsBody(Needs):
    """What a rule, or `decide`, answers while it could still match but must see the body."""

    def __repr__(self) -> str:
        return "NEEDS_BODY"


NEEDS_BODY: Final = NeedsBody()


class NeedsFacts(Needs):
    """What `foretell` answers where facts, which are gathered for real calls, may count."""

    def __repr__(self) -> str:
        return "NEEDS_FACTS"


NEEDS_FACTS: Final = NeedsFacts()

REASON_CHARS = 2000
"""Characters of a reason: it stands in records, in refusals, and before people."""

NO_RULE = "default"
"""The rule that stands in a decision that no rule made."""


CONCERNED = 4096
"""Operations (target, action, method) for which it is remembered whom to ask; Okta has 776."""

SETTLED = 256
"""Sets of rules for which it is remembered what they decide together; few agree on anything."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules in force and the obligations that the gateway knows how to fulfil.

    What rules state beforehand is made use of: a rule that an operation does not concern is not
    asked, and what rules decide together by the verdicts that they stated is worked out once.
    """

    rules: Sequence[IRule]
    version: str
    duties: frozenset[str]
    _stated: Mapping[str, Verdict] = field(init=False, repr=False, compare=False)
    _concerned: Callable[[str, str, str, Risk | None], _Concerned] = field(
        init=False, repr=False, compare=False
    )
    _settled: Callable[[tuple[str, ...]], Decision] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_stated", _stated_by(self.rules))
        concerned = functools.partial(_concerned, tuple(self.rules))
        object.__setattr__(self, "_concerned", functools.lru_cache(CONCERNED)(concerned))
        object.__setattr__(self, "_settled", functools.lru_cache(SETTLED)(self._settle))

    def facts(self, operation: Operation) -> frozenset[str]:
        """The names of the facts that rules look at for such an operation."""
        return self._concerned_by(operation).facts

    def decide(self, inquiry: Inquiry) -> Decision | NeedsBody:
        """The decision, or NEEDS_BODY if the body has not been read and a rule must see it.

        Raises `RuleFault` if a rule raises, answers nonsense, or obliges the gateway to something
        it does not know; whoever calls denies then.
        """
        concerned = self._concerned_by(inquiry.operation)
        answers = self._answers(inquiry, concerned.rules)
        if concerned.facts and not concerned.facts <= inquiry.facts.keys():
            answers = _unpermitted(answers, concerned.needs, inquiry.facts)
        if all(map(operator.is_, answers.values(), map(self._stated.get, answers))):
            return self._settled(tuple(answers))
        sorted_out = _SortedOut.of(answers, inquiry.body is None)
        denied = _decision(Effect.DENY, sorted_out.verdicts, self.version)
        if denied is not None:
            return sorted_out.noted(denied)
        if sorted_out.needs_body:
            return NEEDS_BODY
        return sorted_out.noted(self._opened(sorted_out.verdicts))

    def foretell(self, inquiry: Inquiry) -> Decision | Needs:
        """The decision as far as it can be told without facts: promises and ends nothing wrongly.

        NEEDS_FACTS where rules look at them, unless others deny whatever those say. Raises as
        `decide` does.
        """
        concerned = self._concerned_by(inquiry.operation)
        if not concerned.facts:
            return self.decide(inquiry)
        answers = self._answers(
            inquiry, [each for each in concerned.rules if each[0] not in concerned.needs]
        )
        sorted_out = _SortedOut.of(answers, inquiry.body is None)
        return _decision(Effect.DENY, sorted_out.verdicts, self.version) or NEEDS_FACTS

    def _concerned_by(self, operation: Operation) -> _Concerned:
        try:
            return self._concerned(
                operation.target, operation.action, operation.method, operation.risk
            )
        except BaseException as error:
            kind = type(error).__name__
            raise RuleFault(f"A rule that states what it concerns raised {kind}.") from error

    def _answers(self, inquiry: Inquiry, rules: Iterable[_Judge]) -> dict[str, object]:
        """What the rules say that say something, by their names."""
        answers: dict[str, object] = {}
        asked = ""
        try:
            for asked, judge in rules:
                answer = judge(inquiry)
                if answer is not None:
                    if answer is not self._stated.get(asked):
                        hash(answer)  # what can still change is no verdict
                    answers[asked] = answer
        except BaseException as error:
            raise RuleFault(f"Rule {asked} raised {type(error).__name__}.", asked) from error
        return answers

    def _settle(self, names: tuple[str, ...]) -> Decision:
        """What these rules decide together, each by the verdict that it stated."""
        verdicts = {name: self._stated[name] for name in names}
        return _decision(Effect.DENY, verdicts, self.version) or self._opened(verdicts)

    def _opened(self, verdicts: Mapping[str, Verdict]) -> Decision:
        """The decision where nothing denies."""
        return self._checked(
            _decision(Effect.REVIEW, verdicts, self.version)
            or _decision(Effect.PERMIT, verdicts, self.version)
            or Decision(Effect.DENY, NO_RULE, "No rule permits this operation.", self.version)
        )

    def _checked(self, decision: Decision) -> Decision:
        unknown = {duty.name for duty in decision.obligations} - self.duties
        if unknown:
            what = f"Rule {decision.rule} obliges to what is unknown: {sorted(unknown)}."
            raise RuleFault(what, decision.rule)
        check_duties(decision)
        return decision


@dataclass(frozen=True, slots=True)
class _SortedOut:
    """What rules answered, by kind."""

    verdicts: Mapping[str, Verdict]
    needs_body: bool
    undecided: Mapping[str, Undecided]
    observed: tuple[tuple[str, Observed], ...]

    @classmethod
    def of(cls, answers: Mapping[str, object], without_body: bool) -> _SortedOut:
        """Raises `RuleFault` for what is no answer."""
        verdicts: dict[str, Verdict] = {}
        undecided: dict[str, Undecided] = {}
        observed: dict[str, Observed] = {}
        needs_body = False
        for name, answer in answers.items():
            if isinstance(answer, Verdict) and _is_verdict(answer):
                verdicts[name] = answer
            elif answer is NEEDS_BODY and without_body:
                needs_body = True
            elif isinstance(answer, Undecided) and _is_reason(answer.reason):
                undecided[name] = answer
            elif isinstance(answer, Observed) and _is_observed(answer):
                observed[name] = answer
            else:
                raise RuleFault(f"Rule {name} answered neither a verdict nor None.", name)
        return cls(verdicts, needs_body, undecided, tuple(sorted(observed.items())))

    def noted(self, decision: Decision) -> Decision:
        """The decision, with what was observed, and why rules could not permit where none did."""
        if decision.rule == NO_RULE and self.undecided:
            why = " ".join(
                f"{name}: {each.reason}" for name, each in sorted(self.undecided.items())
            )
            decision = replace(decision, reason=f"{decision.reason} {why}"[:REASON_CHARS])
        return replace(decision, observed=self.observed) if self.observed else decision


def version_of(rules: Iterable[IRule], parts: Iterable[str] = ()) -> str:
    """A digest over the rules' names and versions and other ``parts``, whatever their order."""
    lines = sorted([*(f"{rule.name}={rule.version}" for rule in rules), *parts])
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _stated_by(rules: Iterable[IRule]) -> Mapping[str, Verdict]:
    """The sound verdicts that rules state, by their names; of names that stand once."""
    names = Counter(rule.name for rule in rules)
    stated = {rule.name: rule.verdict for rule in rules if IStatedRule.providedBy(rule)}
    return {
        name: verdict
        for name, verdict in stated.items()
        if names[name] == 1 and isinstance(verdict, Verdict) and _is_lasting(verdict)
    }


def _is_lasting(verdict: Verdict) -> bool:
    """Whether it is a verdict, and one that cannot change any more."""
    try:
        hash(verdict)
    except TypeError:
        return False
    return _is_verdict(verdict)


_Judge = tuple[str, Callable[[Inquiry], object]]
"""The name of a rule, and what answers for it."""


class _Concerned(NamedTuple):
    """The rules that must be asked of an operation, and the facts that they look at."""

    rules: tuple[_Judge, ...]
    needs: Mapping[str, frozenset[str]]
    """Which facts each rule looks at that looks at any, by its name."""
    facts: frozenset[str]


def _concerned(
    rules: Iterable[IRule], target: str, action: str, method: str, risk: Risk | None
) -> _Concerned:
    """All rules but those that state that such an operation is none of theirs."""
    asked = tuple(
        rule
        for rule in rules
        if not IConcernedRule.providedBy(rule) or rule.concerns(target, action, method, risk)
    )
    judges = tuple(
        (rule.name, rule.judge_concerned if IConcernedRule.providedBy(rule) else rule.judge)
        for rule in asked
    )
    needs = {rule.name: facts for rule in asked if (facts := facts_of(rule))}
    return _Concerned(judges, needs, frozenset[str]().union(*needs.values()))


def facts_of(rule: IRule) -> frozenset[str]:
    """The names of the facts that a rule looks at."""
    return rule.facts if IInformedRule.providedBy(rule) else frozenset()


def _unpermitted(
    answers: Mapping[str, object], needs: Mapping[str, frozenset[str]], known: Facts
) -> dict[str, object]:
    """The answers, but that no rule permits that lacks facts, whatever it makes of that itself."""
    unpermitted = dict(answers)
    for name, facts in needs.items():
        missing, answer = facts - known.keys(), answers.get(name)
        if missing and isinstance(answer, Verdict) and answer.effect is Effect.PERMIT:
            named = ", ".join(sorted(missing))
            unpermitted[name] = Undecided(f"It looks at facts that are not known: {named}.")
    return unpermitted


def _is_verdict(answer: Verdict) -> bool:
    return (
        isinstance(answer.effect, Effect)
        and _is_reason(answer.reason)
        and isinstance(answer.obligations, tuple)
        and all(isinstance(duty, Obligation) for duty in answer.obligations)
    )


def _is_observed(answer: Observed) -> bool:
    return (answer.effect is None or isinstance(answer.effect, Effect)) and _is_reason(
        answer.reason
    )


def _is_reason(reason: object) -> bool:
    return isinstance(reason, str) and len(reason) <= REASON_CHARS and _is_unicode(reason)


def _is_unicode(text: str) -> bool:
    """Whether it can be written down: a lone surrogate cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _decision(effect: Effect, verdicts: Mapping[str, Verdict], version: str) -> Decision | None:
    """The decision of all rules of that effect: the first name speaks, all of them oblige."""
    names = sorted(name for name, verdict in verdicts.items() if verdict.effect is effect)
    if not names:
        return None
    agreeing = [verdicts[name] for name in names]
    reason = agreeing[0].reason
    if effect is Effect.REVIEW:  # people must see why each of the rules wants them to look
        reason = "; ".join(dict.fromkeys(each.reason for each in agreeing))
    return Decision(effect, names[0], reason, version, duties_of(agreeing))
