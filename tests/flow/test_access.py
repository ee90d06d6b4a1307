"""A call that people are asked about: held, answered, sent once, exactly as it was approved."""

from __future__ import annotations

import json

import pytest
from pytest_twisted import ensureDeferred
from support.ports import JSON, Asked, Stand, agent, permit, review
from twisted.internet.defer import Deferred
from zope.interface import implementer

from jitgate.app.taken_up import TakenUp
from jitgate.core.access import WITHDRAW, NotCounted
from jitgate.core.catalog import CatalogRow
from jitgate.core.fingerprint import fingerprint
from jitgate.core.policy import Policy, version_of
from jitgate.core.recovery import Recovery
from jitgate.core.waiting import Patience
from jitgate.errors import (
    ApproversUnreachable,
    CredentialRefused,
    CredentialUnavailable,
    RecorderDown,
    StoreDown,
    UpstreamGone,
    UpstreamUntrusted,
)
from jitgate.flow.gateway import DUTIES
from jitgate.flow.opening import Limits
from jitgate.interfaces import IRule
from jitgate.stores.memory import MemoryEvidence
from jitgate.values import (
    AccessState,
    Effect,
    GrantState,
    Obligation,
    Presence,
    RequestHead,
    Risk,
    Verdict,
)


def post(body=b"{}", target="/things/7", headers=JSON):
    return Asked("POST", target, body, headers)


def denial(told):
    return json.loads(told.data)["type"].rpartition("/")[2]


async def state(stand, key="a-1"):
    return await stand.store.request(key)


async def grant(stand, key="g-1"):
    return await stand.store.grant(key)


# --- the way of an approval


@ensureDeferred
async def test_a_call_is_held_until_it_is_approved_and_then_goes_out_once():
    stand = Stand(verdict=review())
    told, serving = stand.asked(post())
    assert not serving.called
    assert stand.sent == []
    request = await state(stand)
    assert (request.state, request.presence) == (AccessState.PENDING, Presence.ATTACHED)
    await stand.says()
    await serving
    assert (told.head.status, told.ended) == (200, True)
    assert len(stand.sent) == 1
    assert (await grant(stand)).tally == {GrantState.SPENT: 1}
    kinds = [entry.type for entry in stand.records.entries]
    assert kinds == [
        "decision",
        "access.opened",
        "access.answered",
        "access.ended",
        "grant.made",
        "grant.spent",
        "outcome",
        "grant.settled",
    ]
    assert stand.entries("outcome")[0]["grant"] == "g-1"
    assert stand.entries("grant.spent")[0]["approved_by"] == ["alice@acme.com"]


@ensureDeferred
async def test_everything_that_can_fail_comes_before_the_grant_is_spent_and_the_first_byte_after():
    stand = Stand(verdict=review())
    _, serving = stand.asked()
    await stand.says()
    await serving
    order = [step for step in stand.log if step in {"credential", "connect", "send"}]
    order.insert(2, next(step for step in stand.log if "grant.spent" in step))
    places = [stand.log.index(step) for step in order]
    assert places == sorted(places), stand.log
    assert stand.fresh_asked == [True]


@ensureDeferred
async def test_nothing_is_sent_while_the_spends_record_is_not_durable():
    other = Stand(verdict=review())
    told, serving = other.asked()
    other.slow_disk = True
    other.answering = Deferred.fromCoroutine(other.says())
    while not any("grant.spent" in step for step in other.log):
        assert "send" not in other.log
        assert other.waiting, "something other than the disk holds it up"
        other.waiting.pop(0).callback(None)
    assert told.head is None
    other.slow_disk = False
    while other.waiting:
        other.waiting.pop(0).callback(None)
    await serving


@pytest.mark.parametrize(("method", "status"), [("GET", 502), ("POST", 403)])
@ensureDeferred
async def test_a_safe_call_can_need_people_as_well_and_is_never_sent_twice(method, status):
    stand = Stand(verdict=review())
    stand.always_kept = True
    told, serving = stand.asked(Asked(method, "/things"))
    stand.fail["send"] = UpstreamGone("gone")
    await stand.says()
    await serving
    assert told.head.status == status
    assert len(stand.sent) == 1
    assert (await grant(stand)).tally == {GrantState.UNKNOWN: 1}


@ensureDeferred
async def test_a_denial_is_told_with_its_reason_and_by_whom():
    stand = Stand(verdict=review())
    told, serving = stand.asked()
    answer = await stand.access.answer(
        "a-1", "bob@acme.com", approves=False, reason="Not today", channel="memory"
    )
    assert answer.state is AccessState.DENIED
    await serving
    assert told.head.status == 403
    assert denial(told) == "approval-denied"
    assert b"bob@acme.com" in told.data
    assert b"Not today" in told.data
    assert stand.sent == []


@ensureDeferred
async def test_a_request_is_expired_and_never_denied_by_somebody_when_nobody_answers():
    stand = Stand(verdict=review(), patience=Patience(hold=55, linger=120, expire=50))
    told, serving = stand.asked()
    stand.clock.advance(50)
    await serving
    assert denial(told) == "approval-expired"
    assert (await state(stand)).state is AccessState.EXPIRED
    late = await stand.says()
    assert isinstance(late, NotCounted)
    assert stand.sent == []


# --- whose answer counts


