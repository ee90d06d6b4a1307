"""What a call took by its own doing, and not by that of other processes and threads."""

from __future__ import annotations

import gc
import os
import resource
import time
from collections.abc import Callable
from typing import NamedTuple

ALLOWED = 0.005
"""Seconds that a call may take: so long everybody else waits."""

FRESH = 0.0005
"""Seconds for which a reading of the clocks serves as that before a call; one costs some 8 µs,
which is too much for each value of a large answer."""

OTHERS = 0.00005
"""Seconds of other threads' work beside a call in which it may have waited for one of them: for
the interpreter, which only one of them has at a time."""


class Reading(NamedTuple):
    """What this thread and its process had used up at a moment. Seconds, and counts."""

    wall: float
    thread: float
    process: float
    queued: float
    """How long the thread was ready and another had its processor."""
    waits: int
    """How often it gave its processor away."""
    faults: int
    """How often it waited for memory to be read from disk."""
    collected: int
    """How often the process looked through everything for garbage."""


class Meter:
    """Reads all of it, of the one thread that asks."""

    def __init__(self) -> None:
        self._schedule: int | None = None

    def __call__(self) -> Reading:
        used = resource.getrusage(resource.RUSAGE_THREAD)
        return Reading(
            wall=time.perf_counter(),
            thread=time.thread_time(),
            process=time.process_time(),
            queued=self._queued(),
            waits=used.ru_nvcsw,
            faults=used.ru_majflt,
            collected=gc.get_stats()[-1]["collections"],
        )

    def _queued(self) -> float:
        """The second number there (proc(5)), in nanoseconds; NaN where the system does not tell.

        The file stays open: to find it takes ten times as long as to read it.
        """
        try:
            if self._schedule is None:
                self._schedule = os.open("/proc/thread-self/schedstat", os.O_RDONLY | os.O_CLOEXEC)
            return int(os.pread(self._schedule, 100, 0).split()[1]) / 1e9
        except (OSError, ValueError, IndexError):
            return float("nan")


class Took(NamedTuple):
    """What a call took by its own doing, in seconds, and whether that is sure."""

    seconds: float
    sure: bool = True


def own(before: Reading, after: Reading, leave_out: float = 0.0) -> Took:
    """The time between that was the thread's own doing, but for so many seconds of it.

    Its processor time; and where it gave the processor away, the time that it waited for something
    (sleep, a file, the network). Not the time in which it was ready and others ran, processes or
    threads. Where memory was read from disk, or the interpreter looked for garbage, all is in its
    favour: who is slow is slow again. It is not sure where it may have waited for another thread
    which itself had to wait.
    """
    if after.collected != before.collected:
        return Took(0.0)
    worked = after.thread - before.thread
    others = max(0.0, after.process - before.process - worked)
    waited = after.wall - before.wall - worked - others - (after.queued - before.queued)
    blocked = after.waits > before.waits and after.faults == before.faults and waited > 0
    if not blocked or worked - leave_out > ALLOWED:  # what is NaN is not above 0
        return Took(worked - leave_out)
    return Took(worked + waited - leave_out, sure=others < OTHERS)


class Stopwatch:
    """Tells what calls took of their own; those that are quick anyhow cost it next to nothing."""

    def __init__(
        self,
        read: Callable[[], Reading] | None = None,
        now: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._read = read or Meter()
        self._now = now
        self._before = Reading(float("-inf"), 0.0, 0.0, 0.0, 0, 0, 0)

    def begun(self) -> float:
        """A call begins; give what this returns to `took`."""
        now = self._now()
        if now - self._before.wall > FRESH:
            self._before = self._read()
            return self._now()
        return now

    def took(self, begun: float) -> Took | None:
        """What the call took by its own doing; None for any that is allowed."""
        if self._now() - begun <= ALLOWED:
            return None
        before, after = self._before, self._read()
        self._before = after
        took = own(before, after, leave_out=begun - before.wall)  # of what came before it
        return took if took.seconds > ALLOWED else None
