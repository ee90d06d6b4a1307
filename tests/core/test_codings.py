"""Codings, undone: whole or in pieces the same, broken ones never, bombs not at all."""

from __future__ import annotations

import gzip
import zlib
from itertools import pairwise

import brotlicffi
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from support.masking import ENCODERS, cut, cuts

from jitgate.core import codings
from jitgate.core.codings import FREE, PIECE, STACKED, Decoders, codings_of
from jitgate.errors import MaskingFault


def decoded(names, pieces):
    decoders = Decoders(names)
    found = [each for piece in pieces for each in decoders.feed(piece)]
    decoders.finish()
    return b"".join(found)


def names_of(*values):
    return codings_of(tuple((b"Content-Encoding", each) for each in values))


@given(
    st.binary(max_size=2000) | st.binary(min_size=1, max_size=20).map(lambda each: each * 999),
    st.lists(st.sampled_from(sorted(ENCODERS)), min_size=1, max_size=STACKED),
    cuts,
)
def test_what_others_have_coded_comes_out_as_it_was_however_it_is_cut(data, chosen, places):
    coded, headers = data, []
    for each in chosen:
        name, encode = ENCODERS[each]
        headers.append(name)
        coded = encode(coded)
    assert decoded(names_of(b", ".join(headers)), cut(coded, places)) == data
    assert decoded(names_of(*headers), cut(coded, places)) == data


@pytest.mark.parametrize("coding", ENCODERS)
@pytest.mark.parametrize("data", [b"", b"{}", b'{"a": "some text"}' * 50])
def test_what_ends_too_early_or_goes_on_is_withheld(coding, data):
    name, encode = ENCODERS[coding]
    coded, names = encode(data), names_of(name)
    whole = [end for end in range(len(coded)) if _is_whole(names, coded[:end])]
    assert len(whole) == (2 if "several" in coding else 0)  # it may end between two of them
    for more in (b"\0", b"x", b"{}", coded[:1]):
        with pytest.raises(MaskingFault):
            decoded(names, [coded + more])
        with pytest.raises(MaskingFault):
            decoded(names, [coded, more])


def _is_whole(names, coded):
    try:
        decoded(names, [coded])
    except MaskingFault:
        return False
    return True


@given(st.sampled_from(sorted(ENCODERS)), st.binary(max_size=300), cuts)
def test_bytes_that_nobody_has_coded_are_a_fault_that_does_not_tell_them(coding, data, places):
    name, _ = ENCODERS[coding]
    try:
        decoded(names_of(name), cut(data, places))
    except MaskingFault as fault:
        assert fault.__cause__ is None
        assert fault.__suppress_context__ or fault.__context__ is None


BOMBS = {
    "gzip": gzip.compress(bytes(30 * FREE)),
    "deflate": zlib.compress(bytes(30 * FREE)),
    "br": brotlicffi.compress(bytes(30 * FREE), quality=1),
    "zstd": zstandard.ZstdCompressor().compress(bytes(30 * FREE)),
}


@pytest.mark.parametrize("coding", BOMBS)
@pytest.mark.parametrize("twice", [False, True])
def test_a_bomb_is_given_up_before_much_of_it_is_there(coding, twice):
    name, coded = coding.encode(), BOMBS[coding]
    names = [name, b"gzip"] if twice else [name]
    decoders = Decoders(names)
    size = most = 0
    with pytest.raises(MaskingFault, match="times its size"):  # noqa: PT012 (in whichever piece)
        for piece in decoders.feed(gzip.compress(coded) if twice else coded):
            size += len(piece)
            most = max(most, len(piece))
    assert size <= 2 * FREE
    assert most <= 2 * FREE
    assert most <= PIECE or coding == "zstd"


def test_what_is_inside_of_another_coding_counts_as_well():
    """Ten megabytes that say nothing: each layer would have to work through them."""
    inner = gzip.compress(b"") * 500_000
    with pytest.raises(MaskingFault, match="times its size"):
        decoded([b"gzip", b"zstd"], [zstandard.ZstdCompressor(level=9).compress(inner)])


def test_a_page_of_zeros_is_no_bomb():
    assert decoded([b"gzip"], [gzip.compress(bytes(FREE))]) == bytes(FREE)


def test_there_is_an_end_to_what_a_body_unpacks_to(monkeypatch):
    monkeypatch.setattr(codings, "DECODED", 10_000)
    data = bytes(range(256)) * 50
    with pytest.raises(MaskingFault, match="more than 10000 bytes"):
        decoded([b"gzip"], cut(gzip.compress(data), [5]))


def test_a_window_larger_than_is_kept_is_refused():
    made = zstandard.ZstdCompressionParameters(window_log=24)
    coded = zstandard.ZstdCompressor(compression_params=made).compressobj()
    data = coded.compress(b"{}" * 9) + coded.flush()
    with pytest.raises(MaskingFault, match="zstd"):
        decoded([b"zstd"], [data])


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ((), ()),
        ((b"identity",), ()),
        ((b"Identity", b"identity"), ()),
        ((b"",), ()),
        ((b"GZIP",), (b"gzip",)),
        ((b"gzip, br",), (b"gzip", b"br")),
        ((b"gzip", b"br"), (b"gzip", b"br")),
        ((b"gzip ,, br",), (b"gzip", b"br")),
    ],
)
def test_what_the_field_says(values, names):
    assert names_of(*values) == names


@pytest.mark.parametrize(
    "value",
    [
        b"identity, gzip",
        b"gzip, identity",
        b"x-unknown",
        b"aes128gcm",
        b"compress",
        b"gzip;q=1",
        b"gzip br",
        b"dcb",
        b", ".join([b"gzip"] * (STACKED + 1)),
    ],
)
def test_what_is_not_undone_is_withheld(value):
    with pytest.raises(MaskingFault):
        names_of(value)


def test_no_piece_is_larger_than_what_is_masked_at_once():
    data = zlib.compress(b"[1, 2.50, 3]" * 50_000)
    sizes = [len(each) for each in Decoders([b"deflate"]).feed(data)]
    assert max(sizes) <= PIECE
    assert sum(sizes) == 600_000
    assert all(before or after for before, after in pairwise(sizes))
