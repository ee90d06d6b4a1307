"""Groups that are kept elsewhere: who is a member counts at the moment, and is shown meanwhile."""

from __future__ import annotations

import pytest
from pytest_twisted import ensureDeferred
from support.ports import JSON, Asked, Stand, review
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure
from zope.interface import implementer

from jitgate.approvers.groups import MemoryGroups
from jitgate.core.access import NotCounted
from jitgate.errors import PeopleUnknown, StoreDown
from jitgate.flow.elsewhere import MEMBERS, Elsewhere
from jitgate.flow.members import EVERY, Members
from jitgate.flow.people import ActivePeople
from jitgate.interfaces import IGroups, IPeople
from jitgate.values import AccessState

ALICE, BOB, CAROL = "alice@acme.com", "bob@acme.com", "carol@acme.com"
NONE = "is in none of the groups that are asked"
UNKNOWN = "Who is in leads cannot be told at present, so this answer does not count."


@implementer(IGroups)
class Slow:
    """Answers when a test wants it to."""

    def __init__(self, name="slow", deadline=2.0):
        self.name, self.deadline = name, deadline
        self.asked, self.answers = [], []

    def misnamed(self, group):
        return None

    async def members(self, group):
        self.asked.append(group)
        answer = Deferred()
        self.answers.append(answer)
        return await answer

    def tells(self, *members):
        self.answers.pop(0).callback(list(members))


def kept(*members):
    """A source that knows the group S1."""
    return MemoryGroups({"S1": list(members)})


def stand(source, verdict=None, **changes):
    people = {"leads": Elsewhere(source, "S1"), "security": frozenset({CAROL, BOB})}
    return Stand(verdict=verdict or review(), people=people, **changes)


def asked(site):
    return site.asked(Asked("POST", "/things/7", b"{}", JSON))


async def standing(site, someone=None):
    return site.access.standing(await site.store.request("a-1"), someone)


# --- whose answer counts


@ensureDeferred
async def test_a_member_gives_an_answer_that_counts_and_nobody_else_does():
    site = stand(kept("Alice@ACME.com"))
    told, serving = asked(site)
    refused = await site.says(BOB)
    assert refused == NotCounted(f"{BOB} {NONE}: leads.")
    assert not serving.called
    await site.says(ALICE)
    await serving
    assert told.head.status == 200


@ensureDeferred
async def test_who_has_left_since_it_was_shown_does_not_count_and_who_has_come_does():
    source = kept(ALICE)
    site = stand(source)
    await site.members.start()
    site.clock.advance(0)
    _, serving = asked(site)
    assert (await standing(site)).could_answer == (ALICE,)
    source.groups["S1"] = [BOB]
    for approves in (True, False):
        assert NONE in (await site.says(ALICE, approves=approves)).reason
    assert not serving.called
    await site.says(BOB)
    await serving
    assert site.entries("grant.made")[0]["approved_by"] == [BOB]


@ensureDeferred
async def test_what_a_member_has_said_is_void_on_record_once_they_have_left():
    source = kept(ALICE, BOB)
    site = stand(source, review((("leads",), 1), (("security",), 1)))
    _, serving = asked(site)
    await site.says(ALICE)
    source.groups["S1"] = [BOB]
    after = await site.says(CAROL)
    assert (after.state, [each.approver for each in after.answers]) == (
        AccessState.PENDING,
        [CAROL],
    )
    (void,) = site.entries("access.void")
    assert (void["approver"], void["approves"]) == (ALICE, True)
    assert void["why"] == "They are in none of the groups that are asked."
    source.groups["S1"] = [ALICE, BOB]
    assert not serving.called, "what is void stays so"
    await site.says(BOB)
    await serving
    assert set(site.entries("grant.made")[0]["approved_by"]) == {BOB, CAROL}


@pytest.mark.parametrize(
    "fails", [PeopleUnknown("It is down."), KeyError("S1"), StoreDown("No."), TypeError()]
)
@ensureDeferred
async def test_where_it_cannot_be_told_the_answer_is_refused_and_the_request_waits_on(
    fails, nothing_unnoticed
):
    source = kept(ALICE)
    site = stand(source)
    await site.members.start()
    site.clock.advance(0)
    _, serving = asked(site)
    source.failure = fails
    for approves in (True, False):
        said = await site.says(ALICE, approves=approves)
        assert said.reason.startswith(UNKNOWN)
    assert (await site.store.request("a-1")).state is AccessState.PENDING
    assert site.entries("access.answered") == []
    assert not serving.called
    source.failure = None
    await site.says(ALICE)
    await serving
    assert len(site.sent) == 1


