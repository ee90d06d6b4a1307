"""The port that all workers accept from, each no more than its share of the connections.

All of them wait for the same socket. Whoever has more connections than another leaves the next one
to that; if it is still there a moment later, the other is busy, and it is taken all the same.
"""

from __future__ import annotations

import mmap
import os
import select
from typing import Any, Final, Self

from twisted.internet import tcp
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.python.failure import Failure
from zope.interface import implementer

ABSENT: Final = -1
"""Stands for the connections of a worker that accepts none."""

STEP_BACK: Final = 0.02
"""Seconds that a connection is left to another worker: several times what it takes one that is
well, and nothing that an agent notices."""

UNASKED: Final = 0.02
"""Seconds for which nothing more is left to others that have not taken what was: they are busy, or
hang, and agents must not wait for each connection in turn."""

_BYTES: Final = 8


class Counters:
    """How many connections each of ``count`` workers has open, in memory that they share."""

    def __init__(self, descriptor: int, count: int) -> None:
        self.descriptor = descriptor
        self._counts = memoryview(mmap.mmap(descriptor, count * _BYTES)).cast("q")

    @classmethod
    def made(cls, count: int) -> Self:
        """New ones, of workers of whom none accepts yet."""
        descriptor = os.memfd_create("jitgate-connections", os.MFD_CLOEXEC)
        os.ftruncate(descriptor, count * _BYTES)
        made = cls(descriptor, count)
        for slot in range(count):
            made[slot] = ABSENT
        return made

    def __setitem__(self, slot: int, connections: int) -> None:
        self._counts[slot] = connections

    def __getitem__(self, slot: int) -> int:
        return self._counts[slot]

    def is_ahead(self, slot: int) -> bool:
        """Whether a worker has more than another that accepts."""
        mine = self._counts[slot]
        return any(ABSENT < each < mine for each in self._counts)


class Share:
    """One worker's share: it alone writes its count."""

    def __init__(self, counters: Counters, slot: int) -> None:
        self._counters = counters
        self._slot = slot

    def begin(self) -> None:
        """It accepts from now on."""
        self._counters[self._slot] = 0

    def end(self) -> None:
        """It accepts no more."""
        self._counters[self._slot] = ABSENT

    @property
    def is_ahead(self) -> bool:
        """Whether another worker should have the next connection."""
        return self._counters.is_ahead(self._slot)

    def changed(self, by: int) -> None:
        """A connection has been opened, or has ended."""
        if self._counters[self._slot] != ABSENT:
            self._counters[self._slot] += by


class _Counted(tcp.Server):
    """A connection that counts as long as it is open."""

    server: SharedPort

    def __init__(self, *made: Any) -> None:
        super().__init__(*made)
        self.server.share.changed(1)

    def connectionLost(self, reason: Failure) -> None:
        super().connectionLost(reason)
        self.server.share.changed(-1)


class SharedPort(tcp.Port):
    """Accepts from a socket that other processes accept from too."""

    transport = _Counted  # type: ignore[assignment]
    share: Share
    _unasked_until = 0.0

    def doRead(self) -> None:
        """Take a connection, or leave it to whoever has fewer."""
        clock: Any = self.reactor
        if self.share.is_ahead and clock.seconds() >= self._unasked_until:
            self.stopReading()  # type: ignore[no-untyped-call]
            clock.callLater(STEP_BACK, self._come_back)
        else:
            self._take()

    def _take(self) -> None:
        self.numberAccepts = 1
        super().doRead()  # type: ignore[no-untyped-call]

    def _come_back(self) -> None:
        if not self.connected:
            return
        poll = select.poll()
        poll.register(self.socket, select.POLLIN)
        if poll.poll(0):
            clock: Any = self.reactor
            self._unasked_until = clock.seconds() + UNASKED
            self._take()
        self.startReading()  # type: ignore[no-untyped-call]

    def connectionLost(self, reason: Failure) -> None:
        """The port is closed, here."""
        self.share.end()
        super().connectionLost(reason)  # type: ignore[no-untyped-call]


@implementer(IStreamServerEndpoint)
class SharedEndpoint:
    """Where a worker listens: an inherited ``descriptor``."""

    def __init__(self, descriptor: int, family: int, share: Share, reactor: Any) -> None:
        self._descriptor = descriptor
        self._family = family
        self._share = share
        self._reactor = reactor

    def listen(
        self,
        protocolFactory: IProtocolFactory,  # noqa: N803 (Twisted's name)
    ) -> Deferred[IListeningPort]:
        """Accept what is this worker's share of the connections from now on."""
        port: SharedPort = SharedPort._fromListeningDescriptor(  # type: ignore[no-untyped-call] # noqa: SLF001 (as the reactor's own does)
            self._reactor, self._descriptor, self._family, protocolFactory
        )
        port.share = self._share
        self._share.begin()
        port.startListening()
        return succeed(port)
