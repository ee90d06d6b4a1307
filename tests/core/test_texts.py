"""Plain text: by detectors, line by line; keys as one; JSON as JSON, whatever it is called."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.masking import FOUND, KEY, VALUE, Detector, cut, cuts, hiding, names, whole

from jitgate.core.json_grammar import LONGEST_VIEWED
from jitgate.core.key_bounds import Keys
from jitgate.core.texts import SURE, TextMasker
from jitgate.errors import MaskingFault
from jitgate.maskers.detectors import DetectorMasker
from jitgate.maskers.paths import PathMasker

STARS = "*" * 16
PIECES = [
    FOUND,
    KEY,
    "plain",
    " ",
    "\n",
    "\r\n",
    "\n\n",
    "{",
    '{"secret": 1}',
    "[1]",
    "\u4e2d",
    "-",
]


def shown(text, places=()):
    return whole(TextMasker(hiding()), cut(text.encode(), places)).decode()


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join), cuts)
def test_however_it_is_cut_what_is_found_is_hidden_and_all_else_is_as_it_was(text, places):
    masked = shown(text, places)
    assert masked == shown(text)
    assert FOUND not in masked
    assert KEY not in masked
    if '"secret"' not in text:
        assert masked == text.replace(FOUND, STARS).replace(KEY, STARS)


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"])), cuts)
def test_text_in_which_nothing_is_found_stays(text, places):
    assert shown(text, places) == text


def test_a_line_goes_as_soon_as_it_is_whole():
    masker = TextMasker(hiding())
    assert masker.feed(b"one\ntwo") == b"one\n"
    assert masker.feed(f" {FOUND}\nthr".encode()) == f"two {STARS}\n".encode()
    assert masker.finish() == b"thr"


def test_a_key_is_held_until_its_end_and_told_where_it_stands():
    maskers = hiding()
    masker = TextMasker(maskers)
    first, *others = f"a\nb {KEY} c\nd\n".encode().splitlines(keepends=True)
    assert masker.feed(first) == b"a\n"
    assert [masker.feed(line) for line in others] == [
        b"",
        b"",
        b"",
        f"b {STARS} c\n".encode(),
        b"d\n",
    ]
    (hit,) = maskers.hand.hits
    assert (hit.rule, hit.path, hit.digest) == ("detector/key", "line 2", f"{len(KEY)}")


KINDS_OF_KEYS = [
    "-----{} PRIVATE KEY-----",
    "-----{} RSA PRIVATE KEY-----",
    "-----{} OPENSSH PRIVATE KEY-----",
    "-----{} PGP PRIVATE KEY BLOCK-----",
    "-----{} PGP SECRET KEY BLOCK-----",
    "---- {} SSH2 ENCRYPTED PRIVATE KEY ----",
]


@pytest.mark.parametrize("mark", KINDS_OF_KEYS)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_each_kind_of_key_is_looked_at_as_one(mark, end):
    lines = ["before", mark.format("BEGIN"), "HuSh1", "HuSh2", mark.format("END"), "after", ""]
    maskers = hiding(DetectorMasker("d", ["private-key"]))
    masked = whole(TextMasker(maskers), cut(end.join(lines).encode(), range(0, 200, 7)))
    assert masked.decode() == end.join(["before", STARS, "after", ""])
    assert maskers.counts == {"d/private-key": 1}


BOUNDS = [mark.format(word) for mark in KINDS_OF_KEYS for word in ("BEGIN", "END")]


@given(
    st.lists(
        st.sampled_from([*BOUNDS, "\n", "\n", "x", "-", " ", "BEGIN", "-----END PRIVATE KEY"]),
        max_size=12,
    )
)
def test_a_key_is_open_exactly_where_the_detector_finds_its_end_later(pieces):
    text, keys = "".join(pieces), Keys()
    for line in text.split("\n"):
        keys.read(line)
    spans = DetectorMasker("d", ["private-key"]).spans(f"{text}\nHuSh")
    assert keys.is_open is any(span.end == len(text) + 5 for span in spans)


@given(
    st.integers(SURE - 40, SURE + 40) | st.integers(0, 100),
    st.sampled_from(["", "]", "}", ',{"b":"' + FOUND + '"}]', " and so on"]),
    cuts,
)
def test_what_may_be_json_is_masked_as_the_one_or_the_other_however_it_is_cut(size, end, places):
    text = f'\n [{{"client_secret":"{VALUE}","a":"{"x" * size}"}}{end}'
    outcomes = []
    for pieces in (cut(text.encode(), places), [text.encode()]):
        try:
            outcomes.append(whole(TextMasker(hiding()), pieces).decode())
        except MaskingFault:
            outcomes.append("a fault")
    assert outcomes[0] == outcomes[1]
    if end.endswith("]"):
        assert outcomes[0] == text.replace(VALUE, STARS).replace(FOUND, STARS)
    elif size < SURE - 200:  # it is text then
        assert outcomes[0] != "a fault"


def test_json_is_masked_by_its_names_where_nothing_could_look_at_text():
    maskers = hiding(names())
    data = json.dumps({"secret": VALUE}, indent=1).encode()
    assert VALUE.encode() not in whole(TextMasker(maskers), [data])
    assert maskers.counts == {"names": 1}
    assert [hit.path for hit in maskers.hand.hits] == ["$['secret']"]


def test_a_line_that_is_json_is_masked_as_a_body_would_be_paths_as_well():
    maskers = hiding(PathMasker("p", ["$.pin", "$[0]"]), Detector())
    text = 'first\n{"pin":"x","a":1}\r\n["x",2]\n{"b":{"pin":1}}\n'
    masked = whole(TextMasker(maskers), [text.encode()]).decode()
    assert masked == text.replace('"x"', f'"{STARS}"')
    assert [hit.path for hit in maskers.hand.hits] == ["line 2 $['pin']", "line 3 $[0]"]


QUOTED = json.dumps(json.dumps({"client_secret": VALUE}))


@pytest.mark.parametrize("text", [QUOTED, f"a\n{QUOTED}\nb", f" \n{QUOTED}"])
def test_a_text_of_json_that_holds_json_is_masked(text):
    for places in ((), range(0, 80, 3)):
        assert shown(text, places) == text.replace(VALUE, STARS)


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
@pytest.mark.parametrize(
    "before",
    [
        "a",
        "-----BEGIN PRIVATE" + " KEY-----",
        '{"a":"-----BEGIN PRIVATE KEY-----"}',
        '{"secret":2}',
    ],
)
def test_a_line_of_json_is_masked_however_lines_end_and_in_what_may_be_a_key(before, end):
    lines = [before, '{"secret":1}', "b", '{"secret":1} ', ""]
    masked = end.join(lines).replace(":1}", ":0}").replace(":2}", ":0}")
    for places in ((), range(0, 120, 2)):
        assert shown(end.join(lines), places) == masked


@given(st.lists(st.sampled_from(["\n", "\r\n", " ", "x\n"]), max_size=6).map("".join), cuts)
def test_the_line_that_is_told_does_not_depend_on_the_cut(before, places):
    maskers = hiding()
    whole(TextMasker(maskers), cut(f"{before}{FOUND}\n".encode(), places))
    assert [hit.path for hit in maskers.hand.hits] == [f"line {1 + before.count(chr(10))}"]


@pytest.mark.parametrize("text", ["secret: hunter2", "[a", '{"secret": "hunter2"', '{"a":1} x'])
def test_text_at_which_nobody_looks_is_withheld(text):
    with pytest.raises(MaskingFault, match="no detector"):
        whole(TextMasker(hiding(names())), [text.encode()])


def test_white_space_alone_needs_nobody():
    assert whole(TextMasker(hiding(names())), [b" \r", b"\n"]) == b" \r\n"


@pytest.mark.parametrize(
    "data", [b"\x1f\x8b\x08\x00abc", b"a\0b", b"\xff", b"a\n\xc3", b"MZ\x01", b"\xed\xa0\x80"]
)
def test_what_is_no_text_is_withheld(data):
    with pytest.raises(MaskingFault) as fault:
        whole(TextMasker(hiding()), [data])
    assert fault.value.__cause__ is None


@pytest.mark.parametrize("begin", ["", KEY[:30] + "\n"])
def test_a_line_or_a_key_without_an_end_is_given_up(begin):
    masker = TextMasker(hiding())
    with pytest.raises(MaskingFault, match="more than"):  # noqa: PT012 (whenever it is too much)
        for _ in range(LONGEST_VIEWED // 60_000 + 2):
            masker.feed((begin or "x").encode() + b"x" * 60_000 + (b"\n" if begin else b""))