@pytest.mark.parametrize(
    "nonsense",
    [None, ALICE, {ALICE: True}, iter([ALICE]), [ALICE, None], [ALICE.encode()], 7,
     [f"{number}@acme.com" for number in range(MEMBERS)] + [ALICE]],
)  # fmt: skip
@ensureDeferred
async def test_nonsense_tells_nothing_and_more_members_than_are_taken_are_never_cut(
    nonsense, nothing_unnoticed
):
    source = kept()
    source.groups["S1"] = nonsense
    members = Members({"leads": Elsewhere(source, "S1")}, Clock())
    with pytest.raises(PeopleUnknown):
        await members.now(["leads"])
    assert members.unknown(["leads"]) == ["leads"]


@ensureDeferred
async def test_as_many_members_as_are_taken_are_all_there():
    source = kept(*(f"{number}@acme.com" for number in range(MEMBERS)))
    members = Members({"leads": Elsewhere(source, "S1")}, Clock())
    assert len((await members.now(["leads"]))["leads"]) == MEMBERS


@pytest.mark.parametrize("name", ["", " ", "alice", "@acme.com", "alice@", "policy:all", "U0123"])
@ensureDeferred
async def test_who_is_no_person_is_left_out(name):
    source = kept(name, ALICE, "https://idp.example bob")
    members = Members({"leads": Elsewhere(source, "S1")}, Clock())
    everybody = {ALICE, "https://idp.example bob"}
    assert await members.now(["leads"]) == {"leads": everybody}


@ensureDeferred
async def test_in_an_empty_group_is_nobody_and_that_is_said():
    site = stand(kept(), review((("leads",), 1)))
    await site.members.start()
    site.clock.advance(0)
    _, serving = asked(site)
    assert NONE in (await site.says(ALICE)).reason
    stands = await standing(site, ALICE)
    assert (stands.could_answer, stands.unknown, stands.empty) == ((), [], ["leads"])
    assert NONE in stands.objection
    assert not serving.called


@ensureDeferred
async def test_who_may_not_answer_whatever_the_groups_are_has_nobody_asked():
    source, site = Slow(), None
    site = stand(source, review((("security",), 1)))
    asked(site)
    assert isinstance(await site.says("mallory@acme.com"), NotCounted)
    assert isinstance(await site.says("bot-7"), NotCounted)
    assert source.asked == []


# --- how long it is waited for


@implementer(IPeople)
class SlowPeople:
    name, deadline = "slow", 2.0

    def __init__(self):
        self.asked, self.answer = [], Deferred()

    async def is_active(self, person):
        self.asked.append(person)
        return await self.answer


@ensureDeferred
async def test_who_is_a_member_and_who_is_active_is_asked_at_once_and_once():
    source, people = Slow(), SlowPeople()
    site = stand(source)
    site.access._answering._active = ActivePeople([people], site.clock)
    _, serving = asked(site)
    answering = Deferred.fromCoroutine(site.says(ALICE))
    assert (source.asked, people.asked) == (["S1"], [ALICE])
    people.answer.callback(True)
    assert not answering.called
    source.tells(ALICE)
    assert (await answering).state is AccessState.APPROVED
    await serving
    assert (source.asked, people.asked) == (["S1"], [ALICE])


@ensureDeferred
async def test_it_is_not_waited_for_beyond_its_deadline(nothing_unnoticed):
    source = Slow()
    site = stand(source)
    _, serving = asked(site)
    answering = Deferred.fromCoroutine(site.says(ALICE))
    site.clock.advance(1.9)
    assert not answering.called
    site.clock.advance(0.1)
    assert answering.called
    assert (await answering).reason.startswith(UNKNOWN)
    assert not serving.called


@ensureDeferred
async def test_two_share_a_question_only_if_it_was_put_after_both_had_asked():
    """An answer is no younger than its question: who has left meanwhile would still be in it."""
    source = Slow()
    members = Members({"leads": Elsewhere(source, "S1")}, Clock())
    first, second, third = (Deferred.fromCoroutine(members.now(["leads"])) for _ in range(3))
    assert source.asked == ["S1"], "one question at a time"
    source.tells(ALICE, BOB)
    assert await first == {"leads": {ALICE, BOB}}
    assert not second.called
    assert source.asked == ["S1", "S1"]
    source.tells(ALICE)
    assert await second == await third == {"leads": {ALICE}}
    assert source.asked == ["S1", "S1"]


