import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitgate.core.visible import body_lines, laid_out, size, visible

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@given(st.text())
def test_what_is_visible_is_printable_and_what_was_printable_stays(text):
    assert visible(text).isprintable()
    assert not (text.isprintable() and text.isascii()) or visible(text) == text
    assert visible(visible(text)) == visible(text)


@pytest.mark.parametrize(
    "char", ["\u3164", "\u115f", "\u2800", "\ufe0f", "\u034f", "\U000e0041", "\U000e0100", "\u200b"]
)
def test_what_python_calls_printable_and_nobody_sees_is_an_escape(char):
    assert visible(f"a{char}b") == f"a{char.encode('unicode_escape').decode()}b"


def test_marks_are_not_piled_up():
    assert visible("e\u0323\u0301") == "e\u0323\u0301"
    assert visible("e" + "\u0301" * 4) == "e\u0301\u0301" + "\\u0301" * 2
    assert visible("\u0301e") == "\\u0301e"


@given(json_values, st.booleans())
def test_json_laid_out_is_the_same_json(value, ascii_only):
    text = json.dumps(value, ensure_ascii=ascii_only)
    assert json.loads("\n".join(laid_out(text))) == value


@given(json_values)
def test_json_is_laid_out_as_everybody_does(value):
    expected = json.dumps(value, indent=2)
    assert "\n".join(laid_out(json.dumps(value))) == expected


def test_numbers_stay_as_they_were_written():
    assert body_lines(b'{"a":1.10,"b":1e400,"a":9007199254740993}') == [
        "{",
        '  "a": 1.10,',
        '  "b": 1e400,',
        '  "a": 9007199254740993',
        "}",
    ]


@given(st.binary())
def test_any_body_has_printable_lines(data):
    assert all(line.isprintable() for line in body_lines(data))


def test_a_body_that_is_nested_without_end_is_shown_as_it_is():
    assert body_lines(b"[" * 100_000) == ["[" * 100_000]


def test_json_that_nests_deep_is_not_laid_out_to_many_times_its_size():
    body = b"[" * 500 + b"1," * 10_000 + b"1" + b"]" * 500
    assert body_lines(body) == [body.decode()]
    assert len(body_lines(b"[" * 20 + b"]" * 20)) == 39


def test_a_line_ends_with_a_line_feed_and_what_else_may_end_one_is_seen():
    assert body_lines("a\r\nb\u2028c\x0bd\n".encode()) == ["a\\r", "b\\u2028c\\x0bd"]
    assert body_lines(b"") == []


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 bytes"), (1, "1 byte"), (1023, "1023 bytes"), (1024, "1.0 KiB"), (5 << 20, "5.0 MiB")],
)
def test_sizes_are_said_for_people(count, words):
    assert size(count) == words
