"""One worker: its process, what is said to it and heard of it, its end, and the next one.

A worker that ends is buried before another takes its place: its log is ended on the site log, and
what it was carrying out is given up as unknown. Until then nobody has its name.
"""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol

import orjson
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import Factory, ProcessProtocol
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.protocols import amp
from twisted.python.failure import Failure

from jitgate.core.tally import Sums
from jitgate.errors import JitgateError, traced
from jitgate.flow.deadlines import RETRY, Deadline
from jitgate.values import Changed
from jitgate.workers import wire
from jitgate.workers.control_end import ControlEnd, Desk
from jitgate.workers.share import ABSENT, Counters

LATE: Final = 5.0
"""Seconds without a word after which a worker counts as down; it has one twice a second."""

HUNG: Final = 30.0
"""Seconds after which it is killed: nothing that it should do takes a tenth of that."""

AWAITED: Final = 10.0
"""The same while others wait for it, as a reload does: it has recorded nothing for half of that."""

STARTED_WITHIN: Final = 120.0
"""Seconds to read a configuration and begin to serve; a tenth of that on a busy machine."""

SOONEST, LONGEST = 0.5, 30.0
"""Seconds until another takes the place of one that has ended; doubled each time, up to this."""

SOUND: Final = 60.0
"""Seconds of serving after which the next one comes soonest again."""


class Life(NamedTuple):
    """One worker, from its start to its end."""

    slot: int
    """Its place, from 0 on."""
    log: str
    gateway: str
    """What it is called in the store."""


