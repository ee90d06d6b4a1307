"""The soak's judgement: what grows is found, and so is whatever nothing explains."""

import random

import pytest

from soak.judging import (
    MIB,
    ROOM,
    Answered,
    Ends,
    Explains,
    Look,
    Trouble,
    Window,
    explained,
    growths,
    lacking,
)
from soak.shown import picture, sparkline, text

USUAL = {
    "memory": 90 * MIB,
    "descriptors": 30,
    "deferreds": 60,
    "coroutines": 2,
    "objects": 40_000,
}


def looks(count=30, pid=7, leak=None, each=0.0):
    """As a gateway is that warms up, keeps some things for a while, and perhaps leaks."""
    chance = random.Random(1)
    found = []
    for number in range(count):
        what = {
            name: value * (min(number + 1, 4) / 4) * chance.uniform(1.0, 1.3)
            for name, value in USUAL.items()
        }
        if leak is not None:
            what[leak] += number * each
        found.append(Look(60.0 * number, pid, what))
    return found


def growing(found):
    return [each.quantity for each in growths(found, {7: "worker"}) if not each.is_flat]


def test_what_warms_up_and_comes_and_goes_is_flat():
    assert growing(looks()) == []
    assert {each.quantity for each in growths(looks(), {})} == set(ROOM)


@pytest.mark.parametrize(
    ("leak", "each"),
    [("memory", MIB), ("descriptors", 1), ("deferreds", 10), ("coroutines", 10), ("objects", 1000)],
)
def test_a_leak_is_found(leak, each):
    assert growing(looks(leak=leak, each=each)) == [leak]


def test_whoever_was_looked_at_too_seldom_says_nothing():
    assert growths(looks(7), {}) == []
    assert growths(looks(8), {}) != []


def test_each_process_is_judged_by_itself():
    both = [*looks(pid=7), *looks(pid=8, leak="descriptors", each=2)]
    wrong = [each for each in growths(both, {8: "worker 8"}) if not each.is_flat]
    assert [(each.process, each.quantity) for each in wrong] == [("worker 8", "descriptors")]


# --- errors

DOWN = Window("no tokens", Explains(calls="^okta: 502 ", log="credential"), 10, 20, grace=5)


@pytest.mark.parametrize(
    ("trouble", "is_explained"),
    [
        (Trouble(12, 13, "okta: 502 credential-unavailable"), True),
        (Trouble(1, 11, "okta: 502 credential-unavailable"), True),
        (Trouble(24, 26, "okta: 502 credential-unavailable"), True),
        (Trouble(26, 27, "okta: 502 credential-unavailable"), False),
        (Trouble(1, 9, "okta: 502 credential-unavailable"), False),
        (Trouble(12, 13, "okta: 403 policy"), False),
        (Trouble(12, 13, "read: 502 credential-unavailable"), False),
        (Trouble(12, 13, "a credential could not be had", is_log=True), True),
        (Trouble(12, 13, "okta: 502 of something", is_log=True), False),
        (Trouble(12, 13, "read: A SECRET REACHED THE AGENT"), False),
    ],
)
def test_a_fault_explains_what_it_does_while_it_does_it(trouble, is_explained):
    found = explained([trouble], [DOWN])
    assert (found.by == {"no tokens": 1}, found.unexplained == []) == (is_explained,) * 2


def test_a_fault_that_goes_on_explains_what_comes():
    window = Window("no tokens", DOWN.explains, 10)
    assert explained([Trouble(500, 501, "okta: 502 x")], [window]).unexplained == []


# --- the record


def ends():
    return Ends(
        statuses={"/read/1": {200}, "/reset/2": {502}},
        decided={"x-3": ("run.2.1", 50.0)},
        paths={"x-1": "/read/1", "x-2": "/reset/2", "x-3": "/up/3"},
    )


def test_a_record_with_all_in_it_lacks_nothing():
    answered = [Answered("/read/1", 200, 1), Answered("/reset/2", 502, 2)]
    assert lacking(ends(), answered, ["/up/3"], {"run.2.1"}) == []


@pytest.mark.parametrize(
    ("answered", "sent", "lost", "missing"),
    [
        ([Answered("/read/9", 200, 1)], [], {"run.2.1"}, "answered with 200: /read/9"),
        ([Answered("/read/1", 403, 1)], [], {"run.2.1"}, "answered with 403: /read/1"),
        ([], ["/up/9"], {"run.2.1"}, "sent: /up/9"),
        ([], [], {"run.1.1"}, "no outcome: /up/3"),
    ],
)
def test_what_is_not_on_record_is_found(answered, sent, lost, missing):
    assert lacking(ends(), answered, sent, lost) == [missing]


def test_what_was_refused_while_nothing_could_be_written_is_excused_and_nothing_else():
    disk = Window("disk fails", Explains(record=True), 40, 60)
    answered = [Answered("/read/8", 503, 50), Answered("/read/9", 200, 50)]
    assert lacking(ends(), answered, [], set(), [disk]) == ["answered with 200: /read/9"]
    assert len(lacking(ends(), answered, [], set(), [DOWN])) == 3


# --- how it is shown


def test_it_is_shown_over_time():
    assert sparkline([0, 4, 8]) == "▁▄█"
    assert len(sparkline(list(range(1000)))) <= 60
    assert any("worker" in line and "MiB" not in line for line in text(looks(), {7: "worker"}))
    drawn = picture(looks(), {7: "worker <1>"}, [Window("no tokens", Explains(), 100, 130)])
    assert drawn.count("<polyline") == len(USUAL)
    assert "worker &lt;1&gt;" in drawn
    assert "no tokens" in drawn