@pytest.mark.parametrize(
    ("approver", "subject"),
    [
        ("mallory@acme.com", agent()),
        ("alice@acme.com", agent(humans=("Alice@ACME.com",))),
        ("alice@acme.com", agent(id="alice@acme.com")),
        ("carol@acme.com", agent()),
    ],
)
@ensureDeferred
async def test_an_answer_of_somebody_who_must_not_give_it_counts_for_nothing(approver, subject):
    stand = Stand(verdict=review())
    _, serving = stand.asked(subject=subject)
    assert isinstance(await stand.says(approver), NotCounted)
    assert isinstance(await stand.says(approver, approves=False), NotCounted)
    assert (await state(stand)).state is AccessState.PENDING
    assert not serving.called
    assert stand.entries("access.answered") == []
    stand.clock.advance(55)
    await serving


@ensureDeferred
async def test_a_quorum_is_of_different_people_and_no_group_is_met_by_somebody_who_meets_another():
    stand = Stand(verdict=review((("leads",), 1), (("security",), 1)))
    _, serving = stand.asked()
    for _ in range(3):
        assert (await stand.says("bob@acme.com")).state is AccessState.PENDING
    assert (await stand.says("carol@acme.com")).state is AccessState.APPROVED
    await serving
    assert len(stand.sent) == 1


@ensureDeferred
async def test_an_approver_may_change_their_mind_until_it_is_decided():
    stand = Stand(verdict=review((("leads",), 2)))
    told, serving = stand.asked()
    await stand.says("alice@acme.com")
    await stand.says("alice@acme.com", approves=False)
    await serving
    assert denial(told) == "approval-denied"


# --- one request, however often it is sent


@ensureDeferred
async def test_four_sendings_make_one_access_request_and_one_forward():
    stand = Stand(verdict=review())
    for _ in range(3):
        told, serving = stand.asked(post())
        told.hang_up()
        await serving
    told, serving = stand.asked(post())
    await stand.says()
    await serving
    assert told.head.status == 200
    assert len(stand.sent) == 1
    assert len(stand.entries("access.opened")) == 1
    assert len(stand.channel.told) == 2  # opened, approved


@ensureDeferred
async def test_an_approval_while_the_agent_is_away_waits_for_it():
    stand = Stand(verdict=review())
    told, serving = stand.asked(post())
    told.hang_up()
    assert serving.called, "it does not wait"
    assert stand.entries("outcome")[0]["denial"] == "agent-gone"
    assert (await state(stand)).presence is Presence.DETACHED
    await stand.says()
    assert stand.sent == [], "nothing is sent for a detached request"
    stand.clock.advance(200)
    told, serving = stand.asked(post())
    await serving
    assert told.head.status == 200
    assert len(stand.sent) == 1


@ensureDeferred
async def test_an_agent_that_stays_away_loses_its_request_and_one_told_to_come_back_does_not():
    stand = Stand(verdict=review())
    told, serving = stand.asked(post())
    told.hang_up()
    await serving
    stand.clock.advance(119)
    assert (await state(stand)).state is AccessState.PENDING
    stand.clock.advance(2)
    assert (await state(stand)).state is AccessState.WITHDRAWN
    told, serving = stand.asked(post())
    stand.clock.advance(55)
    await serving
    assert denial(told) == "approval-pending"
    stand.clock.advance(500)
    assert (await state(stand, "a-2")).state is AccessState.PENDING
    stand.clock.advance(50)
    assert (await state(stand, "a-2")).state is AccessState.EXPIRED


@pytest.mark.parametrize(
    "other",
    [
        post(b'{"x":1}'),
        post(target="/things/8"),
        post(target="/things/7?force=true"),
        post(headers=((b"Content-Type", b"text/plain"),)),
        post(headers=(*JSON, (b"If-Match", b'"1"'))),
        Asked("GET", "/things/7", b"{}", JSON),
    ],
)
@ensureDeferred
async def test_any_difference_that_counts_is_a_new_request(other):
    stand = Stand(verdict=review())
    told, serving = stand.asked(post())
    told.hang_up()
    await serving
    await stand.says()
    told, serving = stand.asked(other)
    assert not serving.called
    assert stand.sent == []
    assert (await state(stand, "a-2")).state is AccessState.PENDING
    told.hang_up()
    await serving


@ensureDeferred
async def test_what_does_not_count_may_differ():
    stand = Stand(verdict=review())
    told, serving = stand.asked(post(headers=(*JSON, (b"User-Agent", b"a"))))
    told.hang_up()
    await serving
    await stand.says()
    more = ((b"User-Agent", b"b"), (b"X-Okta-Retry-Count", b"1"), (b"traceparent", b"0"))
    told, serving = stand.asked(post(headers=(*JSON, *more)))
    await serving
    assert told.head.status == 200


@pytest.mark.parametrize(
    "other", [agent(id="bot-8"), agent(issuer="https://other.example"), agent(humans=("eve",))]
)
@ensureDeferred
async def test_a_grant_is_for_one_subject_and_the_humans_it_acts_for(other):
    stand = Stand(verdict=review())
    told, serving = stand.asked(post())
    told.hang_up()
    await serving
    await stand.says()
    told, serving = stand.asked(post(), other)
    assert not serving.called
    assert stand.sent == []
    told.hang_up()
    await serving


