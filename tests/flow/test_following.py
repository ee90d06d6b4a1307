"""Two gateways over one store: what one changes the other hears of, and each has what is its own."""

from __future__ import annotations

import json

import pytest
from pytest_twisted import ensureDeferred
from support.access import grant, use
from support.ports import JSON, Asked, Stand, agent, review
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from zope.interface import implementer
from zope.interface.verify import verifyObject

from jitgate.core.fatigue import Fatigue
from jitgate.core.recovery import Recovery
from jitgate.core.waiting import Patience
from jitgate.errors import RecorderDown, StoreDown
from jitgate.flow.access import KEPT_FOR, TIDY
from jitgate.flow.following import AGAIN, Following
from jitgate.flow.opening import Limits
from jitgate.interfaces import INews
from jitgate.stores.access_memory import MemoryAccess
from jitgate.stores.budgets_memory import MemoryBudgets
from jitgate.stores.once_memory import MemoryOnce
from jitgate.values import (
    AccessState,
    Binding,
    Changed,
    Effect,
    Escalation,
    GrantState,
    Obligation,
    Presence,
    Quorum,
    Verdict,
)


@implementer(INews)
class News:
    """Hears what a test tells it."""

    async def start(self, heard):
        self.heard = heard

    async def stop(self):
        self.heard = lambda _: None


class Pair:
    """Two gateways; ``tell`` is what the store would tell of a change."""

    def __init__(self, **more):
        self.clock = Clock()
        store, once = MemoryAccess(), MemoryOnce(self.clock)
        shared = {"store": store, "shared_once": once, "asked_before": MemoryBudgets(self.clock)}
        ids = {"x": 0, "a": 0, "g": 0, "t": 0}
        self.stands, self.news = [], []
        for name in "ab":
            stand = Stand(clock=self.clock, called=name, ids=ids, **shared, **more)
            news = News()
            stand.following = Following(
                news, stand.access, stand.grants, stand.revocations, self.clock
            )
            starting = Deferred.fromCoroutine(stand.following.start())
            assert starting.called
            self.stands.append(stand)
            self.news.append(news)
        self.store = store

    def tell(self, kind, key):
        for news in self.news:
            news.heard([Changed(kind, key)])

    def missed(self):
        for news in self.news:
            news.heard(None)


def post(target="/things/7"):
    return Asked("POST", target, b"{}", JSON)


def denial(told):
    return json.loads(told.data)["type"].rpartition("/")[2]


def test_the_news_of_these_tests_provide_the_port():
    assert verifyObject(INews, News())


@pytest.mark.parametrize("how", ["told", "missed"])
@ensureDeferred
async def test_what_is_held_at_one_goes_on_once_it_was_answered_at_the_other(how):
    pair = Pair(verdict=review())
    one, other = pair.stands
    told, serving = one.asked(post())
    await other.says()
    assert not serving.called
    pair.tell("request", "a-1") if how == "told" else pair.missed()
    assert serving.called  # else it waits for ever
    await serving
    assert told.head.status == 200
    assert one.entries("grant.spent")[0]["approved_by"] == ["alice@acme.com"]
    assert (await pair.store.use("x-1")).gateway == "a"


@ensureDeferred
async def test_an_answer_at_the_other_that_says_no_is_told():
    pair = Pair(verdict=review())
    one, other = pair.stands
    told, serving = one.asked(post())
    await other.says(approves=False)
    pair.tell("request", "a-1")
    await serving
    assert denial(told) == "approval-denied"


@pytest.mark.parametrize("how", ["told", "missed"])
@ensureDeferred
async def test_what_was_revoked_at_one_ends_at_the_other(how):
    pair = Pair(verdict=review())
    one, other = pair.stands
    one.answer_when = Deferred()
    told, serving = one.asked(post())
    await one.says()
    assert not serving.called
    await other.access.revoke("g-1", "root", "")
    assert not serving.called
    pair.tell("grant", "g-1") if how == "told" else pair.missed()
    assert serving.called  # else it waits for ever
    await serving
    assert denial(told) == "grant-revoked"
    assert (await pair.store.use("x-1")).state is GrantState.REVOKED_IN_FLIGHT


