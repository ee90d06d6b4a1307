"""How rules combine: no order, no addition and no fault ever opens what was closed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zope.interface import implementer

from jitgate.core.access import terms_of
from jitgate.core.policy import NEEDS_BODY, NEEDS_FACTS, NO_RULE, Policy, version_of
from jitgate.errors import RuleFault
from jitgate.interfaces import IInformedRule, IStatedRule
from jitgate.values import (
    Decision,
    Effect,
    Inquiry,
    Obligation,
    Observed,
    Operation,
    Quorum,
    Subject,
    Undecided,
    Verdict,
)

OPERATION = Operation("things", "GET", {}, "GET", "api.example:443", "/things")
SUBJECT = Subject("https://idp.example", "bot-7", frozenset(), 1000.0)
DUTIES = frozenset({"mask", "grant", "approvers"})
PERMITS = Verdict(Effect.PERMIT, "They may.")
DENIES = Verdict(Effect.DENY, "They may not.")
ASKS = Verdict(Effect.REVIEW, "Ask.")


@dataclass
class Says:
    """A rule that always gives the same answer, or raises it."""

    name: str
    answer: object
    version: str = "1"
    asked: list[bytes | None] = field(default_factory=list)

    def judge(self, inquiry):
        self.asked.append(inquiry.body)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


def decided(*answers, body=None):
    rules = [Says(f"r{number}", answer) for number, answer in enumerate(answers)]
    return Policy(tuple(rules), "v1", DUTIES).decide(Inquiry(OPERATION, SUBJECT, 0.0, body))


def effect_of(*answers, body=b""):
    """The effect, or FAULT where the gateway denies for a fault."""
    try:
        decision = decided(*answers, body=body)
    except RuleFault:
        return "fault"
    assert isinstance(decision, Decision)
    return decision.effect


verdicts = st.builds(
    Verdict,
    st.sampled_from(Effect),
    st.just("Because."),
    st.lists(
        st.builds(Obligation, st.sampled_from(["mask", "grant"]), st.text(max_size=3)), max_size=3
    ).map(tuple),
)
answers = st.lists(st.none() | verdicts, max_size=6)
OPENNESS = {"fault": 0, Effect.DENY: 0, Effect.REVIEW: 1, Effect.PERMIT: 2}


def test_no_rule_at_all_denies():
    decision = decided()
    assert (decision.effect, decision.rule) == (Effect.DENY, NO_RULE)


@given(answers, st.randoms())
def test_the_order_of_rules_never_matters(given_answers, random):
    rules = [Says(f"r{number}", answer) for number, answer in enumerate(given_answers)]
    shuffled = list(rules)
    random.shuffle(shuffled)
    first, second = (
        Policy(tuple(each), "v1", DUTIES).decide(Inquiry(OPERATION, SUBJECT, 0.0, b""))
        for each in (rules, shuffled)
    )
    assert first == second


@given(answers, st.integers(0, 6))
def test_a_deny_added_anywhere_denies(given_answers, place):
    assert effect_of(*given_answers[:place], DENIES, *given_answers[place:]) is Effect.DENY


@given(answers)
def test_a_review_added_never_permits(given_answers):
    assert effect_of(*given_answers, ASKS) in {Effect.REVIEW, Effect.DENY}


@given(answers, st.none() | verdicts.filter(lambda each: each.effect is not Effect.PERMIT))
def test_no_rule_but_one_that_permits_opens_anything(given_answers, added):
    before = OPENNESS[effect_of(*given_answers)]
    after = OPENNESS[effect_of(*given_answers, added)]
    if added is not None and added.effect is Effect.REVIEW:
        before = max(before, OPENNESS[Effect.REVIEW])  # nothing said becomes "ask", no more
    assert after <= before


@given(answers, st.integers(0, 6))
def test_a_rule_that_raises_denies_whatever_the_others_say(given_answers, place):
    with_fault = [*given_answers[:place], KeyError("x"), *given_answers[place:]]
    with pytest.raises(RuleFault, match=f"r{min(place, len(given_answers))} raised KeyError"):
        decided(*with_fault, body=b"")


def test_a_fault_never_shows_what_the_rule_said():
    with pytest.raises(RuleFault) as caught:
        decided(ValueError("password hunter2"))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "fault", [SystemExit(0), SystemExit("bye"), RecursionError(), MemoryError()]
)
def test_not_even_leaving_the_process_gets_a_rule_out_of_denying(fault):
    with pytest.raises(RuleFault):
        decided(PERMITS, fault)


NONSENSE = [
    True,
    "permit",
    Effect.PERMIT,
    (Effect.PERMIT, "They may."),
    Verdict("permit", "They may."),
    Verdict(Effect.PERMIT, "They may.", ("mask",)),
    Verdict(Effect.PERMIT, "They may.", None),
    Verdict(Effect.PERMIT, "They may.", [Obligation("mask", "p")]),
    Verdict(Effect.PERMIT, "They may.", (Obligation("mask", ["not", "hashable"]),)),
    Verdict(Effect.PERMIT, b"bytes"),
    Undecided(7),
    Undecided("x" * 9000),
    Observed("permit", "They may."),
    Observed(Effect.DENY, "\ud800"),
    object(),
]


@pytest.mark.parametrize("nonsense", NONSENSE, ids=repr)
def test_an_answer_that_is_no_verdict_denies(nonsense):
    assert effect_of(PERMITS, nonsense) == "fault"


def test_obligations_that_can_be_read_once_only_are_not_lost():
    """A generator would be empty by the time it is combined: its mask would be gone."""
    once = Verdict(Effect.PERMIT, "They may.", (Obligation(n, "p") for n in ("unknown",)))
    assert effect_of(once) == "fault"


def test_an_unknown_obligation_denies():
    assert effect_of(Verdict(Effect.PERMIT, "They may.", (Obligation("wipe", 1),))) == "fault"


def test_an_unknown_obligation_of_an_overruled_rule_harms_nobody():
    unknown = Verdict(Effect.PERMIT, "They may.", (Obligation("wipe", 1),))
    assert effect_of(unknown, DENIES) is Effect.DENY


def test_every_agreeing_rule_obliges():
    decision = decided(
        Verdict(Effect.PERMIT, "One.", (Obligation("mask", "a"),)),
        Verdict(Effect.PERMIT, "Two.", (Obligation("mask", "b"), Obligation("mask", "a"))),
        body=b"",
    )
    assert decision.obliged("mask") == ("a", "b")


# --- rules that read the body


@pytest.mark.parametrize("rules", [[2], [1, 1]], ids=["a list of one rule", "two rules"])
def test_quorums_that_are_alike_are_each_met_by_people_of_their_own(rules):
    quorum, grant = Obligation("approvers", (("leads",), 1)), Obligation("grant", (1, 60.0))
    decision = decided(*(replace(ASKS, obligations=(*(quorum,) * many, grant)) for many in rules))
    assert decision.obliged("grant") == ((1, 60.0),), "what is no quorum is the same duty"
    two_people = Quorum(("leads",), 1), Quorum(("leads",), 1)
    assert terms_of(decision).quorums == two_people


def test_a_rule_that_needs_the_body_postpones_a_permit():
    assert decided(PERMITS, NEEDS_BODY) is NEEDS_BODY


def test_a_denial_does_not_wait_for_the_body():
    assert decided(NEEDS_BODY, DENIES).effect is Effect.DENY


def test_a_rule_that_still_asks_for_the_body_when_it_has_it_denies():
    assert effect_of(PERMITS, NEEDS_BODY, body=b"") == "fault"


def test_every_rule_is_asked_with_the_body_even_after_one_denied():
    rules = [Says("a", DENIES), Says("b", None)]
    Policy(tuple(rules), "v1", DUTIES).decide(Inquiry(OPERATION, SUBJECT, 0.0, b"x"))
    assert [rule.asked for rule in rules] == [[b"x"], [b"x"]]


# --- rules that lack what they need to know, and rules that are only tried out


def test_a_rule_that_lacks_what_it_needs_does_not_permit_and_says_why():
    decision = decided(Undecided("The ticket system did not answer."))
    assert (decision.effect, decision.rule) == (Effect.DENY, NO_RULE)
    assert "r0: The ticket system did not answer." in decision.reason


def test_it_keeps_nobody_else_from_permitting():
    assert decided(Undecided("No."), PERMITS).effect is Effect.PERMIT


@given(answers, st.none() | st.sampled_from(Effect))
def test_what_a_rule_is_observed_to_do_changes_nothing_but_what_is_noted(given_answers, effect):
    before = effect_of(*given_answers)
    assert effect_of(*given_answers, Observed(effect, "It would.")) == before
    if before != "fault":
        noted = decided(*given_answers, Observed(effect, "It would."), body=b"")
        assert noted.observed == ((f"r{len(given_answers)}", Observed(effect, "It would.")),)
        assert replace(noted, observed=()) == decided(*given_answers, body=b"")


# --- facts


@implementer(IInformedRule)
class Informed(Says):
    """A rule that looks at facts."""

    facts = frozenset({"ticket"})


def test_it_is_known_beforehand_which_facts_rules_look_at():
    assert Policy((Informed("a", None), Says("b", None)), "1", DUTIES).facts(OPERATION) == {
        "ticket"
    }
    assert Policy((Says("b", None),), "1", DUTIES).facts(OPERATION) == frozenset()


TICKET = {"ticket": {"open": True}}


def informed(answer, *others, facts=TICKET):
    """What policy says where a rule that looks at the ticket gives that answer."""
    rules = (Informed("i", answer), *(Says(f"r{n}", each) for n, each in enumerate(others)))
    return Policy(rules, "v1", DUTIES).decide(Inquiry(OPERATION, SUBJECT, 0.0, b"", facts=facts))


def test_a_rule_that_lacks_its_facts_permits_nothing_whatever_it_answers():
    assert informed(PERMITS).effect is Effect.PERMIT
    decision = informed(PERMITS, facts={"weather": {}})
    assert (decision.effect, decision.rule) == (Effect.DENY, NO_RULE)
    assert "i: It looks at facts that are not known: ticket." in decision.reason


def test_it_still_denies_and_asks_and_others_still_permit():
    assert informed(DENIES, PERMITS, facts={}).rule == "i"
    assert informed(ASKS, PERMITS, facts={}).effect is Effect.REVIEW
    assert informed(PERMITS, PERMITS, facts={}).rule == "r0"


@implementer(IInformedRule, IStatedRule)
class StatedAndInformed(Informed):
    """It states its verdict too, so that what it decides is remembered."""

    @property
    def verdict(self):
        return self.answer

    def concerns(self, target, action, method, risk):
        return True

    def judge_concerned(self, inquiry):
        return self.judge(inquiry)


def test_what_is_remembered_of_stated_verdicts_is_not_used_where_facts_are_missing():
    policy = Policy((StatedAndInformed("s", PERMITS),), "v1", DUTIES)
    known = Inquiry(OPERATION, SUBJECT, 0.0, b"", facts=TICKET)
    assert policy.decide(known).effect is Effect.PERMIT
    assert policy.decide(known._replace(facts={})).effect is Effect.DENY


def foretold(*rules):
    return Policy(rules, "v1", DUTIES).foretell(Inquiry(OPERATION, SUBJECT, 0.0))


def test_without_facts_nothing_is_foretold_but_what_others_deny():
    for answer in (PERMITS, DENIES, ASKS, None, KeyError("ticket")):
        assert foretold(Informed("i", answer), Says("r", PERMITS)) is NEEDS_FACTS
    assert foretold(Informed("i", PERMITS), Says("r", DENIES)).effect is Effect.DENY
    assert foretold(Informed("i", PERMITS), Says("r", NEEDS_BODY)) is NEEDS_FACTS
    assert foretold(Says("r", PERMITS)).effect is Effect.PERMIT
    assert foretold(Says("r", NEEDS_BODY)) is NEEDS_BODY


def test_a_rule_that_raises_when_asked_what_it_concerns_is_a_fault():
    rule = StatedAndInformed("s", PERMITS)
    rule.concerns = lambda *_: 1 / 0
    policy = Policy((rule,), "v1", DUTIES)
    for ask in (policy.decide, policy.foretell, lambda each: policy.facts(each.operation)):
        with pytest.raises(RuleFault, match="ZeroDivisionError"):
            ask(Inquiry(OPERATION, SUBJECT, 0.0))


# --- the version


def test_the_version_changes_with_every_rule_and_part_but_not_with_their_order():
    one, two = Says("a", None, "1"), Says("b", None, "2")
    assert version_of([one, two]) == version_of([two, one])
    versions = {
        version_of([one, two]),
        version_of([one]),
        version_of([one, Says("b", None, "3")]),
        version_of([one, two], ["plugin=x"]),
    }
    assert len(versions) == 4