@ensureDeferred
async def test_of_identical_calls_held_at_once_one_goes_out():
    stand = Stand(verdict=review())
    held = [stand.asked(post()) for _ in range(5)]
    await stand.says()
    for _, serving in held:
        await serving
    statuses = [told.head.status for told, _ in held]
    assert sorted(statuses) == [200, 403, 403, 403, 403]
    assert statuses[-1] == 200, "the newest is the one whose agent is surely there"
    assert len(stand.sent) == 1
    assert denial(held[0][0]) == "approval-used"


@ensureDeferred
async def test_what_is_about_to_leave_is_compared_with_what_was_approved():
    """A credential that brings a field which counts would change what the approver saw."""
    stand = Stand(verdict=review())
    stand.credential_adds = ((b"If-Match", b"*"),)
    told, serving = stand.asked(post())
    await stand.says()
    await serving
    assert stand.sent == []
    assert told.head.status == 500
    assert (await grant(stand)).left == 1, "nothing was sent, so nothing was spent"
    assert "release" in stand.log


@ensureDeferred
async def test_the_fingerprint_that_people_and_files_see_is_keyed():
    stand = Stand(verdict=review())
    told, serving = stand.asked(post(b'{"password":"hunter2"}'))
    shown = stand.channel.told[0].ask.fingerprint
    head = RequestHead("POST", "/things/7", ((b"Host", b"api.example"), *JSON), 22)
    plain = fingerprint(head, b'{"password":"hunter2"}', frozenset()).hex()
    assert len(shown) == len(plain)
    assert plain not in repr(stand.records.entries) + repr(stand.channel.told)
    assert stand.entries("access.opened")[0]["fingerprint"] == shown
    told.hang_up()
    await serving


# --- a grant for a scope


@ensureDeferred
async def test_a_grant_for_a_scope_is_used_so_often_and_each_use_says_what_it_sent():
    stand = Stand(verdict=review(uses=2))
    told, serving = stand.asked(post(b'{"n":1}'))
    await stand.says()
    await serving
    told, serving = stand.asked(post(b'{"n":2}'))
    await serving
    assert told.head.status == 200
    first, second = stand.entries("grant.spent")
    assert (first["left"], second["left"]) == (1, 0)
    assert first["fingerprint"] != second["fingerprint"]
    told, serving = stand.asked(post(b'{"n":3}'))
    assert not serving.called
    told.hang_up()
    await serving
    assert len(stand.sent) == 2


ROLE = CatalogRow(
    "POST",
    "/users/{id}/roles",
    "assignRole",
    risk=Risk.PRIVILEGED,
    parameters=(("quiet", "false"),),
    in_body=("type",),
    json=True,
)


@ensureDeferred
async def test_people_see_what_the_body_asks_for_and_a_scope_is_for_nothing_else():
    stand = Stand(verdict=review(uses=5), rows=(ROLE,))
    told, serving = stand.asked(post(b'{"type": "HELP_DESK"}', "/users/7/roles"))
    asked = (await state(stand)).ask.operation
    assert asked.parameters == {"quiet": "false", "type": "HELP_DESK"}
    await stand.says()
    await serving
    assert told.head.status == 200
    again, serving = stand.asked(post(b'{"x": 1, "type": "HELP_DESK"}', "/users/7/roles"))
    await serving
    assert again.head.status == 200
    others = [
        stand.asked(post(body, target))
        for body, target in (
            (b'{"type": "SUPER_ADMIN"}', "/users/7/roles"),
            (b"{}", "/users/7/roles"),
            (b'{"type": "HELP_DESK"}', "/users/7/roles?quiet=true"),
        )
    ]
    pending = await stand.store.requests()
    assert [each.ask.operation.parameters for each in pending] == [
        {"quiet": "false", "type": "SUPER_ADMIN"},
        {"quiet": "false"},
        {"quiet": "true", "type": "HELP_DESK"},
    ]
    for told, serving in others:
        told.hang_up()
        await serving
    assert len(stand.sent) == 2
    shown = stand.entries("access.opened")[0]["operation"]
    assert (shown["risk"], shown["parameters"]) == ("privileged", asked.parameters)


@ensureDeferred
@pytest.mark.parametrize(
    ("body", "target", "headers"),
    [
        (b'{"type": "HELP_DESK", "type": "SUPER_ADMIN"}', "/users/7/roles", JSON),
        (b'{"Type": "SUPER_ADMIN"}', "/users/7/roles", JSON),
        (b'{"type": "SUPER_ADMIN"}', "/users/7/roles", ((b"Content-Type", b"text/plain"),)),
        (b'{"type": "HELP_DESK"}', "/users/7/roles?quiet=false&quiet=true", JSON),
    ],
)
async def test_what_has_two_readings_is_refused_before_anybody_is_asked(body, target, headers):
    stand = Stand(verdict=review(), rows=(ROLE,))
    told, serving = stand.asked(post(body, target, headers))
    await serving
    assert (told.head.status, denial(told)) == (400, "malformed-request")
    assert stand.sent == []
    assert await stand.store.requests() == []


@ensureDeferred
async def test_a_scope_ends_where_another_resource_begins():
    stand = Stand(verdict=review(uses=5))
    _, serving = stand.asked(post())
    await stand.says()
    await serving
    told, serving = stand.asked(post(target="/things/8"))
    assert not serving.called
    told.hang_up()
    await serving


