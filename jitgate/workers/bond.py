"""A worker's side: its bond with the control process, without which it serves nobody.

What it writes is on record only while the control process signs for it. That is told twice a
second; without an answer, or once the other side is gone, the recorder takes nothing more.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

import orjson
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import Factory, connectionDone
from twisted.logger import Logger
from twisted.protocols import amp
from twisted.python.failure import Failure
from zope.interface import implementer

from jitgate.core.tally import Row, Series
from jitgate.errors import ApproversUnreachable, PeopleUnknown, StateUnusable, traced
from jitgate.interfaces import IGrantChannel, INews
from jitgate.values import AccessRequest, Changed, Grant, Use
from jitgate.workers import wire

EVERY: Final = 0.5
"""Seconds between two reports: so long it takes at most until nothing is recorded that nobody
signs for."""

UNHEARD: Final = 5.0
"""Seconds without an answer after which nobody does."""

TOLD_WITHIN: Final = 30.0
"""Seconds for people to be shown something: Slack may take that long."""

GONE: Final = "The control process is gone."


class Heeding(Protocol):
    """What the control process has a worker do."""

    async def prepare(self, digest: bytes) -> Sequence[str]: ...
    async def replace(self) -> None: ...
    def abandon(self) -> None: ...
    def cut(self, grant: str) -> None: ...
    def disbelieve(self, name: str, at: float, why: str) -> Mapping[str, int]: ...


@implementer(INews)
class Bond:
    """The wire to the control process, and what comes of it. ``lost`` is called when it breaks."""

    _log = Logger()

    def __init__(self, reactor: Any, lost: Callable[[], None]) -> None:
        self._reactor = reactor
        self._lost = lost
        self._wire: _Wire | None = None
        self._heard: Callable[[Sequence[Changed] | None], None] | None = None
        self.heeding: Heeding | None = None
        """Set before it has joined."""
        self.gone = False

    def connect(self, descriptor: int) -> None:
        """Take the inherited end of the wire."""
        self._wire = end = _Wire(self)
        factory = Factory.forProtocol(lambda: end)
        factory.noisy = False
        with socket.socket(fileno=descriptor) as inherited:
            inherited.setblocking(False)
            self._reactor.adoptStreamConnection(inherited.fileno(), socket.AF_UNIX, factory)

    def broken(self) -> None:
        """The other side is gone."""
        if not self.gone:
            self.gone = True
            self._lost()

    def let_go(self) -> None:
        """Nothing more is to be said."""
        self.gone = True
        if self._wire is not None and self._wire.transport is not None:
            self._wire.transport.loseConnection()

    async def say(self, command: type[amp.Command], **fields: object) -> Any:
        """Raises `Refused` where it is not done, and AMP's own where it cannot be said."""
        if self._wire is None or self.gone:
            raise wire.Refused(GONE)
        return await self._wire.callRemote(command, **fields)  # type: ignore[no-untyped-call]

    # --- what is changed in the store

    async def start(self, heard: Callable[[Sequence[Changed] | None], None]) -> None:
        self._heard = heard

    async def stop(self) -> None:
        self._heard = None

    def changed(self, changes: Sequence[Changed]) -> None:
        """Have the other processes hear of what this one has changed."""
        if self._wire is not None and not self.gone:
            for message in wire.changes_in(changes):
                self._wire.callRemote(wire.Changes, changes=message)  # type: ignore[no-untyped-call]

    def counted(self, news: Iterable[tuple[Series, Row]]) -> None:
        """Tell what this process has counted."""
        if self._wire is not None and not self.gone:
            for message in wire.counts_in(news):
                self._wire.callRemote(wire.Counted, counts=message)  # type: ignore[no-untyped-call]

    def hear(self, changes: bytes) -> None:
        """Another process has changed something."""
        if self._heard is not None:
            self._heard(wire.changes_of(changes))


class Joined:
    """The part that is let in before anything is written, and says how far it was at the end."""

    def __init__(
        self,
        bond: Bond,
        digest: Callable[[], bytes],
        seeded: Callable[[bytes], None],
        last: Callable[[], tuple[int, str]],
    ) -> None:
        self._bond = bond
        self._digest = digest
        self._seeded = seeded
        self._last = last

    async def start(self) -> None:
        """Ask to be let in. Raises `StateUnusable`."""
        try:
            welcome = await self._bond.say(wire.Join, digest=self._digest())
        except Exception as error:
            raise StateUnusable(f"The control process does not take it: {error}") from error
        self._seeded(welcome["seed"])

    async def stop(self) -> None:
        """Say where the log has ended, if it has."""
        size, root = self._last()
        if size:
            await self._bond.say(wire.Closed, size=size, root=root)
        self._bond.let_go()


class Announced:
    """The part that says, once all others have started, that this worker serves."""

    def __init__(self, bond: Bond) -> None:
        self._bond = bond

    async def start(self) -> None:
        """Raises `StateUnusable` where nobody hears it."""
        try:
            await self._bond.say(wire.Serving)
        except Exception as error:
            raise StateUnusable(f"The control process does not hear it: {error}") from error

    async def stop(self) -> None:
        """What it says of itself goes on until its log ends."""


