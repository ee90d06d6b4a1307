"""A rule with a condition: what it lists is tested first, and then what must be so of the call."""

from __future__ import annotations

import hashlib

from zope.interface import implementer

from jitgate.core.policy import NEEDS_BODY, NeedsBody
from jitgate.interfaces import ICondition, IExplainedRule, IInformedRule, IStatedRule
from jitgate.rules.match import MatchRule
from jitgate.values import Effect, Inquiry, Risk, Undecided, Verdict


@implementer(IStatedRule, IInformedRule, IExplainedRule)
class ConditionalRule:
    """Answers its rule's verdict where the condition holds, and denies where nobody can tell."""

    def __init__(self, rule: MatchRule, condition: ICondition) -> None:
        self.name = rule.name
        self.verdict = rule.verdict
        self.version = hashlib.sha256(f"{rule.version} {condition.text!r}".encode()).hexdigest()
        self.facts: frozenset[str] = condition.facts
        self._rule = rule
        self._judge_concerned = rule.judge_concerned
        self._condition = condition

    def concerns(self, target: str, action: str, method: str, risk: Risk | None) -> bool:
        return self._rule.concerns(target, action, method, risk)

    def why_not(self, inquiry: Inquiry) -> str | None:
        listed = self._rule.why_not(inquiry)
        if listed is not None or self.judge(inquiry) is not None:
            return listed
        return f"when: {' '.join(self._condition.text.split())} is false"

    def judge(self, inquiry: Inquiry) -> Verdict | Undecided | NeedsBody | None:
        return None if self._rule.judge(inquiry) is None else self._answer(inquiry)

    def judge_concerned(self, inquiry: Inquiry) -> Verdict | Undecided | NeedsBody | None:
        return None if self._judge_concerned(inquiry) is None else self._answer(inquiry)

    def _answer(self, inquiry: Inquiry) -> Verdict | Undecided | NeedsBody | None:
        """Its answer where all that it lists fits."""
        if self.facts and not self.facts <= inquiry.facts.keys():
            return self._uninformed(inquiry)
        if inquiry.body is None and self._condition.needs_body(inquiry.operation):
            return NEEDS_BODY
        answer = self._condition.holds(inquiry)
        if answer is True:
            return self.verdict
        if answer is False:
            return None
        return self._denial(f"its condition could not be evaluated: {answer.reason}")

    def _uninformed(self, inquiry: Inquiry) -> Verdict | Undecided:
        """Without facts it cannot permit; what it might have prevented is denied."""
        missing = ", ".join(sorted(self.facts - inquiry.facts.keys()))
        why = f"the facts it needs are not known: {missing}"
        if self.verdict.effect is Effect.PERMIT:
            return Undecided(f"It cannot permit: {why}.")
        return self._denial(why)

    def _denial(self, why: str) -> Verdict:
        return Verdict(Effect.DENY, f"Rule {self.name}: {why}.")
