"""A rule that is tried out says what it would have done, and does nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zope.interface import implementer
from zope.interface.verify import verifyObject

from jitgate.core.policy import NEEDS_BODY, Policy
from jitgate.interfaces import IConcernedRule, IInformedRule, IRule, IStatedRule
from jitgate.rules.cel import CelCondition
from jitgate.rules.conditional import ConditionalRule
from jitgate.rules.match import Criteria, MatchRule
from jitgate.rules.observing import ObservingRule
from jitgate.values import (
    Decision,
    Effect,
    Inquiry,
    Obligation,
    Observed,
    Operation,
    Subject,
    Undecided,
    Verdict,
)

OPERATION = Operation("okta", "getUser", {}, "GET", "acme.okta.com:443", "/u", json=True)
SUBJECT = Subject("https://idp.example", "bot-7", frozenset({"it-agents"}), 600.0)
ASKED = Inquiry(OPERATION, SUBJECT, 0.0)


@implementer(IRule)
class _Says:
    version = "1"

    def __init__(self, answer, name="tried"):
        self.name, self.answer = name, answer

    def judge(self, inquiry):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def conditional(when, effect=Effect.DENY):
    matching = MatchRule("tried", Criteria(actions=("getUser",)), Verdict(effect, "Why."))
    return ConditionalRule(matching, CelCondition(when))


def test_it_provides_its_port_and_states_no_verdict_and_asks_for_no_facts():
    made = ObservingRule(conditional("facts.t.x == 1"))
    assert verifyObject(IConcernedRule, made)
    assert not IStatedRule.providedBy(made)
    assert not IInformedRule.providedBy(made)
    assert Policy((made,), "v", frozenset()).facts(OPERATION) == frozenset()


@pytest.mark.parametrize(
    ("answer", "observed"),
    [
        (None, None),
        *[(Verdict(effect, "Why."), Observed(effect, "Why.")) for effect in Effect],
        (Undecided("It lacks."), Observed(None, "It lacks.")),
        (Observed(Effect.DENY, "It would."), Observed(Effect.DENY, "It would.")),
        (ZeroDivisionError("secret"), Observed(None, "It raised ZeroDivisionError.")),
        (True, Observed(None, "It answered nonsense.")),
    ],
)
def test_what_its_rule_would_have_answered(answer, observed):
    assert ObservingRule(_Says(answer)).judge(ASKED) == observed


def test_no_body_is_held_for_it():
    made = ObservingRule(conditional("body.x == 1"))
    answer = made.judge(ASKED)
    assert answer.effect is None
    assert "needs the body" in answer.reason
    assert made.judge(ASKED._replace(body=b'{"x": 1}', is_json=True)) == Observed(
        Effect.DENY, "Why."
    )
    assert Policy((made,), "v", frozenset()).decide(ASKED) is not NEEDS_BODY


@pytest.mark.parametrize("effect", Effect)
def test_a_denial_for_what_cannot_be_told_is_not_taken_for_the_rules_own(effect):
    for when in ('operation.resource["none"] == "x"', "facts.t.x == 1"):
        assert ObservingRule(conditional(when, effect)).judge(ASKED).effect is None
    known = ASKED._replace(facts={"t": {"x": 1}})
    assert ObservingRule(conditional("facts.t.x == 1", effect)).judge(known).effect is effect


def test_it_is_asked_only_of_what_its_rule_concerns():
    made = ObservingRule(conditional("true"))
    assert made.concerns("okta", "getUser", "GET", None)
    assert not made.concerns("okta", "listUsers", "GET", None)
    assert ObservingRule(_Says(None)).concerns("okta", "listUsers", "GET", None)


def test_its_version_tells_that_it_only_observes():
    assert ObservingRule(conditional("true")).version != conditional("true").version


answers = st.sampled_from(
    [None, *[Verdict(effect, "Why.", (Obligation("mask", "none"),)) for effect in Effect]]
)


@given(
    st.lists(answers, max_size=3),
    answers | st.sampled_from([NEEDS_BODY, Undecided("?"), ValueError(), "nonsense"]),
    st.sampled_from([None, b""]),
)
def test_it_changes_no_decision_and_its_obligations_count_for_nothing(others, answer, body):
    asked = ASKED._replace(body=body)
    rules = [_Says(each, f"r{number}") for number, each in enumerate(others)]
    without = Policy(tuple(rules), "v", frozenset({"mask", "grant"})).decide(asked)
    tried = ObservingRule(_Says(answer))
    with_it = Policy((*rules, tried), "v", frozenset({"mask", "grant"})).decide(asked)
    assert isinstance(with_it, Decision)
    assert isinstance(without, Decision)
    assert (with_it.effect, with_it.rule, with_it.reason, with_it.obligations) == (
        without.effect,
        without.rule,
        without.reason,
        without.obligations,
    )
    assert [name for name, _ in with_it.observed] == ([] if answer is None else ["tried"])
