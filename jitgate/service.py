"""One Twisted service made of parts that start in order, waiting for each, and stop in reverse."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, Protocol, cast

from twisted.application.service import Service
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorCore, IReactorFromThreads
from twisted.logger import Logger
from twisted.python.failure import Failure

from jitgate.core.recovery import DOUBTED, recovery
from jitgate.errors import JitgateError
from jitgate.flow.access import Access
from jitgate.flow.deciding import Decider
from jitgate.flow.following import Following
from jitgate.flow.ledger import Ledger
from jitgate.flow.recorder import InThread
from jitgate.flow.revoking import Revocations
from jitgate.interfaces import IEvidence
from jitgate.values import Entry, Mark

_Call = tuple[Deferred[Any], Callable[..., object], tuple[object, ...]]


class Part(Protocol):
    """What a service is made of."""

    async def start(self) -> None: ...
    async def stop(self) -> None: ...


class Listener(Part, Protocol):
    """A part that listens; its port is there once it has been started."""

    @property
    def port(self) -> Any: ...


class Used(Protocol):
    """What must be ended after the part that uses it."""

    async def stop(self) -> None: ...


class Listening:
    """Where the started parts listen, for whoever started the gateway to say or to use."""

    def __init__(self, ca: Path) -> None:
        self.ca = ca
        """The certificate that agents must trust."""
        self._parts: dict[str, Listener] = {}

    def add(self, name: str, part: Listener) -> None:
        """A part that will listen once it has been started."""
        self._parts[name] = part

    def address(self, name: str) -> tuple[str, int]:
        """The host and port of a started part, ``proxy`` or ``admin``."""
        address = cast(IPv4Address, self._parts[name].port.getHost())
        return address.host, address.port

    def __str__(self) -> str:
        return ", ".join("{} on {}:{}".format(name, *self.address(name)) for name in self._parts)


class Worker:
    """A thread that does blocking work, one call after the other, for a part of the service.

    Calling it queues the call; the Deferred fires in the reactor's thread with what it returned or
    raised. It takes a fifth of the time that a pool of threads takes over each call. One that is
    not ``waited_for`` may hang somewhere, and ends with the process.
    """

    def __init__(self, reactor: IReactorFromThreads, name: str, *, waited_for: bool = True) -> None:
        self._reactor = reactor
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._thread = Thread(target=self._work, name=name, daemon=not waited_for)

    def __call__(self, work: Callable[..., object], *args: object) -> Deferred[object]:
        done: Deferred[object] = Deferred()
        self._calls.put((done, work, args))
        return done

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def stop(self) -> None:
        """Return when everything that was asked has been done, if it is waited for."""
        self._calls.put(None)
        if not self._thread.daemon:
            self._thread.join()

    def _work(self) -> None:
        while call := self._calls.get():
            done, work, args = call
            try:
                result = work(*args)
            except BaseException:  # noqa: BLE001 (whoever waits has to hear of it)
                result = Failure()
            self._reactor.callFromThread(done.callback, result)


class Threaded:
    """A part with the worker that does its blocking work."""

    def __init__(self, part: Part, worker: Worker) -> None:
        self._part = part
        self._worker = worker

    async def start(self) -> None:
        self._worker.start()
        try:
            await self._part.start()
        except BaseException:
            self._worker.stop()
            raise

    async def stop(self) -> None:
        try:
            await self._part.stop()
        finally:
            self._worker.stop()


class Together:
    """Parts that start in order, and stop at once: each may take all the time that there is."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts
        self._started: list[Part] = []

    async def start(self) -> None:
        for part in self._parts:
            try:
                await part.start()
            except BaseException:
                await self.stop()
                raise
            self._started.append(part)

    async def stop(self) -> None:
        stopping = [Deferred.fromCoroutine(part.stop()) for part in self._started]
        for ended, result in await DeferredList(stopping, consumeErrors=True):
            if not ended:
                cast(Failure, result).raiseException()


