"""What holds for every test: nothing that Twisted or the interpreter noticed goes unnoticed.

pytest-twisted by itself lets logged failures, lost Deferreds and un-awaited coroutines pass.
"""

from __future__ import annotations

import gc
import os
import shutil
import sys
from contextlib import contextmanager
from functools import cache
from importlib import metadata

import pytest
from hypothesis import Phase, settings
from support.postgres import running
from twisted.logger import LogLevel, globalLogPublisher

CI = os.environ.get("CI") == "true"
"""In CI what a test needs is required; elsewhere its absence is counted, with the reason."""


# Time is the benchmarks' to measure: a property holds however slow the machine is.
settings.register_profile("short", deadline=None)
settings.register_profile("long", deadline=None, max_examples=2_000)
settings.register_profile(
    "red",  # what must fail, whenever it is tried: a smaller example of that is of no use
    deadline=None,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),
    database=None,
)
settings.load_profile("short")


# pytest asks for Twisted's before each test, and to find out takes longer than most tests.
metadata.version = cache(metadata.version)


class Noticed:
    """What was logged or lost since the last look. A test takes out what it meant to happen."""

    def __init__(self) -> None:
        self.logged = []
        self.lost = []

    def log(self, event) -> None:
        """Twisted's log: failures, and whatever is critical."""
        if event.get("log_failure") is not None or event.get("log_level") is LogLevel.critical:
            self.logged.append(event)

    def told(self) -> list[str]:
        """Everything noticed, as text; then it is forgotten."""
        told = [str(event.get("log_failure") or event.get("log_format")) for event in self.logged]
        told += [f"{each.object!r}: {each.exc_value!r}" for each in self.lost]
        self.logged.clear()
        self.lost.clear()
        return told


@pytest.fixture(scope="session")
def postgres():
    """One PostgreSQL server for all tests of a run; each store has a schema of its own."""
    with running() as server:
        yield server


@contextmanager
def watching():
    """Watch; whoever was lost in a cycle is found at the end."""
    watch = Noticed()
    hook, sys.unraisablehook = sys.unraisablehook, watch.lost.append
    globalLogPublisher.addObserver(watch.log)
    yield watch
    gc.collect()
    globalLogPublisher.removeObserver(watch.log)
    sys.unraisablehook = hook
    told = watch.told()
    assert not told, "\n".join(told)


@pytest.fixture(scope="session", autouse=True)
def nothing_unnoticed_in_all(request):
    """Look once more, at the end, at what was left out of collections because it lived on.

    That takes long, and a run that has failed already says enough.
    """
    yield
    if not request.session.testsfailed:
        with watching():
            gc.unfreeze()


@pytest.fixture(scope="module")
def noticed():
    """Watch for the length of a module. What outlives it is most of all that there is."""
    with watching() as watch:
        yield watch
    gc.freeze()


@pytest.fixture(autouse=True)
def nothing_unnoticed(noticed):
    """Fail a test in which a failure was logged, a Deferred's error lost, a coroutine not awaited.

    The youngest objects are collected after each test; all of them after each module, because
    that takes longer than most tests.
    """
    yield noticed.logged
    gc.collect(1)
    told = noticed.told()
    assert not told, "\n".join(told)


def pytest_collection_finish():
    """Leave all that lives as long as the run out of every collection of garbage to come."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items):
    """Skip, outside CI, what needs a Debian package or root; in CI its absence is a failure."""
    for item in items:
        for mark in item.iter_markers("needs_debian"):
            missing = [name for name in mark.args if shutil.which(name) is None]
            if missing and not CI:
                item.add_marker(pytest.mark.skip(reason=f"needs_debian: {', '.join(missing)}"))
        if item.get_closest_marker("needs_root") and os.geteuid() != 0 and not CI:
            item.add_marker(pytest.mark.skip(reason="needs_root"))
