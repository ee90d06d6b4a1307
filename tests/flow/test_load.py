"""How much the gateway carries and for how long: counts that always come out even, spans that end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.ports import agent
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from jitgate.core.limits import Limits
from jitgate.errors import CutShort
from jitgate.flow.load import AGAIN, Load
from jitgate.values import Denial


def load(**limits):
    clock = Clock()
    return clock, Load(clock, Limits(**limits))


async def waiting(gate):
    return await gate


def failed(result):
    """What a Deferred has failed with."""
    caught = []
    result.addErrback(caught.append)
    return caught[0].value


# --- tunnels


def test_an_agent_has_so_many_tunnels_and_another_has_its_own():
    _, made = load(connections_per_agent=2)
    assert [made.open(agent()), made.open(agent())] == [None, None]
    refused = made.open(agent())
    assert (refused.denial, refused.manner) == (Denial.OVERLOADED, "busy")
    assert refused.pending.again == AGAIN
    assert made.open(agent(id="bot-8")) is None
    made.close(agent())
    assert made.open(agent()) is None


def test_all_of_them_together_have_so_many():
    _, made = load(connections=2)
    assert made.open(agent(id="a")) is None
    assert made.open(agent(id="b")) is None
    assert made.open(agent(id="c")).denial is Denial.OVERLOADED
    made.close(agent(id="a"))
    assert made.open(agent(id="c")) is None


# --- exchanges


@given(st.lists(st.sampled_from(["begin", "end", "aside", "back"]), max_size=60))
def test_whatever_begins_waits_and_ends_no_more_are_let_in_than_there_is_room_for(steps):
    _, made = load(exchanges=3)
    carried, waits = [], []
    for step in steps:
        if step == "begin":
            scope = made.exchange()
            span = scope.__enter__()
            assert (span.carry() is None) == (len(carried) < 3)
            (carried.append((scope, span)) if span.carried else scope.__exit__(None, None, None))
        elif step == "end" and carried:
            carried.pop()[0].__exit__(None, None, None)
        elif step == "aside" and carried:
            scope, span = carried.pop()
            aside = span.aside()
            aside.__enter__()
            waits.append((scope, span, aside))
        elif step == "back" and waits:
            scope, span, aside = waits.pop()
            aside.__exit__(None, None, None)
            carried.append((scope, span))
    for _, _, aside in waits:
        aside.__exit__(None, None, None)
    for scope, *_ in [*carried, *waits]:
        scope.__exit__(None, None, None)
    assert (made._carried, len(made._spans)) == (0, 0)


def test_an_exchange_that_is_looked_at_again_is_counted_once():
    _, made = load(exchanges=1)
    with made.exchange() as span:
        assert span.carry() is None
        assert span.carry() is None
    assert made._carried == 0


def test_no_agent_takes_all_the_room():
    _, made = load(exchanges=4, exchanges_per_agent=2)
    with made.exchange() as one, made.exchange() as two, made.exchange() as three:
        for span in (one, two, three):
            span.subject = agent()
        assert (one.carry(), two.carry()) == (None, None)
        assert "This agent has as many calls out" in three.carry().detail
        with two.aside():
            assert three.carry() is None
        one.subject = agent(id="bot-8")  # who it is was looked at anew: it counts as it did
        with made.exchange() as other:
            other.subject = agent(id="bot-8")
            assert other.carry() is None
    assert (made._carried, made._carried_for) == (0, {})


# --- time


def test_what_takes_longer_than_it_may_is_cut_short_once_and_says_so():
    clock, made = load(total=100.0)
    gate = Deferred()
    with made.exchange() as span:
        doing = Deferred.fromCoroutine(span.within(waiting(gate)))
        clock.advance(99.9)
        assert not doing.called
        clock.advance(0.2)
        fault = failed(doing)
        assert isinstance(fault, CutShort)
        assert "longer than the 100 s" in str(fault)
        with pytest.raises(CutShort):
            span.check()
        again = failed(Deferred.fromCoroutine(span.within(waiting(Deferred()))))
        assert isinstance(again, CutShort)
    assert clock.getDelayedCalls() == []


def test_the_time_that_people_take_is_not_counted():
    clock, made = load(total=100.0)
    with made.exchange() as span:
        clock.advance(60)
        with span.aside():
            clock.advance(1_000_000)
            span.check()
        clock.advance(39)
        span.check()
        clock.advance(2)
        with pytest.raises(CutShort):
            span.check()


def test_what_is_done_in_time_leaves_nothing_behind():
    """But one look of the clock for however many, which is the last."""
    clock, made = load(total=100.0)
    for _ in range(3):
        with made.exchange() as span:
            done = Deferred.fromCoroutine(span.within(waiting(_fired("it"))))
            assert done.result == "it"
    assert len(clock.getDelayedCalls()) == 1
    clock.advance(100)
    assert clock.getDelayedCalls() == []


@given(
    st.lists(st.tuples(st.sampled_from(["begin", "end", "aside", "back", "wait"]), st.integers())),
    st.floats(0.01, 1e6),
)
def test_each_is_cut_short_when_it_has_taken_its_time_and_not_before(steps, total):
    """Against what is left of each, lowered by hand."""
    clock, made = load(total=total)
    runs, waits = {}, {}  # what is left of each
    for step, number in steps:
        running, waiting_ = list(runs), list(waits)
        if step == "begin":
            runs[made.exchange().__enter__()] = total
        elif step == "wait":
            passed = total * (number % 7) / 8
            clock.advance(passed)
            runs = {span: left - passed for span, left in runs.items()}
        elif step == "aside" and running:
            span = running[number % len(running)]
            aside = span.aside()
            aside.__enter__()
            waits[span] = (runs.pop(span), aside)
        elif step == "back" and waiting_:
            span = waiting_[number % len(waiting_)]
            runs[span], aside = waits.pop(span)
            aside.__exit__(None, None, None)
        elif step == "end" and running:
            span = running[number % len(running)]
            span.__exit__(None, None, None)
            del runs[span]
        for span, left in runs.items():
            if abs(left) > total * 1e-6:
                assert is_cut(span) is (left < 0)
    assert len(clock.getDelayedCalls()) <= 1


def is_cut(span):
    try:
        span.check()
    except CutShort:
        return True
    return False


def _fired(value):
    fired = Deferred()
    fired.callback(value)
    return fired


def test_a_cancellation_from_outside_stays_one():
    _, made = load()
    with made.exchange() as span:
        doing = Deferred.fromCoroutine(span.within(waiting(Deferred())))
        doing.cancel()
        assert isinstance(failed(doing), CancelledError)


def test_all_that_is_at_hand_can_be_cut_and_waited_for():
    _, made = load()
    first, second = made.exchange(), made.exchange()
    spans = [first.__enter__(), second.__enter__()]
    doing = Deferred.fromCoroutine(spans[0].within(waiting(Deferred())))
    resting = Deferred.fromCoroutine(made.rest())
    made.cut("Because.")
    assert str(failed(doing)) == "Because."
    with pytest.raises(CutShort, match=r"Because\."):
        spans[1].check()
    first.__exit__(None, None, None)
    assert not resting.called
    second.__exit__(None, None, None)
    assert resting.called
    assert Deferred.fromCoroutine(made.rest()).called  # there is nothing left to wait for
