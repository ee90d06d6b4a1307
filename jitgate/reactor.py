"""The reactor of a process that serves: Twisted's own for Linux, with less to do for each event."""

from __future__ import annotations

import sys

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.main import installReactor
from twisted.logger import Logger


class Reactor(EPollReactor):
    """Twisted's reactor but for the log context in which it handles each event.

    That context names the transport in what is logged through `twisted.python.log`, as nothing here
    is, and costs a thirtieth of a request.
    """

    _log = Logger()

    def stop(self) -> None:
        """Stop; whoever says so again until it has says nothing new, as two signals at once do."""
        if not (self._started and self._stopped):
            super().stop()

    def doIteration(self, delay: float | None) -> None:
        """Wait for events, but not longer than so many seconds, and handle each."""
        wait = -1 if delay is None else delay
        for fd, event in self._poller.poll(wait, len(self._selectables)):
            selectable = self._selectables.get(fd)
            if selectable is None:
                continue  # it was closed by what an event before this one led to
            try:
                self._doReadOrWrite(selectable, fd, event)  # type: ignore[no-untyped-call]
            except Exception:  # noqa: BLE001 (it must not take the other events with it)
                self._log.failure("What came on a file descriptor could not be handled")


def install() -> None:
    """Make it this process's reactor, unless there is one already."""
    if "twisted.internet.reactor" not in sys.modules:
        installReactor(Reactor())  # type: ignore[no-untyped-call]