# --- what costs no grant, and what does


@pytest.mark.parametrize(
    ("stage", "fault"),
    [
        ("credential", CredentialUnavailable("The token endpoint is down.")),
        ("connect", UpstreamUntrusted("The certificate is for another name.")),
    ],
)
@ensureDeferred
async def test_a_failure_before_sending_costs_nobody_an_approval(stage, fault):
    stand = Stand(verdict=review(), fail={stage: fault})
    told, serving = stand.asked(post())
    await stand.says()
    await serving
    assert told.head.status == 502
    assert (await grant(stand)).tally == {GrantState.ACTIVE: 1}
    stand.fail.clear()
    told, serving = stand.asked(post())
    await serving
    assert told.head.status == 200
    assert len(stand.entries("access.opened")) == 1


@ensureDeferred
async def test_what_has_no_credential_is_not_to_be_sent_again_though_it_was_approved():
    refused = CredentialRefused("It is not a public read.")
    stand = Stand(verdict=review(), fail={"credential": refused})
    told, serving = stand.asked(post())
    await stand.says()
    await serving
    assert told.head.status == 403
    problem = json.loads(told.data)
    assert problem["type"].endswith("denied-by-policy")
    assert problem["detail"] == "It is not a public read."
    assert problem["retry"] == "Do not repeat this call unchanged."
    assert stand.sent == []
    assert (await grant(stand)).tally == {GrantState.ACTIVE: 1}


@ensureDeferred
async def test_an_agent_that_hangs_up_before_the_sending_keeps_its_grant():
    stand = Stand(verdict=review())
    told, serving = stand.asked(post())
    reach = stand.reach

    def hang_up_at_connect(stage):
        reach(stage)
        if stage == "connect":
            told.hang_up()

    stand.reach = hang_up_at_connect
    await stand.says()
    await serving
    assert stand.sent == []
    assert "release" in stand.log
    assert (await grant(stand)).left == 1


@ensureDeferred
async def test_an_agent_that_hangs_up_while_the_spend_is_written_is_not_sent_for():
    stand = Stand(verdict=review())
    told, serving = stand.asked(post())
    stand.slow_disk = True
    stand.answering = Deferred.fromCoroutine(stand.says())
    while not any("grant.spent" in step for step in stand.log):
        if len(stand.waiting) == 1 and "connect" in stand.log:
            told.hang_up()
        stand.waiting.pop(0).callback(None)
    stand.slow_disk = False
    while stand.waiting:
        stand.waiting.pop(0).callback(None)
    await serving
    assert stand.sent == []
    assert (await grant(stand)).tally == {GrantState.UNKNOWN: 1}


@ensureDeferred
async def test_a_grant_out_of_time_is_good_for_nothing():
    stand = Stand(verdict=review(life=60))
    told, serving = stand.asked(post())
    told.hang_up()
    await serving
    await stand.says()
    stand.clock.advance(60)
    assert (await grant(stand)).state is GrantState.EXPIRED
    told, serving = stand.asked(post())
    assert not serving.called
    told.hang_up()
    await serving


@ensureDeferred
async def test_a_token_that_expires_while_its_call_waits_is_good_no_more():
    stand = Stand(verdict=review())
    told, serving = stand.asked(post(), agent(expires_at=30.0))
    stand.clock.advance(31)
    await stand.says()
    await serving
    assert told.head.status == 401
    assert stand.sent == []
    assert (await grant(stand)).left == 1


# --- revoked


@ensureDeferred
async def test_a_revoked_grant_is_good_for_nothing():
    stand = Stand(verdict=review())
    told, serving = stand.asked(post())
    told.hang_up()
    await serving
    await stand.says()
    revoked = await stand.access.revoke("g-1", "alice@acme.com", "A mistake")
    assert revoked.state is GrantState.REVOKED
    assert isinstance(await stand.access.revoke("g-1", "alice@acme.com", ""), NotCounted)
    told, serving = stand.asked(post())
    assert not serving.called
    told.hang_up()
    await serving


@ensureDeferred
async def test_revoking_ends_what_is_under_way_and_its_outcome_is_not_known():
    stand = Stand(verdict=review())
    told, serving = stand.asked(post())
    stand.answer_when = Deferred()
    await stand.says()
    assert not serving.called
    assert (await grant(stand)).state is GrantState.IN_USE
    await stand.access.revoke("g-1", "bob@acme.com", "Stop!")
    await serving
    assert denial(told) == "grant-revoked"
    assert (await grant(stand)).tally == {GrantState.REVOKED_IN_FLIGHT: 1}
    assert "release" in stand.log
    assert len(stand.entries("outcome")) == 1


# --- policy changes, time passes, the gateway restarts


@pytest.mark.parametrize(
    ("verdict", "status"),
    [(Verdict(Effect.DENY, "No longer."), 403), (permit(), 200), (None, 403)],
)
@ensureDeferred
async def test_a_held_call_is_decided_again_when_policy_changes(verdict, status):
    stand = Stand(verdict=review())
    told, serving = stand.asked(post())
    stand.verdict = verdict
    stand.decider.adopt(stand.policy(), {})
    await stand.decider.reconsider()
    await serving
    assert told.head.status == status
    assert (await state(stand)).state is AccessState.SUPERSEDED
    assert len(stand.sent) == (status == 200)
    assert stand.entries("decision")[0]["effect"] == "review"
    assert len(stand.entries("decision")) == 2


