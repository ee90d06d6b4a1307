"""The agent as a child process, and the signals that this process takes on its behalf."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

from twisted.internet.threads import deferToThreadPool

PASSED_ON = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
"""What somebody may send to this process and mean the agent by it."""

NOT_FOUND = 127
NOT_RUN = 126
"""The exit statuses of a shell for a command that is not there, and for one that cannot be run."""

_SI_KERNEL = 0x80
_PR_SET_DUMPABLE = 4


class Signals:
    """Takes the signals to pass on, each together with whether the terminal sent it.

    What Ctrl-C sends goes to the whole foreground group: the agent, which is in ours, has it
    already. A handler is not told who sent a signal; `sigwaitinfo` is, of signals that are blocked.
    """

    def __init__(self) -> None:
        # What was ignored from outside (nohup) stays so, for the agent as well.
        self._numbers = [n for n in PASSED_ON if signal.getsignal(n) is not signal.SIG_IGN]
        self.usual: Collection[int] = ()
        """The signals that were blocked from outside: a child is started with these."""

    def hold(self) -> None:
        """Let them wait. To be called before the reactor runs, which would take them as its own."""
        self.usual = signal.pthread_sigmask(signal.SIG_BLOCK, self._numbers)

    def take(self, reactor: Any, call: Callable[[int, bool], None]) -> None:
        """Hand over those that wait, and all that come. To be called once the reactor runs."""
        for number in self._numbers:
            signal.signal(number, lambda came, _: reactor.callFromThread(call, came, False))
        # Those that wait came when there was no agent yet that could have had them.
        while (info := signal.sigtimedwait(self._numbers, 0)) is not None:
            reactor.callFromThread(call, info.si_signo, False)
        waiting = Thread(target=self._wait, args=(reactor, call), name="signals", daemon=True)
        waiting.start()

    @contextmanager
    def let_through(self) -> Iterator[None]:
        """Block none of them for as long as a process is started that inherits what is blocked."""
        signal.pthread_sigmask(signal.SIG_SETMASK, self.usual)
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_BLOCK, self._numbers)

    def _wait(self, reactor: Any, call: Callable[[int, bool], None]) -> None:
        while True:
            info = signal.sigwaitinfo(self._numbers)
            reactor.callFromThread(call, info.si_signo, info.si_code == _SI_KERNEL)


@dataclass(frozen=True, slots=True)
class NotStarted:
    """Why there is no agent, in a sentence, and the exit status that says so."""

    status: int
    why: str


def program_of(word: str, environment: Mapping[str, str]) -> str | NotStarted:
    """The file that a command's first word names, as a shell finds it."""
    program = shutil.which(word, path=environment.get("PATH"))
    if program is not None:
        return program
    if "/" in word and Path(word).exists():
        return NotStarted(NOT_RUN, f"{word} is not a program that can be run.")
    return NotStarted(NOT_FOUND, f"The command {word} is not found.")


class Agent:
    """A running child process with our standard files, in our process group."""

    def __init__(self, pid: int) -> None:
        self._pid: int | None = pid

    @classmethod
    def start(
        cls,
        program: str,
        words: Sequence[str],
        environment: Mapping[str, str],
        blocked: Collection[int],
    ) -> Agent | NotStarted:
        """Run a program. ``blocked`` is the signal mask that it starts with."""
        ignored_by_python = (signal.SIGPIPE, signal.SIGXFSZ)
        try:
            pid = os.posix_spawn(
                program, list(words), environment, setsigmask=blocked, setsigdef=ignored_by_python
            )
        except OSError as error:
            why = (error.strerror or type(error).__name__).lower()
            return NotStarted(NOT_RUN, f"{words[0]} cannot be run: {why}.")
        return cls(pid)

    def pass_on(self, number: int) -> None:
        """Send it a signal."""
        if self._pid is not None:
            os.kill(self._pid, number)

    async def ended(self, reactor: Any) -> int:
        """Wait for its end: its exit status, or 128 and the number of the signal that ended it."""
        assert self._pid is not None  # noqa: S101 (waited for twice: a bug)
        pool = reactor.getThreadPool()
        # It is only looked at in the thread and taken away here, so that no signal goes to whoever
        # has its number next.
        await deferToThreadPool(
            reactor, pool, os.waitid, os.P_PID, self._pid, os.WEXITED | os.WNOWAIT
        )
        return self._taken_away()

    def _taken_away(self) -> int:
        assert self._pid is not None  # noqa: S101 (taken away twice: a bug)
        _, status = os.waitpid(self._pid, 0)
        self._pid = None
        code = os.waitstatus_to_exitcode(status)
        return code if code >= 0 else 128 - code


def shut_to_debuggers() -> None:
    """Keep other processes of our user, the agent's among them, from reading our memory.

    Root is not kept out by it (prctl(2), PR_SET_DUMPABLE).
    """
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
