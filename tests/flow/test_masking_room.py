"""What all responses hold is counted, and bounded: hostile ones are withheld, others go on."""

from __future__ import annotations

import tracemalloc
from contextlib import ExitStack, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_twisted import ensureDeferred
from support.masking import ENCODERS, Detector
from support.ports import JSON, Asked, Stand, agent, permit

from jitgate.core.codings import BROTLI_WINDOW, ZSTD_WINDOW, memory_of
from jitgate.core.literals import LiteralMasker
from jitgate.core.masking import Maskers
from jitgate.core.media import masker_of
from jitgate.core.pieces import FEW, Pieces
from jitgate.core.profiles import MaskingProfile
from jitgate.core.tally import LIMITS_HIT, Tally
from jitgate.errors import MaskingFault
from jitgate.flow.masking_room import FREE, NEEDED, ONE, OWNERS, MaskingRoom
from jitgate.maskers.detectors import DetectorMasker
from jitgate.maskers.names import NameMasker
from jitgate.values import Denial, ResponseHead
from tests.flow.test_conversation import Room
from tests.flow.test_release import SECRETS, Out, run

TOTAL = OWNERS * ONE

HELD = {
    b"application/json": b'{"a":"[',
    b"application/x-ndjson": b'1\n{"a":"[',
    b"application/json-seq": b'\x1e{"a":"[',
    b"text/event-stream": b"data: ",
    b"application/x-www-form-urlencoded": b"a=",
    b"text/plain": b"a",
    b"text/plain; charset=utf-16le": "\ufeffa".encode("utf-16-le"),
}
"""How a response begins that is held as long as nothing ends what it begins."""


WIDE = ["\U0001f600".encode() * 2**14] * 40
"""A text of 2.5 MiB, of fewer characters than may be held."""


class Fixed:
    """Holds what it is said to."""

    def __init__(self, held):
        self.held = held


@given(st.lists(st.binary(max_size=4), max_size=3 * FEW))
def test_pieces_are_kept_in_order_and_counted(parts):
    pieces = Pieces(b"")
    for part in parts:
        pieces.add(part)
    assert pieces.size == len(b"".join(parts))
    assert pieces.held >= pieces.size
    assert pieces.taken() == b"".join(parts)
    assert (pieces.size, pieces.held, pieces.taken()) == (0, 0, b"")


@pytest.mark.parametrize("kind", HELD, ids=lambda kind: kind.decode())
def test_what_comes_in_tiny_pieces_takes_no_more_than_is_counted(kind):
    maskers = Maskers([*SECRETS, Detector()])
    transform = masker_of(((b"Content-Type", kind),), maskers, LiteralMasker([b"hunter2"]))
    transform.feed(HELD[kind])
    tracemalloc.start()
    try:
        for _ in range(6_000):
            assert transform.feed(b"x\0" if b"16" in kind else b"xy") == b""
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert held <= 1.5 * transform.held + FEW * 64
    assert transform.held <= 6 * 12_000 + FEW * 64, "it takes many times its size"


def test_lines_of_an_event_are_counted_by_what_they_take():
    maskers = Maskers([*SECRETS, Detector()])
    headers = ((b"Content-Type", b"text/event-stream"),)
    transform = masker_of(headers, maskers, LiteralMasker([b"hunter2"]))
    tracemalloc.start()
    try:
        for _ in range(5_000):
            transform.feed(b"data:x\n")
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert held <= transform.held + FREE


@pytest.mark.parametrize("kind", HELD, ids=lambda kind: kind.decode())
def test_many_hostile_responses_are_withheld_and_leave_room_for_others(kind):
    room, headers, under_way, withheld = MaskingRoom(TOTAL), ((b"Content-Type", kind),), 0, 0
    with ExitStack() as held:
        for _ in range(4 * TOTAL // ONE):
            holding = held.enter_context(room.one("greedy"))
            transform = masker_of(headers, Maskers([*SECRETS, Detector()]), LiteralMasker([b"h"]))
            transform.feed(HELD[kind])
            holding.of(transform, Fixed(ONE // 8))
            try:
                holding.count()
                under_way += 1
            except MaskingFault:
                withheld += 1
        assert (under_way, withheld) == (8, 8)
        assert room.objection("greedy", 0.0).denial is Denial.OVERLOADED
        assert room.objection("other", 0.0) is None
        run(Out([b'{"a":1}'], maskers=SECRETS, room=room).run(ResponseHead(200, JSON, None)))
    assert room.objection("greedy", 0.0) is None


def test_one_that_outgrows_the_room_is_withheld_and_gives_back_what_it_had():
    room = MaskingRoom(TOTAL)
    with ExitStack() as held:
        holding = held.enter_context(room.one(agent().key))
        holding.of(Fixed(ONE + FREE - 2 * NEEDED))
        holding.count()
        body = [b'{"a":"[', *WIDE]
        with pytest.raises(MaskingFault, match="as much of responses as it can"):
            run(Out(body, maskers=SECRETS, room=room).run(ResponseHead(200, JSON, None)))
        assert room.objection(agent().key, 0.0) is None
        shown = run(
            Out([b'{"a":"[]"}'], maskers=SECRETS, room=room).run(ResponseHead(200, JSON, None))
        )
        assert shown.told.data == b'{"a":"[]"}'


def test_what_decoders_may_keep_is_counted_before_they_are_made():
    assert memory_of([b"br", b"zstd"]) == BROTLI_WINDOW + ZSTD_WINDOW
    room, (name, encode) = MaskingRoom(TOTAL), ENCODERS["br"]
    head, body = ResponseHead(200, (*JSON, (b"Content-Encoding", name)), None), encode(b"{}")
    with room.one(agent().key, ONE - BROTLI_WINDOW // 2):
        with pytest.raises(MaskingFault, match="as much of responses as it can"):
            run(Out([body], maskers=SECRETS, room=room).run(head))
        with room.one("other", memory_of([name])):
            pass
    assert run(Out([body], maskers=SECRETS, room=room).run(head)).told.data == b"{}"


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2 * ONE)), max_size=12))
def test_all_together_stay_below_the_bound_and_give_it_back(sizes):
    room, counted = MaskingRoom(TOTAL), 0
    with ExitStack() as held:
        for owner, size in sizes:
            holding = held.enter_context(room.one(owner))
            holding.of(Fixed(size))
            with suppress(MaskingFault):
                holding.count()
                counted += max(0, size - FREE)
            assert counted <= TOTAL
    with room.one("a", ONE + FREE), room.one("b", ONE + FREE), room.one("c", ONE + FREE):
        pass


