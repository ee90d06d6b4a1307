"""One side of a WebSocket: whole messages whatever the frames, and no more than may be held."""

from functools import partial

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from wsproto import events
from wsproto.connection import Connection, ConnectionType
from wsproto.frame_protocol import CloseReason

from jitgate.core.pausing import steps
from jitgate.flow.frames import NO_CODE, TOO_BIG, Broken, Closed, Message, Pinged, Side

MOST = 100


def client(*said):
    """What a client sends that says this."""
    frames = Connection(ConnectionType.CLIENT)
    return b"".join(frames.send(each) for each in said)


NOTHING = events.CloseConnection(code=CloseReason.NO_STATUS_RCVD)


def heard(data, cuts=()):
    side, found, at = Side(MOST, serves=True), [], 0
    for cut in [*sorted(cuts), len(data)]:
        found += side.feed(data[at:cut])
        at = max(at, cut)
        if found and isinstance(found[-1], Closed | Broken):
            return found
    return found


texts = st.text(max_size=MOST // 4 // 4)
"""Four of them make a message that is not too long, whatever characters they have."""
said = st.lists(
    st.one_of(
        texts.map(lambda text: [events.TextMessage(data=text)]),
        st.binary(max_size=20).map(lambda data: [events.BytesMessage(data=data)]),
        st.lists(texts, min_size=2, max_size=4).map(
            lambda parts: [
                events.TextMessage(data=part, message_finished=number == len(parts) - 1)
                for number, part in enumerate(parts)
            ]
        ),
        st.binary(max_size=10).map(lambda data: [events.Ping(payload=data)]),
    ),
    max_size=5,
)


@given(said, st.data())
def test_messages_are_whole_however_frames_and_bytes_are_cut(groups, data):
    sent = client(*(each for group in groups for each in group))
    cuts = data.draw(st.lists(st.integers(0, len(sent)), max_size=4))
    expected = []
    for group in groups:
        if isinstance(group[0], events.Ping):
            expected.append(Pinged(group[0].payload))
        elif isinstance(group[0], events.TextMessage):
            expected.append(Message("".join(each.data for each in group).encode(), is_text=True))
        else:
            expected.append(Message(group[0].data, is_text=False))
    assert heard(sent, cuts) == expected


@given(st.binary(max_size=60), st.booleans())
@example(b"\x81\x02hi", True)
@example(b"\x88\x01\x00", False)
@example(b"\x88\x02\x03\xed", False)
@example(b"\xc1\x00", False)
@example(b"\x81\x02\xff\xfe", False)
def test_whatever_comes_is_a_message_or_an_end(data, serves):
    side = Side(MOST, serves=serves)
    for each in side.feed(data):
        assert isinstance(each, Message | Pinged | Closed | Broken)
        if isinstance(each, Closed | Broken):
            assert 1000 <= each.code < 5000
            side.close(each.code if each.code != NO_CODE else NO_CODE)


@pytest.mark.parametrize("size", [MOST, MOST + 1])
def test_a_message_is_bounded_whole_or_in_pieces(size):
    whole = client(events.BytesMessage(data=b"x" * size))
    pieces = client(
        *[events.BytesMessage(data=b"x", message_finished=False)] * (size - 1),
        events.BytesMessage(data=b"x"),
    )
    for sent in (whole, pieces):
        (found,) = heard(sent)
        assert isinstance(found, Message) == (size == MOST)
        if size > MOST:
            assert found.code == TOO_BIG
    announced = b"\x82\xff" + (1 << 40).to_bytes(8) + bytes(4) + b"x" * (MOST + 1)
    assert heard(announced)[0].code == TOO_BIG


def test_nothing_follows_a_close():
    sent = client(events.CloseConnection(code=4000, reason="enough")) + b"\x81\x85junk"
    assert heard(sent) == [Closed(4000, "enough")]


def test_a_close_without_a_code_is_passed_on_without_one():
    (found,) = heard(client(NOTHING))
    assert found == Closed(NO_CODE, "")
    assert Side(MOST, serves=True).close(found.code) == b"\x88\x00"


def test_a_long_reason_is_cut_between_characters():
    sent = Side(MOST, serves=True).close(4000, "ä" * 100)
    assert len(sent) <= 2 + 125
    sent[4:].decode("utf-8")


def test_no_text_of_a_message_shows():
    assert "hush" not in f"{Message(b'hush', is_text=True)}{Closed(1000, 'hush')}{Pinged(b'hush')}"


def test_a_thousand_frames_of_nothing_are_no_long_work():
    nothing = events.TextMessage(data="", message_finished=False)
    coming = Side(MOST, serves=True).feed(client(*[nothing] * 1000))
    pauses = sum(1 for _ in steps(partial(next, coming, None)))
    assert pauses > 10
