"""The story of a request at its limits: what has no room, what takes too long, what is too large."""

from __future__ import annotations

import json

import pytest
from pytest_twisted import ensureDeferred
from support.ports import AUTHORITY, JSON, REFUSED, Asked, Stand, agent, review
from twisted.internet.defer import Deferred

from jitgate.core.limits import Limits
from jitgate.errors import BodyTooLarge
from jitgate.values import Denial, ResponseHead


def stand(**how):
    bounds = how.pop("bounds")
    return Stand(bounds=Limits(**bounds), **how)


def outcomes(stand):
    return [each["outcome"] for each in stand.entries("outcome")]


# --- no room


@ensureDeferred
async def test_beyond_the_limit_calls_are_refused_at_once_and_what_was_accepted_is_served():
    held = stand(bounds={"exchanges": 3})
    held.answer_when = Deferred()
    accepted = [held.asked(Asked()) for _ in range(3)]
    refused = [held.asked(Asked()) for _ in range(3)]
    for told, serving in refused:
        assert serving.called
        assert told.head.status == 503
        assert dict(told.head.headers)[b"Retry-After"] == b"2"
        assert json.loads(told.data)["type"].endswith("/overloaded")
    assert not any(serving.called for _, serving in accepted)
    assert len(held.sent) == 3
    held.answer_when.callback(None)
    for told, serving in accepted:
        await serving
        assert (told.head.status, told.ended) == (200, True)
    assert outcomes(held) == ["denied"] * 3 + ["completed"] * 3
    assert [each["denial"] for each in held.entries("outcome")[:3]] == ["overloaded"] * 3
    assert len(held.entries("decision")) == 6
    told, serving = held.asked(Asked())  # there is room again
    await serving
    assert told.head.status == 200


@ensureDeferred
async def test_a_call_that_waits_for_people_takes_no_room_and_is_served_once_approved():
    busy = stand(bounds={"exchanges": 1}, verdict=review())
    told, serving = busy.asked()
    assert busy.entries("access.opened")
    other, answered = busy.asked(Asked("POST", body=b"[]"))
    assert len(busy.entries("access.opened")) == 2  # there was room for it
    busy.answer_when = Deferred()
    await busy.says(key="a-1")
    assert len(busy.sent) == 1
    full, refused = busy.asked(Asked("POST", body=b"{ }"))
    assert refused.called
    assert full.head.status == 503
    await busy.says(key="a-2")  # approved while the gateway is full: it goes out all the same
    assert len(busy.sent) == 2
    busy.answer_when.callback(None)
    for ended in (serving, answered):
        await ended
    assert told.head.status == other.head.status == 200


@ensureDeferred
async def test_beyond_its_tunnels_an_agent_is_told_so_inside_another():
    full = stand(bounds={"connections_per_agent": 1})
    first, second = await full.tunnel(), await full.tunnel()
    assert first.refusal is None
    assert second.refusal.denial is Denial.OVERLOADED
    assert full.entries("tunnel")[1]["denial"] == "overloaded"
    full.gateway.left(second)  # it was not counted
    assert (await full.tunnel()).refusal is not None
    full.gateway.left(first)
    assert (await full.tunnel()).refusal is None


@ensureDeferred
async def test_a_request_in_such_a_tunnel_is_refused_and_nothing_leaves():
    full = stand(bounds={"connections": 1})
    await full.tunnel()
    told = await full.serve()
    assert told.head.status == 503
    assert full.sent == []
    assert outcomes(full) == ["denied"]


# --- no time


@ensureDeferred
async def test_a_target_that_takes_too_long_is_refused_with_the_reason():
    slow = stand(bounds={"total": 100.0})
    slow.answer_when = Deferred()
    told, serving = slow.asked(Asked())
    slow.clock.advance(99)
    assert not serving.called
    slow.clock.advance(2)
    assert serving.called, "its time is over"
    assert told.head.status == 502
    assert json.loads(told.data)["type"].endswith("/cut-short")
    (outcome,) = slow.entries("outcome")
    assert (outcome["outcome"], outcome["denial"]) == ("failed", "cut-short")
    assert outcome["why"] == "The exchange took longer than the 100 s that it may."
    assert slow.log[-1].startswith("fsync")
    assert "release" in slow.log


