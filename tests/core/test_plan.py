"""What an agent is told to expect: what policy says of made-up calls, and never more than that."""

from __future__ import annotations

import pytest
from support.ports import agent, review

from jitgate.catalogs.okta import load_okta
from jitgate.core.catalog import Catalog, CatalogRow, OperationTrie, PathCatalog
from jitgate.core.plan import STEP, Expectation, Kind, Offer, Prospect, planned, planning
from jitgate.core.policy import NEEDS_BODY, NEEDS_FACTS, Policy, version_of
from jitgate.errors import RuleFault
from jitgate.values import Decision, Effect, Inquiry, Obligation, Quorum, Terms, Verdict

READ = CatalogRow("GET", "/users/{id}", "getUser")
END = CatalogRow("DELETE", "/users/{id}", "deleteUser")
LOOK = CatalogRow("GET", "/users", "listUsers")


def offer(*rows, target="things", authority="api.example:443"):
    catalog = Catalog(target, OperationTrie(rows))
    return Offer(target, authority, tuple(catalog.samples(authority)))


def deciding(**answers):
    """Policy that answers by action; what it does not name is denied by default."""

    def decide(operation, subject):
        answer = answers.get(operation.action)
        if isinstance(answer, Exception):
            raise answer
        if answer in {NEEDS_BODY, NEEDS_FACTS}:
            return answer
        if answer is None:
            return Decision(Effect.DENY, "default", "No rule permits this operation.", "p1")
        return Decision(answer.effect, "the-rule", answer.reason, "p1", answer.obligations)

    return decide


PERMIT, DENY = Verdict(Effect.PERMIT, "They may."), Verdict(Effect.DENY, "Never.")
NOBODY = Verdict(Effect.REVIEW, "Look at it.")
EXPECTED = [
    (PERMIT, Expectation(Prospect.PERMITTED, "the-rule", "They may.")),
    (DENY, Expectation(Prospect.DENIED, "the-rule", "Never.")),
    (None, Expectation(Prospect.DENIED, "default", "No rule permits this operation.")),
    (
        review((("leads", "security"), 2), uses=3, life=60.0),
        Expectation(
            Prospect.REVIEWED,
            "the-rule",
            "Look at it.",
            Terms((Quorum(("leads", "security"), 2),), 3, 60.0),
        ),
    ),
]


@pytest.mark.parametrize(("answer", "expected"), EXPECTED)
def test_a_kind_of_call_is_expected_to_go_as_policy_says_of_a_made_up_one(answer, expected):
    (plan,) = planned([offer(READ)], agent(), deciding(getUser=answer))
    assert plan.kinds == ((expected, (Kind("getUser", "GET", "/users/{id}"),)),)


def test_a_rule_that_must_see_the_body_is_told_as_such():
    (plan,) = planned([offer(END)], agent(), deciding(deleteUser=NEEDS_BODY))
    assert [each.prospect for each, _ in plan.kinds] == [Prospect.BY_BODY]


def test_a_rule_that_looks_at_facts_is_told_as_such():
    (plan,) = planned([offer(END)], agent(), deciding(deleteUser=NEEDS_FACTS))
    assert [each.prospect for each, _ in plan.kinds] == [Prospect.BY_FACTS]


def test_a_rule_that_raises_on_a_made_up_call_leaves_the_others_told():
    fault = RuleFault("Rule x raised ValueError.")
    (plan,) = planned([offer(READ, LOOK)], agent(), deciding(getUser=fault, listUsers=PERMIT))
    assert [(each.prospect, [kind.action for kind in kinds]) for each, kinds in plan.kinds] == [
        (Prospect.PERMITTED, ["listUsers"]),
        (Prospect.UNTOLD, ["getUser"]),
    ]
    assert "ValueError" not in repr(plan)


def test_what_nobody_could_approve_is_denied():
    (plan,) = planned([offer(READ)], agent(), deciding(getUser=NOBODY))
    ((expectation, _),) = plan.kinds
    assert (expectation.prospect, expectation.terms) == (Prospect.DENIED, None)
    assert "nobody" in expectation.reason