@ensureDeferred
async def test_whatever_finds_no_room_is_counted_as_that():
    tally, series = Tally(), (LIMITS_HIT.name, "masking_bytes")
    room = MaskingRoom(TOTAL, tally)
    stand = Stand(secrets=frozenset({"secret"}), room=room)
    await stand.serve(Asked("POST", body=b"{}"))
    assert series not in dict(tally.rows())
    with room.one(agent().key, ONE + FREE):
        await stand.serve(Asked("POST", body=b"{}"))
        assert dict(tally.rows())[series] == [1]
        with pytest.raises(MaskingFault):
            room.one(agent().key, FREE + 1)
    assert dict(tally.rows())[series] == [2]


@ensureDeferred
async def test_without_room_no_call_is_sent_whose_response_is_looked_at():
    stand = Stand(secrets=frozenset({"secret"}), room=MaskingRoom(TOTAL))
    with stand.room.one(agent().key, ONE + FREE):
        told = await stand.serve(Asked("POST", body=b"{}"))
        assert (told.head.status, stand.sent) == (429, [])
        assert b"holds as much of responses" in told.data
        stand.secrets = frozenset()  # then nothing is held of it
        assert (await stand.serve(Asked("POST", body=b"{}"))).head.status == 200
    stand.secrets = frozenset({"secret"})
    assert (await stand.serve(Asked("POST", body=b"{}"))).head.status == 200
    assert [each["outcome"] for each in stand.entries("outcome")] == [
        "failed",
        "completed",
        "completed",
    ]


MASKS = MaskingProfile(
    "out",
    (NameMasker("out", ("ssn",)), DetectorMasker("out", ("payment-card",))),
    catalog=False,
    requests=True,
)
SPARE = NEEDED // 4

EASY = '{"a":%s"x"}' % ('"y","b":' * 50_000)
"""Of this nothing is held while it is looked at; of the next two all is, of the last to its end."""

HARD, LINE = '{"a":"[%s"}' % ("\U0001f600" * 200_000), "\U0001f600" * 200_000


@pytest.mark.parametrize("said", [EASY, HARD, LINE])
@pytest.mark.parametrize("by", ["near", "far"])
@ensureDeferred
async def test_what_looks_at_a_message_is_counted_and_free_again(said, by):
    room = Room(verdict=permit(mask="out"), profiles={"out": MASKS}, room=MaskingRoom(TOTAL))
    speaks, hears = (room.near, room.far) if by == "near" else (room.far, room.near)
    owner, counts = agent().key, room.stand.room
    serving = room.open()
    speaks.say(said)
    assert hears.heard == [said]
    with counts.one(owner, ONE + FREE - SPARE):
        with counts.one(owner, FREE + SPARE):  # all of it is there again
            pass
        speaks.say(said)
        if said != EASY:
            assert (room.near.heard[-1], room.far.heard[-1]) == (1008, 1001)
        else:
            assert hears.heard == [said, said]
    room.near.say(4000)
    room.far.say(4000)
    await serving


@ensureDeferred
async def test_a_response_that_finds_no_room_is_withheld_and_that_is_on_record():
    stand = Stand(
        answer=ResponseHead(200, ((b"Content-Type", b"text/event-stream"),), None),
        pieces=(b"data: ", *WIDE),
        secrets=frozenset({"secret"}),
        room=MaskingRoom(TOTAL),
    )
    with stand.room.one(agent().key, ONE + FREE - 2 * NEEDED):
        told = await stand.serve(Asked("POST", body=b"{}"))
    assert told.head.status == 403
    assert b"as much of responses" in told.data
    (outcome,) = stand.entries("outcome")
    assert outcome["denial"] == "response-withheld"
