"""What is to be sent, by where its limits lie: each lane at Slack's pace, the urgent first.

Pure: the time is an argument. Jobs are keys; what they come to is read when their turn has come, so
a hundred changes of one request are one job.

Slack's limits (docs.slack.dev/apis/web-api/rate-limits): chat.postMessage takes a message a second
in a channel, with short bursts, and several hundred a minute in a workspace; chat.update is of tier
3, which takes 50 a minute and more. What Slack answers with Retry-After holds for the method.
"""

from __future__ import annotations

import heapq
from collections.abc import Container, Iterator
from itertools import count
from typing import Final, NamedTuple

LOOK: Final = ""
"""The method of the lane in which nothing is sent: it is looked at what there is to send."""

POST: Final = "chat.postMessage"
UPDATE: Final = "chat.update"


class Pace(NamedTuple):
    """Turns a second, in the long run, and how many may be taken at once after a rest."""

    rate: float
    burst: int


IN_A_ROOM: Final = {POST: Pace(1.0, 3)}
"""Of one method in one room."""

IN_ALL: Final = {POST: Pace(4.0, 8), UPDATE: Pace(50 / 60, 10)}
"""Of one method in the workspace."""


ROUNDED: Final = 1e-6
"""A turn that is all there but for so much of it is one: times are rounded."""


class Bucket:
    """Counts turns at a pace; may be held until a time."""

    def __init__(self, pace: Pace | None) -> None:
        self._pace = pace
        self._left = 0.0 if pace is None else float(pace.burst)
        self._at = 0.0
        self._held_until = 0.0

    def wait(self, now: float) -> float:
        """Seconds until there is a turn; 0: now."""
        held = max(0.0, self._held_until - now)
        lacks = 1 - self._filled(now)
        if self._pace is None or lacks < ROUNDED:
            return held
        return max(held, lacks / self._pace.rate)

    def take(self, now: float) -> None:
        """Take a turn."""
        self._left, self._at = self._filled(now) - 1, now

    def hold(self, until: float) -> None:
        """Give no turn before then."""
        self._held_until = max(self._held_until, until)

    def _filled(self, now: float) -> float:
        if self._pace is None:
            return 1.0
        # A clock that was set back gives no turns, and takes none away.
        gained = max(0.0, now - self._at) * self._pace.rate
        return min(float(self._pace.burst), self._left + gained)


class Lane(NamedTuple):
    """Calls of one method in one room; ``room`` is "" where that makes no difference."""

    method: str
    room: str = ""


class Job(NamedTuple):
    """Something to do about one request: in one slot, or (``slot`` is "") in any."""

    lane: Lane
    request: str
    slot: str = ""


class Queue:
    """Jobs that wait for their turn. One that waits already is not added again."""

    def __init__(self) -> None:
        self._lanes: dict[Lane, list[tuple[int, int, Job]]] = {}
        self._places: dict[Job, tuple[int, int]] = {}
        """Of each job its rank and number; an entry of a lane with others is one left behind."""
        self._of: dict[str, set[Job]] = {}
        self._rooms: dict[Lane, Bucket] = {}
        self._methods: dict[str, Bucket] = {}
        self._numbers = count()

    def __len__(self) -> int:
        """How many requests there is something to do about."""
        return len(self._of)

    def __contains__(self, request: str) -> bool:
        return request in self._of

    def add(self, job: Job, rank: int) -> None:
        """Have it done after those of its lane with a lower rank, or the same and come before."""
        waits = self._places.get(job)
        if waits is not None and waits[0] <= rank:
            return
        number = next(self._numbers)
        self._places[job] = rank, number
        self._of.setdefault(job.request, set()).add(job)
        heapq.heappush(self._lanes.setdefault(job.lane, []), (rank, number, job))

    def pop(self, now: float, but: Container[str] = ()) -> Job | None:
        """The job whose turn it is, if there is one: the lowest rank, the earliest come.

        None of the requests ``but``, which keep those behind them waiting.
        """
        firsts = (first for first in self._firsts() if first[2].request not in but)
        ready = [first for first in firsts if self.wait_in(first[2].lane, now) <= 0]
        if not ready:
            return None
        job = min(ready)[2]
        for bucket in self._buckets(job.lane):
            bucket.take(now)
        heapq.heappop(self._lanes[job.lane])
        del self._places[job]
        self._of[job.request].discard(job)
        if not self._of[job.request]:
            del self._of[job.request]
        return job

    def wait(self, now: float, but: Container[str] = ()) -> float | None:
        """Seconds until it is some job's turn, but not of requests ``but``; None: there is none."""
        lanes = (job.lane for *_, job in self._firsts() if job.request not in but)
        return min((self.wait_in(lane, now) for lane in lanes), default=None)

    def wait_in(self, lane: Lane, now: float) -> float:
        """Seconds until it is the turn of a job in that lane."""
        return max(bucket.wait(now) for bucket in self._buckets(lane))

    def hold(self, lane: Lane, until: float) -> None:
        """Have nothing done in a lane before then; without a room, of its method in any."""
        bucket = self._rooms_of(lane) if lane.room else self._methods_of(lane.method)
        bucket.hold(until)

    def clear(self) -> None:
        """Do nothing of what waits."""
        self._lanes.clear()
        self._places.clear()
        self._of.clear()

    def _firsts(self) -> Iterator[tuple[int, int, Job]]:
        """Of each lane the job that is next in it; what was left behind is dropped."""
        for lane, entries in list(self._lanes.items()):
            while entries and self._places.get(entries[0][2]) != entries[0][:2]:
                heapq.heappop(entries)
            if entries:
                yield entries[0]
            else:
                del self._lanes[lane]

    def _buckets(self, lane: Lane) -> tuple[Bucket, Bucket]:
        return self._rooms_of(lane), self._methods_of(lane.method)

    def _rooms_of(self, lane: Lane) -> Bucket:
        if lane not in self._rooms:
            self._rooms[lane] = Bucket(IN_A_ROOM.get(lane.method))
        return self._rooms[lane]

    def _methods_of(self, method: str) -> Bucket:
        if method not in self._methods:
            self._methods[method] = Bucket(IN_ALL.get(method))
        return self._methods[method]