class Witness:
    """The part that reports how far the log has grown, and knows whether anybody signs for it."""

    _log = Logger()

    def __init__(
        self,
        bond: Bond,
        head: Callable[[], Awaitable[Any]],
        told: Callable[[], Mapping[str, object]],
        counted: Callable[[], Iterable[tuple[Series, Row]]],
        reactor: Any,
    ) -> None:
        self._bond = bond
        self._head = head
        self._told = told
        self._counted = counted
        self._reactor = reactor
        self._answered = 0.0
        self._why = "Nobody signs for this worker yet."
        self._held_up = ""
        self._next: IDelayedCall | None = None
        self._runs = False

    def down(self) -> str | None:
        """Why nobody signs for what is written now, if so."""
        if self._bond.gone:
            return GONE
        if self._runs and self._reactor.seconds() - self._answered > UNHEARD:
            return "The control process does not answer."
        return self._why or None

    def held_up(self) -> str | None:
        """Why nothing new may begin anywhere, though what has begun is recorded."""
        return self._held_up or None

    async def start(self) -> None:
        """Report, and again."""
        self._runs, self._answered = True, self._reactor.seconds()
        await self._report()
        await self._report()  # that it is signed for is part of how it is
        self._report_soon()

    async def stop(self) -> None:
        """What is written from now on is what ends the log."""
        self._runs = False
        self._bond.counted(self._counted())
        if self._next is not None and self._next.active():
            self._next.cancel()

    def _report_soon(self, _: object = None) -> None:
        if self._runs and not self._bond.gone:
            self._next = self._reactor.callLater(EVERY, self._again)

    def _again(self) -> None:
        reporting = Deferred.fromCoroutine(self._report())
        reporting.addErrback(self._failed).addCallback(self._report_soon)

    async def _report(self) -> None:
        size, root = await self._head()
        self._bond.counted(self._counted())
        told = orjson.dumps(self._told())
        answer = await self._bond.say(wire.Report, size=size, root=root, told=told)
        self._answered = self._reactor.seconds()
        self._why = answer["down"]
        self._held_up = answer["held_up"]

    def _failed(self, failure: Failure) -> None:
        if not self._bond.gone:
            how = traced(failure.value)  # type: ignore[arg-type]
            self._log.error("What is written was not reported: {how}", how=how)


@implementer(IGrantChannel)
class WireChannel:
    """The way to people of a worker: the control process tells them."""

    name = "control process"

    def __init__(self, bond: Bond, clock: Any) -> None:
        self._bond = bond
        self._clock = clock

    async def tell(self, request: AccessRequest) -> None:
        telling = Deferred.fromCoroutine(self._bond.say(wire.Tell, request=request.id))
        try:
            await telling.addTimeout(TOLD_WITHIN, self._clock)
        except Exception as fault:
            raise ApproversUnreachable(f"The control process told nobody: {fault}") from fault

    async def tell_grant(self, grant: Grant, use: Use | None) -> None:
        try:
            await self._bond.say(wire.TellGrant, grant=grant.id, use="" if use is None else use.id)
        except Exception as fault:
            raise ApproversUnreachable(f"The control process told nobody: {fault}") from fault


class WireGroups:
    """The members of groups that only the control process can ask of."""

    def __init__(self, bond: Bond) -> None:
        self._bond = bond

    async def members(self, group: str) -> Sequence[str]:
        """Everybody in a group. Raises `PeopleUnknown`."""
        try:
            answer = await self._bond.say(wire.Members, group=group)
        except Exception as fault:
            raise PeopleUnknown(f"The control process cannot tell: {fault}") from fault
        return [f"{each}" for each in orjson.loads(answer["members"])]


class _Wire(amp.AMP):
    """A worker's end."""

    def __init__(self, bond: Bond) -> None:
        super().__init__(locator=_AtWorker(bond))  # type: ignore[no-untyped-call]
        self._bond = bond

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)  # type: ignore[no-untyped-call]
        self._bond.broken()


class _AtWorker(amp.CommandLocator):
    """Hears what the control process says."""

    def __init__(self, bond: Bond) -> None:
        super().__init__()
        self._bond = bond

    @property
    def _heeding(self) -> Heeding:
        assert self._bond.heeding is not None  # noqa: S101 (nothing is said before it has joined)
        return self._bond.heeding

    @wire.Changes.responder
    def changes(self, changes: bytes) -> dict[str, object]:
        self._bond.hear(changes)
        return {}

    @wire.Prepare.responder
    @wire.refusing
    async def prepare(self, digest: bytes) -> dict[str, object]:
        problems = await self._heeding.prepare(digest)
        return {"problems": orjson.dumps([each[:500] for each in problems[:100]])}

    @wire.Replace.responder
    @wire.refusing
    async def replace(self) -> dict[str, object]:
        await self._heeding.replace()
        return {}

    @wire.Abandon.responder
    def abandon(self) -> dict[str, object]:
        self._heeding.abandon()
        return {}

    @wire.Cut.responder
    def cut(self, grant: str) -> dict[str, object]:
        self._heeding.cut(grant)
        return {}

    @wire.Disbelieve.responder
    def disbelieve(self, name: str, at: float, why: str) -> dict[str, object]:
        return {"ended": orjson.dumps(dict(self._heeding.disbelieve(name, at, why)))}
