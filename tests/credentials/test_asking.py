"""Which of many may be had is found by few questions, whatever may be had."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitgate.credentials.asking import had


class Counter:
    """Has some of many, and counts how often it is asked for them."""

    def __init__(self, has):
        self.has = has
        self.asked = []

    async def ask(self, several):
        assert several
        self.asked.append(tuple(several))
        return self.has.issuperset(several)


def result(wanted, counter, first):
    """What is found, where nothing waits."""
    story = had(wanted, counter.ask, first=first)
    with pytest.raises(StopIteration) as ended:
        story.send(None)
    return ended.value.value


@given(st.lists(st.booleans(), max_size=150), st.integers(0, 200))
def test_what_may_be_had_is_found_with_two_questions_for_each_at_most(may, first):
    wanted = [f"s{number}" for number in range(len(may))]
    counter = Counter({each for each, so in zip(wanted, may, strict=True) if so})
    assert result(wanted, counter, first) == counter.has
    assert len(counter.asked) <= 2 * len(wanted)
    assert len(set(counter.asked)) == len(counter.asked)


WANTED = [f"s{number}" for number in range(109)]


@pytest.mark.parametrize(
    ("missing", "first", "questions"),
    [
        (set(), 109, 1),
        (set(), 1, 7),
        ({"s54"}, 109, 16),
        (set(WANTED), 1, 109),
        (set(WANTED[::2]), 109, 2 * 109),
        (set(WANTED[1::2]), 1, 2 * 109),
    ],
)
def test_the_usual_cases_take_few(missing, first, questions):
    counter = Counter(set(WANTED) - missing)
    assert result(WANTED, counter, first) == counter.has
    assert len(counter.asked) <= questions