@ensureDeferred
async def test_a_policy_that_asks_the_same_people_orphans_nobody():
    stand = Stand(verdict=review())
    told, serving = stand.asked(post())
    stand.verdict = Verdict(Effect.REVIEW, "In other words.", stand.verdict.obligations)
    stand.decider.adopt(stand.policy(), {})
    await stand.decider.reconsider()
    assert not serving.called
    await stand.says()
    await serving
    assert told.head.status == 200
    assert len(stand.entries("access.opened")) == 1


@ensureDeferred
async def test_a_policy_that_asks_other_people_makes_another_request_and_old_answers_are_void():
    stand = Stand(verdict=review((("leads",), 2)))
    told, serving = stand.asked(post())
    await stand.says("alice@acme.com")
    stand.verdict = review((("security",), 1))
    stand.decider.adopt(stand.policy(), {})
    await stand.decider.reconsider()
    assert (await state(stand)).state is AccessState.SUPERSEDED
    assert (await state(stand, "a-2")).answers == ()
    assert not serving.called
    await stand.says("carol@acme.com", key="a-2")
    await serving
    assert told.head.status == 200


@ensureDeferred
async def test_an_approval_given_under_another_policy_is_not_used_under_a_stricter_one():
    stand = Stand(verdict=review())
    told, serving = stand.asked(post())
    told.hang_up()
    await serving
    await stand.says()
    stand.verdict = review((("leads",), 2))
    stand.decider.adopt(stand.policy(), {})
    await stand.decider.reconsider()
    told, serving = stand.asked(post())
    assert not serving.called
    assert stand.sent == []
    told.hang_up()
    await serving


@pytest.mark.parametrize("duties", [(), review().obligations])
@ensureDeferred
async def test_policy_is_asked_again_once_people_have_said_yes(duties):
    stand = Stand(verdict=review())
    told, serving = stand.asked(post())
    stand.verdict = Verdict(Effect.DENY, "It is night now.", duties)  # it looks at the time
    await stand.says()
    await serving
    assert told.head.status == 403
    assert stand.sent == []
    assert (await grant(stand)).left == 1


@ensureDeferred
async def test_after_a_restart_what_was_pending_is_pending_and_its_agent_away():
    stand = Stand(verdict=review())
    stand.asked(post())
    stand.build()  # the process is gone, and another one begins over the same store
    await stand.revocations.recover()
    await stand.access.recover(Recovery(1, None))
    request = await state(stand)
    assert (request.state, request.presence) == (AccessState.PENDING, Presence.DETACHED)
    await stand.says()
    told, serving = stand.asked(post())
    await serving
    assert told.head.status == 200


@ensureDeferred
async def test_a_use_that_a_crash_left_is_unknown_and_never_used_again():
    stand = Stand(verdict=review())
    _, serving = stand.asked(post())
    stand.answer_when = Deferred()
    await stand.says()
    assert len(stand.sent) == 1
    stand.build()
    await stand.revocations.recover()
    await stand.access.recover(Recovery(9, None))
    assert (await grant(stand)).tally == {GrantState.UNKNOWN: 1}
    told, serving = stand.asked(post())
    assert not serving.called
    assert len(stand.sent) == 1
    told.hang_up()
    await serving


@ensureDeferred
async def test_a_store_that_the_record_cannot_vouch_for_loses_its_grants():
    stand = Stand(verdict=review())
    told, serving = stand.asked(post())
    told.hang_up()
    await serving
    await stand.says()
    stand.build()
    await stand.access.recover(Recovery(9, "The state folder is older than the recording."))
    assert (await grant(stand)).state is GrantState.REVOKED
    assert "older" in stand.entries("grant.ended")[0]["why"]


# --- what is down denies


@ensureDeferred
async def test_without_its_store_nothing_that_needs_people_passes(nothing_unnoticed):
    stand = Stand(verdict=review())
    stand.store.failure = StoreDown("The disk is full.")
    told, serving = stand.asked(post())
    await serving
    assert told.head.status == 502
    assert denial(told) == "store-down"
    assert stand.sent == []


@ensureDeferred
async def test_what_nobody_can_be_asked_about_is_refused():
    stand = Stand(verdict=review())
    stand.channel.failure = ApproversUnreachable("Slack is down.")
    told, serving = stand.asked(post())
    assert serving.called, "it does not wait"
    assert denial(told) == "approvers-unreachable"
    assert (await state(stand)).state is AccessState.WITHDRAWN


@ensureDeferred
async def test_a_recorder_that_fails_at_the_spend_keeps_the_request_from_leaving():
    stand = Stand(verdict=review())
    told, serving = stand.asked(post())
    reach = stand.reach

    def disk_full_at_connect(stage):
        reach(stage)
        if stage == "connect":
            stand.records.failure = OSError(28, "No space left on device")

    stand.reach = disk_full_at_connect
    await stand.says()
    await serving
    assert stand.sent == []
    assert told.head.status == 502
    assert (await grant(stand)).left == 0, "it is taken, and stays so"


