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
from tempfile import TemporaryDirectory
from typing import NamedTuple

_FORKED = multiprocessing.get_context("forkserver")
# Not the reactor: each process has its own. pytest is what the one at work here began with.
_FORKED.set_forkserver_preload(["pytest", "jitgate.app.assembly", "jitgate.cli.serve"])


class Done(NamedTuple):
    """A command that has ended."""

    returncode: int
    out: str
    err: str


class Forked:
    """``jitgate`` with these arguments; what it says is read from ``stdout``."""

    def __init__(self, arguments: Sequence[str]) -> None:
        ours, theirs = _FORKED.Pipe(duplex=False)
        self._process = _FORKED.Process(
            target=_run,
            args=(list(arguments), dict(os.environ), Path.cwd(), theirs),
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


def ran(*arguments: str, within: float = 60.0, **environment: str) -> Done:
    """What comes of ``jitgate`` with these arguments, which ends by itself.

    Raises `subprocess.TimeoutExpired`.
    """
    with TemporaryDirectory() as folder:
        said = [Path(folder, name) for name in ("out", "err")]
        files = [Connection(os.open(each, os.O_WRONLY | os.O_CREAT), False) for each in said]
        outside = {**os.environ, **environment}
        process = _FORKED.Process(target=_run, args=([*arguments], outside, Path.cwd(), *files))
        process.start()
        for file in files:
            file.close()
        process.join(within)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired("jitgate", within)
        return Done(process.exitcode, *(each.read_text() for each in said))


def _run(
    arguments: Sequence[str], environment: Mapping[str, str], folder: Path, *said: Connection
) -> None:
    """Be the command; ``said``: where it says what it says, and another for its errors."""
    os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number in (1, 2):
        os.dup2(said[min(number, len(said)) - 1].fileno(), number)
    for each in said:
        each.close()
    sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", 1, closefd=False)
    sys.argv = ["jitgate", *arguments]
    from jitgate.cli import main  # noqa: PLC0415 (in the process that is it)

    sys.exit(main(arguments))