@ensureDeferred
async def test_while_the_store_is_down_what_is_held_stays_so_and_is_looked_at_again():
    pair = Pair(verdict=review())
    one, other = pair.stands
    told, serving = one.asked(post())
    await other.says()
    pair.store.failure = OSError("No route to host")
    pair.tell("request", "a-1")
    pair.clock.advance(AGAIN)
    assert not serving.called
    pair.store.failure = None
    pair.clock.advance(AGAIN)
    assert serving.called  # else it waits for ever
    await serving
    assert told.head.status == 200


class Slowly:
    """Looks for as long as the test has it look, and the store is closed by then."""

    def __init__(self):
        self.looks = Deferred()

    async def look_again(self):
        await self.looks
        raise StoreDown("The state database has been closed.")


@pytest.mark.parametrize("stops", [True, False])
@ensureDeferred
async def test_what_is_cut_short_by_the_end_is_not_said_to_have_been_missed(stops):
    slowly, said, clock = Slowly(), [], Clock()
    following = Following(News(), None, None, slowly, clock)
    globalLogPublisher.addObserver(said.append)
    try:
        await following.start()
        following.heard(None)
        if stops:
            await following.stop()
        slowly.looks.callback(None)
    finally:
        globalLogPublisher.removeObserver(said.append)
    assert ["could not be looked at" in each["log_format"] for each in said] == [True][stops:]
    assert len(clock.getDelayedCalls()) == (not stops)


# --- whose agent it is


@ensureDeferred
async def test_the_start_of_one_says_nothing_of_the_others_agents_nor_of_their_calls():
    pair = Pair(verdict=review())
    one, other = pair.stands
    one.answer_when = Deferred()
    _, out = one.asked(post("/things/8"))
    await one.says()
    _, held = one.asked(post())
    await other.access.recover(Recovery(0, None))
    assert (await pair.store.request("a-2")).presence is Presence.ATTACHED
    assert (await pair.store.use("x-1")).state is GrantState.IN_USE
    await one.access.recover(Recovery(0, None))
    assert (await pair.store.use("x-1")).state is GrantState.UNKNOWN
    one.answer_when.callback(None)
    await out
    await one.says(key="a-2")
    await held


@ensureDeferred
async def test_an_agent_that_hangs_up_at_one_is_still_there_at_the_other():
    pair = Pair(verdict=review(), patience=Patience(hold=100, linger=15, expire=600))
    one, other = pair.stands
    first, left = one.asked(post())
    second, serving = other.asked(post())
    assert (await pair.store.request("a-1")).gateway == "a"
    first.hang_up()
    await left
    assert (await pair.store.request("a-1")).presence is Presence.DETACHED
    pair.tell("request", "a-1")
    kept = await pair.store.request("a-1")
    assert (kept.presence, kept.gateway) == (Presence.ATTACHED, "b")
    pair.clock.advance(20)  # longer than an agent that hung up is waited for
    assert not serving.called
    await one.says()
    pair.tell("request", "a-1")
    await serving
    assert second.head.status == 200


@ensureDeferred
async def test_whoever_hangs_up_where_its_agent_is_not_attached_withdraws_nothing():
    pair = Pair(verdict=review())
    one, other = pair.stands
    _, serving = one.asked(post())
    second, left = other.asked(post())
    second.hang_up()
    await left
    assert (await pair.store.request("a-1")).presence is Presence.ATTACHED
    await one.says()
    await serving


@ensureDeferred
async def test_what_waits_at_one_counts_at_the_other_too_and_ends_in_time_at_either():
    pair = Pair(verdict=review())
    one, other = pair.stands
    _, serving = one.asked(post())
    pair.tell("request", "a-1")
    assert len(other.access.pending) == 1
    one.access.stop()  # as if it had ended
    pair.clock.advance(700)
    assert (await pair.store.request("a-1")).state is AccessState.EXPIRED
    assert other.entries("access.ended")[0]["state"] == "expired"
    pair.tell("request", "a-1")
    await serving


