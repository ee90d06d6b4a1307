"""What a call is counted as, and how it is told that there is no room."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitgate.core.budgets import charges, longest, spent, told, windows
from jitgate.values import Budget, Charge, Operation, Per, Spent, Subject

DROP = Operation("okta", "deleteUser", {"userId": "1"}, "DELETE", "acme.okta.com:443", "/users/1")
AGENT = Subject("https://idp.example", "ada", frozenset(), 1e9, agent="program")


def key(per=Per.SUBJECT, subject=AGENT, operation=DROP, **changes):
    budget = replace(Budget("few", 5, 3600.0, per), **changes)
    (charge,) = charges([budget], subject, operation)
    return charge.key


@pytest.mark.parametrize("per", list(Per))
def test_a_count_is_named_by_the_rule_and_by_whom_alone(per):
    assert key(per) == key(per, uses=9) == key(per, within=60.0)
    assert key(per) != key(per, rule="other")
    others = replace(AGENT, groups=frozenset({"a"}), humans=("bob",), session="s", expires_at=2e9)
    assert key(per) == key(per, subject=others)
    elsewhere = replace(DROP, action="x", resource={}, path="/x", authority="other:443")
    assert key(per) == key(per, operation=elsewhere)


def test_no_two_counts_share_a_name():
    keys = [
        *(key(per) for per in Per),
        key(subject=replace(AGENT, id="bob")),
        key(subject=replace(AGENT, issuer="https://other.example")),
        key(Per.AGENT, subject=replace(AGENT, agent="other")),
        key(Per.AGENT, subject=replace(AGENT, agent=None)),
        key(Per.TARGET, operation=replace(DROP, target="entra")),
        key(rule='few", "subject'),
    ]
    assert len(set(keys)) == len(keys)


def test_of_a_subject_that_names_no_program_it_is_the_program():
    alone, acting = replace(AGENT, id="program", agent=None), replace(AGENT, agent="program")
    assert key(Per.AGENT, subject=alone) == key(Per.AGENT, subject=acting)


@given(st.floats(0, 1e10), st.floats(0.001, 1e7), st.floats(0, 1e10))
def test_it_is_full_exactly_until_it_says(last, within, now):
    charge = Charge("k", 1, within)
    full = spent(charge, last, now)
    assert (full is not None) == (now < last + within)
    if full is not None:
        assert spent(charge, last, full.until) is None


def test_what_was_never_taken_so_often_has_room():
    assert spent(Charge("k", 1, 60.0), None, 0.0) is None


def test_the_longest_of_several():
    one, other = (Spent(Charge(name, 1, 60.0), until) for name, until in (("a", 5.0), ("b", 9.0)))
    assert longest([one, None, other]) == other
    assert longest([None]) is None


def test_a_use_is_kept_for_the_longest_window():
    found = windows([Charge("a", 1, 60.0), Charge("a", 9, 600.0), Charge("b", 1, 5.0)])
    assert found == {"a": 600.0, "b": 5.0}


@pytest.mark.parametrize(
    ("budget", "says"),
    [
        (Budget("r", 5, 3600.0), "At most 5 calls in 1 h for this subject; room again at 9."),
        (Budget("r", 1, 90.0, Per.ALL), "At most 1 call in 90 s for all agents together; room"),
        (Budget("r", 2, 86400.0, Per.TARGET), "At most 2 calls in 1 d for this target; room"),
        (Budget("r", 2, 5400.0, Per.AGENT), "At most 2 calls in 90 min for this agent; room"),
        (Budget("r", 2, 0.5), "At most 2 calls in 0.5 s for this subject; room"),
    ],
)
def test_it_is_told_in_a_sentence(budget, says):
    assert told(budget, "9").startswith(says)
