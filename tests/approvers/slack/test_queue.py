"""Whose turn it is: the urgent first, nothing twice, and never faster than Slack takes it."""

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from jitgate.approvers.slack.queue import IN_A_ROOM, IN_ALL, LOOK, POST, UPDATE, Job, Lane, Queue


def job(request, method=POST, room="C1"):
    return Job(Lane(method, room if method == POST else ""), request, room)


def taken(queue, seconds, step=0.25, but=()):
    """What is taken within so many seconds, with when."""
    found, now = [], 0.0
    while now <= seconds:
        while (each := queue.pop(now, but)) is not None:
            found.append((now, each))
        now += step
    return found


def test_the_urgent_come_first_and_then_the_earliest():
    queue = Queue()
    for request, rank in (("a", 1), ("b", 1), ("c", 0)):
        queue.add(job(request), rank)
    assert [each.request for _, each in taken(queue, 0)] == ["c", "a", "b"]


def test_one_that_waits_is_not_added_again_but_may_become_urgent():
    queue = Queue()
    for request, rank in (("a", 1), ("b", 1), ("b", 2), ("b", 0), ("a", 1)):
        queue.add(job(request), rank)
    assert len(queue) == 2
    assert [each.request for _, each in taken(queue, 60)] == ["b", "a"]
    assert len(queue) == 0
    assert queue.wait(60) is None


def test_rooms_do_not_wait_for_each_other():
    queue = Queue()
    for number in range(6):
        queue.add(job(f"a{number}", room="C1"), 0)
    queue.add(job("b", room="C2"), 1)
    first = [each.request for now, each in taken(queue, 2) if now == 0]
    assert first == ["a0", "a1", "a2", "b"]


def test_those_that_are_under_way_are_left_out():
    queue = Queue()
    queue.add(job("a"), 0)
    assert queue.pop(0, but={"a"}) is None
    assert queue.wait(0, but={"a"}) is None
    assert "a" in queue
    assert queue.pop(0).request == "a"


def test_a_method_that_is_held_holds_nothing_else():
    queue = Queue()
    queue.add(job("a"), 0)
    queue.add(job("b", UPDATE), 0)
    queue.add(job("c", LOOK, ""), 0)
    queue.hold(Lane(POST), 30)
    assert {each.request for _, each in taken(queue, 29)} == {"b", "c"}
    assert queue.wait(29.5) == 0.5
    assert queue.pop(30).request == "a"


def test_a_clock_that_is_set_back_gives_no_turns_and_takes_none():
    queue = Queue()
    for number in range(4):
        queue.add(job(f"a{number}"), 0)
    assert [queue.pop(1000) is not None for _ in range(4)] == [True, True, True, False]
    assert queue.pop(10) is None
    assert queue.pop(1001) is not None


JOBS = st.lists(
    st.tuples(st.integers(0, 60), st.sampled_from([POST, UPDATE]), st.sampled_from(["C1", "C2"])),
    max_size=120,
)


@given(JOBS, st.sampled_from([0.25, 0.4, 1.0]))
def test_nothing_is_lost_or_taken_twice_and_the_pace_is_kept(jobs, step):
    queue, jobs = Queue(), sorted(jobs)
    wanted = {job(f"r{number}", method, room) for number, (_, method, room) in enumerate(jobs)}
    waiting = [(at, job(f"r{n}", method, room)) for n, (at, method, room) in enumerate(jobs)]
    found, now = [], 0.0
    while now < 400:
        while waiting and waiting[0][0] <= now:
            queue.add(waiting.pop(0)[1], 0)
        while (each := queue.pop(now)) is not None:
            found.append((now, each))
        now += step
    assert sorted(each for _, each in found) == sorted(wanted)
    counted = defaultdict(list)
    for at, each in found:
        counted[each.lane].append((at, IN_A_ROOM.get(each.lane.method)))
        counted[each.lane.method].append((at, IN_ALL[each.lane.method]))
    for times in counted.values():
        for first, (began, pace) in enumerate(times):
            for number, (at, _) in enumerate(times[first:], 1):
                assert pace is None or number <= pace.burst + (at - began) * pace.rate + 1e-3
