"""One Twisted service made of parts that start in order, waiting for each, and stop in reverse."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Generic, Protocol, TypeVar

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorCore
from twisted.logger import Logger

from jitgate.errors import JitgateError

Where = TypeVar("Where")
"""What says where the parts listen."""


class Part(Protocol):
    """What a service is made of."""

    async def start(self) -> None: ...
    async def stop(self) -> None: ...


class GatewayService(Service, Generic[Where]):
    """The gateway as one Twisted service. A part that does not start ends the process.

    ``exit_code`` is 0, or 2 after such an end; ``started`` fires when everything runs.
    """

    _log = Logger()

    def __init__(self, parts: Sequence[Part], reactor: IReactorCore, listening: Where) -> None:
        self._parts = parts
        self._reactor = reactor
        self._running: list[Part] = []
        self._ended: Deferred[None] | None = None
        self.listening = listening
        self.exit_code = 0
        self.started: Deferred[None] = Deferred()

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]
        self._ended = Deferred.fromCoroutine(self._start())

    def stopService(self) -> Deferred[None]:
        super().stopService()  # type: ignore[no-untyped-call]
        return Deferred.fromCoroutine(self._stop())

    async def _start(self) -> None:
        for part in self._parts:
            try:
                await part.start()
            except Exception as error:  # noqa: BLE001 (whatever it is, nothing may be served)
                self._refuse_to_run(error)
                return
            self._running.append(part)
        self._log.info(
            "jitgate {version} serves: {where}",
            version=version("jitgate"),
            where=f"{self.listening}",
        )
        self.started.callback(None)

    def _refuse_to_run(self, error: Exception) -> None:
        self.exit_code = 2
        if isinstance(error, JitgateError | OSError):
            self._log.critical("jitgate does not start: {reason}", reason=f"{error}")
        else:
            self._log.failure("jitgate does not start")
        self.started.errback(error)
        self.started.addErrback(lambda _: None)
        self._reactor.callWhenRunning(self._reactor.stop)

    async def _stop(self) -> None:
        if self._ended is not None:
            await self._ended
        while self._running:
            part = self._running.pop()
            try:
                await part.stop()
            except Exception:  # noqa: BLE001 (the others must stop as well)
                self._log.failure("{part} did not stop cleanly", part=type(part).__name__)
                self.exit_code = self.exit_code or 1