@ensureDeferred
async def test_a_response_that_has_begun_is_truncated_when_its_time_is_over():
    slow = stand(bounds={"total": 100.0}, answer=ResponseHead(200, JSON, None))
    endless(slow, Deferred())
    told, serving = slow.asked(Asked())
    assert told.started
    slow.clock.advance(101)
    await serving
    assert told.truncated
    assert not told.ended
    (outcome,) = slow.entries("outcome")
    assert (outcome["outcome"], outcome["denial"]) == ("truncated", "cut-short")


def endless(stand, gate):
    """Let the target's body stand still after its first piece."""
    upstream = stand.gateway._targets[AUTHORITY].upstream
    connect = upstream.connect

    async def connected(*, fresh):
        connection = await connect(fresh=fresh)
        read = connection.read

        async def slow_read():
            if len(connection._left) < len(stand.pieces):
                await gate
            return await read()

        connection.read = slow_read
        return connection

    upstream.connect = connected


@pytest.mark.parametrize("stage", ["credential", "connect"])
@ensureDeferred
async def test_before_anything_is_sent_time_can_run_out_as_well(stage):
    gate = Deferred()
    slow = stand(bounds={"total": 100.0})

    async def pause(what):
        if what == stage:
            await gate

    slow.pause = pause
    told, serving = slow.asked(Asked())
    slow.clock.advance(101)
    await serving
    assert told.head.status == 502
    assert slow.sent == []
    assert outcomes(slow) == ["failed"]


@ensureDeferred
async def test_a_body_that_trickles_in_is_given_no_more_than_the_time_that_there_is():
    slow = stand(bounds={"total": 100.0}, verdict=review())
    asked = Asked("POST", announced=False)
    asked.read = never
    told, serving = slow.asked(asked)
    slow.clock.advance(101)
    await serving
    assert told.head.status == 502
    assert slow.entries("access.opened") == []


async def never():
    await Deferred()


@ensureDeferred
async def test_what_people_take_is_not_counted_and_what_the_target_takes_after_it_is():
    slow = stand(bounds={"total": 20.0}, verdict=review())
    slow.answer_when = Deferred()
    told, serving = slow.asked()
    slow.clock.advance(50)
    await slow.says()
    assert len(slow.sent) == 1
    slow.clock.advance(19)
    assert not serving.called
    slow.clock.advance(2)
    await serving
    assert told.head.status == 502
    (outcome,) = slow.entries("outcome")
    assert outcome["denial"] == "cut-short"
    (settled,) = slow.entries("grant.settled")
    assert settled["state"] == "unknown"


@ensureDeferred
async def test_a_grant_is_not_spent_for_a_call_that_has_no_time_left():
    late = stand(bounds={"total": 20.0}, verdict=review())

    async def pause(what):
        if what == "connect":
            late.gateway.cut("The gateway is stopping.")

    late.pause = pause
    _, serving = late.asked()
    await late.says()
    await serving
    assert late.sent == []
    assert late.entries("grant.spent") == []
    (outcome,) = late.entries("outcome")
    assert (outcome["denial"], outcome["why"]) == ("cut-short", "The gateway is stopping.")
    assert late.log.count("release") == 1


# --- too large


@ensureDeferred
async def test_a_body_that_grows_too_large_on_its_way_is_refused():
    large, asked = stand(bounds={}), Asked("POST", announced=False)

    async def read():
        raise BodyTooLarge("Bodies of up to 5 bytes are carried.")

    asked.read = read
    told, serving = large.asked(asked)
    await serving
    assert told.head.status == 413
    (outcome,) = large.entries("outcome")
    assert (outcome["outcome"], outcome["denial"]) == ("failed", "body-too-large")


@ensureDeferred
async def test_a_tunnel_with_a_refusal_for_its_token_takes_no_room():
    one = stand(bounds={"connections": 1}, subject=REFUSED)
    for _ in range(3):
        assert (await one.tunnel()).refusal is REFUSED
    one.subject = agent()
    assert (await one.tunnel()).refusal is None
