"""LiteralMasker against a naive search of the whole content, cut in every way."""

import json
import re
import string
import time
from collections import Counter
from itertools import pairwise
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jitgate.core.literals import LiteralMasker, Literals

ALPHANUMERIC = {*string.ascii_letters, *string.digits}
letters = st.sampled_from([b"a", b"b", b"*", b"\x00"])
literal_lists = st.lists(st.lists(letters, min_size=1, max_size=6).map(b"".join), max_size=4)


@st.composite
def cases(draw):
    """Literals, and content that is made of letters and of whole and cut literals."""
    literals = draw(literal_lists)
    every = [each for each, _ in widened(literals)]
    pieces = [letters] + [st.sampled_from([lit, lit[:-1], lit[1:]]) for lit in every]
    return literals, b"".join(draw(st.lists(st.one_of(pieces), max_size=12)))


def widened(literals):
    """The literals, and what of UTF-16 and UTF-32 they have in either order of bytes."""
    for literal in literals:
        text = literal.decode("latin-1")
        yield literal, 1
        if len(literal) > 1:
            yield text.encode("utf-16-le")[:-1], 2
            yield text.encode("utf-32-be")[3:], 4


def starred(literals, data):
    """The data with every occurrence hidden, and how many there are."""
    places = [
        (start, start + len(literal), step)
        for literal, step in set(widened(literals))
        for start in range(len(data))
        if data[start : start + len(literal)] == literal
    ]
    hidden = {at for place in places for at in range(*place)}
    out = bytes(b"*"[0] if at in hidden else byte for at, byte in enumerate(data))
    return out, len(places)


