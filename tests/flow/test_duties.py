"""What a decision obliges to beside people and masks: budgets, auto, hold, record."""

from __future__ import annotations

import json

import pytest
from pytest_twisted import ensureDeferred
from support.ports import JSON, Asked, Stand, agent, permit, review
from twisted.internet.defer import Deferred, gatherResults
from zope.interface import implementer

from jitgate.core.access import NotCounted
from jitgate.core.fatigue import Fatigue
from jitgate.core.policy import Policy, version_of
from jitgate.core.waiting import Patience
from jitgate.errors import CredentialUnavailable, StoreDown, UpstreamMalformed
from jitgate.flow.gateway import DUTIES
from jitgate.flow.opening import Limits
from jitgate.interfaces import IRule
from jitgate.values import (
    AccessState,
    Budget,
    Effect,
    GrantState,
    Obligation,
    Per,
    Verdict,
)

TWICE = Budget("the-rule", 2, 100.0)


def post(target="/things/7", body=b'{"why":"left"}', headers=JSON):
    return Asked("POST", target, body, headers)


def denial(told):
    return json.loads(told.data)["type"].rpartition("/")[2]


def reviewed(*duties, people=True):
    """A verdict that sends to people, or to nobody, with further duties."""
    own = review().obligations if people else ()
    return Verdict(Effect.REVIEW, "Look at it.", (*own, *(Obligation(*each) for each in duties)))


def itself(*duties, **grant):
    """A verdict that policy approves itself."""
    given = ("grant", (grant.get("uses", 1), grant.get("life", 300.0)))
    return reviewed(("auto", True), given, *duties, people=False)


@implementer(IRule)
class Says:
    """A rule that answers the same for every call."""

    def __init__(self, name, verdict):
        self.name, self.version, self.verdict = name, "1", verdict

    def judge(self, inquiry):
        return self.verdict


def ruled(*verdicts, **how):
    """A gateway under several rules: a, b, ..."""
    rules = tuple(Says(name, verdict) for name, verdict in zip("abc", verdicts, strict=False))
    stand = Stand(**how)
    stand.decider._policy = Policy(rules, version_of(rules), DUTIES)
    return stand


# --- budgets


@ensureDeferred
async def test_a_permitted_call_beyond_its_budget_is_denied_by_the_rule_until_there_is_room():
    stand = Stand(verdict=permit(budget=TWICE))
    for _ in range(2):
        assert (await stand.serve()).head.status == 200
        stand.clock.advance(10)
    told = await stand.serve()
    assert (told.head.status, denial(told)) == (403, "budget-spent")
    problem = json.loads(told.data)
    said = "At most 2 calls in 100 s for this subject; room again at 00:02 UTC."
    assert (problem["detail"], problem["rule"]) == (said, "the-rule")
    assert not any(name.lower() == b"retry-after" for name, _ in told.head.headers)
    assert len(stand.sent) == 2
    (decision, outcome) = stand.entries("decision")[2], stand.entries("outcome")[2]
    assert (decision["effect"], decision["rule"], decision["reason"]) == ("deny", "the-rule", said)
    assert (outcome["outcome"], outcome["denial"]) == ("denied", "budget-spent")
    assert [each.get("budgets") for each in stand.entries("outcome")] == [
        ["the-rule"],
        ["the-rule"],
        None,
    ]
    stand.clock.advance(80)
    assert (await stand.serve()).head.status == 200


@pytest.mark.parametrize("people", [False, True])
@ensureDeferred
async def test_of_many_at_once_no_more_are_sent_than_there_is_room_for(people):
    verdict = reviewed(("budget", TWICE)) if people else permit(budget=TWICE)
    stand = Stand(verdict=verdict)
    begun = [stand.asked(post(f"/things/{each}")) for each in range(8)]
    if people:
        assert len(await stand.access.requests()) == 8
        for each in range(1, 9):
            await stand.says(key=f"a-{each}")
    await gatherResults([serving for _, serving in begun])
    assert len(stand.sent) == 2
    statuses = sorted(told.head.status for told, _ in begun)
    assert statuses == [200] * 2 + [403] * 6
    outcomes = [each["outcome"] for each in stand.entries("outcome")]
    assert sorted(outcomes) == ["completed"] * 2 + ["denied"] * 6
    grants = [await stand.store.grant(f"g-{each}") for each in range(1, 9)] if people else []
    assert sum(each.state is GrantState.ACTIVE for each in grants) == (6 if people else 0)


