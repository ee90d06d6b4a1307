"""The suite for rules: pure, quick, and never anything but an answer."""

from __future__ import annotations

from zope.interface.verify import verifyObject

from jitgate.core.policy import Policy
from jitgate.flow.gateway import DUTIES
from jitgate.interfaces import IInformedRule, IRule, IStatedRule
from jitgate.testing.contract import QUICK, Contract, for_all, quickest
from jitgate.testing.strategies import inquiries
from jitgate.values import NO_FACTS, Effect, Inquiry, Verdict


class RuleContract(Contract):
    """What every `IRule` promises. What yours answers to which call is yours to test."""

    def make(self) -> IRule:
        """The rule, made anew at each call."""
        raise NotImplementedError("let make() return what your plugin provides")

    def test_it_provides_its_port(self) -> None:
        assert verifyObject(IRule, self.make())

    @for_all(inquiry=inquiries())
    def test_it_answers_every_question_with_an_answer(self, inquiry: Inquiry) -> None:
        """Raising, or any other answer than a rule may give, denies the call, and names the rule.

        So does an obligation that the gateway does not know, and NEEDS_BODY once there is a body.
        """
        Policy((self.pair()[0],), "a version", DUTIES).decide(inquiry)

    @for_all(inquiry=inquiries())
    def test_the_same_question_has_the_same_answer(self, inquiry: Inquiry) -> None:
        one, other = self.pair()
        first = one.judge(inquiry)
        assert one.judge(inquiry) == first
        assert other.judge(inquiry) == first

    @for_all(inquiry=inquiries())
    def test_it_answers_quickly(self, inquiry: Inquiry) -> None:
        rule, _ = self.pair()
        assert quickest(lambda: rule.judge(inquiry)) < QUICK

    @for_all(inquiry=inquiries())
    def test_it_answers_what_it_states_where_it_states_anything(self, inquiry: Inquiry) -> None:
        rule, operation = self.pair()[0], inquiry.operation
        if not IStatedRule.providedBy(rule):
            return
        answer = rule.judge(inquiry)
        asked = operation.target, operation.action, operation.method, operation.risk
        if not rule.concerns(*asked):
            assert answer is None
        assert not isinstance(answer, Verdict) or answer == rule.verdict

    @for_all(inquiry=inquiries())
    def test_it_permits_nothing_while_it_lacks_facts(self, inquiry: Inquiry) -> None:
        rule, _ = self.pair()
        if not IInformedRule.providedBy(rule):
            return
        assert all(isinstance(each, str) for each in rule.facts)
        answer = rule.judge(inquiry._replace(facts=NO_FACTS))
        assert not isinstance(answer, Verdict) or answer.effect is not Effect.PERMIT
