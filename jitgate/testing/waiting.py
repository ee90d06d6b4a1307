"""What a coroutine comes to: a port that may wait is asked by a test that does not."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest_twisted
from twisted.internet.defer import Deferred, ensureDeferred

from jitgate.provided import PATIENCE

Outcome = TypeVar("Outcome")


def waited(call: Coroutine[Any, Any, Outcome] | Deferred[Outcome]) -> Outcome:
    """What it comes to while the reactor runs, which the gateway would not wait for longer."""
    from twisted.internet import reactor  # noqa: PLC0415 (pytest-twisted has installed it)

    waiting = ensureDeferred(call)
    if not waiting.called:
        waiting.addTimeout(PATIENCE, reactor)
    outcome: Outcome = pytest_twisted.blockon(waiting)
    return outcome
