"""What holds for every test: nothing that Twisted or the interpreter noticed goes unnoticed.

pytest-twisted by itself lets logged failures, lost Deferreds and un-awaited coroutines pass.
"""

from __future__ import annotations

import gc
import os
import shutil
import sys

import pytest
from twisted.logger import LogLevel, globalLogPublisher

CI = os.environ.get("CI") == "true"
"""In CI what a test needs is required; elsewhere its absence is counted, with the reason."""


@pytest.fixture(autouse=True)
def nothing_unnoticed(request):
    """Fail a test in which a failure was logged, a Deferred's error lost, a coroutine not awaited.

    A test that means to have a failure logged takes it out of the fixture's list itself.
    """
    logged = []

    def observe(event):
        if event.get("log_level") in {LogLevel.critical} or event.get("log_failure") is not None:
            logged.append(event)

    unraisable = []
    hook, sys.unraisablehook = sys.unraisablehook, unraisable.append
    globalLogPublisher.addObserver(observe)
    yield logged
    gc.collect()
    globalLogPublisher.removeObserver(observe)
    sys.unraisablehook = hook
    told = [str(event.get("log_failure") or event.get("log_format")) for event in logged]
    told += [f"{each.object!r}: {each.exc_value!r}" for each in unraisable]
    assert not told, "\n".join(told)


def pytest_collection_modifyitems(items):
    """Skip, outside CI, what needs a Debian package or root; in CI its absence is a failure."""
    for item in items:
        for mark in item.iter_markers("needs_debian"):
            missing = [name for name in mark.args if shutil.which(name) is None]
            if missing and not CI:
                item.add_marker(pytest.mark.skip(reason=f"needs_debian: {', '.join(missing)}"))
        if item.get_closest_marker("needs_root") and os.geteuid() != 0 and not CI:
            item.add_marker(pytest.mark.skip(reason="needs_root"))
