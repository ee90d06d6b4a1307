"""Bodies that are held: whole or not at all, each bounded, all of them bounded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_twisted import ensureDeferred
from support.ports import Asked
from zope.interface.verify import verifyObject

from jitgate.errors import MalformedRequest
from jitgate.flow.bodies import FormBody, HeldBodies, HeldBody
from jitgate.interfaces import IRequest
from jitgate.values import Denial, Refusal, RequestHead


class Pieces(Asked):
    """A request whose body comes in pieces and says nothing of its length."""

    def __init__(self, pieces, length=None):
        super().__init__("POST")
        self.head = RequestHead("POST", "/things", (), length)
        self.pieces = list(pieces)
        self.reads = 0

    async def read(self):
        self.reads += 1
        piece = self.pieces.pop(0) if self.pieces else b""
        if isinstance(piece, Exception):
            raise piece
        return piece


def run(coroutine):
    """Drive what never waits for anything outside of it."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it waited")


@given(st.lists(st.binary(min_size=1, max_size=20)), st.integers(1, 50))
def test_a_body_is_held_whole_or_not_at_all(pieces, limit):
    whole = b"".join(pieces)
    outcome = run(HeldBodies(limit, 10_000).hold(Pieces(pieces), 0.0))
    if len(whole) > limit:
        assert outcome.denial is Denial.BODY_TOO_LARGE
    else:
        assert outcome.data == whole
        assert outcome.head.length == len(whole)
        assert run(outcome.read()) == whole
        assert run(outcome.read()) == b""


def test_a_body_that_announces_too_much_is_not_even_read():
    request = Pieces([b"a" * 11], length=11)
    assert isinstance(run(HeldBodies(10, 100).hold(request, 0.0)), Refusal)
    assert request.reads == 0


def test_no_more_is_read_of_a_body_once_it_is_too_long():
    request = Pieces([b"xxxx"] * 1000)
    assert run(HeldBodies(10, 100).hold(request, 0.0)).denial is Denial.BODY_TOO_LARGE
    assert request.reads == 3


@ensureDeferred
async def test_a_body_that_breaks_off_is_never_held_as_whole():
    bodies = HeldBodies(10, 10)
    with pytest.raises(MalformedRequest):
        await bodies.hold(Pieces([b"abc", MalformedRequest("cut")]), 0.0)
    assert isinstance(await bodies.hold(Pieces([b"a" * 10]), 0.0), HeldBody), "its room was lost"


@given(st.lists(st.integers(1, 40), max_size=20))
def test_all_bodies_together_stay_below_the_budget_and_give_their_room_back(sizes):
    bodies, held = HeldBodies(40, 100), []
    for size in sizes:
        outcome = run(bodies.hold(Pieces([b"a"] * size), 7.0, f"{len(held)}"))
        if isinstance(outcome, HeldBody):
            held.append(outcome)
        else:
            assert outcome.denial is Denial.OVERLOADED
            assert outcome.pending.again > 0, "it is told when to come back"
        assert sum(len(each.data) for each in held) <= 100
    for each in held:
        bodies.drop(each)
    assert isinstance(run(bodies.hold(Pieces([b"a" * 40]), 0.0)), HeldBody)


def test_nobody_takes_all_the_room_from_the_others():
    bodies = HeldBodies(10, 160)
    held = [run(bodies.hold(Pieces([b"a" * 10]), 0.0, "greedy")) for _ in range(5)]
    assert [isinstance(each, HeldBody) for each in held] == [True, True, False, False, False]
    assert isinstance(run(bodies.hold(Pieces([b"a" * 10]), 0.0, "other")), HeldBody)
    bodies.drop(held[0])
    assert isinstance(run(bodies.hold(Pieces([b"a" * 10]), 0.0, "greedy")), HeldBody)


def test_a_held_body_provides_the_port():
    assert verifyObject(IRequest, HeldBody(Asked(), b""))


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("form", ["a=b&_method", "_method=put&a=b", "a=b&%5fmethod"])
def test_of_a_form_that_asks_for_another_method_the_end_never_leaves(form, announced):
    body = form.encode()
    pieces = [body[cut : cut + 3] for cut in range(0, len(body), 3)]
    request = FormBody(Pieces(pieces, len(body) if announced else None))
    left = []
    with pytest.raises(MalformedRequest, match="another method"):
        left.extend(iter(lambda: run(request.read()), b""))
    assert (
        len(b"".join(left)) < len(body) or not announced
    )  # chunks that have no end are no body either


@given(st.lists(st.binary(min_size=1, max_size=9).filter(lambda each: b"m" not in each.lower())))
def test_of_every_other_form_all_leaves(pieces):
    pieces = [each.replace(b"%", b"").replace(b"+", b"").strip() or b"x" for each in pieces]
    request = FormBody(Pieces(pieces, sum(map(len, pieces))))
    assert b"".join(iter(lambda: run(request.read()), b"")) == b"".join(pieces)
