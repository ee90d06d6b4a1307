"""Runs a program and looks at what its main thread does while that is on a processor.

``python -m tests.bench.sampling python -m jitgate run ...``: the program runs in this process. From
SIGUSR1 on a sample is taken each time the thread has used a processor for `EVERY`, so that to wait,
or to be kept waiting by others, counts for nothing. SIGUSR2 writes the stacks to the file that
`STACKS` names, a line for each: ``outermost;...;innermost count``.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from types import FrameType

STACKS = "JITGATE_BENCH_STACKS"
"""Names the file, in the environment."""

EVERY = 4_000_000
"""Nanoseconds of processor between two samples; to take one takes a hundredth of that."""


class _Event(ctypes.Structure):
    """What a timer does when its time has come: ``sigevent`` (sigevent(7))."""

    _fields_ = (
        ("value", ctypes.c_void_p),
        ("signal", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("rest", ctypes.c_char * 48),
    )


class _Times(ctypes.Structure):
    """When it comes, and how often: ``itimerspec`` (timer_settime(2))."""

    _fields_ = (
        ("interval_seconds", ctypes.c_long),
        ("interval_nanoseconds", ctypes.c_long),
        ("value_seconds", ctypes.c_long),
        ("value_nanoseconds", ctypes.c_long),
    )


def main(arguments: list[str]) -> None:
    """Run ``-m MODULE ...`` with the handlers in place; the interpreter before it is this one."""
    stacks = Counter[str]()

    def sample(_: int, frame: FrameType | None) -> None:
        stacks[_stack(frame)] += 1

    def write(_: int, __: FrameType | None) -> None:
        lines = [f"{stack} {count}\n" for stack, count in stacks.items()]
        Path(os.environ[STACKS]).write_text("".join(lines))

    signal.signal(signal.SIGPROF, sample)
    signal.signal(signal.SIGUSR1, lambda *_: _tick())
    signal.signal(signal.SIGUSR2, write)
    _, _, module, *sys.argv[1:] = arguments
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:  # the interpreter ends without its handlers
        signal.signal(signal.SIGPROF, signal.SIG_IGN)


def _tick() -> None:
    """Have this thread's clock send SIGPROF: Python has no timer of one thread's."""
    libc = ctypes.CDLL(None, use_errno=True)
    timer = ctypes.c_void_p()
    event = _Event(signal=signal.SIGPROF, notify=0)
    times = _Times(0, EVERY, 0, EVERY)
    clock = time.CLOCK_THREAD_CPUTIME_ID
    if libc.timer_create(clock, ctypes.byref(event), ctypes.byref(timer)) or libc.timer_settime(
        timer, 0, ctypes.byref(times), None
    ):
        raise OSError(ctypes.get_errno(), "no timer of the thread's own")


def _stack(frame: FrameType | None) -> str:
    frames = list[str]()
    while frame is not None:
        code = frame.f_code
        frames.append(f"{code.co_qualname} ({code.co_filename}:{frame.f_lineno})")
        frame = frame.f_back
    return ";".join(reversed(frames))


if __name__ == "__main__":
    main(sys.argv[1:])