@ensureDeferred
async def test_an_approval_that_could_not_be_put_on_record_lets_nothing_out():
    stand = Stand(verdict=review())
    told, serving = stand.asked(post())
    commit = stand.store.commit

    async def disk_full_after(values):
        revision = await commit(values)
        stand.records.failure = OSError(28, "No space left on device")
        return revision

    stand.store.commit = disk_full_after
    with pytest.raises(RecorderDown):
        await stand.says()
    stand.store.commit = commit
    assert not serving.called
    assert stand.sent == []
    assert (await grant(stand)).left == 0
    request = await state(stand)
    assert (request.state, request.answers) == (AccessState.PENDING, ()), "nothing follows from it"
    assert stand.entries("grant.made") == stand.entries("access.ended") == []
    stand.records.failure = None
    stand.clock.advance(1)
    await stand.says()
    await serving
    assert told.head.status == 200
    assert len(stand.entries("access.answered")) == 2, "each is on record before anything follows"
    assert len(stand.entries("grant.made")) == 1


@ensureDeferred
async def test_an_answer_that_cannot_be_put_on_record_is_not_kept():
    stand = Stand(verdict=review((("leads",), 2)))
    told, serving = stand.asked(post())
    before = await state(stand)
    append = stand.records.append

    def disk_full(entries):
        stand.records.append = append
        stand.records.failure = OSError(28, "No space left on device")
        append(entries)

    stand.records.append = disk_full
    with pytest.raises(RecorderDown):
        await stand.says()
    assert await state(stand) == before, "not even for a moment"
    told.hang_up()
    await serving


@ensureDeferred
async def test_an_answer_that_comes_too_late_while_it_is_put_on_record_is_void_on_record():
    stand = Stand(verdict=review())
    _, serving = stand.asked(post())
    stand.slow_disk = True
    late = Deferred.fromCoroutine(stand.says("bob@acme.com", approves=False))
    assert not late.called
    cancelling = Deferred.fromCoroutine(
        stand.access.pending.end("a-1", WITHDRAW, "The agent cancelled it.")
    )
    stand.slow_disk = False
    while stand.waiting:
        stand.waiting.pop(0).callback(None)
    await cancelling
    assert "withdrawn already" in (await late).reason
    (void,) = stand.entries("access.void")
    assert (void["approver"], void["approves"]) == ("bob@acme.com", False)
    assert "withdrawn already" in void["why"]
    await serving


@ensureDeferred
async def test_an_answer_is_not_taken_back_over_a_request_that_came_after_it():
    """Two would be pending for one call, which the store refuses however often it is tried."""
    stand = Stand(verdict=review())
    told, serving = stand.asked(post())
    told.hang_up()
    await serving
    before = await state(stand)
    after = await stand.says()
    await stand.access.revoke("g-1", "bob@acme.com", "")
    told, serving = stand.asked(post())
    assert (await state(stand, "a-2")).state is AccessState.PENDING
    await stand.access._answering._taken_back(before, after, None)
    assert (await state(stand)).state is AccessState.APPROVED
    assert stand.sent == []
    told.hang_up()
    await serving


@ensureDeferred
async def test_while_nothing_can_be_recorded_nobody_can_answer():
    stand = Stand(verdict=review())
    told, serving = stand.asked(post())
    stand.records.failure = OSError(28, "No space left on device")
    stand.recorder.note("any", {})
    with pytest.raises(RecorderDown):
        await stand.says()
    assert (await state(stand)).state is AccessState.PENDING
    told.hang_up()
    await serving


@ensureDeferred
async def test_a_revocation_that_cannot_be_recorded_ends_the_call_all_the_same():
    stand = Stand(verdict=review())
    told, serving = stand.asked(post())
    stand.answer_when = Deferred()
    await stand.says()
    stand.records.failure = OSError(28, "No space left on device")
    with pytest.raises(RecorderDown):
        await stand.access.revoke("g-1", "bob@acme.com", "")
    await serving
    assert (await grant(stand)).left == 0
    assert b"Ada" not in told.data


@ensureDeferred
async def test_what_a_run_takes_over_stands_in_its_own_record():
    """The run before may have died between a commit and its record."""
    stand = Stand(verdict=review())
    for number in (7, 8):
        told, serving = stand.asked(post(target=f"/things/{number}"))
        told.hang_up()
        await serving
    await stand.says()
    stand.records.entries.clear()
    stand.build()
    await stand.access.recover(Recovery(9, None))
    assert stand.entries("grant.carried")[0]["approved_by"] == ["alice@acme.com"]
    assert stand.entries("access.carried")[0]["access_request"] == "a-2"


@ensureDeferred
async def test_a_start_that_ended_early_leaves_a_doubted_store_doubted():
    stand = Stand(verdict=review())
    told, serving = stand.asked(post())
    told.hang_up()
    await serving
    await stand.says()
    evidence = MemoryEvidence(stand.records)  # it knows of no run: the recording is another one

    async def at_once(work, *args):
        return work(*args)

    async def started(recover=None):
        stand.build()
        stand.access.recover = recover or stand.access.recover
        parts = stand.ledger, stand.access, stand.decider, stand.revocations, evidence
        await TakenUp(*parts, run="run-2", in_thread=at_once).start()

    async def dies(found):
        raise StoreDown("The machine lost power.")

    with pytest.raises(StoreDown):
        await started(dies)
    evidence.begin("run-2")
    await started()
    assert (await grant(stand)).state is GrantState.REVOKED


