"""What is known from outside: JSON of bounded size, that nobody changes, and that hides secrets."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitgate.core.facts import (
    DEEPEST_FACTS,
    LARGEST_FACTS,
    MOST_FACTS,
    SHOWN_TEXT,
    SHOWN_VALUES,
    Known,
    frozen,
    shown,
)
from jitgate.errors import FactsUnknown

texts = st.text(st.characters(codec="utf-8"), max_size=20)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
)
answers = st.dictionaries(
    texts,
    st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
        max_leaves=20,
    ),
    max_size=5,
)


def thawed(value):
    if isinstance(value, Mapping):
        return {name: thawed(each) for name, each in value.items()}
    return [thawed(each) for each in value] if isinstance(value, tuple) else value


def unchangeable(value):
    if isinstance(value, Mapping):
        return type(value) is MappingProxyType and all(map(unchangeable, value.values()))
    return not isinstance(value, list) and (
        not isinstance(value, tuple) or all(map(unchangeable, value))
    )


@given(answers)
def test_what_is_taken_is_the_same_and_can_be_changed_by_nobody(answer):
    taken = frozen(answer)
    assert thawed(taken) == answer
    assert unchangeable(taken)
    orjson.dumps(shown(taken))


def test_whoever_told_it_cannot_change_it_afterwards():
    told = {"people": ["alice"], "ticket": {"open": False}}
    taken = frozen(told)
    told["people"].append("mallory")
    told["ticket"]["open"] = True
    assert thawed(taken) == {"people": ["alice"], "ticket": {"open": False}}


class Chatty(str):
    """A text that is equal to everything."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other):
        return True


def nested(depth):
    answer = {}
    for _ in range(depth):
        answer = {"in": answer}
    return answer


@pytest.mark.parametrize(
    "nonsense",
    [
        None,
        True,
        [],
        "open",
        {1: "a"},
        {"a": b"bytes"},
        {"a": {1, 2}},
        {"a": object()},
        {"a": float("nan")},
        {"a": float("inf")},
        {"a": 2**63},
        {"a": "\ud800"},
        {"\ud800": "a"},
        {"a": Chatty("open")},
        {Chatty("a"): "open"},
        {"a": "x" * (LARGEST_FACTS + 1)},
        {"a": ["x"] * MOST_FACTS},
        nested(DEEPEST_FACTS + 1),
    ],
    ids=lambda each: repr(each)[:40],
)
def test_what_is_no_json_or_too_large_is_not_taken_and_not_told(nonsense):
    with pytest.raises(FactsUnknown) as caught:
        frozen(nonsense)
    assert len(str(caught.value)) < 80


def test_what_is_just_small_enough_is_taken():
    frozen({"a": "x" * (LARGEST_FACTS - 1)})
    frozen({"a": ["x"] * (MOST_FACTS - 2)})
    frozen(nested(DEEPEST_FACTS - 1))


def test_records_hold_what_was_known_how_old_it_is_and_what_was_missing():
    known = Known(
        {"ticket": frozen({"open": True})}, {"ticket": 90.0}, {"on-call": "late"}
    ).described(91.5)
    assert known == {
        "ticket": {"seconds": 1.5, "known": {"open": True}},
        "on-call": {"missing": "late"},
    }


def test_what_sounds_secret_is_not_shown():
    facts = frozen({"api_key": "k-1", "of": {"password": "hunter2", "tokens": ["t-1", "t-2"]}})
    assert shown(facts) == {"api_key": "***", "of": {"password": "***", "tokens": "***"}}


@given(st.integers(0, 200), st.integers(0, 3), st.booleans())
def test_a_record_holds_no_more_than_so_much(count, depth, as_list):
    text = "x" * 300
    many = [text] * count if as_list else {f"n{n}": text for n in range(count)}
    for _ in range(depth):
        many = [many, text]
    told = orjson.dumps(shown(frozen({"all": many})))
    assert len(told) < (SHOWN_VALUES + DEEPEST_FACTS) * (SHOWN_TEXT + 20)
