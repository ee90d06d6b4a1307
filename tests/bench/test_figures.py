from __future__ import annotations

import pytest

from bench.figures import US, Goal, rows


def test_the_ratio_is_that_of_the_rounds_and_the_value_their_median():
    own, theirs = [100.0, 400.0, 300.0], [100.0, 100.0, 100.0]
    (row,) = rows("request", "µs", {US: own, "squid": theirs}, Goal(2.5, "squid"))
    assert (row.value, row.peer, row.peer_value, row.ratio) == (300, "squid", 100, 3)
    assert (row.spread, row.ratio_spread) == ((100, 400), (1, 4))


def test_a_slow_moment_that_met_both_does_not_move_the_ratio():
    (row,) = rows("request", "µs", {US: [10, 90, 11], "squid": [5, 45, 5.5]}, None)
    assert row.ratio_spread == (2, 2)


@pytest.mark.parametrize(
    ("goal", "own", "met"),
    [
        (Goal(2.5, "squid"), 250, True),
        (Goal(2.5, "squid"), 251, False),
        (Goal(0.8, "squid", least=True), 80, True),
        (Goal(0.8, "squid", least=True), 79, False),
    ],
)
def test_a_goal_beside_a_peer_bounds_the_ratio(goal, own, met):
    (row,) = rows("any", "ms", {US: [own], "squid": [100.0]}, goal)
    assert row.met is met


def test_a_goal_without_a_peer_bounds_the_value_and_peers_stand_beside_it():
    alone, beside = rows("idle", "KiB", {US: [36.0], "squid": [170.0]}, Goal(48))
    assert (alone.peer, alone.ratio, alone.goal, alone.met) == (None, None, "≤ 48 KiB", True)
    assert (beside.peer, beside.goal, beside.met) == ("squid", None, None)


def test_a_goal_is_said_in_its_own_words():
    assert Goal(2.5, "squid").text("µs") == "≤ 2.5 × squid"
    assert Goal(0.8, "squid", least=True).text("MB") == "≥ 0.8 × squid"


def test_only_the_peer_of_the_goal_is_judged():
    found = rows("request", "µs", {US: [1.0], "squid": [1.0], "nginx": [1.0]}, Goal(2.5, "squid"))
    assert {row.peer: row.met for row in found} == {"squid": True, "nginx": None}


def test_a_goal_without_its_peer_is_not_met_by_silence():
    (row,) = rows("request", "µs", {US: [1.0]}, Goal(2.5, "squid"))
    assert (row.goal, row.met) == ("≤ 2.5 × squid", None)


def test_a_row_whose_record_is_not_whole_meets_no_goal():
    (row,) = rows("request", "µs", {US: [1.0], "squid": [1.0]}, Goal(2.5, "squid"), "3 are missing")
    assert (row.met, row.failed) == (False, "3 are missing")
