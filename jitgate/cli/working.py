"""The process of a worker: not a command, but what the control process starts."""

from __future__ import annotations

import ctypes
import os
import signal
from functools import partial

from jitgate.cli.serve import made_of, serve, with_log

_PR_SET_PDEATHSIG = 1
"""Of prctl(2): which signal comes when the process that has started this one ends."""

_libc = ctypes.CDLL(None, use_errno=True)


def main(told: str) -> int:
    """Serve as a worker, by the facts that it was started with; its exit status."""
    from jitgate.app.crew import Facts
    from jitgate.workers.wire import (
        COUNTERS,
        LISTENING,
        LOCK,
        REVERSE,
        REVERSE_COUNTERS,
        WIRE,
    )

    facts = Facts.model_validate_json(told)
    if not _dies_with(facts.parent):
        return 2
    own = () if facts.reverse is None else (REVERSE, REVERSE_COUNTERS)
    for descriptor in (WIRE, LISTENING, COUNTERS, LOCK, *own):
        os.set_inheritable(descriptor, False)  # whatever it starts has nothing to do with them
    from jitgate.reactor import install

    install()
    from twisted.internet import reactor

    from jitgate.app.worker import make_worker

    service = made_of(with_log(partial(make_worker, facts=facts)), facts.config, reactor)
    return 2 if service is None else serve(*service, reactor)


def _dies_with(parent: int) -> bool:
    """See to it that this process is killed when its parent ends; False: it has."""
    if _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        return False
    return os.getppid() == parent