@ensureDeferred
async def test_a_use_whose_gateway_never_comes_back_is_given_up_after_a_day():
    pair = Pair()
    other = pair.stands[1]
    in_use = grant("g-1", tally={GrantState.IN_USE: 1}, made_at=0.0)
    await pair.store.commit([in_use, use("x-1", "g-1", taken_at=0.0, gateway="a")])
    await other.access.recover(Recovery(0, None))
    pair.clock.pump([TIDY] * int(KEPT_FOR / TIDY))
    assert (await pair.store.use("x-1")).state is GrantState.IN_USE
    pair.clock.pump([TIDY] * 2)
    assert await pair.store.uses() == await pair.store.grants() == []
    assert other.entries("grant.settled")[0]["state"] == "unknown"


# --- what the recorder of one cannot keep


def full(stand):
    stand.records.failure = OSError(28, "No space left on device")


@ensureDeferred
async def test_what_the_other_sends_by_an_answer_was_answered_on_record_before():
    pair = Pair(verdict=review())
    one, other = pair.stands
    told, serving = other.asked(post())

    async def pause(what):
        if what == "record" and await pair.store.grant("g-1") is not None:
            one.pause = None
            pair.tell("request", "a-1")
            assert serving.called, "the other is faster than this one's disk"
            full(one)

    one.pause = pause
    with pytest.raises(RecorderDown):
        await one.says()
    await serving
    assert told.head.status == 200
    assert [each["approver"] for each in one.entries("access.answered")] == ["alice@acme.com"]
    assert one.entries("grant.made") == []
    request, grant = await pair.store.request("a-1"), await pair.store.grant("g-1")
    assert (request.state, grant.tally) == (AccessState.APPROVED, {GrantState.SPENT: 1})
    assert other.entries("grant.spent")[0]["approved_by"] == ["alice@acme.com"]


@ensureDeferred
async def test_what_is_left_of_what_the_other_has_begun_to_use_is_taken_back():
    pair = Pair(verdict=review(uses=3))
    one, other = pair.stands
    told, serving = other.asked(post())
    other.answer_when = Deferred()

    async def pause(what):
        if what == "record" and await pair.store.grant("g-1") is not None:
            one.pause = None
            pair.tell("request", "a-1")
            full(one)

    one.pause = pause
    with pytest.raises(RecorderDown):
        await one.says()
    pair.tell("grant", "g-1")
    assert (await pair.store.grant("g-1")).left == 0
    assert not serving.called, "what is under way goes on"
    other.answer_when.callback(None)
    await serving
    assert told.head.status == 200
    assert (await pair.store.use("x-1")).state is GrantState.SPENT


@ensureDeferred
async def test_an_answer_that_is_not_on_record_yet_is_none_of_those_that_the_other_counts():
    pair = Pair(verdict=review((("leads",), 2)))
    one, other = pair.stands
    told, serving = other.asked(post())
    first = []

    async def pause(what):
        if what == "record":
            one.pause = None
            first.append(await other.says("bob@acme.com"))
            full(one)

    one.pause = pause
    with pytest.raises(RecorderDown):
        await one.says("alice@acme.com")
    assert first[0].state is AccessState.PENDING
    assert [each.approver for each in (await pair.store.request("a-1")).answers] == ["bob@acme.com"]
    assert other.sent == []
    told.hang_up()
    await serving


# --- what people are asked


def climbing(*steps):
    """The leads are asked, and the next group after each of so many seconds."""
    more = tuple(Escalation(after, (name,)) for after, name in steps)
    asked = Quorum(("leads",), 1, more)
    return Verdict(Effect.REVIEW, "Look.", (Obligation("approvers", asked), ONCE))


ONCE = Obligation("grant", (1, 300.0))


@ensureDeferred
async def test_a_call_that_is_sent_to_either_is_one_request_and_each_sending_is_counted():
    pair = Pair(verdict=review())
    one, other = pair.stands
    held = [stand.asked(post()) for stand in (one, other, other)]
    (request,) = await pair.store.requests()
    assert (request.asked, request.gateway) == (3, "a")
    await other.says()
    pair.tell("request", "a-1")
    for _, serving in held:
        await serving
    assert len(one.entries("access.opened") + other.entries("access.opened")) == 1


@ensureDeferred
async def test_an_agent_that_was_away_is_attached_where_it_sends_its_call_again():
    pair = Pair(verdict=review())
    one, other = pair.stands
    told, left = one.asked(post())
    told.hang_up()
    await left
    _, serving = other.asked(post())
    (request,) = await pair.store.requests()
    assert (request.asked, request.presence, request.gateway) == (2, Presence.ATTACHED, "b")
    await other.says()
    await serving