@ensureDeferred
async def test_nobody_is_asked_for_what_has_no_room():
    stand = Stand(verdict=reviewed(("budget", Budget("the-rule", 1, 100.0))))
    _, serving = stand.asked(post("/things/1"))
    await stand.says()
    await serving
    told, serving = stand.asked(post("/things/2"))
    assert serving.called
    assert denial(told) == "budget-spent"
    assert len(stand.entries("access.opened")) == 1
    assert await stand.access.requests() == []


@pytest.mark.parametrize("people", [False, True])
@ensureDeferred
async def test_what_has_no_room_shows_on_record_no_more_than_what_went(people):
    once = Budget("the-rule", 1, 100.0)
    verdict = reviewed(("budget", once)) if people else permit(budget=once)
    stand = Stand(verdict=verdict, secrets=frozenset({"why"}))
    for _ in range(2):
        _, serving = stand.asked(post())
        if people and not serving.called:
            await stand.says()
        await serving
    first, second = (each for each in stand.records.entries if each.type == "outcome")
    assert second.fields["denial"] == "budget-spent"
    assert b"left" not in first.bodies["request"].data
    assert all(b"left" not in body.data for body in second.bodies.values())
    assert ("request" in second.bodies) == people  # what need not be read is not


@ensureDeferred
async def test_waiting_for_people_takes_no_room_and_a_denial_gives_none_away():
    stand = Stand(verdict=reviewed(("budget", Budget("the-rule", 1, 100.0))))
    _, serving = stand.asked(post("/things/1"))
    await stand.says(approves=False)
    await serving
    told, serving = stand.asked(post("/things/2"))
    await stand.says(key="a-2")
    await serving
    assert told.head.status == 200


@ensureDeferred
async def test_what_fails_before_it_leaves_is_not_counted_and_what_fails_after_is():
    stand = Stand(verdict=permit(budget=TWICE))
    stand.fail["credential"] = CredentialUnavailable("No.")
    assert (await stand.serve()).head.status == 502
    assert len(stand.budgets) == 0
    del stand.fail["credential"]
    stand.fail["send"] = UpstreamMalformed("What is this?")
    assert (await stand.serve()).head.status == 502
    assert len(stand.budgets) == 1


@ensureDeferred
async def test_a_call_whose_agent_is_gone_or_whose_time_is_up_is_not_counted():
    stand = Stand(verdict=permit(budget=TWICE))
    connected: list[Deferred[None]] = []

    async def connects(stage):
        if stage == "connect":
            connected.append(Deferred())
            await connected[-1]

    stand.pause = connects
    told, serving = stand.asked(post())
    told.hang_up()
    connected.pop().callback(None)
    await serving
    _, serving = stand.asked(post())
    stand.gateway.cut("It is over.")
    await serving
    assert (len(stand.budgets), stand.sent) == (0, [])
    denials = [each["denial"] for each in stand.entries("outcome")]
    assert denials == ["agent-gone", "cut-short"]


@ensureDeferred
async def test_every_agreeing_rules_budget_must_have_room():
    stand = ruled(
        permit(budget=Budget("a", 5, 100.0)),
        permit(budget=Budget("b", 1, 50.0)),
    )
    assert (await stand.serve()).head.status == 200
    told = await stand.serve()
    assert json.loads(told.data)["rule"] == "b"
    assert len(stand.budgets) == 2


@ensureDeferred
async def test_a_rule_that_is_overruled_counts_nothing():
    stand = ruled(permit(budget=TWICE), review())
    _, serving = stand.asked(post())
    await stand.says()
    await serving
    assert len(stand.budgets) == 0


