"""What an evaluation's id is good for, and that nobody makes one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from jitgate.core.evaluations import good_until, sealed
from jitgate.values import Subject

KEY = b"k" * 32
AGENT = Subject("https://idp.example", "bot-7", frozenset(), 0.0)
UNTIL = st.integers(0, 10**12 - 1)
NAMES = st.from_regex(r"e-[0-9a-f]{1,16}", fullmatch=True)


@given(NAMES, UNTIL, st.text())
def test_it_is_good_for_what_it_was_made_for(name, until, told):
    assert good_until(KEY, sealed(KEY, name, until, AGENT, told), AGENT, told) == until


@given(NAMES, UNTIL, st.text(), st.data())
def test_and_for_nothing_else(name, until, told, data):
    made = sealed(KEY, name, until, AGENT, told)
    other = data.draw(st.text().filter(lambda each: each != told))
    assert good_until(KEY, made, AGENT, other) is None
    stranger = Subject("https://idp.example", "bot-8", frozenset(), 0.0)
    assert good_until(KEY, made, stranger, told) is None
    assert good_until(b"K" * 32, made, AGENT, told) is None
    at = data.draw(st.integers(0, len(made) - 1))
    letter = data.draw(st.characters().filter(lambda each: each != made[at]))
    assert good_until(KEY, made[:at] + letter + made[at + 1 :], AGENT, told) is None
    later = made.replace(f".{until}.", f".{until + 1}.")
    assert good_until(KEY, later, AGENT, told) is None


@given(st.text())
def test_whatever_is_brought_is_looked_at(brought):
    assert good_until(KEY, brought, AGENT, "told") is None
