"""A call that is tried comes out as the gateway decides it, and each rule's part is told."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zope.interface import implementer

from jitgate.core.policy import NEEDS_BODY, NO_RULE, NeedsBody, Policy
from jitgate.core.profiles import MaskingProfile
from jitgate.core.trial import Share, tried
from jitgate.errors import RuleFault
from jitgate.interfaces import IConcernedRule, IExplainedRule, IInformedRule
from jitgate.values import (
    Denial,
    Effect,
    Inquiry,
    Obligation,
    Observed,
    Operation,
    Subject,
    Undecided,
    Verdict,
)

OPERATION = Operation("things", "GET", {}, "GET", "api.example:443", "/things")
SUBJECT = Subject("https://idp.example", "bot-7", frozenset(), 1000.0)
DUTIES = frozenset({"mask", "grant", "approvers"})
JSON = ((b"Content-Type", b"application/json"),)
PERMITS = Verdict(Effect.PERMIT, "They may.")
DENIES = Verdict(Effect.DENY, "They may not.")
ASKS = Verdict(Effect.REVIEW, "Ask.", (Obligation("approvers", (("leads",), 1)),))


@dataclass
class Says:
    """A rule that always gives the same answer, or raises it; of two, the second to a body."""

    name: str
    answer: object
    version: str = "1"

    def judge(self, inquiry):
        answer = self.answer
        if isinstance(answer, list):
            answer = answer[inquiry.body is not None]
        if isinstance(answer, BaseException):
            raise answer
        return answer


def trial(*answers, body=None, headers=(), longest=100, profiles=None):
    rules = [Says(f"r{number}", answer) for number, answer in enumerate(answers)]
    policy = Policy(tuple(rules), "v1", DUTIES)
    inquiry = Inquiry(OPERATION, SUBJECT, 0.0, body)
    return tried(policy, profiles or {}, inquiry, headers, longest=longest)


def shares(*answers, body=None):
    return [part.share for part in trial(*answers, body=body).parts]


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ([PERMITS, None], [Share.DECIDES, Share.NONE]),
        ([PERMITS, PERMITS], [Share.DECIDES, Share.AGREES]),
        ([PERMITS, ASKS, DENIES], [Share.OVERRIDDEN, Share.OVERRIDDEN, Share.DECIDES]),
        ([Undecided("No ticket."), None], [Share.UNDECIDED, Share.NONE]),
        ([PERMITS, Observed(Effect.DENY, "It would.")], [Share.DECIDES, Share.OBSERVED]),
        ([PERMITS, Observed(None, "Who knows.")], [Share.DECIDES, Share.OBSERVED]),
        ([PERMITS, NEEDS_BODY], [Share.MATCHES, Share.NEEDS_BODY]),
        ([DENIES, NEEDS_BODY], [Share.DECIDES, Share.NEEDS_BODY]),
        ([PERMITS, KeyError("x")], [Share.MATCHES, Share.FAULTY]),
        ([PERMITS, "permit"], [Share.MATCHES, Share.FAULTY]),
        ([PERMITS, SystemExit(0)], [Share.MATCHES, Share.FAULTY]),
        ([PERMITS, Verdict("permit", "So.")], [Share.MATCHES, Share.FAULTY]),
        ([PERMITS, Verdict(Effect.PERMIT, "", (Obligation("mask", []),))], [Share.MATCHES, Share.FAULTY]),
    ],
)  # fmt: skip
def test_each_rule_s_part_is_told(answers, told):
    assert shares(*answers) == told


def test_what_a_rule_that_raises_says_is_not_shown():
    part = trial(ValueError("password hunter2")).parts[0]
    assert "hunter2" not in part.why
    assert "ValueError" in part.why


def test_what_depends_on_a_body_that_is_not_known_is_not_decided():
    told = trial(PERMITS, NEEDS_BODY)
    assert (told.effect, told.decision, told.refusal, told.denial) == (None, None, None, None)


def test_a_body_is_seen_only_where_a_rule_must_see_it_or_people_are_asked():
    sees = [None, DENIES]
    assert trial(PERMITS, sees, body=b"x").effect is Effect.PERMIT
    assert trial(ASKS, sees, body=b"x").effect is Effect.DENY
    assert trial([NEEDS_BODY, PERMITS], sees, body=b"x").effect is Effect.DENY


def test_a_body_that_is_too_long_to_be_held_is_refused():
    assert trial([NEEDS_BODY, PERMITS], body=b"x" * 100).effect is Effect.PERMIT
    told = trial([NEEDS_BODY, PERMITS], body=b"x" * 101)
    assert (told.effect, told.denial) == (Effect.DENY, Denial.BODY_TOO_LARGE)
    assert trial(PERMITS, body=b"x" * 101).effect is Effect.PERMIT


def test_rules_are_told_whether_the_body_says_that_it_is_json():
    class Looks(Says):
        def judge(self, inquiry):
            return NEEDS_BODY if inquiry.body is None else (DENIES, PERMITS)[inquiry.is_json]

    policy = Policy((Looks("r", None),), "v1", DUTIES)
    for headers, effect in ((JSON, Effect.PERMIT), ((), Effect.DENY)):
        inquiry = Inquiry(OPERATION, SUBJECT, 0.0, b"{}")
        assert tried(policy, {}, inquiry, headers, longest=9).effect is effect


def test_what_nobody_can_be_asked_about_is_refused():
    told = trial(Verdict(Effect.REVIEW, "Ask."))
    assert (told.effect, told.denial) == (Effect.DENY, Denial.NEEDS_APPROVAL)
    assert trial(ASKS).effect is Effect.REVIEW


def test_a_fault_denies_and_names_its_rule():
    told = trial(PERMITS, KeyError("x"))
    assert (told.effect, told.denial) == (Effect.DENY, Denial.FAULT)
    assert "r1" in told.refusal.detail


def test_whoever_wrote_a_rule_is_told_the_line_that_raised():
    told = trial(PERMITS, KeyError("x"))
    line = Says.judge.__code__.co_firstlineno
    found = re.fullmatch(
        rf"Rule r1 raised KeyError. \(KeyError at {re.escape(__file__)}:(\d+)\)",
        told.refusal.detail,
    )
    assert line < int(found[1]) < line + 10
    why = next(part.why for part in told.parts if part.rule == "r1")
    assert why == f"It raised KeyError at {__file__}:{found[1]}."


def test_a_fault_that_causes_itself_ends_no_later():
    odd, other = KeyError("x"), ValueError("y")
    odd.__cause__, other.__cause__ = other, odd
    told = trial(PERMITS, odd)
    assert told.denial is Denial.FAULT
    assert f" at {__file__}:" in told.refusal.detail


def test_a_masking_profile_that_there_is_not_is_a_fault():
    hides = Verdict(Effect.PERMIT, "So.", (Obligation("mask", "all"),))
    assert trial(hides).denial is Denial.FAULT
    assert trial(hides, profiles={"all": MaskingProfile("all", ())}).effect is Effect.PERMIT


@implementer(IInformedRule, IExplainedRule)
class Tells(Says):
    """A rule that looks at a fact, and tells why it does not apply."""

    facts = frozenset({"ticket"})

    def why_not(self, inquiry):
        if inquiry.operation.path == "/bad":
            raise KeyError
        return "it is Sunday"


def test_a_rule_that_can_tell_why_it_does_not_apply_is_asked():
    policy = Policy((Tells("r", None),), "v1", DUTIES)
    told = tried(policy, {}, Inquiry(OPERATION, SUBJECT, 0.0), (), longest=9)
    assert (told.parts[0].why, told.facts) == ("it is Sunday", {"ticket"})


def test_one_that_cannot_tell_decides_as_before():
    bad = Operation("things", "GET", {}, "GET", "api.example:443", "/bad")
    policy = Policy((Tells("r", None), Says("s", PERMITS)), "v1", DUTIES)
    told = tried(policy, {}, Inquiry(bad, SUBJECT, 0.0), (), longest=9)
    assert told.effect is Effect.PERMIT
    assert "KeyError" in told.parts[0].why


answers = st.lists(
    st.none()
    | st.sampled_from(
        [PERMITS, ASKS, DENIES, NEEDS_BODY, Undecided("?"), Observed(None, "?"), KeyError(), "no"]
    )
    | st.tuples(
        st.sampled_from([None, NEEDS_BODY]), st.sampled_from([None, PERMITS, ASKS, DENIES])
    ).map(list),
    max_size=5,
)


@given(answers, st.none() | st.just(b"x"))
def test_what_is_told_is_what_policy_decides(given_answers, body):
    told = trial(*given_answers, body=body)
    rules = tuple(Says(f"r{number}", answer) for number, answer in enumerate(given_answers))
    policy = Policy(rules, "v1", DUTIES)
    try:
        decision = policy.decide(Inquiry(OPERATION, SUBJECT, 0.0))
        if body is not None and (
            isinstance(decision, NeedsBody) or decision.effect is Effect.REVIEW
        ):
            decision = policy.decide(Inquiry(OPERATION, SUBJECT, 0.0, body))
    except RuleFault:
        assert told.denial is Denial.FAULT
        return
    assert told.decision == (None if isinstance(decision, NeedsBody) else decision)
    decides = [part.rule for part in told.parts if part.share is Share.DECIDES]
    by = [] if told.decision is None or told.decision.rule == NO_RULE else [told.decision.rule]
    assert decides == by


@implementer(IConcernedRule)
class DoesNotKnowWhatItConcerns(Says):
    """Raises where it is to state that."""

    def concerns(self, target, action, method, risk):
        raise KeyError("hunter2")

    judge_concerned = Says.judge


def test_a_rule_that_cannot_say_what_it_concerns_is_a_fault_as_in_the_gateway():
    policy = Policy((DoesNotKnowWhatItConcerns("r", PERMITS),), "v1", DUTIES)
    told = tried(policy, {}, Inquiry(OPERATION, SUBJECT, 0.0), (), longest=100)
    assert (told.effect, told.denial) == (Effect.DENY, Denial.FAULT)
    assert "KeyError" in told.refusal.detail
    assert "hunter2" not in told.refusal.detail
