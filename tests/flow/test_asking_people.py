"""What people are asked, by whom it may be answered at its moment, and what they give."""

from __future__ import annotations

import json

import pytest
from pytest_twisted import ensureDeferred
from support.ports import JSON, Asked, Stand, agent, review
from twisted.internet.defer import Deferred
from zope.interface import implementer

from jitgate.core.access import NotCounted
from jitgate.core.recovery import Recovery
from jitgate.errors import ApproversUnreachable, PeopleUnknown, StoreDown
from jitgate.flow.people import ActivePeople
from jitgate.interfaces import IPeople
from jitgate.values import (
    AccessState,
    Effect,
    Escalation,
    GrantState,
    Less,
    Obligation,
    Quorum,
    ResponseHead,
    Verdict,
)


def post(body=b"{}", target="/things/7"):
    return Asked("POST", target, body, JSON)


def asks(*quorums, uses=1, life=300.0):
    duties = [Obligation("approvers", each) for each in quorums]
    return Verdict(Effect.REVIEW, "Look at it.", (*duties, Obligation("grant", (uses, life))))


def climbing(after=300.0):
    return asks(Quorum(("leads",), 1, (Escalation(after, ("security",)),)))


async def says(stand, who="alice@acme.com", *, approves=True, key="a-1", reason="", less=None):
    return await stand.access.answer(
        key, who, approves=approves, reason=reason, channel="memory", less=less
    )


async def gone_away(stand, call=None, subject=None):
    """Ask for a call, and hang up: its request waits."""
    told, serving = stand.asked(call or post(), subject)
    told.hang_up()
    await serving


def problem(told):
    return json.loads(told.data)


# --- several groups, and minds that change


@ensureDeferred
async def test_a_rule_whose_form_nobody_understands_asks_nobody_and_lets_nothing_pass():
    stand = Stand(verdict=asks((("leads",), 1), ("leads", 1, "more")))
    told, serving = stand.asked(post())
    await serving
    assert problem(told)["type"].endswith("needs-approval")
    assert await stand.store.requests() == []


@ensureDeferred
async def test_each_call_that_waits_for_a_request_says_so_on_record_whatever_comes_of_it():
    stand = Stand(verdict=asks(Quorum(("leads",), 1)))
    await gone_away(stand)
    told, serving = stand.asked(post())
    await says(stand, approves=False)
    await serving
    assert told.head.status == 403
    assert [each["access_request"] for each in stand.entries("outcome")] == ["a-1", "a-1"]
    assert len({each["exchange"] for each in stand.entries("outcome")}) == 2


@ensureDeferred
async def test_a_mind_may_change_and_change_back_until_it_is_decided():
    stand = Stand(verdict=asks(Quorum(("leads",), 2, denials=2)))
    told, serving = stand.asked(post())
    for approves in (True, False, True):
        after = await says(stand, approves=approves)
        assert (after.state, len(after.answers)) == (AccessState.PENDING, 1)
    assert not serving.called
    assert (await says(stand, "bob@acme.com")).state is AccessState.APPROVED
    assert isinstance(await says(stand, approves=False), NotCounted)
    await serving
    assert told.head.status == 200
    said = [each["approves"] for each in stand.entries("access.answered")]
    assert said == [True, False, True, True]


# --- who is deactivated


@ensureDeferred
async def test_who_is_deactivated_at_the_moment_is_not_counted_and_no_denial_of_theirs_either():
    stand = Stand(verdict=review())
    _, serving = stand.asked(post())
    stand.directory.deactivate("Alice@ACME.com")
    for approves in (True, False):
        said = await says(stand, approves=approves)
        assert said == NotCounted("alice@acme.com is deactivated: their answer does not count.")
    assert not serving.called
    assert stand.entries("access.answered") == []
    stand.directory.deactivate()
    await says(stand)
    await serving
    assert len(stand.sent) == 1


