"""People are not worn down: how often they are asked, and what becomes of who was refused."""

from __future__ import annotations

import json

import pytest
from pytest_twisted import ensureDeferred
from support.ports import JSON, Asked, Stand, agent, review
from twisted.internet.defer import Deferred

from jitgate.core.access import Recovery
from jitgate.core.fatigue import Fatigue
from jitgate.errors import StoreDown
from jitgate.flow.access import Limits
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
    site.people["security"] = frozenset({"carol@acme.com"})
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
        await site.access.end("a-1", "policy changes", "Policy has changed.")
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
    site.access.adopt(site.people, [site.directory], site.patience, bounds)
    assert (await refused(site, post(2)))[0] == "budget-spent"