@ensureDeferred
async def test_too_many_that_wait_are_told_to_slow_down():
    stand = Stand(verdict=review(), limits=Limits(per_agent=2, in_all=3))
    held = [stand.asked(post(target=f"/things/{n}")) for n in range(2)]
    told, serving = stand.asked(post(target="/things/9"))
    await serving
    assert told.head.status == 429
    assert dict(told.head.headers)[b"Retry-After"]
    another = stand.asked(post(target="/things/9"), agent(id="bot-8"))
    told, serving = stand.asked(post(target="/things/9"), agent(id="bot-9"))
    await serving
    assert told.head.status == 429
    for told, serving in (*held, another):
        told.hang_up()
        await serving


@ensureDeferred
async def test_what_waits_without_its_agent_counts_too():
    stand = Stand(verdict=review(), limits=Limits(per_agent=2, in_all=30))
    for number in range(2):
        told, serving = stand.asked(post(target=f"/things/{number}"))
        told.hang_up()
        await serving
    told, serving = stand.asked(post(target="/things/9"))
    assert serving.called, "it does not wait"
    assert told.head.status == 429
    told, serving = stand.asked(post(target="/things/1"))
    assert not serving.called, "it is there already"
    told.hang_up()
    await serving


@ensureDeferred
async def test_of_one_call_only_so_many_are_held():
    stand = Stand(verdict=review(), limits=Limits(per_agent=2, in_all=30))
    held = [stand.asked(post()) for _ in range(2)]
    told, serving = stand.asked(post())
    assert serving.called, "it does not wait"
    assert told.head.status == 429
    for told, serving in held:
        told.hang_up()
        await serving


@ensureDeferred
async def test_a_body_under_review_that_is_too_large_is_refused_before_anybody_is_asked():
    stand = Stand(verdict=review())
    told, serving = stand.asked(post(b"a" * (1024 * 1024 + 1)))
    await serving
    assert told.head.status == 413
    assert stand.channel.told == []


@pytest.mark.parametrize(
    "body",
    [
        b'{"why": "left", "x": ' + b"[" * 101 + b"]" * 101 + b"}",
        b'{"why": "left", "' + b"n" * 70_000 + b'": 1}',
        b'{"why": "left", "x": ' + b"1" * 5_000 + b"}",
        b'{"why": "left"',
    ],
    ids=["depth", "name", "number", "half"],
)
@ensureDeferred
async def test_nobody_approves_json_that_cannot_be_shown(body):
    stand = Stand(verdict=review())
    told, serving = stand.asked(post(body))
    assert serving.called  # else it waits for people
    await serving
    assert (told.head.status, denial(told)) == (400, "malformed-request")
    assert stand.channel.told == []
    assert stand.sent == []


@ensureDeferred
async def test_what_is_said_to_be_no_json_is_approved_unseen_unless_the_catalog_says_it_is():
    plain = ((b"Content-Type", b"text/plain"),)
    stand = Stand(verdict=review())
    stand.asked(post(b"left", headers=plain))
    (request,) = stand.channel.told
    assert (request.ask.shown.body, request.ask.shown.length) == (None, 4)
    row = CatalogRow("POST", "/things/{id}", "change", json=True)
    stand = Stand(verdict=review(), rows=[row])
    told, serving = stand.asked(post(b"left", headers=plain))
    assert serving.called
    await serving
    assert (told.head.status, stand.channel.told) == (400, [])


# --- what people and agents are told


@ensureDeferred
async def test_people_see_what_will_be_sent_with_secrets_masked():
    stand = Stand(verdict=review())
    call = post(b'{"password":"hunter2","why":"gone"}', "/things/7?token=abc&n=1")
    told, serving = stand.asked(call)
    shown = stand.channel.told[0].ask.shown
    assert shown.body == '{"password":"****************","why":"gone"}'
    assert shown.url == "https://api.example/things/7?token=***&n=1"
    assert shown.length == 35
    assert shown.headers == (("content-type", "application/json"),)
    told.hang_up()
    await serving
    assert "hunter2" not in repr(stand.records.entries)


@ensureDeferred
async def test_people_never_take_what_is_hidden_for_what_is_sent():
    stand = Stand(verdict=review())
    body = (
        b'{"passwordNeverExpires":true,"accessTokenLifetime":1440,"tokens":["a"],'
        b'"password":{"value":"hunter2"},"secret":null,"secretary":"Ada"}'
    )
    told, serving = stand.asked(post(body))
    shown = json.loads(stand.channel.told[0].ask.shown.body)
    assert shown == {
        "passwordNeverExpires": True,
        "accessTokenLifetime": "(a number, hidden)",
        "tokens": "(a list, hidden)",
        "password": "(an object, hidden)",
        "secret": None,
        "secretary": "****************",
    }
    told.hang_up()
    await serving


