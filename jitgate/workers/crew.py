"""The workers of a gateway, as the control process has them: kept alive, told, and asked.

What must hold in every worker holds in all of them or in none: one that cannot be told is killed.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Self

import orjson
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.defer import TimeoutError as TooLate
from twisted.logger import Logger
from twisted.protocols import amp
from zope.interface import implementer

from jitgate.core.tally import Sums
from jitgate.errors import StateUnusable
from jitgate.interfaces import INews
from jitgate.values import Changed
from jitgate.workers import wire
from jitgate.workers.member import AWAITED, Means, Member

BACKLOG: Final = 1024
"""Connections that wait to be accepted."""

READ_WITHIN: Final = 60.0
"""Seconds for a worker to read a configuration: a large catalog takes some of them."""

REPLACED_WITHIN: Final = 5.0
"""Seconds for it to go by what it has read."""

CUT_WITHIN: Final = 0.5
"""Seconds to end what goes on: half of what revoking may take."""

Hear = Callable[[Sequence[Changed] | None], None]


@implementer(INews)
class Relay:
    """What workers change in the store, for the control process to hear, and what it changes."""

    def __init__(self, tell: Hear) -> None:
        self.changed = tell
        self._heard: Hear | None = None

    async def start(self, heard: Hear) -> None:
        self._heard = heard

    async def stop(self) -> None:
        self._heard = None

    def heard(self, changes: Sequence[Changed] | None) -> None:
        """Something was changed."""
        if self._heard is not None:
            self._heard(changes)


class Door:
    """A part of the service: a port whose socket is bound here, and that all workers accept from.

    ``key`` is where its ``address`` stands in the configuration.
    """

    def __init__(self, address: tuple[str, int], key: str) -> None:
        self._host, self._port = address
        self._key = key
        self.socket = socket.socket(socket.AF_INET6 if ":" in self._host else socket.AF_INET)

    @property
    def port(self) -> Self:
        """What says where it listens."""
        return self

    async def start(self) -> None:
        """Bind it. Raises `StateUnusable`."""
        self.socket.setblocking(False)
        try:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.socket.bind((self._host, self._port))
            self.socket.listen(BACKLOG)
        except OSError as error:
            self.socket.close()
            raise StateUnusable(
                f"The proxy cannot listen on {self._host or '*'}:{self._port}: {error.strerror}. "
                f"Stop what holds it or set another {self._key}."
            ) from error

    async def stop(self) -> None:
        """Close it, here."""
        self.socket.close()

    def getHost(self) -> IPv4Address | IPv6Address:
        """Where it listens."""
        kind = IPv6Address if self.socket.family == socket.AF_INET6 else IPv4Address
        return kind("TCP", *self.socket.getsockname()[:2])


class Crew:
    """A part of the service: so many workers, started once the doors are open."""

    _log = Logger()

    def __init__(self, count: int, *, stop: float) -> None:
        self.relay = Relay(self.changed)
        self._count = count
        self._stop = stop
        self._members: Sequence[Member] = ()
        self.means: Means | None = None
        """Set before it is started."""

    async def start(self) -> None:
        """Start every worker; returns once all serve, raises `StateUnusable` if one does not."""
        assert self.means is not None  # noqa: S101 (composed wrongly: a bug)
        self._members = [Member(slot, self.means) for slot in range(self._count)]
        for member in self._members:
            member.start()
        serve = [await member.first for member in self._members]
        if not all(serve):
            await self.stop()
            raise StateUnusable("A worker does not start; the log says why.")

    async def stop(self) -> None:
        """End all of them, which end what they carry; who takes too long is killed."""
        ends = [Deferred.fromCoroutine(each.stop(self._stop)) for each in self._members]
        await DeferredList(ends)

    # --- how they are

    def down(self) -> str | None:
        """Why not all of them serve, if so."""
        reasons = [member.down for member in self._members]
        return "; ".join(filter(None, reasons)) or None

    def none_serves(self) -> str | None:
        """Why nothing is served at all, if so."""
        if self._members and all(member.down for member in self._members):
            return "No worker serves."
        return None

    def told(self, what: str) -> Iterable[Any]:
        """What those that run say of something; each of them once."""
        return [member.told[what] for member in self._members if what in member.told]

    @property
    def counted(self) -> Sequence[Sums]:
        """What they have counted, as of half a second ago at most."""
        return [member.counts for member in self._members]

    def loads(self) -> Iterable[tuple[str, Mapping[str, float]]]:
        """How much each carries that runs."""
        return [(each.name, each.told["load"]) for each in self._members if "load" in each.told]

    @property
    def serving(self) -> int:
        """How many accept connections."""
        return sum(member.serves for member in self._members)

    @property
    def starts(self) -> int:
        """How often one was started."""
        return sum(member.starts for member in self._members)

    # --- what they are told

    def changed(self, changes: Sequence[Changed] | None, by: Member | None = None) -> None:
        """Tell all but ``by`` what was changed in the store; of the control process no more."""
        for message in wire.changes_in(changes):
            for member in self._members:
                if member is not by:
                    member.say_soon(wire.Changes, changes=message)

    def changed_by(self, changes: Sequence[Changed] | None, by: Member | None) -> None:
        """A worker has changed something; the others hear of it, and so does this process."""
        self.relay.heard(changes)
        self.changed(changes, by)

    def may_go_on(self, key: str) -> bool:
        """Whether something may go on under a grant of exactly that id: it may look like one."""
        return bool(self._members) and key.startswith("g-") and len(key) == len("g-") + 16

    def cut(self, key: str) -> None:
        """End what goes on under a grant, in every worker."""
        for member in self._members:
            member.say_soon(wire.Cut, grant=key)

    async def believe_no_more(self, name: str, at: float, why: str) -> Mapping[str, int]:
        """Have all of them believe a subject no more: what was open of it ends."""
        ended: dict[str, int] = {}
        for _, said in await self._all(CUT_WITHIN, wire.Disbelieve, name=name, at=at, why=why):
            for kind, count in ({} if said is None else orjson.loads(said["ended"])).items():
                ended[kind] = ended.get(kind, 0) + count
        return ended

    # --- another configuration

    async def prepare(self, digest: bytes) -> Sequence[str]:
        """Have all read it; what keeps one of them from going by it. Then none does.

        One that dies meanwhile, or says nothing at all and is killed, keeps nobody from it: the
        next in its place reads what is in force by then.
        """
        for member in self._members:
            member.await_word(AWAITED)
        said_by = await self._all(READ_WITHIN, wire.Prepare, digest=digest)
        for member in self._members:  # and those that come in the place of one that does not serve
            member.await_word()
        problems: list[str] = []
        for member, said in said_by:
            if said is None and not member.serves:
                continue
            why = [f"{member.name} did not read it"] if said is None else _texts(said["problems"])
            member.prepared = not why
            problems += [each for each in why if each not in problems]
        if problems:
            self.abandon()
        return problems

    def abandon(self) -> None:
        """Go on as before."""
        for member in self._members:
            member.prepared = False
            member.say_soon(wire.Abandon)

    async def replace(self) -> None:
        """Have all go by it. Whoever has not got it ready, or does not, is killed."""
        for member in self._members:
            if not member.prepared:
                member.kill()
                member.hurry()
        for member, said in await self._all(REPLACED_WITHIN, wire.Replace):
            if said is None:
                member.kill()
            member.prepared = False

    async def _all(
        self, within: float, command: type[amp.Command], **fields: object
    ) -> list[tuple[Member, Mapping[str, Any] | None]]:
        """What each that runs says to something; None where it was not done in time."""
        those = [each for each in self._members if each.serves]
        asked = [(each, maybeDeferred(each.say, command, **fields)) for each in those]
        for member, said in asked:
            said.addTimeout(within, member.clock).addErrback(self._unsaid, member)
        return [(member, await said) for member, said in asked]

    def _unsaid(self, failure: Any, member: Member) -> None:
        why = "too late" if failure.check(TooLate) else f"{failure.value}"
        self._log.error("{worker} did not do what it was told: {why}", worker=member.name, why=why)


def _texts(data: bytes) -> list[str]:
    return [f"{each}" for each in orjson.loads(data)]