class Books(Protocol):
    """The logs of workers on the site log. Each raises `OSError` where that cannot be written."""

    async def enlist(self, log: str) -> None: ...
    async def closed(self, log: str, size: int, root: str) -> None: ...
    async def lose(self, log: str) -> None: ...
    def note(self, log: str, size: int, root: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Means:
    """What all workers are started and served with."""

    run: str
    """What the control process's own log is called."""
    gateway: str
    spawn: Callable[[Life, ProcessProtocol, int], Any]
    """Starts a worker with a descriptor for its end of the wire."""
    books: Books
    desk: Desk
    digest: Callable[[], bytes]
    """Of what is in force."""
    counters: Sequence[Counters]
    """Of each port that all accept from."""
    changed: Callable[[Sequence[Changed] | None, Member | None], None]
    """Hears what a worker has changed in the store; None of both: it may be anything."""
    reactor: Any
    seed: bytes = field(repr=False)


class Member:
    """The worker in one slot, and whoever follows it."""

    _log = Logger()

    def __init__(self, slot: int, means: Means) -> None:
        self.name = f"worker {slot + 1}"
        self.serves = False
        self.prepared = False
        """Whether it has another configuration ready."""
        self.told: dict[str, Any] = {}
        """How it is, by its last word."""
        self.first: Deferred[bool] = Deferred()
        """Whether the first one came to serve."""
        self.counts = Sums()
        """What it and those before it have counted."""
        self._slot = slot
        self._means = means
        self._heard = 0.0
        self._patience = HUNG
        self._number = 0
        self._life = Life(slot, "", f"{means.gateway}/{slot + 1}")
        self._enlisted = False
        self._wire: ControlEnd | None = None
        self._process: Any = None
        self._deadline = Deadline(means.reactor)
        self._stopping = False
        self._pause: Deferred[None] | None = None
        self._lives: Deferred[None] | None = None

    @property
    def clock(self) -> Any:
        """What it is waited for by."""
        return self._means.reactor

    @property
    def starts(self) -> int:
        """How often one was started here."""
        return self._number

    @property
    def down(self) -> str | None:
        """Why it does not serve, if so."""
        if not self.serves:
            return f"{self.name} does not run"
        if self._means.reactor.seconds() - self._heard > LATE:
            return f"{self.name} does not answer"
        reason = self.told.get("recorder")
        return None if reason is None else f"{self.name}: {reason}"

    def start(self) -> None:
        """Keep a worker in this slot."""
        self._lives = Deferred.fromCoroutine(self._live())

    def hurry(self) -> None:
        """Wait no longer before the next one is started."""
        if self._pause is not None:
            self._pause.cancel()

    async def stop(self, within: float) -> None:
        """End it, and start no other; it is killed if it takes longer than so many seconds."""
        self._stopping = True
        self.hurry()
        if self._process is not None:
            self._deadline.set(within, self.kill)
            with suppress(ProcessExitedAlready):
                self._process.signalProcess(signal.SIGTERM)
        if self._lives is not None:
            await self._lives

    def kill(self) -> None:
        """End it at once: nothing that it does counts any more."""
        if self._process is not None:
            self._log.error("{worker} is killed", worker=self.name)
            with suppress(ProcessExitedAlready):
                self._process.signalProcess(signal.SIGKILL)

    def await_word(self, within: float = HUNG) -> None:
        """It is killed once it has said nothing for so many seconds, from now on."""
        self._patience = within
        if self.serves and not self._stopping:
            silent = self._means.reactor.seconds() - self._heard
            self._deadline.set(max(0.0, within - silent), self.kill)

    def _unheard(self) -> None:
        """It has hung up: it serves nobody any more, and is about to end."""
        self.serves = self.prepared = False
        self._deadline.set(LATE, self.kill)

    def say(self, command: type[amp.Command], **fields: object) -> Deferred[Any]:
        """Say something to it; fails where it cannot be said, or was not done."""
        if self._wire is None or not self._enlisted:
            return _gone(self.name)
        said: Deferred[Any] = self._wire.callRemote(command, **fields)  # type: ignore[no-untyped-call]
        return said

    def say_soon(self, command: type[amp.Command], **fields: object) -> None:
        """The same, of what it does not answer."""
        if self._wire is not None and self._enlisted:
            self._wire.callRemote(command, **fields)  # type: ignore[no-untyped-call]

    # --- its lives

    async def _live(self) -> None:
        pause = SOONEST
        while not self._stopping:
            begun = self._means.reactor.seconds()
            await self._one_life()
            if not self.first.called:
                self.first.callback(False)
            if self._means.reactor.seconds() - begun > SOUND:
                pause = SOONEST
            if not self._stopping:
                self._log.error("{worker} has ended; another follows", worker=self.name)
                await self._wait(pause)
            pause = min(2 * pause, LONGEST)

    async def _wait(self, seconds: float) -> None:
        self._pause = deferLater(self._means.reactor, seconds)
        with suppress(CancelledError):
            await self._pause
        self._pause = None

    async def _one_life(self) -> None:
        self._number += 1
        log = f"{self._means.run}.{self._slot + 1}.{self._number}"
        self._life = self._life._replace(log=log)
        process = _Process()
        try:
            self._begin(process)
        except OSError as error:
            why = error.strerror or type(error).__name__
            self._log.error("{worker} cannot be started: {why}", worker=self.name, why=why)
            return
        await process.ended
        await self._bury()

    def _begin(self, process: _Process) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            self._process = self._means.spawn(self._life, process, theirs.fileno())
            self._wire = end = ControlEnd(self, self._unheard)
            factory = Factory.forProtocol(lambda: end)
            factory.noisy = False
            self._means.reactor.adoptStreamConnection(ours.fileno(), socket.AF_UNIX, factory)
        self._deadline.set(STARTED_WITHIN, self.kill)

    async def _bury(self) -> None:
        means, enlisted = self._means, self._enlisted
        for counters in means.counters:
            counters[self._slot] = ABSENT
        self.serves = self.prepared = self._enlisted = False
        self._process, self.told = None, {}
        self.counts.end()
        self._deadline.clear()
        if self._wire is not None:
            self._wire.let_go()
            self._wire = None
        if not enlisted:
            return
        try:
            await means.books.lose(self._life.log)
        except (OSError, JitgateError) as fault:  # the next checkpoint makes up for it
            self._log.error("The end of a log is not on record: {how}", how=traced(fault))
        while not await self._given_up():
            await self._wait(RETRY)
            if self._stopping:
                return  # the next start sees to it
        if not self._stopping:
            means.changed(None, None)

    async def _given_up(self) -> bool:
        try:
            await self._means.desk.orphaned(self._life.gateway)
        except JitgateError as fault:
            self._log.error(
                "What {worker} carried out is not given up yet: {how}",
                worker=self.name,
                how=traced(fault),
            )
            return False
        return True

    # --- what it says

    async def join(self, digest: bytes) -> bytes:
        """It wants to serve; raises `Refused`."""
        if digest != self._means.digest():
            raise wire.Refused("Files have changed since they were read: reload the gateway.")
        try:
            await self._means.books.enlist(self._life.log)
        except (OSError, JitgateError) as error:
            raise wire.Refused(f"The site log cannot be written: {error}.") from error
        self._enlisted = True
        return self._means.seed

    def served(self) -> None:
        """It accepts connections from now on."""
        self.serves = True
        self._heard = self._means.reactor.seconds()
        if not self.first.called:
            self.first.callback(True)

    def reported(self, size: int, root: str, told: bytes) -> dict[str, object]:
        """It tells how far its log has grown; why nobody witnesses that, or nothing may begin."""
        self._means.books.note(self._life.log, size, root)
        self.told = orjson.loads(told)
        self._heard = self._means.reactor.seconds()
        if not self._stopping:
            self._deadline.set(self._patience, self.kill)
        desk = self._means.desk
        return {"down": desk.down() or "", "held_up": desk.held_up() or ""}

    async def closed(self, size: int, root: str) -> None:
        """Its log has ended in order."""
        await self._means.books.closed(self._life.log, size, root)

    def counted(self, counts: bytes) -> None:
        """It has counted so far."""
        self.counts.hear(wire.counts_of(counts))

    def changed(self, changes: bytes) -> None:
        """It has changed something in the store."""
        self._means.changed(wire.changes_of(changes), self)

    @property
    def desk(self) -> Desk:
        """Where it asks for what it cannot do itself."""
        return self._means.desk


class _Process(ProcessProtocol):
    """Waits for a process; its output is the control process's own."""

    def __init__(self) -> None:
        self.ended: Deferred[None] = Deferred()

    def processEnded(self, reason: Failure) -> None:
        self.ended.callback(None)


def _gone(name: str) -> Deferred[Any]:
    return Deferred.fromCoroutine(_fails(name))


async def _fails(name: str) -> None:
    raise wire.Refused(f"{name} does not run.")
