"""A rule with a condition denies what nobody can tell, whatever it would have answered itself."""

from __future__ import annotations

import pytest
from zope.interface import implementer
from zope.interface.verify import verifyObject

from jitgate.core.policy import NEEDS_BODY, Policy
from jitgate.interfaces import ICondition, IInformedRule, IStatedRule
from jitgate.rules.cel import CelCondition
from jitgate.rules.conditional import ConditionalRule
from jitgate.rules.match import Criteria, MatchRule
from jitgate.values import Decision, Effect, Inquiry, Operation, Subject, Undecided, Verdict

SUBJECT = Subject("https://idp.example", "bot-7", frozenset({"it-agents"}), 600.0)
MATCHING = Criteria(
    targets=("okta",), actions=("getUser",), groups=("it-agents",), paths=("/u/{id}",)
)


def inquiry(body=None, facts=None, **changes):
    told = {"target": "okta", "action": "getUser", "resource": {"userId": "00u1"}, "method": "GET"}
    operation = Operation(
        **{**told, "authority": "acme.okta.com:443", "path": "/u/00u1", "json": True, **changes}
    )
    return Inquiry(operation, SUBJECT, 0.0, body, body is not None, facts or {})


def rule(when, effect=Effect.PERMIT, criteria=MATCHING):
    return ConditionalRule(
        MatchRule("a-rule", criteria, Verdict(effect, "It may.")), CelCondition(when)
    )


def test_it_provides_the_ports():
    assert verifyObject(IStatedRule, rule("true"))
    assert verifyObject(IInformedRule, rule("true"))


@pytest.mark.parametrize("effect", Effect)
def test_it_answers_its_verdict_where_the_condition_holds_and_else_nothing(effect):
    made = rule('operation.resource["userId"] == "00u1"', effect)
    assert made.judge(inquiry()) is made.verdict
    assert made.judge(inquiry(resource={"userId": "00u2"})) is None


@pytest.mark.parametrize("effect", Effect)
@pytest.mark.parametrize(
    "when",
    [
        'operation.resource["none"] == "x"',
        'facts.t.x == "x"',
        "facts.t.number",
        "1 % facts.t.zero == 1",
        'body.a == "x"',
    ],
)
def test_a_condition_that_cannot_be_evaluated_denies_whatever_the_rules_effect(effect, when):
    facts = {"t": {"number": 1, "zero": 0}}
    answer = rule(when, effect).judge(inquiry(b'{"secret": "hunter2"}', facts))
    assert isinstance(answer, Verdict)
    assert answer.effect is Effect.DENY
    assert answer.reason.startswith("Rule a-rule: its condition could not be evaluated: ")
    assert "hunter2" not in answer.reason


@pytest.mark.parametrize("effect", Effect)
@pytest.mark.parametrize("body", [b"", b"a=1", b'{"a": 1, "a": 1}', b'{"a": 1'])
def test_a_body_that_is_not_json_denies_whatever_the_rules_effect(effect, body):
    for when in ("body.a == 1", "body.a != 1", "body.a == 1 || true"):
        answer = rule(when, effect).judge(inquiry(body))
        assert isinstance(answer, Verdict)
        assert answer.effect is Effect.DENY


def test_without_its_facts_a_rule_cannot_permit_and_denies_what_it_might_have_prevented():
    facts = {"other": {"x": True}}
    when = "facts.ticket.open || facts.other.x"
    permitting = rule(when).judge(inquiry(facts=facts))
    assert permitting == Undecided("It cannot permit: the facts it needs are not known: ticket.")
    for effect in (Effect.REVIEW, Effect.DENY):
        answer = rule(when, effect).judge(inquiry(facts=facts))
        assert answer == Verdict(
            Effect.DENY, "Rule a-rule: the facts it needs are not known: ticket."
        )
    known = {**facts, "ticket": {"open": True}}
    assert rule(when).judge(inquiry(facts=known)) == Verdict(Effect.PERMIT, "It may.")


def test_it_says_which_facts_it_looks_at():
    made = rule("facts.ticket.open && facts.oncall.x == 1")
    assert made.facts == {"ticket", "oncall"}
    policy = Policy((made, rule("true")), "v", frozenset())
    assert policy.facts(inquiry().operation) == {"ticket", "oncall"}
    assert policy.facts(inquiry(action="listUsers").operation) == frozenset()


def test_a_body_is_asked_for_only_by_what_reads_it():
    assert rule("body.a == 1").judge(inquiry()) is NEEDS_BODY
    assert rule("body.a == 1").judge(inquiry(b'{"a": 1}')) == Verdict(Effect.PERMIT, "It may.")
    assert rule("body.a == 1").judge(inquiry(action="listUsers")) is None
    meaning = 'operation.parameters["activate"] == "true"'
    told = {"parameters": {"activate": "true"}}
    assert rule(meaning).judge(inquiry(**told)) == Verdict(Effect.PERMIT, "It may.")
    assert rule(meaning).judge(inquiry(in_body=("activate",), **told)) is NEEDS_BODY


@implementer(ICondition)
class _Told:
    """A condition that answers what it was told to, and counts how often it is asked."""

    text, facts = "told", frozenset()

    def __init__(self, answer=True):
        self.answer, self.asked = answer, 0

    def needs_body(self, operation):
        self.asked += 1
        return False

    def holds(self, inquiry):
        self.asked += 1
        return self.answer


@pytest.mark.parametrize(
    "changes",
    [{"target": "entra"}, {"action": "listUsers"}, {"path": "/u"}, {"path": "/u/00u1/roles"}],
)
def test_the_condition_is_asked_after_every_cheaper_test(changes):
    condition = _Told()
    made = ConditionalRule(MatchRule("a-rule", MATCHING, Verdict(Effect.PERMIT, "!")), condition)
    assert made.judge(inquiry(**changes)) is None
    other = inquiry()._replace(subject=Subject("https://idp.example", "x", frozenset(), 600.0))
    assert made.judge(other) is None
    assert condition.asked == 0


def test_it_is_asked_only_of_what_its_lists_concern():
    made = rule("true")
    assert made.concerns("okta", "getUser", "GET", None)
    assert not made.concerns("entra", "getUser", "GET", None)
    assert not made.concerns("okta", "listUsers", "GET", None)


def test_its_version_tells_its_condition():
    assert len({rule(when).version for when in ("true", "false", "true ")}) == 3
    assert rule("true").version == rule("true").version
    assert rule("true").version != rule("true", Effect.DENY).version


def test_one_rule_that_cannot_tell_denies_though_another_permits():
    permitting = MatchRule("permits", MATCHING, Verdict(Effect.PERMIT, "Anyway."))
    telling = rule('operation.resource["none"] == "x"')
    for rules in ((permitting, telling), (telling, permitting)):
        decision = Policy(rules, "v", frozenset({"mask"})).decide(inquiry())
        assert isinstance(decision, Decision)
        assert decision.effect is Effect.DENY
        assert decision.rule == "a-rule"
    assert Policy((permitting, rule("false")), "v", frozenset({"mask"})).decide(
        inquiry()
    ).effect is (Effect.PERMIT)
