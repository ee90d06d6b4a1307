import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitgate.cli.columns import UNBOUNDED, labelled, quoted, table
from jitgate.cli.moments import span
from jitgate.core.columns import wrapped


@given(st.text(), st.integers(-5, 60))
def test_a_wrapped_text_is_the_same_text_and_fits(text, columns):
    pieces = list(wrapped(text, columns))
    assert "".join(pieces) == text
    assert all(len(piece) <= max(columns, 20) for piece in pieces)
    assert all(pieces) or not text


def test_it_is_broken_behind_a_space_where_there_is_one():
    assert list(wrapped("one two three four five six", 20)) == ["one two three four ", "five six"]
    assert list(wrapped("x" * 25, 20)) == ["x" * 20, "x" * 5]
    assert list(wrapped("x" * 9000, UNBOUNDED)) == ["x" * 9000]


def test_wide_characters_take_two_columns():
    assert list(wrapped("漢" * 15, 20)) == ["漢" * 10, "漢" * 5]
    assert list(table([("漢", "b"), ("aa", "b")])) == ["漢  b", "aa  b"]


@given(st.text(alphabet=st.characters(exclude_categories=["C", "Z"]), min_size=1))
def test_what_others_wrote_never_begins_at_the_left_edge(text):
    for line in (*labelled("why", text, 40), *quoted(text, 40)):
        assert line.startswith("  ")
        assert len(line) <= 40
    first, *rest = labelled("why", text, 40)
    assert first.startswith("  why  ")
    assert all(line.startswith(" " * 15) for line in rest)
    assert all(line.startswith("  | ") for line in quoted(text, 40))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-3, "0 s"), (0.4, "0 s"), (59.6, "1 min"), (60, "1 min"), (90, "1 min 30 s"),
     (3600, "1 h"), (3725, "1 h 2 min"), (86405, "1 d"), (180_000, "2 d 2 h")],
)  # fmt: skip
def test_a_span_is_told_in_its_largest_unit_and_the_next(seconds, words):
    assert span(seconds) == words
