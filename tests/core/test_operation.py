"""The one spelling of a call, and the row of a catalog that it is of."""

import unicodedata
from itertools import groupby
from urllib.parse import quote, unquote_to_bytes

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jitgate.core.catalog import PathCatalog
from jitgate.core.operation import CanonicalTarget, NotCanonical, PathTemplate, canonical_target

# --- the one spelling


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/", "/", ""),
        ("/api/v1/users?limit=2", "/api/v1/users", "limit=2"),
        ("/api/v1/users/", "/api/v1/users/", ""),
        ("/api/v1/users?", "/api/v1/users", ""),
        ("/a?b?c/../d//e;f", "/a", "b?c/../d//e;f"),
        ("/%61%7a%41%5A%30%2d%5F%7e", "/azAZ0-_~", ""),
        ("/users/a%2eb", "/users/a.b", ""),
        ("/users/bob%40acme.com", "/users/bob%40acme.com", ""),
        ("/users/bob@acme.com", "/users/bob@acme.com", ""),
        ("/users/%c3%a9", "/users/%C3%A9", ""),
        ("/users/100%25", "/users/100%25", ""),
        ("/a%20b", "/a%20b", ""),
        ("/...", "/...", ""),
        ("/.well-known/x", "/.well-known/x", ""),
        ("/a..b/.c", "/a..b/.c", ""),
        ("/!$&'()*+,=:@-._~", "/!$&'()*+,=:@-._~", ""),
        ("/x?q=%c3%a9&q=a%2fb&r=%41", "/x", "q=%c3%a9&q=a%2fb&r=%41"),
        ('/x?search="a"<b>[c]{d}|\\^`', "/x", 'search="a"<b>[c]{d}|\\^`'),
        ("/x?q=%00%ff", "/x", "q=%00%ff"),
    ],
)
def test_a_target_has_one_spelling(target, path, query):
    assert canonical_target(target) == CanonicalTarget(path, query)


@pytest.mark.parametrize(
    ("target", "word"),
    [
        ("", "slash"),
        ("?q=1", "slash"),
        ("*", "slash"),
        ("https://acme.okta.com/api", "slash"),
        ("acme.okta.com:443", "slash"),
        ("%2fapi", "slash"),
        ("/a#b", "fragment"),
        ("/a?b#c", "fragment"),
        ("/.", "dot segment"),
        ("/..", "dot segment"),
        ("/a/../b", "dot segment"),
        ("/a/./b", "dot segment"),
        ("/a/..", "dot segment"),
        ("/a/%2e%2E/b", "dot segment"),
        ("/a/.%2e/b", "dot segment"),
        ("/a/%2e", "dot segment"),
        ("/a/..?q", "dot segment"),
        ("//", "empty segment"),
        ("//evil.example/a", "empty segment"),
        ("/a//b", "empty segment"),
        ("/a//", "empty segment"),
        ("/a%2fb", "escaped slash"),
        ("/a%2Fb", "escaped slash"),
        ("/a%5cb", "backslash"),
        ("/a%5Cb", "backslash"),
        ("/a\\b", "backslash"),
        ("/a;b=c", "semicolon"),
        ("/a%3bb", "semicolon"),
        ("/a/..;/b", "semicolon"),
        ("/a\x00", "control"),
        ("/a%00", "control"),
        ("/a%0d%0aX:%20y", "control"),
        ("/a\r\nX: y", "control"),
        ("/a\n", "control"),
        ("/a\x7f", "control"),
        ("/a%7f", "control"),
        ("/a%C2%85b", "control"),
        ("/\xe9", "not ASCII"),
        ("/a\u202eb", "not ASCII"),
        ("/a?\xe9", "not ASCII"),
        ("/a%", "invalid"),
        ("/a%2", "invalid"),
        ("/a%zz", "invalid"),
        ("/a%u0041", "invalid"),
        ("/%%32F", "invalid"),
        ("/%%34%31", "invalid"),
        ("/a?%", "invalid"),
        ("/a?%4", "invalid"),
        ("/a%EF%BC%8541", "twice"),
        ("/a%EF%B9%AA%EF%BC%94%EF%BC%91", "twice"),
        ("/a%25%EF%BC%941", "twice"),
        ("/a%252fb", "twice"),
        ("/a%252e%252e", "twice"),
        ("/a%25%32%66b", "twice"),
        ("/%c0%ae%c0%ae/", "UTF-8"),
        ("/%c0%af", "UTF-8"),
        ("/%e0%80%af", "UTF-8"),
        ("/%ed%a0%80", "UTF-8"),
        ("/%ff", "UTF-8"),
        ("/%c3", "UTF-8"),
        ("/%f4%90%80%80", "UTF-8"),
        ("/a b", "forbidden"),
        ('/a"b', "forbidden"),
        ("/a<b", "forbidden"),
        ("/a>b", "forbidden"),
        ("/a^b", "forbidden"),
        ("/a`b", "forbidden"),
        ("/a{b}", "forbidden"),
        ("/a|b", "forbidden"),
        ("/a[b]", "forbidden"),
        ("/a?b c", "space"),
        ("/a?b\r\nX: y", "control"),
        ("/a?\x00", "control"),
    ],
)
def test_a_target_with_two_readings_is_refused_with_the_reason(target, word):
    outcome = canonical_target(target)
    assert isinstance(outcome, NotCanonical)
    assert word in outcome.reason