@pytest.mark.parametrize(
    ("per", "other", "target", "status"),
    [
        (Per.SUBJECT, agent(id="bot-8"), "/things/1", 200),
        (Per.SUBJECT, agent(issuer="https://other.example"), "/things/1", 200),
        (Per.SUBJECT, agent(humans=("dan@acme.com",)), "/things/1", 403),
        (Per.SUBJECT, agent(agent="program-2"), "/things/2", 403),
        (Per.AGENT, agent(id="dan", agent="bot-7"), "/things/1", 403),
        (Per.AGENT, agent(agent="program-2"), "/things/1", 200),
        (Per.TARGET, agent(id="bot-8"), "/things/1", 403),
        (Per.ALL, agent(id="bot-8"), "/things/1", 403),
    ],
)
@ensureDeferred
async def test_what_is_counted_apart(per, other, target, status):
    stand = Stand(verdict=permit(budget=Budget("the-rule", 1, 100.0, per)))
    _, serving = stand.asked(post("/things/1"))
    await serving
    told, serving = stand.asked(post(target), other)
    await serving
    assert told.head.status == status


@pytest.mark.parametrize("when", ["looked at", "taken"])
@ensureDeferred
async def test_where_nobody_can_tell_whether_there_is_room_nothing_is_sent(when):
    stand = Stand(verdict=permit(budget=TWICE))

    async def breaks(stage):
        if stage == "connect":
            stand.budgets.failure = OSError("disk")

    if when == "taken":
        stand.pause = breaks
    else:
        stand.budgets.failure = OSError("disk")
    told = await stand.serve(post())
    assert (told.head.status, denial(told)) == (502, "store-down")
    assert stand.sent == []


@ensureDeferred
async def test_every_use_of_a_grant_is_counted():
    verdict = Verdict(
        Effect.REVIEW,
        "Look at it.",
        (*review(uses=5).obligations, Obligation("budget", TWICE)),
    )
    stand = Stand(verdict=verdict)
    _, serving = stand.asked(post())
    await stand.says()
    await serving
    told = [await stand.serve(post()) for _ in range(2)]
    assert [each.head.status for each in told] == [200, 403]
    assert (await stand.store.grant("g-1")).left == 3


@pytest.mark.parametrize(
    "duty",
    [
        ("budget", (5, 60.0)),
        ("budget", Budget("the-rule", 0, 60.0)),
        ("budget", Budget("the-rule", True, 60.0)),
        ("budget", Budget("the-rule", 5, 0.0)),
        ("budget", Budget("the-rule", 5, float("nan"))),
        ("budget", Budget("the-rule", 5, float("inf"))),
        ("budget", Budget("the-rule", 5, 60.0, "subject")),
        ("hold", "20s"),
        ("hold", -1.0),
        ("hold", float("nan")),
        ("record", "nothing"),
        ("record", None),
        ("budgets", TWICE),
    ],
)
@ensureDeferred
async def test_a_duty_that_cannot_be_fulfilled_denies(duty, nothing_unnoticed):
    for verdict in (Verdict(Effect.PERMIT, "They may.", (Obligation(*duty),)), reviewed(duty)):
        stand = Stand(verdict=verdict)
        told = await stand.serve(post())
        assert (told.head.status, denial(told)) == (500, "fault")
        assert stand.sent == []
        assert stand.entries("access.opened") == []
        assert nothing_unnoticed.pop()


# --- auto


@ensureDeferred
async def test_what_policy_approves_itself_goes_at_once_and_the_record_shows_all_of_it():
    stand = Stand(verdict=itself())
    told = await stand.serve(post())
    assert told.head.status == 200
    assert stand.channel.told == []
    assert [entry.type for entry in stand.records.entries if entry.type != "tunnel"] == [
        "decision",
        "access.opened",
        "access.answered",
        "access.ended",
        "grant.made",
        "grant.spent",
        "outcome",
        "grant.settled",
    ]
    (opened,), (answered,) = stand.entries("access.opened"), stand.entries("access.answered")
    assert (opened["auto"], opened["quorums"]) == (True, [])
    assert (answered["approver"], answered["channel"]) == ("policy:the-rule", "policy")
    assert stand.entries("grant.spent")[0]["approved_by"] == ["policy:the-rule"]
    request = await stand.store.request("a-1")
    assert (request.state, request.grant) == (AccessState.APPROVED, "g-1")
    assert (await stand.store.grant("g-1")).tally == {GrantState.SPENT: 1}


