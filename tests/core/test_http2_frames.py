"""Frames are told apart wherever their bytes are cut, and no more of them come than may."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.http2 import frame

from jitgate.core.http2_frames import (
    ANSWERS,
    BURST,
    CONTINUATIONS,
    FRAME,
    PREFACE,
    SETTINGS,
    SETTINGS_FRAMES,
    Allowance,
    Broken,
    Calm,
    Code,
    Frame,
    FrameReader,
    Kind,
    joined,
)
from jitgate.core.limits import LIMITS
from jitgate.errors import HeadTooLarge, PeerFault

BEGUN = PREFACE + frame(Kind.SETTINGS)
LOW = replace(LIMITS, http2_frames=1, head_bytes=64 * 1024)


def read(data, cuts=(), limits=LOW):
    """What comes of the bytes, cut there; a fault by its kind and words."""
    reader, events, before = FrameReader(limits), [], 0
    for cut in [*sorted(cut % (len(data) + 1) for cut in cuts), len(data)]:
        events += reader.feed(data[before:cut], 0.0)
        before = cut
    return [(type(each), f"{each}") if isinstance(each, PeerFault) else each for each in events]


kinds = st.one_of(st.sampled_from(list(Kind)), st.integers(0, 255))
frames = st.builds(
    frame,
    kinds,
    st.integers(0, 255),
    st.integers(0, 2**32 - 1),
    st.one_of(st.binary(max_size=40), st.just(b"x" * 200)),
)


@given(
    st.lists(frames, max_size=12),
    st.binary(max_size=12),
    st.sampled_from([BEGUN, PREFACE, b"", PREFACE[:-1]]),
    st.lists(st.integers(0, 2000), max_size=20),
)
def test_what_is_read_does_not_depend_on_how_it_is_cut(sent, rest, begun, cuts):
    data = begun + b"".join(sent) + rest
    whole = read(data)
    assert read(data, cuts) == whole
    assert read(data, range(len(data))) == whole
    kept = [each.data for each in whole if isinstance(each, Frame)]
    if len(kept) == len(sent) + 2:
        assert b"".join(kept) == data[: len(data) - len(rest)]


def test_frames_come_as_they_are_and_those_of_no_known_type_not_at_all():
    headers = frame(Kind.HEADERS, 5, 1, b"\x82")
    got = read(BEGUN + frame(0x99, 0, 0, b"x") + headers)
    assert got[2:] == [Frame(Kind.HEADERS, 5, 1, headers)]
    assert "x82" not in repr(got)


def fault(data, limits=LOW):
    *before, last = FrameReader(limits).feed(data, 0.0)
    assert not any(isinstance(each, PeerFault) for each in before)
    return last


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"GET / HTTP/1.1\r\n", Code.PROTOCOL_ERROR),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\n", Code.PROTOCOL_ERROR),
        (PREFACE + frame(Kind.PING, 0, 0, b"12345678"), Code.PROTOCOL_ERROR),
        (PREFACE + frame(Kind.SETTINGS, 1), Code.PROTOCOL_ERROR),
        (BEGUN + (FRAME + 1).to_bytes(3) + b"\0\0\0\0\0\1", Code.FRAME_SIZE_ERROR),
        (BEGUN + frame(Kind.CONTINUATION, 4, 1), Code.PROTOCOL_ERROR),
        (BEGUN + frame(Kind.HEADERS, 0, 1) + frame(Kind.DATA, 0, 1, b"x"), Code.PROTOCOL_ERROR),
        (BEGUN + frame(Kind.HEADERS, 0, 1) + frame(0x99), Code.PROTOCOL_ERROR),
        (BEGUN + frame(Kind.HEADERS, 0, 1) + frame(Kind.CONTINUATION, 4, 3), Code.PROTOCOL_ERROR),
        (BEGUN + frame(Kind.SETTINGS) * SETTINGS_FRAMES, Code.ENHANCE_YOUR_CALM),
        (BEGUN + frame(Kind.SETTINGS, 0, 0, b"\0" * 6 * (SETTINGS + 1)), Code.ENHANCE_YOUR_CALM),
    ],
)
def test_what_breaks_a_connection_says_with_which_code(data, code):
    limits = replace(LOW, http2_frames=1000)
    last = fault(data, limits)
    assert isinstance(last, Broken)
    assert last.code == code


def test_a_head_is_bounded_in_bytes_and_in_pieces():
    head = frame(Kind.HEADERS, 0, 1, b"x" * FRAME)
    most = LIMITS.head_bytes // FRAME - 1
    assert isinstance(
        read(BEGUN + head + frame(Kind.CONTINUATION, 0, 1, b"x" * FRAME) * most)[-1], Frame
    )
    assert isinstance(
        fault(BEGUN + head + frame(Kind.CONTINUATION, 0, 1, b"x" * FRAME) * (most + 1)),
        HeadTooLarge,
    )
    pieces = frame(Kind.HEADERS, 0, 1) + frame(Kind.CONTINUATION, 0, 1) * CONTINUATIONS
    assert isinstance(read(BEGUN + pieces)[-1], Frame)
    assert isinstance(fault(BEGUN + pieces + frame(Kind.CONTINUATION, 0, 1)), HeadTooLarge)


def test_whether_a_head_has_begun():
    reader = FrameReader(LIMITS)
    head = frame(Kind.HEADERS, 0, 1, b"\x82") + frame(Kind.CONTINUATION, 4, 1, b"\x84")
    reader.feed(BEGUN, 0.0)
    seen = [(reader.feed(head[at : at + 1], 0.0), reader.in_head)[1] for at in range(len(head))]
    assert seen == [False] * 3 + [True] * (len(head) - 4) + [False]
    reader.feed(frame(Kind.DATA, 0, 1, b"xyz")[:-1], 0.0)
    assert not reader.in_head


# --- how many of what carries nothing


def until_calm(each, limits=LOW, now=0.0):
    """How many of these frames may come at once."""
    reader = FrameReader(limits)
    reader.feed(BEGUN, now)
    for count in range(100_000):
        if any(isinstance(event, Calm) for event in reader.feed(each, now)):
            return count
    return None


@pytest.mark.parametrize(
    ("each", "count"),
    [
        (frame(Kind.PING, 0, 0, b"12345678"), BURST - 1),
        (frame(Kind.PRIORITY, 0, 1, b"\0\0\0\0\1"), BURST - 1),
        (frame(Kind.WINDOW_UPDATE, 0, 0, b"\0\0\0\1"), BURST - 1),
        (frame(Kind.GOAWAY, 0, 0, b"\0" * 8), BURST - 1),
        (frame(Kind.RST_STREAM, 0, 1, b"\0\0\0\x08"), BURST - 1),
        (frame(0x99), BURST - 1),
        (frame(Kind.DATA, 0, 1), BURST - 1),
        (frame(Kind.DATA, 8, 1, b"\xff" + b"\0" * 255), BURST - 1),
        (frame(Kind.DATA, 0, 1, b"x" * 64), 2 * (BURST - 1)),
        (frame(Kind.DATA, 1, 1), BURST - 1),  # it ends no stream that was opened
        (frame(Kind.HEADERS, 5, 1), BURST),  # the first of them opens one
        (frame(Kind.HEADERS, 5, 1, b"\x82" * 128), 1 + (BURST - 1) // 2),
    ],
)
def test_what_carries_nothing_may_come_so_often(each, count):
    """One of those that may come at once has been the SETTINGS at the beginning."""
    assert until_calm(each) == count


def test_a_head_that_opens_no_stream_counts_in_each_of_its_frames():
    reader = FrameReader(LOW)
    opens = frame(Kind.HEADERS, 1, 1) + frame(Kind.CONTINUATION, 4, 1, b"\x82" * FRAME)
    reader.feed(BEGUN, 0.0)
    assert isinstance(reader.feed(opens, 0.0)[-1], Frame)
    assert isinstance(reader.feed(frame(Kind.HEADERS, 1, 1), 0.0)[-1], Frame)
    again = frame(Kind.CONTINUATION, 4, 1, b"\x82" * 128 * BURST)
    assert isinstance(reader.feed(again, 0.0)[-1], Calm)


def test_what_carries_something_may_come_as_it_likes():
    reader = FrameReader(LOW)
    reader.feed(BEGUN, 0.0)
    for number in range(1, 1000, 2):
        opened, ended = frame(Kind.HEADERS, 4, number), frame(Kind.DATA, 1, number)
        for each in (opened, frame(Kind.DATA, 0, number, b"x" * 128), ended):
            assert isinstance(reader.feed(each, 0.0)[-1], Frame)


@pytest.mark.parametrize(("size", "answers"), [(0, 2), (4096, 6), (16384, 18)])
def test_what_was_sent_may_be_answered_however_late(size, answers):
    reader = FrameReader(LOW)
    update = frame(Kind.WINDOW_UPDATE, 0, 0, b"\0\0\0\1")
    reader.feed(BEGUN, 0.0)
    for _ in range(1000):
        reader.sent(size)
    owed = 1000 * answers + BURST - 1
    assert all(isinstance(each, Frame) for each in reader.feed(update * owed, 0.0))
    assert isinstance(reader.feed(update, 0.0)[-1], Calm)


def test_what_is_owed_is_bounded():
    reader = FrameReader(LOW)
    reader.feed(BEGUN, 0.0)
    reader.sent(10**12)
    pings = frame(Kind.PING, 0, 0, b"12345678") * (ANSWERS + BURST)
    assert isinstance(reader.feed(pings, 0.0)[-1], Calm)


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 5)), max_size=50))
def test_an_allowance_is_never_more_than_its_rate_and_its_burst(taken):
    allowance, now, got = Allowance(3), 0.0, 0.0
    for amount, passed in taken:
        now += passed
        if not allowance.take(amount, now):
            break
        got += amount
    assert got <= 3 * BURST + 3 * now + 1e-6
    assert Allowance(3).take(3 * BURST, -5.0)


# --- tiny frames


pieces = st.builds(
    frame,
    st.sampled_from([Kind.DATA, Kind.DATA, Kind.DATA, Kind.PING]),
    st.sampled_from([0, 0, 0, 1, 8]),
    st.sampled_from([1, 1, 3, 0]),
    st.integers(0, 3 * FRAME // 4).map(lambda size: bytes(size % 251 for _ in range(size))),
)


@given(st.lists(pieces, max_size=12))
def test_frames_of_data_in_a_row_are_few_and_hold_the_same(sent):
    read_whole = read(BEGUN + b"".join(sent), limits=replace(LIMITS, http2_frames=100))
    fewer = joined(read_whole)
    plain = lambda each: each.kind == Kind.DATA and each.flags == 0 and each.stream
    held = lambda frames, stream: b"".join([f.data[9:] for f in frames if f.stream == stream])
    for stream in (1, 3):
        assert held(fewer, stream) == held(read_whole, stream)
    assert [each for each in fewer if not plain(each)] == [
        each for each in read_whole if not plain(each)
    ]
    for each in fewer:
        assert FrameReader(LIMITS).feed(BEGUN + each.data, 0.0)[-1] == each or each.kind < 0
    for one, following in itertools.pairwise(fewer):
        if plain(one) and plain(following) and one.stream == following.stream:
            assert len(one.data) == 9 + FRAME


def test_a_thousand_tiny_frames_are_eight_large_ones():
    tiny = [Frame(Kind.DATA, 0, 1, frame(Kind.DATA, 0, 1, b"x" * 128))] * 1024
    assert joined(tiny) == [Frame(Kind.DATA, 0, 1, frame(Kind.DATA, 0, 1, b"x" * FRAME))] * 8
    last = Calm("Too many.")
    assert joined([*tiny, last])[-1] is last
