"""The machine: which processor is whose, and what a process has used of it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

PROCESSORS = sorted(os.sched_getaffinity(0))
PROXIES, OTHERS = PROCESSORS[-1], PROCESSORS[0]
"""What is measured has a processor of its own; the generator and the origin share another."""


def pinned(processor: int) -> tuple[str, ...]:
    """What to put before a command so that it runs on that processor only."""
    return "taskset", "-c", str(processor)


def pin(pid: int, processor: int) -> None:
    """Leave a running process and its threads that processor only."""
    for each in _tree(pid):
        for task in Path(f"/proc/{each}/task").iterdir():
            os.sched_setaffinity(int(task.name), {processor})


def processor_seconds(pid: int) -> float:
    """Processor time of a process, its ended threads and its living children, to the nanosecond."""
    return sum(time.clock_gettime(_clock(each)) for each in _tree(pid))


def thread_seconds(pid: int) -> tuple[float, float]:
    """Processor time of a process's first thread, and of its other living ones together."""
    used = {
        int(task.name): int((task / "schedstat").read_text().split()[0]) / 1e9
        for task in Path(f"/proc/{pid}/task").iterdir()
    }
    first = used.pop(pid)
    return first, sum(used.values())


def memory(pid: int) -> int:
    """Bytes of a process and its children that are in memory and their own."""
    return sum(_resident(each) for each in _tree(pid))


def described() -> dict[str, str]:
    """What the figures were taken on."""
    model = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {
        "processor": f"{len(PROCESSORS)} × {model[0] if model else os.uname().machine}",
        "kernel": os.uname().release,
    }


def _clock(pid: int) -> int:
    """The clock of a process's processor time, as clock_getcpuclockid(3) would say."""
    return (~pid << 3) | 2


def _tree(pid: int) -> Iterator[int]:
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from _tree(int(child))


def _resident(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"the process {pid} has ended")