@pytest.mark.parametrize(
    "others",
    [
        (review(),),
        (reviewed(people=False),),  # it wants to be asked, and names nobody
        (reviewed(("auto", False), people=False),),
        (reviewed(("auto", "yes"), people=False),),
        (reviewed(("auto", True)),),
        (itself(), review()),
    ],
)
@ensureDeferred
async def test_policy_approves_nothing_itself_that_another_rule_wants_looked_at(others):
    stand = ruled(itself(), *others)
    told, serving = stand.asked(post())
    assert stand.sent == []
    assert stand.entries("grant.made") == []
    if serving.called:
        assert denial(told) == "needs-approval"
    else:
        await stand.says()
        await serving
        assert stand.entries("grant.spent")[0]["approved_by"] == ["alice@acme.com"]


@ensureDeferred
async def test_nobody_is_called_like_policy():
    people = {"leads": frozenset({"policy:the-rule", "alice@acme.com"})}
    stand = Stand(verdict=review(), people=people)
    _, serving = stand.asked(post())
    for name in ("policy:the-rule", "Policy:the-rule", "\uff50olicy:the-rule"):
        assert isinstance(await stand.says(name), NotCounted)
    assert not serving.called
    await stand.says()
    await serving


@ensureDeferred
async def test_nobody_answers_what_policy_approves_itself():
    stand = Stand(verdict=itself(uses=2))
    await stand.serve(post())
    assert isinstance(await stand.says(), NotCounted)


@ensureDeferred
async def test_a_grant_that_policy_gave_can_be_revoked_and_expires():
    stand = Stand(verdict=itself(uses=3, life=100.0))
    await stand.serve(post())
    await stand.access.revoke("g-1", "alice@acme.com", "")
    await stand.serve(post())
    assert [(await stand.store.grant(f"g-{each}")).left for each in (1, 2)] == [0, 2]
    stand.clock.advance(100)
    await stand.serve(post())
    assert (await stand.store.grant("g-3")).left == 2


@ensureDeferred
async def test_a_failing_recorder_keeps_what_policy_approves_itself_from_leaving():
    stand = Stand(verdict=itself())

    def full(entries):
        if any(entry.type == "grant.made" for entry in entries):
            raise OSError("disk full")

    append = stand.records.append
    stand.records.append = lambda entries: (full(entries), append(entries))[1]
    told = await stand.serve(post())
    assert denial(told) == "recorder-down"
    assert stand.sent == []
    assert (await stand.store.grant("g-1")).left == 0


@ensureDeferred
async def test_without_its_store_policy_approves_nothing():
    stand = Stand(verdict=itself())
    stand.store.failure = StoreDown("disk")
    told = await stand.serve(post())
    assert (denial(told), stand.sent) == ("store-down", [])


@ensureDeferred
async def test_an_agent_gathers_only_so_many_grants_that_policy_gave():
    stand = Stand(verdict=itself(uses=2), limits=Limits(per_agent=3))
    told = [await stand.serve(post(f"/things/{each}")) for each in range(4)]
    assert [each.head.status for each in told] == [200] * 3 + [429]
    stand.clock.advance(301)
    assert (await stand.serve(post("/things/9"))).head.status == 200


@ensureDeferred
async def test_what_people_were_asked_is_theirs_no_more_once_policy_approves_it_itself():
    stand = Stand(verdict=review())
    told, serving = stand.asked(post())
    stand.verdict = itself()
    stand.decider.adopt(stand.policy(), {})
    await stand.decider.reconsider()
    await serving
    assert told.head.status == 200
    assert (await stand.store.request("a-1")).state is AccessState.SUPERSEDED
    assert stand.entries("grant.spent")[0]["approved_by"] == ["policy:the-rule"]


