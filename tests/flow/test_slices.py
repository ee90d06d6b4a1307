"""What is looked at slowly is looked at in slices, and others have their turn in between."""

from __future__ import annotations

import json
import time
from functools import partial
from itertools import pairwise

import pytest
from greenlet import greenlet
from hypothesis import example, given
from hypothesis import strategies as st
from support.masked import Marks
from twisted.internet.defer import CancelledError, Deferred, succeed
from zope.interface import implementer

from jitgate.core.hiding import STARS, Hand
from jitgate.core.json_body import GatheredJson
from jitgate.core.pausing import pause, steps, unpaused
from jitgate.errors import MaskingFault
from jitgate.flow.slices import BUSY, SLICE, Share, Slices, Straight
from jitgate.interfaces import IStatedMasker
from jitgate.maskers.detectors import DetectorMasker
from jitgate.maskers.names import NameMasker
from jitgate.values import ResponseHead
from tests.flow.test_release import JSON, Out, run


class Works:
    """A transformer that takes so many seconds for each byte, and pauses every so many."""

    def __init__(self, seconds, every):
        self.seconds, self.every, self.now = seconds, every, 0.0

    def feed(self, chunk):
        for at in range(0, len(chunk), self.every):
            self.now += self.seconds * len(chunk[at : at + self.every])
            if at + self.every < len(chunk):
                pause()
        return chunk.upper()

    def finish(self):
        return b"."


@example(5e-6, 50, [25, 4100])
@given(
    st.sampled_from([1e-9, 1e-7, 6e-7, 5e-6]),
    st.integers(50, 500),
    st.lists(st.integers(0, 200_000), max_size=4),
)
def test_nobody_waits_for_long_and_all_is_looked_at_in_order(seconds, every, sizes):
    works, waited = Works(seconds, every), []

    async def turn():
        waited.append(works.now - sum(waited))

    slices = Slices(works, Share(turn, lambda: works.now), lambda: None)
    data = [bytes(range(97, 122)) * (size // 25) for size in sizes]
    out = b"".join(run(slices.feed(each)) for each in data) + run(slices.finish())
    assert out == b"".join(data).upper() + b"."
    assert len(waited) >= works.now // (BUSY + every * seconds) - 1
    assert all(BUSY * 0.999 <= each < BUSY * 1.001 + every * seconds for each in waited)


def test_what_goes_straight_on_is_handed_over_as_it_was_read():
    seen = []

    class Keeps:
        def feed(self, chunk):
            seen.append(len(chunk))
            return chunk

        def finish(self):
            return b"."

    straight, data = Straight(Keeps(), lambda: None), bytes(3 * SLICE)
    assert run(straight.feed(data)) + run(straight.finish()) == data + b"."
    assert seen == [3 * SLICE]


def test_many_short_pieces_let_others_have_their_turn():
    works, turns = Works(1e-6, 10**6), []

    async def turn():
        turns.append(works.now)

    slices = Slices(works, Share(turn, lambda: works.now), lambda: None)
    for _ in range(100):
        run(slices.feed(b"a" * 100))
    assert len(turns) == 9


def test_what_is_left_undone_ends_where_it_is():
    left, reached = Deferred(), []

    def work():
        try:
            for number in range(10):
                reached.append(number)
                pause()
        finally:
            reached.append("ended")

    share = Share(lambda: left, iter(range(100)).__next__)
    going = Deferred.fromCoroutine(share.done(work))
    going.cancel()
    assert reached == [0, "ended"]
    assert isinstance(going.result.value, CancelledError)
    going.addErrback(lambda _: None)


def test_a_fault_in_work_is_whoever_waits_for_it_s():
    def work():
        pause()
        raise MaskingFault("so it is")

    with pytest.raises(MaskingFault, match="so it is"):
        run(Share(lambda: succeed(None)).done(work))


def test_between_two_values_others_have_their_turn():
    @implementer(IStatedMasker)
    class Slow(Marks):
        def spans(self, value):
            until = time.thread_time() + 3 * BUSY
            while time.thread_time() < until:
                pass
            return super().spans(value)

    body, turns = b'{"a":["HuSh","HuSh","HuSh"],"b":1}', []
    transform = GatheredJson([Slow()], Hand())

    async def turn():
        turns.append(True)

    slices = Slices(transform, Share(turn), lambda: None)
    assert run(slices.feed(body)) + run(slices.finish()) == body.replace(b"HuSh", STARS.encode())
    assert len(turns) >= 3


def test_work_pauses_for_whoever_goes_on_with_it():
    def work():
        pause()
        return "done"

    going, told = steps(work), []
    greenlet(lambda: next(going)).switch()

    def another():
        with pytest.raises(StopIteration) as ended:
            next(going)
        told.append(ended.value.value)

    greenlet(another).switch()
    assert told == ["done"]


def test_whose_time_is_taken_does_not_pause():
    def inner(value):
        pause()
        return value

    def work():
        return unpaused(inner, "a") + unpaused(partial(unpaused, inner), "b")

    with pytest.raises(StopIteration) as told:
        next(steps(work))
    assert told.value.value == "ab"
    assert unpaused(inner, "c") == "c"


def users(within="%s", **more):
    user = {"id": "00u1", "status": "ACTIVE", "profile": {"login": "x", "city": "Z"}, **more}
    return (within % json.dumps([user] * (60_000 // len(json.dumps(user))))).encode()


OBJECT = '{"value": %s}'


BODIES = {
    "times": (JSON, users(created=1700000000123, seen=1700000000456)),
    "escapes": (JSON, users(name="J\u00fcrg \u65e5\u672c")),
    "nested": (JSON, users(raw=json.dumps({"a": 1}))),
    "times in an object": (JSON, users(OBJECT, created=1700000000123, seen=1700000000456)),
    "nested in an object": (JSON, users(OBJECT, raw=json.dumps({"a": 1}))),
    "names with escapes in an object": (JSON, users(OBJECT, für=1)),
    "events": (((b"Content-Type", b"text/event-stream"),), b'data: {"a": [1, 2]}\n\n' * 3000),
    "form": (
        ((b"Content-Type", b"application/x-www-form-urlencoded"),),
        b"id=1&status=ACTIVE&" * 3000,
    ),
    "text": (((b"Content-Type", b"text/plain"),), b"a line that says nothing\n" * 3000),
    "a text of JSON": (JSON, json.dumps({"raw": users(raw="{}").decode()}).encode()),
    "one event": (((b"Content-Type", b"text/event-stream"),), b"data: a line\n" * 4000 + b"\n"),
    "one value": (
        ((b"Content-Type", b"application/x-www-form-urlencoded"),),
        b"a=" + b"b=c;" * 15_000,
    ),
    "one line": (((b"Content-Type", b"text/plain"),), b"41 11 " * 10_000),
}


MASKERS = (NameMasker("n", ["*secret"]), DetectorMasker("d", ["jwt", "payment-card"]))


def longest(headers, body, length):
    """Seconds of processor that it went on for at a time, at most."""
    out = Out([body], maskers=MASKERS)
    gaps = [time.thread_time()]

    async def turn():
        gaps.append(time.thread_time())

    out.release.turn = turn
    run(out.run(ResponseHead(200, headers, length)))
    gaps.append(time.thread_time())
    assert out.told.data == body
    return max(b - a for a, b in pairwise(gaps))


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("what", BODIES)
def test_a_body_that_takes_long_is_not_looked_at_in_one_go(what, announced):
    headers, body = BODIES[what]
    took = [longest(headers, body, len(body) if announced else None) for _ in range(4)]
    assert min(took) < 0.004  # the goal is 0.002 on a machine that has nothing else to do
