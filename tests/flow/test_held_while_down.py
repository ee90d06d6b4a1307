"""What is held stays held while the store is down, from the moment on at which people are asked."""

from __future__ import annotations

from pytest_twisted import ensureDeferred
from support.ports import JSON, Asked, Stand, review

from jitgate.core.access import NotCounted
from jitgate.flow.holding import AGAIN


def going_down(**more):
    """A gateway whose store goes down as soon as a request is on record; and the held call."""
    stand = Stand(verdict=review(), **more)

    async def pause(what):
        if what == "recorded" and stand.entries("access.opened"):
            stand.store.failure, stand.pause = OSError("No route to host"), None

    stand.pause = pause
    return stand, *stand.asked(Asked("POST", "/things/7", b"{}", JSON))


@ensureDeferred
async def test_a_call_is_held_though_nobody_can_tell_at_once_whether_it_was_answered():
    stand, told, serving = going_down()
    assert not serving.called
    stand.clock.advance(AGAIN)
    assert not serving.called
    stand.store.failure = None
    assert not isinstance(await stand.says(), NotCounted)
    stand.clock.advance(AGAIN)
    assert serving.called
    await serving
    assert told.head.status == 200


@ensureDeferred
async def test_an_answer_that_came_meanwhile_is_found_once_it_can_be():
    stand, told, serving = going_down()
    stand.store.failure = None
    other = Stand(verdict=review(), store=stand.store, clock=stand.clock, ids=stand.ids)
    await other.says()  # which nobody here is told of
    stand.clock.advance(AGAIN)
    assert serving.called
    await serving
    assert told.head.status == 200


@ensureDeferred
async def test_it_waits_no_longer_than_it_would_and_nobody_waits_for_who_hung_up():
    for leave in (lambda stand, told: told.hang_up(), lambda stand, told: stand.access.dismiss()):
        stand, told, serving = going_down()
        leave(stand, told)
        stand.clock.advance(AGAIN)
        assert serving.called
        await serving
        assert stand.sent == []
        stand.store.failure = None
        stand.access.stop()


@ensureDeferred
async def test_an_answer_that_came_as_the_store_went_down_is_gone_on_with_once_it_is_back():
    stand = Stand(verdict=review())
    told, serving = stand.asked(Asked("POST", "/things/7", b"{}", JSON))

    async def pause(what):
        if what == "recorded" and stand.entries("access.ended"):
            stand.store.failure, stand.pause = OSError("No route to host"), None

    stand.pause = pause
    await stand.says()
    assert not serving.called
    stand.store.failure = None
    stand.clock.advance(AGAIN)
    assert serving.called
    await serving
    assert told.head.status == 200
