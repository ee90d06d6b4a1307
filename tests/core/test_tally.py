"""What is counted: sums over processes and their lives, and never more series than it may."""

from hypothesis import given
from hypothesis import strategies as st

from jitgate.core.tally import (
    COMMIT_SECONDS,
    ENTRIES,
    FAMILIES,
    MOST,
    OTHER,
    STAGE_SECONDS,
    Sums,
    Tally,
    summed,
)


def test_a_histogram_counts_in_the_first_bucket_that_holds_it():
    tally = Tally()
    for seconds in (0.0001, 0.0002, 1e9, -5.0):
        tally.took(COMMIT_SECONDS, seconds)
    row = dict(tally.rows())[(COMMIT_SECONDS.name,)]
    assert row[0] == 1e9 + 0.0003  # what a clock set back says is nothing
    assert (row[1], row[2], row[-1], sum(row[1:])) == (2, 1, 1, 4)


def test_a_timer_counts_as_its_labels_do():
    tally = Tally()
    timer = tally.timer(STAGE_SECONDS, "policy")
    timer(0.002)
    tally.took(STAGE_SECONDS, 0.002, "policy")
    timer(-1.0)
    row = dict(tally.rows())[STAGE_SECONDS.name, "policy"]
    assert (row[0], row[1], sum(row[1:])) == (0.004, 1, 3)


def test_news_are_what_has_changed():
    tally = Tally()
    list(tally.news())
    tally.add(ENTRIES, "decision")
    assert [*tally.news()] == [((ENTRIES.name, "decision"), [1.0])]
    assert [*tally.news()] == []


def test_there_are_never_more_series_than_there_may_be():
    tally = Tally()
    for number in range(MOST + 100):
        tally.add(ENTRIES, f"{number}")
    rows = dict(tally.rows())
    assert len(rows) == MOST + 1
    assert rows[ENTRIES.name, OTHER][0] == 100 + len([f for f in FAMILIES if not f.labels])


@given(st.lists(st.sampled_from(["a", "b", "tell", "die"])))
def test_what_a_process_has_counted_stays_counted_over_all_its_lives(steps):
    tally, heard, counted, told = Tally(), Sums(), {"a": 0, "b": 0}, {"a": 0, "b": 0}
    for step in steps:
        if step == "tell":
            heard.hear(tally.news())
            told.update(counted)
        elif step == "die":
            heard.end()
            tally, counted = Tally(), dict(told)  # what was not told is lost
        else:
            tally.add(ENTRIES, step)
            counted[step] += 1
    rows = dict(heard.rows())
    assert {name: rows.get((ENTRIES.name, name), [0])[0] for name in "ab"} == told


def test_two_are_added_up():
    one, two = Tally(), Tally()
    one.took(COMMIT_SECONDS, 0.5)
    two.took(COMMIT_SECONDS, 0.5)
    two.add(ENTRIES, "reload")
    total = summed(one.rows(), two.rows())
    assert total[COMMIT_SECONDS.name,][0] == 1.0
    assert sum(total[COMMIT_SECONDS.name,][1:]) == 2
    assert total[ENTRIES.name, "reload"] == [1.0]