def open_tail(literals, data):
    """The length of the longest tail that could begin a literal."""
    tails = [data[at:] for at in range(len(data))]
    return max(
        (len(t) for t in tails for lit, _ in widened(literals) if t != lit and lit.startswith(t)),
        default=0,
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
        seen["wide"] += any(lit in content for lit, step in widened(literals) if step > 1)
        seen["across"] += masker.count > 0 and len(places) > 4

    check()
    assert seen[True] > 100
    assert seen["wide"] > 20
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


def hidden(literal, content, *sizes):
    """The content with the literal hidden, fed in pieces of these sizes; the same as all at once."""
    masker, out, at = LiteralMasker([literal]), b"", 0
    for size in sizes or (len(content),):
        out += masker.feed(content[at : at + size])
        at += size
    out += masker.feed(content[at:]) + masker.finish()
    assert out == LiteralMasker([literal]).hide_in(content)
    return out


@given(st.text("-._~" + string.ascii_letters + string.digits, min_size=1))
def test_what_every_encoder_leaves_as_it_is_is_sought_as_it_stands(text):
    written = {json.dumps(text)[1:-1], quote(text, safe=""), quote(text), quote_plus(text)}
    assert written == {text}
    (form,) = Literals([text.encode()]).narrow
    assert ("~" in text) or form.units == ((text.encode(),),)


@pytest.mark.parametrize("other", sorted(set(map(chr, range(256))) - set("-._") - ALPHANUMERIC))
def test_what_an_encoder_writes_otherwise_is_hidden_so_too(other):
    for literal, text in ((f"a{other}b".encode("latin-1"), f"a{other}b"), (text_of(other), None)):
        written = [
            literal,
            quote(literal, safe="").encode(),
            quote(literal, safe="").lower().encode(),
        ]
        if text is not None:
            written.append(json.dumps(text)[1:-1].encode())
            written.append(re.sub(rb"\\u....", upper, json.dumps(text)[1:-1].encode()))
            written.append(rb"a\u%04xb" % ord(other))
        for each in written:
            assert hidden(literal, b"-%b-" % each) == b"-%b-" % (b"*" * len(each)), each
            assert hidden(literal, b"-%b-" % each, 1, 2, 1) == b"-%b-" % (b"*" * len(each)), each


def text_of(other):
    return f"a{other}b".encode()


def upper(escape):
    return rb"\u" + escape[0][2:].upper()


COMMON = {
    ".NET": lambda text: re.sub("[<>&'+\"`]|[^ -~]", escape, text.replace("\\", "\\\\")).encode(),
    "Go, Rails": lambda text: re.sub(
        "[<>&]", escape, json.dumps(text, ensure_ascii=False)[1:-1]
    ).encode(),
    "PHP": lambda text: json.dumps(text, ensure_ascii=False)[1:-1].replace("/", "\\/").encode(),
    "JavaScript": lambda text: quote(text, safe="~()*!.'-_").encode(),
    "WHATWG, Java": lambda text: quote_plus(text, safe="*-._").replace("~", "%7E").encode(),
    "RFC 3986": lambda text: quote(text, safe="").encode(),
}
"""How what is common writes a text in JSON and in URLs."""


def escape(found):
    return f"\\u{ord(found[0]):04X}"


@given(
    st.sampled_from(sorted(COMMON)),
    st.sampled_from(["nothing", *sorted(COMMON)]),
    st.text("aZ09-._~ !*'()+/=&<>\"\\%@:;?#|é\n", min_size=2, max_size=12).filter(
        lambda text: text.strip("*")
    ),
    st.integers(1, 40),
)
def test_whatever_common_encoders_write_is_hidden_wherever_it_is_cut(encoder, again, text, size):
    written = COMMON[encoder](text)
    if again != "nothing":  # a text of JSON, or a URL, within another
        written = COMMON[again](written.decode())
    content = b"x{%b}y" % written
    shown = hidden(text.encode(), content, *[size] * (len(content) // size))
    assert len(shown) == len(content)
    assert written not in shown
    assert re.fullmatch(rb"x{[*]+}y", shown)


def test_nobody_waits_for_a_secret_of_many_characters_that_may_be_written_otherwise():
    for literal in (b"\\" * 60 + b"x", b"%25" * 40 + b"x", b'\\"' * 40 + b"x"):
        masker, content = LiteralMasker([literal]), literal[:-1] * 20
        began = time.process_time()
        masker.feed(content)
        masker.finish()
        assert time.process_time() - began < 0.5


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


@given(st.lists(st.binary(min_size=1), max_size=3), st.binary(min_size=1))
def test_one_more_is_hidden_as_if_it_had_been_there_from_the_first(before, one):
    both, whole = Literals(before).and_one(one), Literals([*before, one])
    assert both == whole
    assert (both.narrow, both.shortest) == (whole.narrow, whole.shortest)
    assert both.wide == whole.wide


def test_an_empty_one_is_not_added():
    with pytest.raises(ValueError, match="at least one byte"):
        Literals([b"a"]).and_one(b"")


WIDE = ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]


@pytest.mark.parametrize("charset", WIDE)
@pytest.mark.parametrize("secret", ["tok-0123456789", "p\u00e4ss w\u00f6rd/+=", 'a"b c'])
@pytest.mark.parametrize("step", [1, 3, 100])
def test_a_literal_is_hidden_in_each_charset_and_all_else_stays(charset, secret, step):
    body = f"<a>{secret}</a>\n{secret}".encode(charset)
    masker = LiteralMasker([secret.encode()])
    out = b"".join(masker.feed(body[at : at + step]) for at in range(0, len(body), step))
    out += masker.finish()
    assert secret not in (shown := out.decode(charset, "replace"))
    assert len(out) == len(body)
    assert masker.count >= 2
    if secret.isascii():
        assert masker.count == 2
        assert shown == f"<a>{'*' * len(secret)}</a>\n{'*' * len(secret)}"


@pytest.mark.parametrize(
    ("literal", "spelled"),
    [
        ("abc/def+ghi==xyz", r"abc/def\u002Bghi==xyz"),  # System.Text.Json
        ('a"b+c', r"a\u0022b\u002Bc"),
        ("it's<me&you", r"it's\u003cme\u0026you"),  # encoding/json, Rails
        ("gr\u00fcn<b", "gr\u00fcn\\u003cb"),
        ("gr\u00fcn/b", "gr\u00fcn\\/b"),  # json_encode
        ("gr\u00fcn/b", r"gr\u00fcn\/b"),
        ("pa!ss/wo'rd(1)", "pa!ss%2Fwo'rd(1)"),  # encodeURIComponent
        ("8Q~abc-DEF.123_x", "8Q%7Eabc-DEF.123_x"),  # URLSearchParams, URLEncoder
        ("pa*ss/w~rd x", "pa*ss%2Fw%7Erd+x"),
    ],
)
def test_common_encoders_are_known(literal, spelled):
    spelled = spelled.encode()
    masker = LiteralMasker([literal.encode()])
    assert masker.feed(b"x " + spelled + b" y") + masker.finish() == (
        b"x " + b"*" * len(spelled) + b" y"
    )