@ensureDeferred
async def test_a_group_that_became_another_while_it_was_asked_of_tells_nothing():
    source, other = Slow(), Slow("other")
    site = stand(source)
    _, serving = asked(site)
    answering = Deferred.fromCoroutine(site.says(ALICE))
    site.members.adopt({"leads": Elsewhere(other, "S1")})
    assert (await answering).reason.startswith(UNKNOWN)
    assert not serving.called


@pytest.mark.parametrize("told", [[ALICE], KeyError("S1")])
@ensureDeferred
async def test_a_source_that_does_not_stop_when_it_is_told_to_is_heard_no_more(told):
    class Stubborn(Slow):
        async def members(self, group):
            try:
                return await super().members(group)
            except CancelledError:
                return await super().members(group)

    source, clock = Stubborn(), Clock()
    members = Members({"leads": Elsewhere(source, "S1")}, clock)
    first = Deferred.fromCoroutine(members.now(["leads"]))
    clock.advance(2.0)
    assert first.called
    with pytest.raises(PeopleUnknown):
        await first
    second = Deferred.fromCoroutine(members.now(["leads"]))
    source.answers[1].callback(Failure(told) if isinstance(told, Exception) else told)
    assert not second.called
    source.answers[2].callback([BOB])
    assert await second == {"leads": {BOB}}
    assert members.shown == {"leads": {BOB}}


@ensureDeferred
async def test_what_comes_too_late_is_no_answer():
    class Excusing(Slow):
        async def members(self, group):
            try:
                return await super().members(group)
            except CancelledError:
                return [ALICE]

    members = Members({"leads": Elsewhere(Excusing(), "S1")}, clock := Clock())
    asking = Deferred.fromCoroutine(members.now(["leads"]))
    with capturedLogs() as logged:
        clock.advance(2.0)
    assert asking.called
    with pytest.raises(PeopleUnknown):
        await asking
    assert members.shown == {}
    assert "PeopleUnknown (It did not answer within 2 s.)" in formatEvent(logged[0])


@ensureDeferred
async def test_a_group_that_became_another_once_it_had_told_tells_nothing():
    source, other = Slow(), Slow("other")
    groups = {"a": Elsewhere(source, "A"), "b": Elsewhere(other, "B")}
    members = Members(groups, Clock())
    asking = Deferred.fromCoroutine(members.now(["a", "b"]))
    source.tells(ALICE)
    members.adopt({"a": frozenset({BOB}), "b": Elsewhere(other, "B")})
    other.tells(CAROL)
    assert asking.called
    with pytest.raises(PeopleUnknown, match="Who is in a cannot be told"):
        await asking


@ensureDeferred
async def test_who_waits_behind_a_question_waits_no_longer_than_its_deadline(nothing_unnoticed):
    members = Members({"leads": Elsewhere(Slow(), "S1")}, clock := Clock())
    first = Deferred.fromCoroutine(members.now(["leads"]))
    clock.advance(1.5)
    second = Deferred.fromCoroutine(members.now(["leads"]))
    clock.advance(0.5)
    with pytest.raises(PeopleUnknown):
        await first
    assert not second.called
    clock.advance(1.5)
    assert second.called
    with pytest.raises(PeopleUnknown):
        await second


@ensureDeferred
async def test_a_question_that_is_late_is_put_anew_for_who_asks_then(nothing_unnoticed):
    source, clock = Slow(), Clock()
    members = Members({"leads": Elsewhere(source, "S1")}, clock)
    first = Deferred.fromCoroutine(members.now(["leads"]))
    clock.advance(2.0)
    with pytest.raises(PeopleUnknown):
        await first
    second = Deferred.fromCoroutine(members.now(["leads"]))
    assert source.asked == ["S1", "S1"]
    source.answers[1].callback([ALICE])
    assert second.called
    assert await second == {"leads": {ALICE}}


# --- what is shown meanwhile


@ensureDeferred
async def test_until_it_was_told_nobody_knows_who_could_answer_and_that_is_said():
    source = Slow()
    site = stand(source)
    await site.members.start()
    _, serving = asked(site)
    stands = await standing(site, ALICE)
    assert (stands.could_answer, stands.unknown, stands.empty) == ((), ["leads"], [])
    assert stands.objection is None, "she may be one of them"
    site.clock.advance(0)
    source.tells(ALICE)
    stands = await standing(site, BOB)
    assert (stands.could_answer, stands.unknown) == ((ALICE,), [])
    assert NONE in stands.objection
    assert not serving.called