@ensureDeferred
async def test_who_is_deactivated_after_their_answer_does_not_count_when_it_is_decided():
    stand = Stand(verdict=asks((("leads",), 1), (("security",), 1)))
    told, serving = stand.asked(post())
    await says(stand, "alice@acme.com")
    stand.directory.deactivate("alice@acme.com")
    after = await says(stand, "carol@acme.com")
    assert (after.state, [each.approver for each in after.answers]) == (
        AccessState.PENDING,
        ["carol@acme.com"],
    )
    assert [each["approver"] for each in stand.entries("access.void")] == ["alice@acme.com"]
    await says(stand, "bob@acme.com")
    await serving
    assert told.head.status == 200
    assert set(stand.entries("grant.made")[0]["approved_by"]) == {"bob@acme.com", "carol@acme.com"}


@pytest.mark.parametrize(
    "unknown", [PeopleUnknown("The directory is down."), KeyError("alice"), StoreDown("No.")]
)
@ensureDeferred
async def test_where_it_cannot_be_told_the_answer_is_refused_and_the_request_waits_on(
    unknown, nothing_unnoticed
):
    stand = Stand(verdict=review())
    _, serving = stand.asked(post())
    stand.directory.failure = unknown
    for approves in (True, False):
        said = await says(stand, approves=approves)
        assert "cannot be told at present" in said.reason
    assert (await stand.store.request("a-1")).state is AccessState.PENDING
    assert not serving.called
    stand.directory.failure = None
    await says(stand)
    await serving
    assert len(stand.sent) == 1


@implementer(IPeople)
class Slow:
    name, deadline = "slow", 2.0

    def __init__(self, answer=None):
        self.asked, self.told = [], Deferred()
        if answer is not None:
            self.told.callback(answer)

    async def is_active(self, person):
        self.asked.append(person)
        return await self.told


@ensureDeferred
async def test_who_knows_it_has_so_long_to_tell(nothing_unnoticed):
    stand, slow = Stand(verdict=review()), Slow()
    stand.access._active = stand.access._answering._active = ActivePeople([slow], stand.clock)
    _, serving = stand.asked(post())
    answering = Deferred.fromCoroutine(says(stand))
    stand.clock.advance(1.9)
    assert not answering.called
    stand.clock.advance(0.1)
    assert answering.called
    assert "cannot be told at present" in (await answering).reason
    assert not serving.called


@pytest.mark.parametrize("nonsense", ["yes", 1, {"active": True}])
@ensureDeferred
async def test_nonsense_tells_nothing(nonsense, nothing_unnoticed):
    people = ActivePeople([Slow(nonsense)], Stand().clock)
    with pytest.raises(PeopleUnknown):
        await people.inactive(["alice@acme.com"])


@ensureDeferred
async def test_one_of_several_who_says_no_is_enough_and_nobody_is_looked_up_in_vain():
    stand = Stand(verdict=review())
    yes, no = Slow(True), Slow(False)
    people = ActivePeople([yes, no], stand.clock)
    assert await people.inactive([" Alice@acme.com"]) == {"alice@acme.com"}
    stand.access._answering._active = people
    _, serving = stand.asked(post())
    await says(stand, "mallory@acme.com")
    assert yes.asked == no.asked == ["alice@acme.com"]
    assert not serving.called


# --- more people, after some time


@ensureDeferred
async def test_the_next_group_is_asked_in_its_time_and_on_record_before_anybody_of_it_counts():
    stand = Stand(verdict=climbing())
    await gone_away(stand)
    stand.clock.advance(119.0)
    _told, serving = stand.asked(post())
    stand.clock.advance(180.0)
    assert isinstance(await says(stand, "carol@acme.com"), NotCounted)
    assert stand.entries("access.escalated") == []
    shown = len(stand.channel.told)
    stand.clock.advance(1.0)
    (entry,) = stand.entries("access.escalated")
    assert entry["groups"] == ["leads", "security"]
    assert [each.escalated for each in stand.channel.told[shown:]] == [300.0]
    again, waiting = stand.asked(post())
    await says(stand, "carol@acme.com")
    for each in (serving, waiting):
        await each
    assert again.head.status == 200


