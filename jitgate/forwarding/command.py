"""Runs the token command: no shell, bounded in time and output, and nothing of it in a message."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any, NoReturn

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.interfaces import IProcessTransport
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from jitgate.errors import TokenUnavailable
from jitgate.forwarding.tokens import TOKEN_BYTES

WITHIN = 20.0
"""Seconds for one run: an agent waits meanwhile, and gives up after 30 to 60."""

_BY_HAND = "run it by hand to see why"


class TokenCommandRun:
    """Runs one command, once at a time. ``spawning`` is entered while it is started."""

    def __init__(
        self,
        words: Sequence[str],
        reactor: Any,
        spawning: Callable[[], AbstractContextManager[object]],
    ) -> None:
        self._words = words
        self._reactor = reactor
        self._spawning = spawning
        self._running: _Output | None = None

    async def output(self) -> bytes:
        """What the command prints on standard output. Raises `TokenUnavailable`."""
        program = shutil.which(self._words[0])
        if program is None:
            raise TokenUnavailable("The program of the token command cannot be found or run.")
        self._running = running = _Output()
        try:
            self._spawn(running, program)
        except OSError as error:
            why = (error.strerror or type(error).__name__).lower()
            raise TokenUnavailable(f"The token command cannot be started: {why}.") from error
        return await running.whole.addTimeout(WITHIN, self._reactor, onTimeoutCancel=_too_late)

    def stop(self) -> None:
        """End a run that is under way."""
        if self._running is not None:
            self._running.end()

    def _spawn(self, output: ProcessProtocol, program: str) -> None:
        # Standard input is the agent's to read, and on standard error some programs print what they
        # were given.
        with Path(os.devnull).open("r+b", buffering=0) as nothing, self._spawning():
            files: Any = {0: nothing.fileno(), 1: "r", 2: nothing.fileno()}
            self._reactor.spawnProcess(output, program, self._words, None, childFDs=files)


class _Output(ProcessProtocol):
    """Collects what a process prints until it ends."""

    transport: IProcessTransport

    def __init__(self) -> None:
        self._printed = bytearray()
        self.whole: Deferred[bytes] = Deferred(lambda _: self.end())

    def end(self) -> None:
        with suppress(ProcessExitedAlready):
            self.transport.signalProcess("KILL")
        # What the process started may hold its output open: nobody waits for that.
        self.transport.loseConnection()

    def outReceived(self, data: bytes) -> None:
        self._printed += data
        if len(self._printed) > 2 * TOKEN_BYTES and not self.whole.called:
            self.whole.errback(TokenUnavailable("The token command prints far more than a token."))
            self.end()

    def processEnded(self, reason: Failure) -> None:
        if self.whole.called:
            return
        if reason.check(ProcessDone):
            self.whole.callback(bytes(self._printed))
            return
        self.whole.errback(TokenUnavailable(f"The token command {_ending(reason)}; {_BY_HAND}."))


def _ending(reason: Failure) -> str:
    error = reason.value
    if isinstance(error, ProcessTerminated) and error.signal is not None:
        return f"was ended by signal {error.signal}"
    return f"failed with exit status {getattr(error, 'exitCode', 'unknown')}"


def _too_late(_: object, timeout: float) -> NoReturn:
    raise TokenUnavailable(f"The token command did not end within {timeout:g} s; {_BY_HAND}.")