@ensureDeferred
async def test_each_source_is_asked_every_minute_of_one_group_at_a_time():
    source, other, clock = Slow(), Slow("other"), Clock()
    groups = {"a": Elsewhere(source, "A"), "b": Elsewhere(source, "B"), "c": Elsewhere(other, "C")}
    members = Members(groups, clock, lambda: 0.5)
    assert clock.getDelayedCalls() == []
    await members.start()
    clock.advance(0)
    assert (source.asked, other.asked) == (["A"], ["C"])
    source.tells(ALICE)
    assert source.asked == ["A", "B"]
    source.tells(BOB)
    assert members.shown == {"a": {ALICE}, "b": {BOB}}
    clock.advance(EVERY - 0.1)
    assert source.asked == ["A", "B"]
    clock.advance(0.1)
    assert source.asked == ["A", "B", "A"]
    source.tells(CAROL)
    assert members.shown["a"] == {CAROL}


@pytest.mark.parametrize(("chance", "after"), [(0.0, 0.9), (1.0, 1.1)])
@ensureDeferred
async def test_not_all_are_asked_at_once(chance, after):
    source, clock = Slow(), Clock()
    members = Members({"leads": Elsewhere(source, "S1")}, clock, lambda: chance)
    await members.start()
    clock.advance(0)
    source.tells(ALICE)
    clock.advance(EVERY * after - 0.1)
    assert len(source.asked) == 1
    clock.advance(0.2)
    assert len(source.asked) == 2


@ensureDeferred
async def test_a_source_that_is_down_is_said_once_and_asked_again_and_what_it_said_is_shown():
    source, clock = kept(ALICE), Clock()
    members = Members({"leads": Elsewhere(source, "S1")}, clock, lambda: 0.5)
    await members.start()
    clock.advance(0)
    source.failure = PeopleUnknown("It is down.")
    with capturedLogs() as logged:
        for _ in range(3):
            clock.advance(EVERY)
        assert members.shown == {"leads": {ALICE}}
        source.failure, source.groups["S1"] = None, [BOB]
        clock.advance(EVERY)
    said = [formatEvent(each) for each in logged]
    assert len(said) == 2
    assert said[0].startswith("Who is in leads cannot be told: PeopleUnknown (It is down.)")
    assert said[1] == "leads: its members are known again"
    assert members.shown == {"leads": {BOB}}


@ensureDeferred
async def test_once_it_stops_nothing_is_asked_and_nobody_is_told():
    source, clock = Slow(), Clock()
    members = Members({"a": Elsewhere(source, "A"), "b": Elsewhere(source, "B")}, clock)
    await members.start()
    clock.advance(0)
    asking = Deferred.fromCoroutine(members.now(["b"]))
    await members.stop()
    assert asking.called
    with pytest.raises(PeopleUnknown):
        await asking
    assert clock.getDelayedCalls() == []
    clock.advance(10 * EVERY)
    assert source.asked == ["A", "B"]


# --- a reload


@ensureDeferred
async def test_a_reload_keeps_what_was_told_of_the_same_groups_and_asks_of_others():
    source, clock = Slow(), Clock()
    of = {
        "same": Elsewhere(source, "A", "1"),
        "else": Elsewhere(source, "B", "1"),
        "gone": Elsewhere(source, "C", "1"),
    }
    members = Members(of, clock, lambda: 0.5)
    await members.start()
    clock.advance(0)
    for _ in of:
        source.tells(ALICE)
    anew = Slow()
    members.adopt(
        {
            "same": Elsewhere(anew, "A", "1"),
            "else": Elsewhere(anew, "D", "1"),
            "more": Elsewhere(anew, "B", "1"),
            "listed": frozenset({BOB}),
        }
    )
    assert members.shown == {"same": {ALICE}, "listed": {BOB}}
    clock.advance(0)
    assert anew.asked == ["D"]
    anew.tells(BOB)
    anew.tells(CAROL)
    assert members.shown["else"] == {BOB}
    clock.advance(EVERY)
    assert anew.asked[:3] == ["D", "B", "A"]
    assert source.asked == ["A", "B", "C"]


@ensureDeferred
async def test_another_version_of_a_source_is_asked_anew():
    source, clock = kept(ALICE), Clock()
    members = Members({"leads": Elsewhere(source, "S1", "1")}, clock)
    await members.start()
    clock.advance(0)
    members.adopt({"leads": Elsewhere(source, "S1", "2")})
    assert members.unknown(["leads", "nobody"]) == ["leads"]
    clock.advance(0)
    assert members.unknown(["leads"]) == []