class Numbers:
    """A rule that takes a parameter for a number, which a made-up call has none of."""

    name = "numbers"
    version = "1"

    def judge(self, inquiry):
        small = int(inquiry.operation.resource["id"]) < 10
        return Verdict(Effect.PERMIT if small else Effect.DENY, "By its number.")


def test_the_real_policy_fits_in():
    policy = Policy((Numbers(),), version_of([Numbers()]), frozenset({"mask"}))

    def decide(operation, subject):
        return policy.decide(Inquiry(operation, subject, 0.0))

    (plan,) = planned([offer(READ)], agent(), decide)
    assert [each.prospect for each, _ in plan.kinds] == [Prospect.UNTOLD]


def test_the_best_comes_first_and_what_no_rule_speaks_of_last():
    rows = [CatalogRow("GET", f"/{name}", name) for name in "abcdef"]
    answers = deciding(
        b=DENY, c=RuleFault("x"), d=NEEDS_BODY, e=review(), f=Verdict(Effect.PERMIT, "Yes.")
    )
    (plan,) = planned([offer(*rows)], agent(), answers)
    assert [kinds[0].action for _, kinds in plan.kinds] == ["f", "e", "d", "c", "b", "a"]
    assert plan.known == 6


def test_calls_of_which_the_same_is_expected_stand_together_in_the_catalogs_order():
    (plan,) = planned(
        [offer(READ, END, LOOK)],
        agent(),
        deciding(getUser=PERMIT, deleteUser=PERMIT, listUsers=PERMIT),
    )
    ((_, kinds),) = plan.kinds
    assert [kind.action for kind in kinds] == ["getUser", "deleteUser", "listUsers"]


def test_other_terms_are_another_expectation():
    (plan,) = planned(
        [offer(READ, END)],
        agent(),
        deciding(getUser=review(), deleteUser=review(uses=2)),
    )
    assert [each.terms.uses for each, _ in plan.kinds] == [1, 2]


def test_hosts_of_a_target_stand_together_only_where_the_same_is_expected_of_them():
    hosts = [offer(READ, authority=f"{name}.example:443") for name in "abc"]
    other = offer(READ, target="others", authority="d.example:443")

    def decide(operation, subject):
        effect = Effect.DENY if operation.authority == "b.example:443" else Effect.PERMIT
        return Decision(effect, "by-host", "Because.", "p1")

    plans = planned([*hosts, other], agent(), decide)
    assert [(plan.target, plan.authorities) for plan in plans] == [
        ("things", ("a.example:443", "c.example:443")),
        ("things", ("b.example:443",)),
        ("others", ("d.example:443",)),
    ]


def test_of_a_target_without_a_catalog_nothing_is_told():
    samples = tuple(PathCatalog("things").samples("api.example:443"))
    (plan,) = planned([Offer("things", "api.example:443", samples)], agent(), deciding())
    assert (plan.kinds, plan.known) == ((), 0)


def test_policy_is_asked_for_the_subject_that_asks():
    asked = []

    def decide(operation, subject):
        asked.append(subject)
        return NEEDS_BODY

    planned([offer(READ)], agent(id="bot-8"), decide)
    assert [subject.id for subject in asked] == ["bot-8"]


def test_a_large_catalog_is_gone_through_in_steps():
    samples = tuple(load_okta("okta").samples("acme.okta.com:443"))
    offers = [Offer("okta", "acme.okta.com:443", samples)]
    steps = planning(offers, agent(), deciding(listUsers=PERMIT))
    paused = 0
    while True:
        try:
            next(steps)
        except StopIteration as end:
            plan = end.value
            break
        paused += 1
    assert paused == len(samples) // STEP
    assert plan == planned(offers, agent(), deciding(listUsers=PERMIT))
    assert plan[0].known == len(samples) == 776


def test_duties_that_are_not_tuples_name_nobody():
    odd = Verdict(Effect.REVIEW, "Look.", (Obligation("approvers", "leads"),))
    (plan,) = planned([offer(READ)], agent(), deciding(getUser=odd))
    assert plan.kinds[0][0].prospect is Prospect.DENIED
