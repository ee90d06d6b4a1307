from dataclasses import asdict, replace
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zstandard import ZstdCompressor

from jitgate.stores.frames import PIECE_BYTES, BodyRef, FrameInvalid, pack, unpack
from jitgate.values import Body

COMPRESSOR = ZstdCompressor()


def packed(data, length=None, *, complete=True):
    body = Body(data, len(data) if length is None else length, complete)
    frame, ref = pack(body, COMPRESSOR, "000000000000.bodies", 5)
    return frame, BodyRef.parse(ref)


@given(st.binary(max_size=3000))
def test_a_body_comes_back_as_it_was(data):
    frame, ref = packed(data)
    assert b"".join(unpack(frame, ref)) == data


def test_a_reference_says_where_the_frame_is_and_how_much_of_the_body_it_holds():
    frame, ref = packed(b"the begin", 1000, complete=False)
    assert (ref.file, ref.offset, ref.length) == ("000000000000.bodies", 5, len(frame))
    assert (ref.plain_length, ref.of, ref.complete) == (9, 1000, False)


def test_a_frame_that_was_changed_is_not_unpacked():
    frame, ref = packed(b"data" * 100)
    with pytest.raises(FrameInvalid, match="not those that were written"):
        list(unpack(frame[:-1] + b"x", ref))


def digested(frame, ref):
    """The reference as if ``frame`` had been written under it."""
    return replace(ref, length=len(frame), sha256=sha256(frame).hexdigest())


def test_a_frame_that_holds_more_than_it_should_is_unpacked_no_further():
    _, ref = packed(b"small")
    bomb, _ = packed(bytes(1000 * PIECE_BYTES))
    pieces = unpack(bomb, digested(bomb, ref))
    with pytest.raises(FrameInvalid, match="more than its entry says"):
        next(pieces)


@pytest.mark.parametrize("data", [b"smal", b"smalL"])
def test_a_frame_that_holds_something_else_is_told(data):
    _, ref = packed(b"small")
    frame, _ = packed(data)
    with pytest.raises(FrameInvalid, match="something else"):
        list(unpack(frame, digested(frame, ref)))


@pytest.mark.parametrize("checksum", [True, False])
@pytest.mark.parametrize("data", [b"", b"small", bytes(300_000), bytes(range(256)) * 3000])
def test_a_frame_of_any_kind_of_blocks_is_one(data, checksum):
    _, ref = packed(data)
    frame = ZstdCompressor(write_checksum=checksum).compress(data)
    assert b"".join(unpack(frame, digested(frame, ref))) == data


@pytest.mark.parametrize("where", ["behind", "before"])
@pytest.mark.parametrize(
    "other", [COMPRESSOR.compress(b""), b"\x50\x2a\x4d\x18\x04\0\0\0more", b"x"]
)
def test_what_stands_beside_a_frame_is_told(other, where):
    frame, ref = packed(b"small")
    both = frame + other if where == "behind" else other + frame
    with pytest.raises(FrameInvalid):
        list(unpack(both, digested(both, ref)))


def test_what_is_no_frame_is_told():
    _, ref = packed(b"small")
    with pytest.raises(FrameInvalid, match="not zstd"):
        list(unpack(b"no frame", digested(b"no frame", ref)))


@pytest.mark.parametrize(
    "change",
    [{"file": 1}, {"offset": -1}, {"length": "5"}, {"of": None}, {"complete": 1}, {"extra": 1}],
)
def test_a_reference_with_other_fields_is_refused(change):
    with pytest.raises(FrameInvalid, match="the body's reference"):
        BodyRef.parse(asdict(packed(b"")[1]) | change)


@pytest.mark.parametrize("content", [None, [], "x", {}, {"file": "x"}])
def test_what_is_no_reference_is_refused(content):
    with pytest.raises(FrameInvalid):
        BodyRef.parse(content)
