"""Searching for many patterns at once: whatever Python's own `re` finds is found."""

import json
import re
import sys
import threading

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jitgate.core.globs import globs_matcher
from jitgate.core.json_search import APART, FEW, HAS_HYPERSCAN, MOST, Search, name_pattern

CASELESS = re.IGNORECASE | re.DOTALL

WAYS = pytest.mark.parametrize(
    "portable",
    [
        pytest.param(
            False, marks=pytest.mark.skipif(not HAS_HYPERSCAN, reason="no wheels of Hyperscan here")
        ),
        True,
    ],
)


def agrees(search, portable, patterns, data):
    """Hold what is found against Python: every kind, and the end of each of its finds."""
    ends = {
        (kind, found.end()) for kind, pattern in patterns for found in re.finditer(pattern, data)
    }
    found = search.find(data)
    if portable:
        assert found == (None if ends else [])
    else:
        assert {kind for kind, _ in found} == {kind for kind, _ in ends}
        assert ends <= set(found)


PATTERNS = (
    (0, rb'"password"'),
    (0, rb'"pass[^"\\]{0,3}"'),
    (1, rb"[0-9](?:[ -]?[0-9]){3}(?:[^0-9]|$)"),
    (2, rb"(?i:bearer)(?:[ +]|%20)"),
    (3, rb"ab?c|\x80[\x81-\xff]"),
)

DATA = [
    b"",
    b"{}",
    b'{"password":1}',
    b'"pass12" "pass1234"',
    b"1234",
    b"12-34 x",
    b"12--34",
    b"BeArEr x bearer%20y bearery",
    b"abcac\x80\xff\x80\x80",
    b"\x00\n\xff",
]


@WAYS
@pytest.mark.parametrize("data", DATA)
def test_what_python_finds_is_found(portable, data):
    agrees(Search(PATTERNS, portable=portable), portable, PATTERNS, data)


atoms = st.sampled_from(
    [b"a", b"b", b"[ab]", b"[^a]", b'"', b"\\\\", b"\\x80", b"[\\x80-\\xff]", b"(?i:k)", b" "]
)
repeats = st.sampled_from([b"", b"", b"?", b"*", b"+", b"{2}", b"{1,3}"])
pieces = st.tuples(atoms, repeats).map(b"".join)
expressions = st.tuples(atoms, st.lists(pieces, max_size=4).map(b"".join)).map(b"".join)
texts = st.lists(
    st.sampled_from([b"a", b"b", b"k", b"K", b'"', b"\\", b"\x80", b"\xff", b" ", b"\n"]),
    max_size=30,
).map(b"".join)


@given(written=st.lists(st.tuples(st.integers(0, 3), expressions), max_size=5), data=texts)
def test_no_pattern_is_missed(written, data):
    for portable in [True, False] if HAS_HYPERSCAN else [True]:
        agrees(Search(written, portable=portable), portable, written, data)


@WAYS
@pytest.mark.parametrize("pattern", [b"(", b"a*", b"", b"(?=a)", rb"\1", b"a{2000}"])
def test_what_is_no_pattern_or_is_found_everywhere_is_refused(portable, pattern):
    with pytest.raises(ValueError):
        Search([(0, b"x"), (1, pattern)], portable=portable)


def test_what_is_too_much_for_hyperscan_is_left_to_re2():
    many = [(0, b"x" * 20_000), (1, b"a")]
    assert Search(many).find(b"bab") is None
    assert Search(many).find(b"bbb") == []


@WAYS
def test_what_is_too_much_for_both_is_refused(portable):
    with pytest.raises(ValueError, match="40 patterns are too much"):
        Search([(0, b"%d" % each + b"x" * 20_000) for each in range(40)], portable=portable)


@WAYS
def test_without_patterns_nothing_is_found(portable):
    assert Search([], portable=portable).find(b"anything") == []


def test_of_very_many_finds_it_is_only_told_that_there_are_some():
    search = Search([(0, b"a")])
    for size, most in ((100 * APART, 100 + FEW), (2 * MOST * APART, MOST)):
        assert search.find((b"a" * (most + 1)).ljust(size)) is None
        if HAS_HYPERSCAN:
            assert len(search.find((b"a" * most).ljust(size))) == most


def test_of_more_than_can_be_looked_at_it_is_told_that_there_is_something():
    """Hyperscan would take the length for what is left of it in 32 bits."""

    class Large(bytes):
        def __len__(self):
            return 2**32 + 1

    assert Search([(0, b"b")]).find(Large(b"aa")) == (None if HAS_HYPERSCAN else [])


