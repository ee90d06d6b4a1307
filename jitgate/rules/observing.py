"""A rule that is only tried out: what it would have answered goes on record, and nothing more."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from zope.interface import implementer

from jitgate.core.policy import NEEDS_BODY
from jitgate.interfaces import IConcernedRule, IExplainedRule, IRule, IStatedRule
from jitgate.values import Inquiry, Observed, Risk, Undecided, Verdict


@implementer(IConcernedRule, IExplainedRule)
class ObservingRule:
    """Answers `Observed` wherever its rule answers anything.

    It asks for nothing: no body is held for it, and no facts are gathered.
    """

    def __init__(self, rule: IRule) -> None:
        self.name: str = rule.name
        self.version = hashlib.sha256(f"observe {rule.version}".encode()).hexdigest()
        self._rule = rule
        self._judge_concerned = (
            rule.judge_concerned if IConcernedRule.providedBy(rule) else rule.judge
        )
        self._stated: Verdict | None = rule.verdict if IStatedRule.providedBy(rule) else None

    def concerns(self, target: str, action: str, method: str, risk: Risk | None) -> bool:
        return not IConcernedRule.providedBy(self._rule) or self._rule.concerns(
            target, action, method, risk
        )

    def why_not(self, inquiry: Inquiry) -> str | None:
        return self._rule.why_not(inquiry) if IExplainedRule.providedBy(self._rule) else None

    def judge(self, inquiry: Inquiry) -> Observed | None:
        return self._observed(self._rule.judge, inquiry)

    def judge_concerned(self, inquiry: Inquiry) -> Observed | None:
        return self._observed(self._judge_concerned, inquiry)

    def _observed(self, judge: Callable[[Inquiry], object], inquiry: Inquiry) -> Observed | None:
        try:
            answer = judge(inquiry)
        except Exception as error:  # noqa: BLE001 (a rule that is tried out breaks nothing)
            return Observed(None, f"It raised {type(error).__name__}.")
        if answer is None:
            return None
        if isinstance(answer, Verdict):
            could_tell = self._stated is None or answer is self._stated
            return Observed(answer.effect if could_tell else None, answer.reason)
        if isinstance(answer, Undecided):
            return Observed(None, answer.reason)
        if answer is NEEDS_BODY:
            return Observed(None, "It needs the body of the call, which was not held for it.")
        return answer if isinstance(answer, Observed) else Observed(None, "It answered nonsense.")