@ensureDeferred
async def test_agents_are_told_of_all_who_are_asked_by_now():
    stand = Stand(verdict=climbing(30.0))
    told, serving = stand.asked(post())
    stand.clock.advance(55)
    await serving
    assert "leads, security" in problem(told)["detail"]


@ensureDeferred
async def test_who_is_to_be_asked_after_a_restart_is_asked():
    stand = Stand(verdict=climbing())
    await gone_away(stand)
    _told, serving = stand.asked(post())
    stand.clock.advance(55)
    await serving
    stand.access.stop()
    stand.clock.advance(400)
    assert stand.entries("access.escalated") == []
    stand.build()
    await stand.access.recover(Recovery(9, None))
    stand.clock.advance(0)
    assert len(stand.entries("access.escalated")) == 1
    assert (await says(stand, "carol@acme.com")).state is AccessState.APPROVED


@ensureDeferred
async def test_what_has_ended_asks_nobody_more():
    stand = Stand(verdict=climbing(60.0))
    _told, serving = stand.asked(post())
    await says(stand, approves=False)
    await serving
    stand.clock.advance(500)
    assert stand.entries("access.escalated") == []


@ensureDeferred
async def test_an_escalation_that_cannot_be_kept_is_tried_again(nothing_unnoticed):
    stand = Stand(verdict=climbing(60.0))
    _told, serving = stand.asked(post())
    stand.clock.advance(55)
    await serving
    stand.store.failure = StoreDown("The disk is full.")
    stand.clock.advance(5)
    stand.store.failure = None
    assert isinstance(await says(stand, "carol@acme.com"), NotCounted)
    stand.clock.advance(5)
    assert (await says(stand, "carol@acme.com")).state is AccessState.APPROVED


# --- less than policy offers


@ensureDeferred
async def test_a_window_is_given_for_fewer_uses_and_less_time_and_no_more_goes_out():
    stand = Stand(verdict=review(uses=5, life=600.0))
    _told, serving = stand.asked(post(b'{"n":1}'))
    await says(stand, less=Less(uses=2, life=60.0))
    await serving
    (made,) = stand.entries("grant.made")
    assert (made["uses"], made["life"], made["alone"]) == (2, 60.0, False)
    assert stand.entries("access.answered")[0]["less"] == {"uses": 2, "life": 60.0, "once": False}
    _, serving = stand.asked(post(b'{"n":2}'))
    await serving
    _, serving = stand.asked(post(b'{"n":3}'))
    assert not serving.called
    assert len(stand.sent) == 2


@ensureDeferred
async def test_a_shorter_life_ends_sooner():
    stand = Stand(verdict=review(uses=5, life=600.0))
    await gone_away(stand)
    await says(stand, less=Less(life=60.0))
    stand.clock.advance(60)
    assert (await stand.store.grant("g-1")).state is GrantState.EXPIRED
    _, serving = stand.asked(post())
    assert not serving.called
    assert stand.sent == []


@ensureDeferred
async def test_a_window_that_is_given_once_is_for_the_call_that_was_seen():
    stand = Stand(verdict=review(uses=5))
    await gone_away(stand, post(b'{"n":1}'))
    await says(stand, less=Less(once=True))
    _, serving = stand.asked(post(b'{"n":2}'))
    assert not serving.called, "another body is another call"
    told, serving = stand.asked(post(b'{"n":1}'))
    await serving
    assert told.head.status == 200
    assert len(stand.sent) == 1


@ensureDeferred
async def test_nobody_gives_more_and_the_request_waits_on():
    stand = Stand(verdict=review())
    _, serving = stand.asked(post())
    said = await says(stand, less=Less(uses=2))
    assert said.reason == "Policy offers a single use here, and 2 cannot be given."
    assert not serving.called
    assert await stand.store.grants() == []