@pytest.fixture
def _hurried():
    """Threads that take turns as often as they can: within a search too, at each of its finds."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@WAYS
@pytest.mark.usefixtures("_hurried")
def test_several_threads_search_at_once(portable):
    search, right = Search([(0, b"needle"), (1, b"[0-9]{3}x")], portable=portable), []
    begun = threading.Barrier(4)

    def look(number):
        data = b"12 needle".ljust(APART) * (2000 * number)
        begun.wait()
        for _ in range(20):
            found = search.find(data)
            if portable:
                right.append((found is None) is (number > 0))
            else:
                right.append(len(found) == 2000 * number)

    threads = [threading.Thread(target=look, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert right == [True] * 80


# --- names

SHORT = {"/": "\\/", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def writings(character):
    """The character as it can be written in a string of JSON, without digits where it can."""
    if character in '"\\':
        return [f"\\{character}"]
    plain = [] if character < " " or "\ud800" <= character <= "\udfff" else [character]
    short = [SHORT[character]] if character in SHORT else []
    return plain + short or [json.dumps(character)[1:-1]]


def fits(pattern, raw):
    """Whether a pattern is found up to the end of the name, behind others."""
    data = b'{"other":"x",' + raw + b":1}"
    found = Search([(7, pattern)]).find(data)
    return found is None or (7, data.index(raw) + len(raw)) in found


ALIKE = re.findall("[\0-\x7f]", "".join(map(chr, range(0x110000))), re.IGNORECASE)
"""All characters that Python takes for one of ASCII."""


@pytest.mark.parametrize("letter", sorted({*map(chr, range(128))} - {*"*?"}))
def test_whatever_python_takes_for_a_character_is_looked_for(letter):
    matches, pattern = globs_matcher([letter], CASELESS), name_pattern(letter)
    taken = [each for each in ALIKE if matches(each)]
    assert letter in taken
    for each in taken:
        for written in writings(each):
            assert re.search(pattern, f'"{written}"'.encode())


some = st.sampled_from(list('aAbkKsSiI/\\"\n \u017f\u212a\u0130\u0131é€\U0001f600\ud800_-.7'))
names = st.lists(some, max_size=8).map("".join)
globs = st.lists(
    st.sampled_from(list('abkKsi/\\"\n é*?*?_-.7')) | some, min_size=1, max_size=6
).map("".join)


@given(glob=globs, name=names, data=st.data())
@example("*secret", "", None)
def test_no_name_that_fits_a_glob_is_missed(glob, name, data):
    pattern = name_pattern(glob)
    if data is None or pattern is None:
        return
    name = data.draw(st.just(name) | fitting(glob))
    raw = "".join(data.draw(st.sampled_from(writings(character))) for character in name)
    if globs_matcher([glob], CASELESS)(name):
        assert fits(pattern, f'"{raw}"'.encode())


@st.composite
def fitting(draw, glob):
    """A name that surely fits."""
    parts = []
    for character in glob:
        if character == "*":
            parts.append(draw(names))
        else:
            parts.append(draw(some) if character == "?" else draw(alike(character)))
    return "".join(parts)


def alike(character):
    others = {"s": "sS\u017f", "k": "kK\u212a", "i": "iI\u0130\u0131"}.get(character.lower())
    return st.sampled_from(others or sorted({character, character.lower()}))


@pytest.mark.parametrize(
    ("glob", "raw"),
    [
        ("a*b", r'"a\n\"\\b"'),
        ("a*", r'"a\"b"'),
        ("a*", r'"a\u00e9"'),
        ("*a*b", r'"\\a\/b"'),
        ("a?b", r'"a\"b"'),
        ("a?b", r'"a\/b"'),
        ("a?b", r'"a\ud83d\ude00b"'),
        ("a?b", '"a\U0001f600b"'),
        ("a/b", r'"a\/b"'),
        ('a"b', r'"a\"b"'),
        ("é\n", r'"\u00c9\n"'),
    ],
)
def test_a_name_is_found_however_it_is_written(glob, raw):
    assert globs_matcher([glob], CASELESS)(json.loads(raw))
    assert fits(name_pattern(glob), raw.encode())


@pytest.mark.parametrize("glob", ["", "*", "**", "?", "*?*", "é*", "\U0001f600", "s" * 129])
def test_what_would_be_found_everywhere_is_not_looked_for(glob):
    assert name_pattern(glob) is None


@pytest.mark.parametrize(
    ("glob", "name"),
    [
        ("password", b'"passwords"'),
        ("password", b'"xpassword"'),
        ("*secret", b'"secrets"'),
        ("secret*", b'"asecret"'),
        ("a*b", b'"axc","b"'),
    ],
)
def test_other_names_are_mostly_left(glob, name):
    assert Search([(0, name_pattern(glob))]).find(name) == []
