"""python-h2 as it is used here: nothing of its own comes out of it, whatever goes in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.http2 import asking, block, frame

from jitgate.core.http2_frames import PREFACE, Broken, Code, Kind
from jitgate.core.limits import LIMITS
from jitgate.errors import AgentGone, HeadTooLarge
from jitgate.proxy.http2_engine import CLOSED, TABLE, WINDOW, Engine

POST = block(*asking(b"POST"))


def engine():
    made = Engine(LIMITS)
    for data in (PREFACE, frame(Kind.SETTINGS)):
        made.receive(data)
    return made


payloads = st.one_of(
    st.sampled_from([POST, b"\0\0\0\0\1" + POST, b"\5" + POST + b"\0" * 5, b"", b"\0\0\0\1"]),
    st.sampled_from([b"\x7f\xff\xff\xff", b"\0\4\x7f\xff\xff\xff", b"\0\1\xff\xff\xff\xff"]),
    st.binary(max_size=20),
)
streams = st.sampled_from([0, 1, 2, 3, 5, 7, 2**31 - 1])
frames = st.builds(
    frame,
    st.sampled_from(list(Kind)),
    st.sampled_from([0, 1, 4, 5, 8, 9, 37, 255]),
    streams,
    payloads,
)
acts = st.sampled_from(
    [
        lambda made, each: made.reset(each, Code.INTERNAL_ERROR),
        lambda made, each: made.head(each, [(b":status", b"200")], ends=False),
        lambda made, each: made.head(each, [(b"x", b"y")], ends=True),
        lambda made, each: made.data(each, b"x" * min(9, made.room(each)), ends=False),
        lambda made, each: made.data(each, b"", ends=True),
        lambda made, each: made.let_in(9, each or 1),
    ]
)


@given(st.lists(st.one_of(frames, st.tuples(acts, streams)), max_size=25))
def test_nothing_is_raised_but_our_own_faults(steps):
    made = engine()
    opened = [
        frame(Kind.HEADERS, flags, 2 * each + 1, POST) for each, flags in enumerate((4, 5, 4))
    ]
    for step in [*opened, *steps]:
        try:
            if isinstance(step, bytes):
                made.receive(step)
            else:
                step[0](made, step[1])
        except (Broken, HeadTooLarge):
            made.taken()
            return
        except AgentGone:
            continue
        made.taken()


def test_what_it_says_of_a_fault_holds_nothing_of_a_head():
    made, secret = engine(), b"hunter2-and-more"
    broken = b"\x40\x01x\x10" + secret + b"\x40\x7f\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"
    with pytest.raises(Broken) as raised:
        made.receive(frame(Kind.HEADERS, 4, 1, broken))
    assert (str(raised.value), raised.value.code) == ("A head cannot be decoded.", 9)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


@pytest.mark.parametrize("sizes", [b"\x20\x3f\xe1\x1f", b"\x3e", b"\x3f\x01\x3f\x01"])
def test_a_head_may_change_the_size_of_the_table_twice(sizes):
    made = engine()
    plain = POST.removeprefix(b"\x20")
    made.receive(frame(Kind.HEADERS, 4, 1, sizes + plain))
    assert made.fields[0] == (b":method", b"POST")
    with pytest.raises(Broken) as raised:
        made.receive(frame(Kind.HEADERS, 4, 3, sizes * 3 + plain))
    assert raised.value.code == Code.COMPRESSION_ERROR


def test_no_more_is_remembered_of_what_was_sent_than_a_little():
    made = engine()
    made.receive(frame(Kind.SETTINGS, 0, 0, b"\0\1\xff\xff\xff\xff"))
    for each in range(300):
        made.receive(frame(Kind.HEADERS, 5, 2 * each + 1, POST))
        made.head(2 * each + 1, [(b":status", b"200"), (b"x-id", b"%064d" % each)], ends=True)
    coder = made._h2.encoder
    assert coder.header_table_size == TABLE
    assert sum(map(len, coder.header_table.dynamic_entries)) <= TABLE
    assert len(coder.header_table.dynamic_entries) < 100


def test_little_is_remembered_of_streams_that_have_ended():
    made = engine()
    for number in range(1, 2 * CLOSED + 400, 2):
        made.receive(frame(Kind.HEADERS, 5, number, POST))
        made.head(number, [(b":status", b"204")], ends=True)
    assert len(made._h2.streams) <= 1
    assert len(made._h2._closed_streams) == CLOSED


def test_of_one_body_so_much_comes_before_it_is_asked_for():
    made = engine()
    made.receive(frame(Kind.HEADERS, 4, 1, POST))
    made.receive(frame(Kind.HEADERS, 4, 3, POST))
    for size in (16384, 16384, 16384, WINDOW - 3 * 16384):
        made.receive(frame(Kind.DATA, 0, 1, b"x" * size))
    made.receive(frame(Kind.DATA, 0, 3, b"x"))
    with pytest.raises(Broken) as raised:
        made.receive(frame(Kind.DATA, 0, 1, b"x"))
    assert raised.value.code == 3
