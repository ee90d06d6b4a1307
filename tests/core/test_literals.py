"""LiteralMasker against a naive search of the whole content, cut in every way."""

import json
import string
from collections import Counter
from itertools import pairwise
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jitgate.core.literals import LiteralMasker, Literals, spellings

ALPHANUMERIC = {*string.ascii_letters, *string.digits}
letters = st.sampled_from([b"a", b"b", b"*", b"\x00"])
literal_lists = st.lists(st.lists(letters, min_size=1, max_size=6).map(b"".join), max_size=4)


@st.composite
def cases(draw):
    """Literals, and content that is made of letters and of whole and cut literals."""
    literals = draw(literal_lists)
    pieces = [letters] + [st.sampled_from([lit, lit[:-1], lit[1:]]) for lit in literals]
    return literals, b"".join(draw(st.lists(st.one_of(pieces), max_size=12)))


def starred(literals, data):
    """The data with every occurrence hidden, and how many there are."""
    places = [
        (start, start + len(literal))
        for literal in set(literals)
        for start in range(len(data))
        if data[start : start + len(literal)] == literal
    ]
    hidden = {at for start, stop in places for at in range(start, stop)}
    out = bytes(b"*"[0] if at in hidden else byte for at, byte in enumerate(data))
    return out, len(places)


def open_tail(literals, data):
    """The length of the longest tail that could begin a literal."""
    tails = [data[at:] for at in range(len(data))]
    return max(
        (len(t) for t in tails for lit in literals if t != lit and lit.startswith(t)), default=0
    )


def test_content_cut_anywhere_is_masked_as_a_search_of_the_whole_would():
    seen = Counter()

    @settings(max_examples=500, deadline=None)
    @given(cases(), st.sets(st.integers(0, 40)), st.booleans())
    def check(case, places, everywhere):
        literals, content = case
        places = sorted(at for at in range(len(content)) if everywhere or at in places)
        masker = LiteralMasker(literals)
        out, fed = b"", b""
        for a, b in pairwise([0, *places, len(content)]):
            out += masker.feed(content[a:b])
            fed += content[a:b]
            assert len(out) == len(fed) - open_tail(literals, fed)
        out += masker.finish()
        assert (out, masker.count) == starred(literals, content)
        assert LiteralMasker(Literals(literals)).hide_in(content) == out
        seen[masker.count > 0] += 1
        seen["across"] += masker.count > 0 and len(places) > 4

    check()
    assert seen[True] > 100
    assert seen["across"] > 20


@pytest.mark.parametrize(
    ("literals", "content", "shown"),
    [
        ([b"abc", b"bcd"], b"-abcd-", b"-****-"),
        ([b"aa"], b"-aaa-", b"-***-"),
        ([b"ab", b"abcd"], b"abcd abc", b"**** **c"),
        ([b"b", b"xbby"], b"xbbz", b"x**z"),
        ([b"x"], b"xyx", b"*y*"),
        ([], b"anything", b"anything"),
    ],
)
def test_overlapping_and_nested_literals_are_all_hidden_byte_by_byte(literals, content, shown):
    masker = LiteralMasker(literals)
    out = [masker.feed(content[i : i + 1]) for i in range(len(content))]
    assert b"".join([*out, masker.finish()]) == shown


def test_only_a_tail_that_could_begin_a_literal_is_held_back():
    masker = LiteralMasker([b"secret"])
    assert masker.feed(b"the secre") == b"the "
    assert masker.feed(b"cy of sec") == b"secrecy of "
    assert masker.feed(b"ret") == b"******"
    assert masker.feed(b"s") == b""
    assert masker.finish() == b"s"


def test_a_clean_chunk_goes_on_as_the_very_object_it_was():
    chunk = b"nothing to see here."
    assert LiteralMasker([b"secret"]).feed(chunk) is chunk


def test_a_field_value_is_masked_by_itself_and_leaves_the_stream_alone():
    masker = LiteralMasker([b"secret"])
    assert masker.feed(b"sec") == b""
    assert masker.hide_in(b"ret; secret=secret") == b"ret; ******=******"
    assert masker.feed(b"ret") == b"******"
    assert masker.count == 3


def test_every_name_and_value_of_fields_is_masked_by_itself_and_each_find_is_counted_once():
    masker = LiteralMasker([b"secret", b"x\ny"])
    fields = ((b"X-secret", b"a secret"), (b"X-Plain", b"sec"), (b"ret", b"x"), (b"y", b""))
    assert masker.hide_in_fields(fields) == (
        (b"X-******", b"a ******"),
        (b"X-Plain", b"sec"),
        (b"ret", b"x"),
        (b"y", b""),
    )
    assert masker.count == 2


def test_clean_fields_go_on_as_the_very_object_they_were():
    fields = ((b"X-Plain", b"sec"), (b"ret", b"x"))
    assert LiteralMasker([b"secret"]).hide_in_fields(fields) is fields
    assert LiteralMasker([]).hide_in_fields(fields) is fields


@given(st.text("-._~" + string.ascii_letters + string.digits, min_size=1))
def test_what_every_encoder_leaves_as_it_is_has_one_spelling(text):
    assert {json.dumps(text)[1:-1], quote(text, safe=""), quote(text), quote_plus(text)} == {text}
    assert spellings(text.encode()) == (text.encode(),)


@pytest.mark.parametrize("other", sorted(set(map(chr, range(256))) - set("-._~") - ALPHANUMERIC))
def test_what_an_encoder_writes_otherwise_has_more_spellings(other):
    literal = f"a{other}b".encode("latin-1")
    assert len(spellings(literal)) > 1
    assert quote(literal, safe="").encode() in spellings(literal)


def test_an_empty_literal_is_refused():
    with pytest.raises(ValueError, match="at least one byte"):
        LiteralMasker([b"secret", b""])


def test_no_literal_is_in_what_the_masker_shows_of_itself():
    assert "secret" not in repr(LiteralMasker([b"secret"]))


@pytest.mark.parametrize(
    "spelled",
    [
        b"c3Zj+/Pz4==",
        rb"c3Zj+\/Pz4==",
        rb"c3Zj\u002b\/Pz4\u003d\u003d",
        rb"c3Zj\u002B\u002FPz4\u003D\u003D",
        rb"c3Zj+/Pz4\u003d\u003d",
        b"c3Zj%2B%2FPz4%3D%3D",
        b"c3Zj%2b%2fPz4%3d%3d",
    ],
)
def test_a_literal_is_hidden_as_encoders_of_json_and_urls_write_it(spelled):
    masker = LiteralMasker([b"c3Zj+/Pz4=="])
    out = masker.feed(b'{"a":"' + spelled + b'"}') + masker.finish()
    assert out == b'{"a":"' + b"*" * len(spelled) + b'"}'


@given(st.text(string.ascii_letters + string.digits + "._~-", min_size=1))
def test_a_token_is_written_in_one_way_only(token):
    assert quote(token, safe="") == quote_plus(token) == json.dumps(token)[1:-1] == token
    assert spellings(token.encode()) == (token.encode(),)
