"""People are not worn down: how often they are asked, and what becomes of who was refused."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from pytest_twisted import ensureDeferred
from support.access import access_request
from support.ports import JSON, Asked, Stand, agent, review
from twisted.internet.defer import Deferred

from jitgate.core.fatigue import COUNTED, Fatigue, refused_before
from jitgate.core.recovery import Recovery
from jitgate.errors import StoreDown
from jitgate.flow.opening import Limits
from jitgate.values import AccessState, Effect, Obligation, Verdict


def post(number=7, body=b"{}"):
    return Asked("POST", f"/things/{number}", body, JSON)


def stand(verdict=None, **bounds):
    return Stand(verdict=verdict or review(), limits=Limits(fatigue=Fatigue(**bounds)))


async def refused(site, call, subject=None):
    """What an agent is told at once: nobody is asked."""
    told, serving = site.asked(call, subject)
    assert serving.called, "it does not wait"
    await serving
    problem = json.loads(told.data)
    assert b"Retry-After" not in dict(told.head.headers)
    return problem["type"].rpartition("/")[2], problem["detail"]


async def waits(site, call, subject=None):
    """Ask, and hang up once people are asked."""
    told, serving = site.asked(call, subject)
    assert not serving.called
    told.hang_up()
    await serving


async def denied(site, call, subject=None):
    await waits(site, call, subject)
    key = f"a-{site.ids['a']}"
    assert (await site.says(approves=False, key=key)).state is AccessState.DENIED


# --- whoever asks


@ensureDeferred
async def test_an_agent_whose_next_token_names_more_humans_is_still_the_one_that_was_refused():
    """It asks for them itself (scope=email)."""
    site, again = stand(per_agent=2), agent(humans=("bot-7@acme.com",))
    await denied(site, post())
    assert (await refused(site, post(), again))[0] == "approval-denied"
    await waits(site, post(8), again)
    assert (await refused(site, post(9)))[0] == "budget-spent"


@ensureDeferred
async def test_who_acts_for_somebody_else_is_another():
    site = stand(per_agent=1)
    await denied(site, post(), agent(id="ann@acme.com", agent="bot-7"))
    await waits(site, post(), agent(id="ben@acme.com", agent="bot-7"))


# --- asked again


@ensureDeferred
async def test_the_same_asked_again_is_one_request_with_a_count():
    site = stand()
    for _ in range(4):
        await waits(site, post())
    (request,) = await site.store.requests()
    assert request.asked == 4
    assert len(site.entries("access.opened")) == 1


@ensureDeferred
async def test_identical_calls_at_once_are_one_request_and_each_is_counted():
    site = stand(per_agent=1)
    held = [site.asked(post()) for _ in range(5)]
    (request,) = await site.store.requests()
    assert request.asked == 5
    for told, serving in held:
        told.hang_up()
        await serving


@ensureDeferred
async def test_identical_calls_at_once_open_one_request_however_long_the_store_takes():
    site = stand(per_agent=1)
    gates = []

    async def pausing(*args):
        gates.append(Deferred())
        await gates[-1]
        return await look(*args)

    look, site.counts.look = site.counts.look, pausing
    held = [site.asked(post()) for _ in range(3)]
    while gates:
        gates.pop(0).callback(None)
    (request,) = await site.store.requests()
    assert request.asked == 3
    for told, serving in held:
        told.hang_up()
        await serving


# --- asked again in another form


@ensureDeferred
async def test_what_was_denied_may_be_asked_once_more_in_another_form_and_then_in_none():
    site = stand(cool_down=600.0)
    await denied(site, post(7, b"{}"))
    await denied(site, post(7, b"{ }"))
    kind, detail = await refused(site, post(7, b"{  }"))
    assert kind == "approval-denied"
    assert detail == (
        "People have denied this action on this resource, in other forms: "
        "they are not asked for it again before 00:10 UTC."
    )
    assert (await refused(site, Asked("POST", "/things/7?x=1", b"{}", JSON)))[0] == kind
    await waits(site, post(8))
    await waits(site, Asked("DELETE", "/things/7"))
    await waits(site, post(7, b"{  }"), agent(id="bot-8"))
    site.clock.advance(600.0)
    await waits(site, post(7, b"{  }"))


@ensureDeferred
async def test_how_often_that_is_can_be_set_and_what_makes_something_new_is_counted_by_itself():
    site = stand(alike=1)
    await denied(site, post(7, b"{}"))
    assert (await refused(site, post(7, b"{ }")))[0] == "approval-denied"
    ask = access_request().ask
    new = replace(ask, operation=replace(ask.operation, resource={}))
    assert len(refused_before(new, Fatigue())) == 1
    assert len(refused_before(ask, Fatigue())) == 2


# --- how often


@ensureDeferred
async def test_an_agent_opens_so_many_requests_in_a_window_and_others_are_not_touched():
    site = stand(per_agent=2, within=3600.0)
    for number in range(2):
        await waits(site, post(number))
    kind, detail = await refused(site, post(3))
    assert kind == "budget-spent"
    assert detail == (
        "At most 2 requests for approval in 1 h of this agent; room again at 01:00 UTC."
    )
    await waits(site, post(1))
    await waits(site, post(3), agent(id="bot-8"))
    site.clock.advance(3600)
    await waits(site, post(3), agent(expires_at=9000.0))


@ensureDeferred
async def test_what_is_withdrawn_was_asked_all_the_same():
    """Else an agent could wear people down with requests that it takes back."""
    site = stand(per_agent=2)
    for number in range(2):
        await waits(site, post(number))
        await site.access.cancel(f"a-{1 + number}", agent())
    assert (await refused(site, post(3)))[0] == "budget-spent"


@ensureDeferred
async def test_where_many_are_asked_their_groups_are_counted():
    """A row in the database for each of thousands would hold up everybody."""
    site = stand(review((("leads", "security"), 1)), per_approver=2)
    many = frozenset(f"{number}@acme.com" for number in range(COUNTED))
    site.members.adopt({"leads": many, "security": site.people["security"]})
    for number in range(2):
        await waits(site, post(number), agent(id=f"bot-{number}"))
    assert len(site.counts._taken) < 10
    for groups in (("leads", "security"), ("security", "leads")):
        site.verdict = review((groups, 1))
        assert (await refused(site, post(3), agent(id="bot-3")))[0] == "budget-spent"


@ensureDeferred
async def test_a_person_is_asked_so_many_times_in_a_window_whoever_asks():
    verdict = review((("leads",), 1))
    site = stand(verdict, per_approver=2)
    for number in range(2):
        await waits(site, post(number), agent(id=f"bot-{number}"))
    kind, detail = await refused(site, post(3), agent(id="bot-3"))
    assert kind == "budget-spent"
    assert "At most 2 requests for approval in 1 h for those who would be asked" in detail
    assert "alice" not in detail
    site.verdict = review((("security",), 1))
    site.members.adopt({**site.people, "security": frozenset({"carol@acme.com"})})
    site.decider.adopt(site.policy(), {})
    await waits(site, post(4), agent(id="bot-4"))


@ensureDeferred
async def test_who_may_not_answer_a_request_is_not_asked_by_it():
    site = stand(per_approver=1)
    own = agent(humans=("alice@acme.com", "bob@acme.com"))
    for number in range(3):
        await waits(site, post(number), own)


# --- after a denial


@ensureDeferred
async def test_what_people_have_denied_is_not_asked_again_before_it_has_cooled_down():
    site = stand(cool_down=600.0)
    await denied(site, post())
    kind, detail = await refused(site, post())
    assert kind == "approval-denied"
    assert detail == (
        "People have denied this call: they are not asked for it again before 00:10 UTC."
    )
    assert len(site.entries("access.opened")) == 1
    await waits(site, post(body=b'{"n":1}'))
    await waits(site, post(), agent(id="bot-8"))
    site.clock.advance(600)
    await waits(site, post())


@ensureDeferred
async def test_an_agent_that_sends_again_the_moment_it_is_told_is_refused():
    site = stand()
    told, serving = site.asked(post())
    again = []
    finish = told.finish

    async def finishing(*args):
        await finish(*args)
        again.append(site.asked(post()))

    told.finish = finishing
    await site.says(approves=False)
    await serving
    (told, serving), *_ = again
    assert serving.called, "it does not wait"
    await serving
    assert json.loads(told.data)["type"].endswith("approval-denied")
    assert len(site.entries("access.opened")) == 1


@pytest.mark.parametrize("ends", ["expired", "withdrawn", "superseded"])
@ensureDeferred
async def test_what_nobody_denied_may_be_asked_again_at_once(ends):
    site = stand()
    await waits(site, post())
    if ends == "expired":
        _told, serving = site.asked(post())
        site.clock.advance(600)
        await serving
    elif ends == "withdrawn":
        await site.access.cancel("a-1", agent())
    else:
        await site.access.pending.end("a-1", "policy changes", "Policy has changed.")
    assert (await site.store.request("a-1")).state.value == ends
    await waits(site, post(), agent(expires_at=9000.0))


@ensureDeferred
async def test_a_restart_does_not_cool_it_down():
    site = stand()
    await denied(site, post())
    site.build()
    await site.revocations.recover()
    await site.access.recover(Recovery(9, None))
    assert (await refused(site, post()))[0] == "approval-denied"


@ensureDeferred
async def test_after_so_many_denials_an_agent_asks_only_so_much_more():
    site = stand(denials=2, after_denials=1, within=3600.0)
    for number in range(2):
        await denied(site, post(number))
    await waits(site, post(3))
    kind, detail = await refused(site, post(4))
    assert kind == "budget-spent"
    assert "At most 1 request for approval in 1 h of this agent after 2 denials" in detail
    await waits(site, post(4), agent(id="bot-8"))
    site.clock.advance(3600)
    await waits(site, post(4), agent(expires_at=9000.0))


@ensureDeferred
async def test_what_policy_approves_itself_asks_nobody_and_is_not_counted():
    auto = Verdict(Effect.REVIEW, "So.", (Obligation("auto", True), Obligation("grant", (1, 60.0))))
    site = stand(auto, per_agent=1)
    for number in range(3):
        told, serving = site.asked(post(number))
        await serving
        assert told.head.status == 200


@ensureDeferred
async def test_where_it_cannot_be_counted_nobody_is_asked(nothing_unnoticed):
    site = stand()
    site.counts.failure = StoreDown("The disk is full.")
    assert (await refused(site, post()))[0] == "store-down"
    assert site.channel.told == []


@ensureDeferred
async def test_other_bounds_hold_from_now_on():
    site = stand()
    await waits(site, post(1))
    bounds = Limits(fatigue=Fatigue(per_agent=1))
    site.access.adopt([site.directory], site.patience, bounds)
    assert (await refused(site, post(2)))[0] == "budget-spent"