class Served:
    """A part with the connections to the targets, which end after it."""

    def __init__(self, part: Part, upstreams: Iterable[Used]) -> None:
        self._part = part
        self._upstreams = upstreams

    async def start(self) -> None:
        await self._part.start()

    async def stop(self) -> None:
        await self._part.stop()
        for upstream in list(self._upstreams):
            await upstream.stop()


class Ended:
    """A part that stands before those which use something, and ends it after them."""

    _log = Logger()

    def __init__(self, used: Iterable[Used]) -> None:
        self._used = used

    async def start(self) -> None:
        """There is nothing to start."""

    async def stop(self) -> None:
        """All at once: each may take seconds."""
        used = list(self._used)
        await DeferredList([Deferred.fromCoroutine(self._ended(each)) for each in used])

    async def _ended(self, each: Used) -> None:
        try:
            await each.stop()
        except Exception:  # noqa: BLE001 (the others must end as well)
            self._log.failure("{what} did not end cleanly", what=type(each).__name__)


class TakenUp:
    """The part that keeps access requests and grants: taken up as the record vouches for it."""

    def __init__(
        self,
        ledger: Ledger,
        access: Access,
        decider: Decider,
        revocations: Revocations,
        evidence: IEvidence,
        *,
        run: str,
        in_thread: InThread,
        following: Following | None = None,
    ) -> None:
        self._following = following
        self._ledger = ledger
        self._access = access
        self._decider = decider
        self._revocations = revocations
        self._evidence = evidence
        self._run = run
        self._in_thread = in_thread

    async def start(self) -> None:
        store = self._ledger.store
        mark = await store.open()
        if self._following is not None:
            await self._following.start()
        await self._revocations.recover()
        found = recovery(mark, await self._shown(mark))
        if found.distrust is not None:
            await store.mark(DOUBTED, found.revision)
        lacking = self._revocations.lacks(found.revoked)
        if found.forgot or lacking:
            await self._revocations.forgot(lacking)
        await self._access.recover(found)
        # A change like any other: so the record has a higher number than an older store though
        # nothing else changes in this run. Names of runs tell no order: clocks are set back.
        await store.mark(self._run, found.revision + 1)
        await self._ledger.record(found.revision + 1, [("state.taken-up", {"run": self._run})])
        await self._decider.reconsider()

    async def _shown(self, mark: Mark) -> Sequence[Entry] | None:
        """What the recording shows; where it shows nothing, that matters to what is live alone."""
        if mark.run is None:
            return ()
        shown = await self._in_thread(self._evidence.since, mark.run)
        if shown is None:
            store = self._ledger.store
            live = await store.grants() or await store.uses() or await store.requests()
            return None if live else ()
        return cast("Sequence[Entry]", shown)

    async def stop(self) -> None:
        self._access.stop()
        if self._following is not None:
            await self._following.stop()
        await self._ledger.store.close()


class Dismissed:
    """A part that lets go, before the others stop, whoever waits for people."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def start(self) -> None:
        """There is nothing to start."""

    async def stop(self) -> None:
        self._access.dismiss()


SWITCH = 0.001
"""Seconds that the reactor may keep the interpreter while the recorder's thread waits for it. The
thread needs it several times a commit, so that Python's 5 ms would add up to tens of them."""

COLLECT = 10_000, 50, 100
"""When garbage is looked for (`gc.set_threshold`). Connections and calls leave none in cycles, and
a look at everything there is takes a second where thousands of requests are held."""


def suit_interpreter(_: object = None) -> None:
    """Set the interpreter up for serving; for a process of its own, once everything stands."""
    sys.setswitchinterval(SWITCH)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT)


class GatewayService(Service):
    """The gateway as one Twisted service. A part that does not start ends the process.

    ``exit_code`` is 0, or 2 after such an end; ``started`` fires when everything runs.
    """

    _log = Logger()

    def __init__(
        self,
        parts: Sequence[Part],
        reactor: IReactorCore,
        listening: Listening,
        notices: Sequence[str] = (),
        *,
        says: str = "jitgate {version} serves: {where}",
    ) -> None:
        self._parts = parts
        self._says = says
        self._notices = notices
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
        for notice in self._notices:
            self._log.warn("{notice}", notice=notice)
        self._log.info(
            self._says,
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
