"""Tests of what may wait: they run while the reactor does, and none waits for ever."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest_twisted
from twisted.internet.defer import Deferred, ensureDeferred

from jitgate.provided import PATIENCE

Outcome = TypeVar("Outcome")
Test = TypeVar("Test", bound=Callable[..., Coroutine[Any, Any, None]])


def waits(test: Test) -> Test:
    """Mark a test as a coroutine that pytest-twisted runs."""
    marked: Test = pytest_twisted.ensureDeferred(test)
    return marked


def within(
    call: Coroutine[Any, Any, Outcome] | Deferred[Outcome], seconds: float = PATIENCE
) -> Deferred[Outcome]:
    """What it comes to; it fails where the gateway would not have waited for longer."""
    from twisted.internet import reactor  # noqa: PLC0415 (pytest-twisted has installed it)

    return ensureDeferred(call).addTimeout(seconds, reactor)
