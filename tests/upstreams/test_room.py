"""Room for so many: turns in order, a bounded wait, and no place that is lost or given twice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as TooLate
from twisted.internet.task import Clock

from jitgate.upstreams.room import ROOM_WITHIN, Room


def entering(room):
    return Deferred.fromCoroutine(room.enter())


def test_turns_are_taken_in_order():
    room = Room(1, Clock())
    turns = [entering(room) for _ in range(3)]
    assert [each.called for each in turns] == [True, False, False]
    assert (room.full, room.waited_for) == (True, True)
    room.leave()
    assert [each.called for each in turns] == [True, True, False]
    room.leave()
    room.leave()
    assert (room.full, room.waited_for) == (False, False)


@ensureDeferred
async def test_nobody_waits_for_ever_and_a_late_place_goes_to_the_next():
    clock = Clock()
    room = Room(1, clock)
    await room.enter()
    late = entering(room)
    clock.advance(ROOM_WITHIN / 2)
    later = entering(room)
    clock.advance(ROOM_WITHIN / 2)
    with pytest.raises(TooLate):
        await late
    room.leave()
    await later
    assert room.full
    assert not clock.getDelayedCalls()


@given(st.lists(st.sampled_from(["enter", "leave", "late", "cancel"])))
def test_never_more_are_inside_than_may_be(steps):
    clock = Clock()
    room = Room(2, clock)
    turns, entered, left = [], [], 0
    for step in steps:
        if step == "enter":
            turns.append(entering(room))
            turns[-1].addCallbacks(entered.append, lambda _: None)
        elif step == "leave" and left < len(entered):
            left += 1
            room.leave()
        elif step == "late":
            clock.advance(ROOM_WITHIN)
        elif step == "cancel" and turns:
            turns[-1].cancel()
        inside = len(entered) - left
        assert inside <= 2
        assert room.full == (inside == 2)
        assert not room.waited_for or room.full
