import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitgate.core.durations import duration, written


@given(st.integers(0, 10**9))
def test_a_span_that_is_written_is_read_as_it_was(millis):
    assert duration(written(millis / 1000)) == millis / 1000


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.5, "500ms"), (90, "90s"), (300, "5m"), (3600, "1h"), (604_800, "7d"), (90.5, "90500ms")],
)
def test_it_is_written_in_its_largest_whole_unit(seconds, text):
    assert written(seconds) == text