# --- a reason


@ensureDeferred
async def test_where_policy_wants_a_reason_an_approval_without_one_is_refused():
    stand = Stand(verdict=asks(Quorum(("leads",), reason=True)))
    told, serving = stand.asked(post())
    said = await says(stand)
    assert said.reason == "Policy wants a reason for this approval: say why it may go."
    assert not serving.called
    await says(stand, reason="OPS-7 says so")
    await serving
    assert told.head.status == 200
    assert stand.entries("access.answered")[0]["reason"] == "OPS-7 says so"


# --- how it stands


@ensureDeferred
async def test_how_a_request_stands_is_told_by_the_people_that_there_are():
    stand = Stand(verdict=asks((("leads",), 1), (("security",), 1)))
    await gone_away(stand, subject=agent(humans=("alice@acme.com",)))
    request = await stand.store.request("a-1")
    standing = stand.access.standing(request, "alice@acme.com")
    assert standing.could_answer == ("bob@acme.com", "carol@acme.com")
    assert sum(each.count for each in standing.missing) == 2
    assert "an agent of theirs" in standing.objection
    after = await says(stand, "bob@acme.com")
    assert sum(each.count for each in stand.access.standing(after).missing) == 1


# --- revoked


@ensureDeferred
async def test_what_is_revoked_ends_though_the_record_takes_its_time():
    plain = ResponseHead(200, ((b"Content-Type", b"text/plain"),), None)
    stand = Stand(verdict=review(), answer=plain, pieces=(b"a" * 100_000, b"the rest"))
    told, serving = stand.asked(post())
    stand.rest_when = Deferred()
    await says(stand)
    assert told.data
    assert not serving.called
    stand.slow_disk = True
    revoking = Deferred.fromCoroutine(stand.access.revoke("g-1", "bob@acme.com", "Stop!"))
    assert "release" in stand.log, "the exchange with the target is over"
    assert not revoking.called
    stand.slow_disk = False
    while stand.waiting:
        stand.waiting.pop(0).callback(None)
    await revoking
    await serving
    assert told.truncated
    assert (await stand.store.grant("g-1")).tally == {GrantState.REVOKED_IN_FLIGHT: 1}


# --- what is taken back, and what becomes of what was given


@ensureDeferred
async def test_what_somebody_takes_back_counts_no_longer_and_that_is_on_record():
    stand = Stand(verdict=asks((("leads",), 2)))
    _, serving = stand.asked(post())
    await says(stand)
    key = stand.channel.told[-1].id
    after = await stand.access.take_back(key, "alice@acme.com", "test")
    assert after.answers == ()
    assert stand.channel.told[-1] == after
    (void,) = stand.entries("access.void")
    assert (void["approver"], void["why"]) == ("alice@acme.com", "Taken back, by test.")
    assert (await says(stand, "bob@acme.com")).state is AccessState.PENDING
    assert not serving.called
    await says(stand)
    await serving


@ensureDeferred
async def test_channels_are_told_what_became_of_a_grant():
    stand = Stand(verdict=review())
    _, serving = stand.asked(post())
    await says(stand)
    await serving
    ((grant, use),) = stand.channel.grants
    assert (grant.state, use.state, use.status) == (GrantState.SPENT, GrantState.SPENT, 200)
    assert use.ended_at >= use.taken_at
    assert stand.entries("grant.settled")[0]["status"] == 200


@ensureDeferred
async def test_channels_are_told_of_a_revocation_and_whether_they_work_changes_nothing():
    stand = Stand(verdict=review())
    await gone_away(stand)
    await says(stand)
    (grant,) = await stand.access.grants()
    stand.channel.failure = ApproversUnreachable("No.")
    after = await stand.access.revoke(grant.id, "bob@acme.com", "")
    assert after.state is GrantState.REVOKED
    assert stand.channel.grants == []