@ensureDeferred
async def test_a_review_that_names_no_grant_tightens_a_broad_one_beside_it():
    stand = Stand(verdict=review(uses=20, life=3600))
    plain = Verdict(Effect.REVIEW, "Once.", (Obligation("approvers", (("security",), 1)),))
    rules = (_Says("broad", stand.verdict), _Says("plain", plain))
    stand.decider.adopt(Policy(rules, version_of(rules), DUTIES), {})
    await stand.decider.reconsider()
    told, serving = stand.asked(post())
    asked = stand.channel.told[0].ask
    assert (asked.terms.uses, asked.terms.life, len(asked.terms.quorums)) == (1, 300.0, 2)
    assert asked.reason == "Look at it.; Once."
    told.hang_up()
    await serving


@implementer(IRule)
class _Says:
    version = "1"

    def __init__(self, name, verdict):
        self.name, self.verdict = name, verdict

    def judge(self, inquiry):
        return self.verdict


@ensureDeferred
async def test_what_ended_is_told_with_its_id_and_no_time_to_come_back():
    stand = Stand(verdict=review())
    told, serving = stand.asked(post())
    await stand.says(approves=False)
    await serving
    reference = json.loads(told.data)["access_request"]
    assert (reference["id"], reference["status"]) == ("a-1", "denied")
    assert b"Retry-After" not in dict(told.head.headers)


@ensureDeferred
async def test_one_that_is_told_to_come_back_leaves_the_other_where_it_is():
    stand = Stand(verdict=review())
    first, serving_first = stand.asked(post())
    stand.clock.advance(30)
    second, serving_second = stand.asked(post())
    stand.clock.advance(25)
    await serving_first
    assert denial(first) == "approval-pending"
    assert (await state(stand)).presence is Presence.ATTACHED
    await stand.says()
    await serving_second
    assert second.head.status == 200


@ensureDeferred
async def test_what_ended_long_ago_is_dropped_while_the_gateway_runs():
    stand = Stand(verdict=review())
    await stand.access.recover(Recovery(0, None))
    _told, serving = stand.asked(post())
    await stand.says(approves=False)
    await serving
    stand.clock.pump([3600.0] * 23)
    assert await state(stand) is not None
    stand.clock.pump([3600.0] * 3)
    assert await state(stand) is None


@ensureDeferred
async def test_a_doubted_state_keeps_no_answers():
    stand = Stand(verdict=review((("leads",), 2)))
    told, serving = stand.asked(post())
    told.hang_up()
    await serving
    await stand.says("alice@acme.com")
    stand.build()
    await stand.access.recover(Recovery(9, "The state folder is older than the recording."))
    assert (await state(stand)).state is AccessState.SUPERSEDED
    assert isinstance(await stand.says("bob@acme.com"), NotCounted)


@ensureDeferred
async def test_a_revocation_that_comes_with_the_answer_says_what_the_record_says():
    stand = Stand(verdict=review())
    told, serving = stand.asked(post())
    stand.answer_when = Deferred()
    await stand.says()
    stand.slow_disk = True
    stand.answer_when.callback(None)
    revoking = Deferred.fromCoroutine(stand.access.revoke("g-1", "bob@acme.com", ""))
    stand.slow_disk = False
    while stand.waiting:
        stand.waiting.pop(0).callback(None)
    await revoking
    await serving
    (outcome,) = stand.entries("outcome")
    assert outcome["status"] == told.head.status
    assert (outcome["outcome"] == "completed") == (told.head.status == 200)


@ensureDeferred
async def test_a_client_that_prefers_so_is_answered_at_once_with_where_to_ask():
    stand = Stand(verdict=review())
    prefer = (*JSON, (b"Prefer", b"respond-async"))
    told, serving = stand.asked(post(headers=prefer))
    await _tick(stand)
    await serving
    headers = dict(told.head.headers)
    assert told.head.status == 202
    assert headers[b"Location"] == b"https://jitgate.internal/access-requests/a-1"
    assert int(headers[b"Retry-After"]) > 0
    task = json.loads(told.data)["task"]
    assert (task["id"], task["status"]) == ("a-1", "pending")
    await stand.says()
    told, serving = stand.asked(post(headers=prefer))
    await serving
    assert told.head.status == 200


@ensureDeferred
async def test_an_sdk_is_slowed_down_twice_and_then_told_how_it_stands():
    stand = Stand(verdict=review(), resends=True, patience=Patience(hold=55, expire=600))
    for attempt in range(3):
        told, serving = stand.asked(post())
        stand.clock.advance(55)
        await serving
        assert told.head.status == (429, 429, 403)[attempt]
        stand.clock.advance(217.5)
    assert (await state(stand)).expires_at == 600.0


async def _tick(stand):
    stand.clock.advance(0)


@ensureDeferred
async def test_when_the_gateway_stops_what_it_holds_is_told_to_come_back():
    stand = Stand(verdict=review())
    told, serving = stand.asked(post())
    stand.access.dismiss()
    await serving
    assert told.head.status == 403
    assert dict(told.head.headers)[b"Retry-After"]
    assert (await state(stand)).state is AccessState.PENDING
    stand.access.stop()


@ensureDeferred
async def test_an_agent_cancels_its_own_request_and_no_other():
    stand = Stand(verdict=review())
    told, serving = stand.asked(post())
    assert await stand.access.cancel("a-1", agent(id="bot-8")) is None
    assert not serving.called
    assert await stand.access.cancel("a-1", agent()) is not None
    await serving
    assert denial(told) == "approval-withdrawn"
