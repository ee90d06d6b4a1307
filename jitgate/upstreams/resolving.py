"""Names become addresses: by the system's resolver, in threads of its own, a few at a time.

Nothing is remembered: a name is resolved for each connection that is dialled, so that what is
dialled is what was just checked, and a change is followed at once. The resolvers behind have
caches. Only those who ask at the same time for the same name share an answer.
"""

from __future__ import annotations

import socket
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads, IReactorTime
from twisted.python.failure import Failure

from jitgate.errors import UpstreamUnreachable

RESOLVE_WITHIN = 5.0
"""Seconds for an answer: a resolver asks a second server after two to five."""

LOOKUPS = 8
"""Threads that ask the system at once. A resolver that hangs holds each for half a minute; names
beyond wait for a thread, no longer than `RESOLVE_WITHIN`."""

Resolve = Callable[[str], Awaitable[Sequence[str]]]
"""Turns a name into its addresses; raises `UpstreamUnreachable`."""

Lookup = Callable[[str], Sequence[str]]
"""The same, blocking; raises `OSError`."""


def addresses_of(host: str) -> list[str]:
    """The system's answer for a name, blocking: to be called in a thread."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [str(each[4][0]) for each in found]


class Shared:
    """One answer for all who ask the same at once, each of whom waits for a bounded time."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._waiting: dict[str, list[Deferred[Sequence[str]]]] = {}

    def join(self, host: str) -> tuple[Deferred[Sequence[str]], bool]:
        """A turn to wait for the answer, and whether it still has to be asked for."""
        first = host not in self._waiting
        turn: Deferred[Sequence[str]] = Deferred()
        self._waiting.setdefault(host, []).append(turn)
        turn.addTimeout(RESOLVE_WITHIN, self._clock)
        return turn, first

    def settle(self, host: str, result: Sequence[str] | Failure) -> None:
        """Tell the answer to all who still wait for it."""
        for turn in self._waiting.pop(host, []):
            if not turn.called:
                turn.callback(result)  # a Failure goes to the errbacks


class SystemResolver:
    """Asks the system. What it says is not checked here."""

    def __init__(
        self, reactor: IReactorFromThreads, clock: IReactorTime, lookup: Lookup = addresses_of
    ) -> None:
        self._reactor = reactor
        self._lookup = lookup
        self._shared = Shared(clock)
        self._queue: deque[str] = deque()
        self._threads = 0

    async def __call__(self, host: str) -> Sequence[str]:
        turn, first = self._shared.join(host)
        if first:
            self._queue.append(host)
            self._begin()
        try:
            return await turn
        except Exception as error:
            raise UpstreamUnreachable(f"The name {host} could not be resolved.") from error

    def _begin(self) -> None:
        """Give waiting names threads. These are daemons: one that hangs must not hold the exit."""
        while self._queue and self._threads < LOOKUPS:
            self._threads += 1
            host = self._queue.popleft()
            threading.Thread(target=self._ask, args=(host,), name="resolver", daemon=True).start()

    def _ask(self, host: str) -> None:
        try:
            result: Sequence[str] | Failure = self._lookup(host)
        except Exception:  # noqa: BLE001 # told to whoever waits
            result = Failure()
        self._reactor.callFromThread(self._answered, host, result)

    def _answered(self, host: str, result: Sequence[str] | Failure) -> None:
        self._threads -= 1
        self._shared.settle(host, result)
        self._begin()
