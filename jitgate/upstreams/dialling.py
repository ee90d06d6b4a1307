"""One of several addresses is connected to: IPv4 and IPv6 are raced (RFC 8305).

Resolving is not done here, so what is dialled is what was handed in, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import (
    IDelayedCall,
    IProtocol,
    IReactorTCP,
    IReactorTime,
    ITCPTransport,
)
from twisted.internet.protocol import ClientFactory, Protocol, connectionDone
from twisted.python.failure import Failure

Peer = tuple[str, int]
"""An address and a port."""

NEXT_AFTER = 0.25
"""Seconds that one address has before the next is tried beside it (RFC 8305, section 8)."""

MOST = 8
"""Addresses that are tried of one name, so that a long answer does not mean as many sockets."""


class Wire(Protocol):
    """A TCP connection, which is handed to one protocol and then to another: a proxy's, TLS."""

    transport: ITCPTransport

    def __init__(self, made: Callable[[Wire], None]) -> None:
        self._made = made
        self._hears: IProtocol | None = None
        self.lost: Deferred[None] = Deferred()
        """Fires when the connection has ended."""

    def hand_to(self, protocol: IProtocol) -> None:
        """The connection is this protocol's: it hears all that comes from now on."""
        self._hears = protocol
        self.dataReceived = protocol.dataReceived  # type: ignore[method-assign]
        protocol.makeConnection(self.transport)

    def connectionMade(self) -> None:
        self._made(self)

    def dataReceived(self, data: bytes) -> None:
        self.transport.abortConnection()  # nobody speaks before we have

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._hears is not None:
            self._hears.connectionLost(reason)
        self.lost.callback(None)


class _Attempt(ClientFactory):
    """One address, and the connection to it, or why there is none."""

    noisy = False

    def __init__(self, reactor: IReactorTCP, peer: Peer, within: float) -> None:
        self.outcome: Deferred[Wire] = Deferred(self._given_up)
        self._connector = reactor.connectTCP(*peer, self, timeout=within)

    def buildProtocol(self, addr: object) -> Wire:
        return Wire(self.outcome.callback)

    def clientConnectionFailed(self, connector: object, reason: Failure) -> None:
        if not self.outcome.called:
            self.outcome.errback(reason)

    def _given_up(self, outcome: Deferred[Wire]) -> None:
        outcome.errback(CancelledError())
        self._connector.stopConnecting()


Connect = Callable[[Peer], Deferred[Wire]]


def connector(reactor: IReactorTCP, within: float) -> Connect:
    """How one address is connected to: without a resolver, whatever its family."""
    return lambda peer: _Attempt(reactor, peer, within).outcome


def interleaved(peers: Sequence[Peer]) -> list[Peer]:
    """The families by turns, beginning with that of the first, each in its order; `MOST` of all."""
    first = [peer for peer in peers if (":" in peer[0]) == (":" in peers[0][0])]
    second = [peer for peer in peers if peer not in first]
    turns = [peer for pair in zip(first, second, strict=False) for peer in pair]
    shorter = min(len(first), len(second))
    return [*turns, *first[shorter:], *second[shorter:]][:MOST]


async def raced(
    peers: Sequence[Peer], connect: Connect, clock: IReactorTime, within: float
) -> Wire:
    """A connection to whichever accepts first, in ``within`` seconds; the others are given up.

    Raises what the last failure was, or `twisted.internet.error.TimeoutError` after all its time.
    """
    race = _Race(interleaved(peers), connect, clock)
    won = race.won
    won.addTimeout(within, clock)
    race.start()
    try:
        return await won
    finally:
        race.end()


class _Race:
    """The attempts at one connection."""

    def __init__(self, peers: list[Peer], connect: Connect, clock: IReactorTime) -> None:
        self._left = peers
        self._connect = connect
        self._clock = clock
        self._running: set[Deferred[Wire]] = set()
        self._next: IDelayedCall | None = None
        self.won: Deferred[Wire] = Deferred()

    def start(self) -> None:
        """Try the next address; and the one after it soon, if this one does not accept."""
        self._halt()
        peer = self._left.pop(0)
        if self._left:
            self._next = self._clock.callLater(NEXT_AFTER, self.start)
        attempt = self._connect(peer)
        self._running.add(attempt)
        attempt.addCallbacks(self._connected, self._failed, (attempt,), {}, (attempt,))

    def end(self) -> None:
        """Give up what is still being tried."""
        self._halt()
        running, self._running = self._running, set()
        for attempt in running:
            attempt.cancel()

    def _halt(self) -> None:
        if self._next is not None and self._next.active():
            self._next.cancel()

    def _connected(self, wire: Wire, attempt: Deferred[Wire]) -> None:
        self._running.discard(attempt)
        self.won.callback(wire)

    def _failed(self, failure: Failure, attempt: Deferred[Wire]) -> None:
        if attempt not in self._running:
            return  # given up
        self._running.discard(attempt)
        if self._left:
            self.start()
        elif not self._running:
            self.won.errback(failure)
