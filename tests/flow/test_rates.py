"""What a target has no room for waits at the gateway, and takes nothing with it."""

from __future__ import annotations

import json

import pytest
from pytest_twisted import ensureDeferred
from support.ports import JSON, Asked, Stand, permit, review
from twisted.internet.task import Clock

from jitgate.core.rates import KEPT, LONGEST, SPREAD
from jitgate.flow.rates import Pace
from jitgate.values import Budget, Operation, ResponseHead

LISTING = Operation("okta", "listUsers", {}, "GET", "acme.example:443", "/api/v1/users")


def left(remaining, reset=60, status=200, limit=100):
    """An answer that says so; it has no Date, so that times are the test's clock's."""
    said = {"Limit": limit, "Remaining": remaining, "Reset": reset}
    fields = [(f"X-Rate-Limit-{name}".encode(), b"%d" % said[name]) for name in said]
    return ResponseHead(status, (*JSON, *fields), 15)


async def slowed(verdict, remaining):
    """A stand that has heard how much remains, by a call that went the same way."""
    stand = Stand(answer=left(remaining), verdict=verdict)
    if verdict.effect.value == "review":
        _, serving = stand.asked(Asked("GET", "/things"))
        await stand.says()
        await serving
    else:
        await stand.serve()
    assert len(stand.sent) == 1
    stand.log.clear()
    return stand


@ensureDeferred
async def test_a_call_waits_while_no_more_than_the_reserve_remains_and_then_goes():
    stand = await slowed(permit(), 5)
    told = await stand.serve()
    said = json.loads(told.data)
    assert (told.head.status, dict(told.head.headers)[b"Retry-After"]) == (503, b"63")
    assert said["type"].endswith("/target-busy")
    assert said["retry"] == "Nothing was sent. Send the same call again in 63 s."
    assert len(stand.sent) == 1
    stand.clock.advance(60)
    assert (await stand.serve()).head.status == 200


@ensureDeferred
async def test_what_waits_has_its_decision_on_record_and_its_refusal():
    stand = await slowed(permit(), 0)
    await stand.serve()
    decision, outcome = stand.entries("decision")[-1], stand.entries("outcome")[-1]
    assert decision["effect"] == "permit"
    assert decision["exchange"] == outcome["exchange"]
    assert (outcome["outcome"], outcome["denial"]) == ("failed", "target-busy")
    assert "user_agent_tokens" not in outcome


@ensureDeferred
async def test_what_waits_takes_no_credential_no_connection_and_no_budget():
    stand = await slowed(permit(budget=Budget("the-rule", 2, 1000.0)), 0)
    await stand.serve()
    assert not {"credential", "connect", "send", "returned"} & set(stand.log)
    assert len(stand.budgets) == 1
    stand.clock.advance(60)
    stand.answer = left(50)
    assert (await stand.serve()).head.status == 200


@ensureDeferred
async def test_what_was_approved_goes_while_anything_remains():
    stand = await slowed(review(), 1)
    told, serving = stand.asked(Asked("GET", "/things"))
    await stand.says(key="a-2")
    await serving
    assert told.head.status == 200
    assert len(stand.sent) == 2


@ensureDeferred
async def test_a_grant_is_not_spent_while_the_target_takes_nothing():
    stand = await slowed(review(), 0)
    told, serving = stand.asked(Asked("GET", "/things"))
    await stand.says(key="a-2")
    await serving
    assert "the approval stands" in json.loads(told.data)["retry"]
    assert len(stand.entries("grant.spent")) == 1
    assert (await stand.store.grant("g-2")).left == 1
    stand.clock.advance(60)
    told, serving = stand.asked(Asked("GET", "/things"))
    await serving
    assert told.head.status == 200
    assert len(stand.entries("access.opened")) == 2


@ensureDeferred
async def test_a_429_of_the_targets_own_passes_as_it_is_and_is_remembered():
    refused = ResponseHead(429, (*JSON, (b"Retry-After", b"9")), 15)
    stand = Stand(answer=refused)
    told = await stand.serve()
    assert (told.head.status, told.data) == (429, b'{"name":"Ada"} ')
    assert (b"Retry-After", b"9") in told.head.headers
    again = await stand.serve()
    assert again.head.status == 503
    assert len(stand.sent) == 1


@ensureDeferred
async def test_calls_at_once_do_not_go_beyond_what_remains():
    stand = Stand(answer=left(8))
    await stand.serve()
    served = [stand.asked(Asked()) for _ in range(6)]
    for _, serving in served:
        await serving
    assert [told.head.status for told, _ in served] == [200] * 3 + [503] * 3


@ensureDeferred
async def test_another_kind_of_call_goes():
    stand = await slowed(permit(), 0)
    assert (await stand.serve(Asked("GET", "/others"))).head.status == 200


def test_one_target_makes_nobody_forget_what_another_said():
    clock = Clock()
    pace = Pace(clock)
    pace.heard(LISTING, left(0))
    for number in range(2 * KEPT):
        path = f"/{number}"
        pace.heard(Operation("web", "GET", {}, "GET", "api.example:443", path), left(50))
    assert pace.objection(LISTING, approved=False) is not None


@pytest.mark.parametrize(("seconds", "spread"), [(60, SPREAD), (2, 2)])
def test_those_who_wait_for_one_moment_do_not_all_come_at_it(seconds, spread):
    clock, chances = Clock(), iter(number / 1000 for number in range(1000))
    pace = Pace(clock, lambda: next(chances))
    pace.heard(LISTING, left(0, reset=seconds))
    told = {pace.objection(LISTING, approved=False).pending.again for _ in range(1000)}
    assert min(told) == seconds
    assert max(told) == seconds + spread
    assert len(told) == spread + 1


def test_nobody_is_told_to_come_before_the_reset():
    """SDKs wait for whole seconds."""
    clock = Clock()
    pace = Pace(clock, lambda: 0.0)
    pace.heard(LISTING, left(0, reset=60))
    clock.advance(0.4)
    again = pace.objection(LISTING, approved=False).pending.again
    clock.advance(again)
    assert pace.objection(LISTING, approved=False) is None


def test_no_word_of_a_targets_stops_it_for_longer_than_the_bound():
    clock = Clock()
    pace = Pace(clock)
    for said in (left(0, reset=10**14), left(7, reset=10**14, status=429)):
        pace.heard(LISTING, said)
        assert pace.slowed() == {"okta": clock.seconds() + LONGEST}
        clock.advance(LONGEST)
        assert pace.objection(LISTING, approved=False) is None
        assert pace.slowed() == {}