@pytest.mark.parametrize(
    "mark",
    [
        "\u0300",
        "\u0316",
        "\u0f73",  # a starter that decomposes to two that are none
        "\uff9e",  # a starter that is compatible to one that is none
        "\U0001e8d0",
    ],
)
def test_a_long_run_of_combining_characters_is_refused_with_the_reason(mark):
    """Python puts them in order in quadratic time: 10,000 of them take 200 ms."""
    marks = quote(mark) * 5_000
    for target in (f"/things/a{marks}", f"/{marks}/x?b", f"/%41{marks}"):
        outcome = canonical_target(target)
        assert isinstance(outcome, NotCanonical)
        assert "combining" in outcome.reason


def test_as_many_combining_characters_as_a_text_has_are_taken():
    most = quote("\u0300\u0316" * 15)
    assert canonical_target(f"/a{most}b{most}/{most}").path == f"/a{most}b{most}/{most}"
    assert isinstance(canonical_target(f"/a{most}%CC%80"), NotCanonical)


_DECOMPOSED = st.sampled_from([*"ae/\u0300\u0316\u0345\u0f73\uff9e\u1fafé\u0344\uac01\u1161ﷺ"])


@given(
    st.lists(_DECOMPOSED | st.characters(exclude_categories=["Cs", "Cc"])),
    _DECOMPOSED,
    st.integers(0, 40),
)
@example([], "\u0f73", 15)
@example([], "\u0f73", 16)
def test_no_decomposition_of_a_spelling_has_a_long_run_of_combining_characters(texts, mark, times):
    outcome = canonical_target(f"/x{quote(''.join(texts) + mark * times)}")
    if isinstance(outcome, CanonicalTarget):
        text = unquote_to_bytes(outcome.path).decode()
        for form in ("NFC", "NFD", "NFKC", "NFKD"):
            classes = map(unicodedata.combining, unicodedata.normalize(form, text))
            runs = [len([*run]) for combining, run in groupby(classes, bool) if combining]
            assert max(runs, default=0) <= 30


_URL_PIECES = st.sampled_from(
    [*"/.%?#;\\@: aA1~", "%2e", "%2F", "%5c", "%25", "%41", "%c3%a9", "%00", "..", "\xe9", "é"]
)
_TARGETS = st.text() | st.lists(_URL_PIECES).map(lambda pieces: "/" + "".join(pieces))


@given(_TARGETS)
@example("/%25%32%66")
@example("/%25%34%31")
@example("/%%34%31")
def test_the_spelling_of_a_spelling_is_itself(target):
    once = canonical_target(target)
    if isinstance(once, CanonicalTarget):
        spelled = once.path + (f"?{once.query}" if once.query else "")
        assert canonical_target(spelled) == once


@given(_TARGETS, st.booleans())
@example("/../a?b", False)
@example("/./?b", False)
@example("/..", False)
@example("/a?b#", False)
@example("/a?_method=b", False)
def test_what_is_plain_is_spelled_as_what_is_looked_at_piece_by_piece(rest, merging):
    """An escape of a letter is the letter, but nothing with an escape in it is plain."""
    plain = canonical_target("/x" + rest, merging=merging)
    assert canonical_target("/%78" + rest, merging=merging) == plain


@given(_TARGETS)
def test_a_spelling_decodes_to_the_same_path_and_nowhere_else(target):
    outcome = canonical_target(target)
    if isinstance(outcome, CanonicalTarget):
        raw_path = target.partition("?")[0]
        assert unquote_to_bytes(outcome.path) == unquote_to_bytes(raw_path)
        decoded = unquote_to_bytes(outcome.path).decode("utf-8")
        assert not set(decoded.split("/")) & {".", ".."}
        assert "\\" not in decoded
        assert decoded.count("/") == raw_path.count("/")
        assert not any(ord(character) < 0x20 for character in decoded)


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/v1.0//me", "/v1.0/me"),
        ("/a///b//c//", "/a/b/c/"),
        ("/a//?b=//", "/a/"),
        ("/a/b", "/a/b"),
    ],
)
def test_empty_segments_inside_a_path_are_merged_where_that_is_asked_for(target, path):
    outcome = canonical_target(target, merging=True)
    assert isinstance(outcome, CanonicalTarget)
    assert outcome.path == path


