from __future__ import annotations

from pathlib import Path

import pytest

from bench.record import compared, lacking
from jitgate.stores.reading import Kept


def entries(*ids, masks=None):
    for each in ids:
        yield Kept("log", {"type": "decision", "exchange": each, "effect": "permit", "rule": "one"})
        yield Kept(
            "log",
            {
                "type": "outcome",
                "exchange": each,
                "outcome": "completed",
                "status": 200,
                "masks": masks or {},
            },
        )


def changed(place, **fields):
    found = list(entries("a", "b"))
    found[place] = Kept("log", {**found[place].content, **fields})
    return found


def test_a_whole_record_lacks_nothing():
    assert compared(entries("a", "b"), 2, {}) is None
    assert compared(entries("a", "b", masks={"bench": 1}), 2, {"bench": 1}) is None


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (list(entries("a", "b"))[:3], "1 outcomes"),
        (list(entries("a", "b"))[1:], "1 decisions"),
        (list(entries("a")), "1 decisions"),
        (list(entries("a", "b", "c")), "3 decisions"),
        (list(entries("a", "a")), "1 permitted"),
        (changed(2, exchange="c"), "2 without the other entry"),
        (changed(2, effect="deny"), "1 without the other entry"),
        (changed(2, rule=None), "1 without the other entry"),
        (changed(3, outcome="truncated"), "1 without the other entry"),
        (changed(3, status=403), "1 without the other entry"),
        (changed(3, masks={"bench": 1}), "1 masked"),
    ],
)
def test_what_is_missing_is_said(found, says):
    assert says in compared(found, 2, {})


def test_a_mask_that_did_not_act_is_missing():
    assert "0 masked" in compared(entries("a"), 1, {"bench": 1})


def test_it_is_read_by_the_reader_of_recordings():
    vector = Path(__file__).parents[1] / "vectors" / "recording"
    assert "of 100000 requests the record has" in lacking(vector, 100_000, {})