# --- hold


@pytest.mark.parametrize(
    ("verdicts", "held"),
    [
        ((reviewed(("hold", 20.0)),), 20.0),
        ((reviewed(("hold", 20.0)), reviewed(("hold", 5.0))), 5.0),
        ((reviewed(("hold", 20.0)), review()), 20.0),
        ((review(),), 55.0),
        ((reviewed(("hold", 600.0)),), 55.0),
    ],
)
@ensureDeferred
async def test_a_call_is_held_as_long_as_the_most_hurried_rule_says(verdicts, held):
    stand = ruled(*verdicts)
    told, serving = stand.asked(post())
    stand.clock.advance(held - 0.5)
    assert not serving.called
    stand.clock.advance(0.5)
    assert serving.called
    assert denial(told) == "approval-pending"
    assert (await stand.store.request("a-1")).state is AccessState.PENDING


@ensureDeferred
async def test_with_no_hold_at_all_the_agent_is_told_at_once_to_come_back():
    stand = Stand(verdict=reviewed(("hold", 0.0)))
    told, serving = stand.asked(post())
    stand.clock.advance(0)
    await serving
    assert denial(told) == "approval-pending"
    await stand.says()
    assert (await stand.serve(post())).head.status == 200


@ensureDeferred
async def test_what_an_sdk_is_told_goes_by_the_rules_hold():
    patience = Patience(hold=55.0, expire=600.0)
    stand = Stand(verdict=reviewed(("hold", 10.0)), patience=patience, resends=True)
    told, serving = stand.asked(post())
    assert (await stand.store.request("a-1")).expires_at == 3 * 10 + 2 * 270
    stand.clock.advance(10)
    await serving
    assert told.head.status == 429


# --- record


@pytest.mark.parametrize(
    ("levels", "kept"),
    [
        (["head"], False),
        (["head", "head"], False),
        (["bodies"], True),
        (["head", "bodies"], True),
        (["head", None], True),
        ([None], True),
    ],
)
@pytest.mark.parametrize("effect", [Effect.PERMIT, Effect.REVIEW])
@ensureDeferred
async def test_bodies_are_kept_unless_every_rule_wants_the_head_alone(effect, levels, kept):
    people = review().obligations if effect is Effect.REVIEW else ()
    duties = [() if level is None else (Obligation("record", level),) for level in levels]
    stand = ruled(*(Verdict(effect, "So.", (*people, *each)) for each in duties))
    _, serving = stand.asked(post())
    if effect is Effect.REVIEW:
        for approver in ("alice@acme.com", "bob@acme.com")[: len(levels)]:  # each rule's quorum
            await stand.says(approver)
    await serving
    (entry,) = [each for each in stand.records.entries if each.type == "outcome"]
    assert set(entry.bodies) == ({"request", "response"} if kept else set())
    assert entry.fields.get("record") == (None if kept else "head")
    assert entry.fields["request"]["bytes"] == len(b'{"why":"left"}')
    assert len(entry.fields["request"]["hmac"]) == 64
    assert entry.fields["released"]["bytes"] == 15


@ensureDeferred
async def test_no_body_is_kept_of_what_people_deny_or_what_has_no_room_either():
    duties = ("record", "head"), ("budget", Budget("the-rule", 1, 9.0))
    stand = Stand(verdict=reviewed(*duties), limits=Limits(fatigue=Fatigue(cool_down=0.0)))
    for approves in (False, True):
        _, serving = stand.asked(post())
        await stand.says(approves=approves, key=f"a-{1 + approves}")
        await serving
    assert denial(await stand.serve(post())) == "budget-spent"
    outcomes = [each for each in stand.records.entries if each.type == "outcome"]
    assert [dict(each.bodies) for each in outcomes] == [{}] * 3