@pytest.mark.parametrize(
    "target", ["//", "//evil.example/a", "///a", "/a//../b", "/a//%2e/b", "/a/%2F/b", "/.//a"]
)
def test_merging_makes_nothing_legal_that_has_two_readings(target):
    assert isinstance(canonical_target(target, merging=True), NotCanonical)


@given(_TARGETS)
@example("/a//b///c")
def test_the_merged_spelling_is_a_spelling_of_its_own(target):
    merged = canonical_target(target, merging=True)
    if isinstance(merged, CanonicalTarget):
        assert "//" not in merged.path
        spelled = merged.path + (f"?{merged.query}" if merged.query else "")
        assert canonical_target(spelled) == merged


@given(st.text(min_size=1))
def test_every_escaping_of_a_segment_has_the_same_spelling(text):
    encoded = quote(text, safe="", errors="surrogatepass")
    everything = "".join(f"%{byte:02x}" for byte in text.encode(errors="surrogatepass"))
    first, second = canonical_target(f"/{encoded}"), canonical_target(f"/{everything}")
    assert first == second


def test_a_reason_never_repeats_the_target():
    outcome = canonical_target("/hunter2/../x")
    assert isinstance(outcome, NotCanonical)
    assert "hunter2" not in outcome.reason


# --- templates


@pytest.mark.parametrize(
    ("template", "path", "matches"),
    [
        ("/v1/things/{id}", "/v1/things/7", True),
        ("/v1/things/{id}", "/v1/things/a%20b", True),
        ("/v1/things/{id}", "/v1/things/", False),
        ("/v1/things/{id}", "/v1/things/7/", False),
        ("/v1/things/{id}", "/v1/things", False),
        ("/v1/things/{id}", "/v1/Things/7", False),
        ("/v1/things/{id}", "/v1/things/7/parts", False),
        ("/v1/things/{id}", "x/v1/things/7", False),
        ("/v1/things/", "/v1/things/", True),
        ("/v1/things/", "/v1/things", False),
        ("/", "/", True),
        ("/", "/a", False),
        ("/{a}", "/", False),
        ("/{a}/{b}", "/x/y", True),
    ],
)
def test_a_template_matches_whole_segments(template, path, matches):
    assert PathTemplate(template).matches(path) is matches


@pytest.mark.parametrize(
    "template",
    [
        "",
        "v1/things",
        "/v1//things",
        "/v1/../things",
        "/v1/{id",
        "/v1/{}",
        "/v1/x{id}",
        "/v1/{id}.json",
        "/v1/{a}{b}",
        "/v1/{a}/{a}",
        "/v1/%41",
        "/v1/a b",
        "/v1/é",
        "/v1?x=1",
        "/v1/*#",
        "x/{id}",
    ],
)
def test_a_template_that_could_match_no_canonical_path_is_refused(template):
    with pytest.raises(ValueError, match=r"template|twice"):
        PathTemplate(template)


def test_the_server_as_a_whole_is_a_target_for_options_alone():
    assert canonical_target("*", "OPTIONS") == CanonicalTarget("*", "")
    assert isinstance(canonical_target("*", "GET"), NotCanonical)
    assert isinstance(canonical_target("*?x", "OPTIONS"), NotCanonical)
    operation = PathCatalog("things").operation("a.example:443", "OPTIONS", "*", "")
    assert operation.url == "https://a.example"


@pytest.mark.parametrize(
    "name",
    [
        "_method",
        "%5F%6Dethod",
        "%5fm%65thod",
        "_meth%6fd",
        "_METHOD",
        "_method[]",
        "+_method",
        "%20_method",
        "%00_method",
        "_method%5B0%5D",
    ],
)
@pytest.mark.parametrize("before", ["", "a=b&", "a;"])
def test_a_query_that_overrides_the_method_is_refused_in_every_spelling(name, before):
    assert isinstance(canonical_target(f"/a?{before}{name}=DELETE"), NotCanonical)


@pytest.mark.parametrize("query", ["method=x", "the_method=x", "_methods=x", "a=_method", "a_b=c"])
def test_other_names_with_a_method_in_them_are_no_override(query):
    assert canonical_target(f"/a?{query}") == CanonicalTarget("/a", query)
