"""Gateways that are forked from a process which has imported everything: they start at once.

Each is the command in a process of its own all the same, and nothing is shared but what was
imported. It takes the place of `subprocess.Popen`, and looks like one.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from io import TextIOWrapper
from multiprocessing.connection import Connection
from pathlib import Path

_FORKED = multiprocessing.get_context("forkserver")
# Not the reactor: each process has its own. pytest is what the one at work here began with.
_FORKED.set_forkserver_preload(["pytest", "jitgate.app.assembly", "jitgate.cli.serve"])


class Forked:
    """``jitgate`` with these arguments; what it says is read from ``stdout``."""

    def __init__(self, arguments: Sequence[str]) -> None:
        ours, theirs = _FORKED.Pipe(duplex=False)
        self._process = _FORKED.Process(
            target=_run, args=(list(arguments), dict(os.environ), Path.cwd(), theirs)
        )
        self._process.start()
        theirs.close()
        self.stdout: TextIOWrapper = os.fdopen(os.dup(ours.fileno()), "r")
        ours.close()
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit status; that of one that was killed is below zero."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """The same."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """The exit status, once it has ended. Raises `subprocess.TimeoutExpired`."""
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired("jitgate", timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        """Signal it, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)


def _run(
    arguments: Sequence[str], environment: Mapping[str, str], folder: Path, said: Connection
) -> None:
    os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number in (1, 2):
        os.dup2(said.fileno(), number)
    said.close()
    sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", 1, closefd=False)
    sys.argv = ["jitgate", *arguments]
    from jitgate.cli import main  # noqa: PLC0415 (in the process that is it)

    sys.exit(main(arguments))
