"""Whether the gateway has begun to serve, or has begun to stop: for probes and for systemd."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, MutableMapping
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

STARTS: Final = "The gateway is starting."
STOPS: Final = "The gateway is stopping."


class ServiceManager:
    """Tells systemd how it is with the service (sd_notify(3)): a datagram each time.

    ``environment`` says where; it is taken out of it, so that nothing that is started later says
    anything there.
    """

    _log = Logger()

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        self._address = environment.pop("NOTIFY_SOCKET", "")
        every = environment.pop("WATCHDOG_USEC", "")
        meant = environment.pop("WATCHDOG_PID", "")
        is_ours = meant in {"", f"{os.getpid()}"}
        self.watched = int(every) / 1e6 if every.isdecimal() and is_ours else None
        """Seconds without a word after which it takes the service for hung; None: it does not."""

    def tell(self, *words: str) -> None:
        """Say something, to nobody where there is none."""
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as said:
                said.setblocking(False)
                said.sendto("\n".join(words).encode(), address)
        except OSError as error:
            why = error.strerror or type(error).__name__
            self._log.warn("The service manager was not told {what}: {why}", what=words[0], why=why)


class Phase:
    """The part that says so: it starts after all others, and stops before them."""

    def __init__(
        self,
        manager: ServiceManager,
        clock: IReactorTime,
        started: Callable[[], str] = lambda: "Serves.",
    ) -> None:
        self._manager = manager
        self._clock = clock
        self._says = started
        self._why: str | None = STARTS
        self._next: IDelayedCall | None = None

    def why(self) -> str | None:
        """Why nobody should be sent here, whatever the parts say; None: it serves."""
        return self._why

    async def start(self) -> None:
        self._why = None
        self._manager.tell("READY=1", f"STATUS={self._says()}")
        if self._manager.watched is not None:
            self._alive(self._manager.watched / 2)

    async def stop(self) -> None:
        self._why = STOPS
        self._manager.tell("STOPPING=1", f"STATUS={STOPS}")

    def _alive(self, every: float) -> None:
        """The reactor turns: said until the process ends, for a stop takes its time as well."""
        self._manager.tell("WATCHDOG=1")
        self._next = self._clock.callLater(every, self._alive, every)