@ensureDeferred
async def test_of_a_quorum_one_may_answer_at_each():
    pair = Pair(verdict=review((("leads",), 1), (("security",), 1)))
    one, other = pair.stands
    told, serving = one.asked(post())
    assert (await one.says("alice@acme.com")).state is AccessState.PENDING
    assert (await other.says("carol@acme.com")).state is AccessState.APPROVED
    pair.tell("request", "a-1")
    await serving
    assert told.head.status == 200
    (spent,) = one.entries("grant.spent")
    assert spent["approved_by"] == ["alice@acme.com", "carol@acme.com"]


@ensureDeferred
async def test_more_people_are_asked_once_whichever_sees_to_it_and_may_answer_at_either():
    pair = Pair(verdict=climbing((30.0, "security")))
    one, other = pair.stands
    _, serving = one.asked(post())
    pair.tell("request", "a-1")
    pair.clock.advance(30)
    pair.tell("request", "a-1")
    assert len(one.entries("access.escalated") + other.entries("access.escalated")) == 1
    assert (await other.says("carol@acme.com")).state is AccessState.APPROVED
    pair.tell("request", "a-1")
    await serving


@pytest.mark.parametrize("how", ["not yet", "told", "missed"])
@ensureDeferred
async def test_the_next_step_is_taken_though_the_one_that_took_the_last_is_gone(how):
    pair = Pair(verdict=climbing((10.0, "security"), (20.0, "leads")))
    one, other = pair.stands
    _, serving = one.asked(post())
    pair.tell("request", "a-1")
    pair.clock.advance(10)
    if how == "told":
        pair.tell("request", "a-1")
    elif how == "missed":
        pair.missed()
    one.access.stop()  # as if it had ended
    pair.clock.advance(10)
    assert (await pair.store.request("a-1")).escalated == 20.0
    await other.says()
    pair.tell("request", "a-1")
    await serving


@ensureDeferred
async def test_what_ended_at_one_asks_nobody_more_at_the_other():
    pair = Pair(verdict=climbing((30.0, "security")))
    one, other = pair.stands
    _, serving = one.asked(post())
    pair.tell("request", "a-1")
    await one.says(approves=False)
    await serving
    pair.tell("request", "a-1")
    pair.clock.advance(60)
    assert one.entries("access.escalated") == other.entries("access.escalated") == []


@ensureDeferred
async def test_how_often_people_are_asked_is_counted_over_both():
    pair = Pair(verdict=review(), limits=Limits(fatigue=Fatigue(per_agent=2)))
    for number, stand in enumerate(pair.stands):
        told, left = stand.asked(post(f"/things/{number}"))
        told.hang_up()
        await left
    for stand in pair.stands:
        told, serving = stand.asked(post("/things/9"))
        await serving
        assert denial(told) == "budget-spent"


@ensureDeferred
async def test_what_was_denied_at_one_is_not_asked_for_again_at_the_other():
    pair = Pair(verdict=review())
    one, other = pair.stands
    _, serving = one.asked(post())
    await one.says(approves=False)
    await serving
    told, serving = other.asked(post())
    await serving
    assert denial(told) == "approval-denied"
    assert len(one.entries("access.opened") + other.entries("access.opened")) == 1


# --- who is believed no more


@ensureDeferred
async def test_who_was_revoked_at_one_is_believed_at_neither_and_what_goes_on_ends():
    pair = Pair()
    one, other = pair.stands
    for stand in pair.stands:
        await stand.revocations.recover()
    ended = []
    other.revocations.ends["tunnels"] = lambda why, whose: ended.append((why, whose(agent())))
    await one.revocations.revoke_subject("bot-7", "root", "")
    await one.revocations.revoke_token("t-1", agent())
    assert other.revocations.objection(agent()) is None
    for _ in range(2):
        pair.tell("once", "revoked-subject")
    assert [whose for _, whose in ended] == [True, False]
    assert other.revocations.objection(agent()) is not None
    bound = agent(id="bot-8", binding=Binding("t-1"))
    assert other.revocations.objection(bound) is not None
