"""The agent's proxy on the loopback: each of its tunnels is asked for anew, with a fresh token.

The agent knows the run's secret only. The token is added here, over a connection whose other end
has been checked, and is in nothing that goes back to the agent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from twisted.internet.defer import CancelledError, Deferred, DeferredList, maybeDeferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.interfaces import (
    IDelayedCall,
    IHalfCloseableProtocol,
    IListeningPort,
    ITCPTransport,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from jitgate.core.http1_reading import Request, RequestReader, Tunnel
from jitgate.errors import GatewayUnreachable, PeerFault, TokenUnavailable
from jitgate.forwarding.answer import Answer, AnswerReader
from jitgate.forwarding.asking import Asked, Refused, Run, asked
from jitgate.forwarding.hop import Address, Hop, HopProtocol, lost
from jitgate.forwarding.relay import Side
from jitgate.forwarding.tokens import TokenSource

HEAD_WITHIN = 15.0
"""Seconds from an agent's connection to the end of its CONNECT's head, as at the gateway."""

ANSWER_WITHIN = 30.0
"""Seconds for the gateway to answer CONNECT. It may have to ask an issuer for keys, which takes up
to 10."""

EARLY = 64 * 1024
"""Bytes that an agent may send before its CONNECT has been answered; a TLS hello has under 2 KiB.
"""

TOLD = 20
"""Reasons for which there was no tunnel that are said in a run; an agent can name any host."""

CLOSING = 10.0
"""Seconds that an agent has to take a refusal and hang up; then it is cut off."""


class Forwarder:
    """One run's proxy. ``say`` is given a sentence for whoever started the run."""

    def __init__(
        self, run: Run, hop: Hop, tokens: TokenSource, reactor: Any, say: Callable[[str], object]
    ) -> None:
        self.run = run
        self.tokens = tokens
        self.reactor = reactor
        self._hop = hop
        self._say = say
        self._said: str | None = None
        self._told: set[str] = set()
        self._open: set[AgentProtocol] = set()
        self._port: IListeningPort | None = None

    @property
    def port(self) -> int:
        """The port of 127.0.0.1 that it listens on, once started."""
        assert self._port is not None  # noqa: S101 (asked before `start`: a bug)
        return int(self._port.getHost().port)  # type: ignore[attr-defined]

    async def start(self) -> None:
        factory = Factory.forProtocol(lambda: AgentProtocol(self, self._open))
        factory.noisy = False
        endpoint = TCP4ServerEndpoint(self.reactor, 0, backlog=128, interface="127.0.0.1")
        self._port = await endpoint.listen(factory)

    async def stop(self) -> None:
        """Close the port and cut what is open: the agent has ended."""
        port, self._port = self._port, None
        if port is not None:
            await maybeDeferred(port.stopListening)
        open_now = list(self._open)
        for connection in open_now:
            connection.abort()
        await DeferredList([each.closed for each in open_now])

    async def ask(self, wanted: Asked) -> tuple[GatewayProtocol, Answer]:
        """Ask the gateway. Raises `TokenUnavailable` or `GatewayUnreachable`."""
        token = await self.tokens.token()
        gateway = await self._hop.connect(lambda address: GatewayProtocol(address, self.reactor))
        answer = await gateway.ask(wanted.as_sent(self.run.name, token))
        if wanted.tunnel and not answer.established:
            self._no_tunnel(f"The gateway opens no tunnel to {wanted.head.target}: {answer.why}")
        self._said = None
        return gateway, answer

    def _no_tunnel(self, why: str) -> None:
        """Say why, once a run: hardly a client shows what CONNECT is answered with."""
        if why not in self._told and len(self._told) < TOLD:
            self._told.add(why)
            self._say(why)

    def failed(self, why: str) -> None:
        """Say why the gateway could not be asked; once, until something else is to be said."""
        if why != self._said:
            self._said = why
            self._say(why)


@implementer(IHalfCloseableProtocol)
class AgentProtocol(Protocol):
    """One connection of the agent: a request, its answer, a tunnel. ``closed`` fires at its end."""

    _log = Logger()
    transport: ITCPTransport

    def __init__(self, forwarder: Forwarder, registry: set[AgentProtocol]) -> None:
        self._forwarder = forwarder
        self._registry = registry
        self._reader = RequestReader()
        self._receive: Callable[[bytes], None] = self._read
        self._early = b""
        self._passing: Deferred[None] | None = None
        self._timer: IDelayedCall | None = None
        self.closed: Deferred[None] = Deferred()

    # --- from the transport

    def connectionMade(self) -> None:
        self._registry.add(self)
        self.transport.setTcpNoDelay(True)
        self._side = Side(self.transport, self._forwarder.reactor)
        self._within(HEAD_WITHIN)

    def dataReceived(self, data: bytes) -> None:
        self._receive(data)

    def readConnectionLost(self) -> None:
        self._side.said_all()
        if self._passing is None:
            self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        self._side.told_all()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._registry.discard(self)
        self._within(None)
        self._receive = _thrown_away
        if self._passing is not None:
            self._passing.cancel()
        self._side.lost(reason)
        self.closed.callback(None)

    def abort(self) -> None:
        """Close at once."""
        self.transport.abortConnection()

    # --- what is done with what it sends

    def _read(self, data: bytes) -> None:
        for event in self._reader.feed(data):
            if isinstance(event, Tunnel | Request | PeerFault):
                self._within(None)
                self._begin(asked(event, self._forwarder.run))
                return

    def _hold(self, data: bytes) -> None:
        self._early += data
        if len(self._early) > EARLY:
            self.abort()

    # --- the answer

    def _begin(self, wanted: Asked | Refused) -> None:
        if isinstance(wanted, Refused):
            self._refuse(wanted)
            return
        self._early, self._receive = wanted.rest, self._hold
        self._passing = Deferred.fromCoroutine(self._pass_on(wanted))
        self._passing.addErrback(self._failed)

    async def _pass_on(self, wanted: Asked) -> None:
        try:
            gateway, answer = await self._forwarder.ask(wanted)
        except (TokenUnavailable, GatewayUnreachable) as fault:
            self._forwarder.failed(f"{fault}")
            self._refuse(_unavailable(fault))
            return
        through = wanted.tunnel and answer.established
        self._receive = self._side.received
        self.transport.write(answer.data)
        self._side.join(gateway.side, both_ways=through)
        if self._early:
            self._side.received(self._early)

    def _refuse(self, refused: Refused) -> None:
        """Answer, and read on until the agent hangs up: a cut could take the answer with it."""
        self._receive = _thrown_away
        if self not in self._registry:
            return  # it has hung up
        self.transport.write(refused.as_sent())
        self.transport.loseWriteConnection()
        self._within(CLOSING)

    def _failed(self, failure: Failure) -> None:
        if failure.check(CancelledError, ConnectingCancelledError) is None:
            self._log.failure("A request could not be passed on", failure)
        self.abort()

    def _within(self, seconds: float | None) -> None:
        """Replace the one deadline, after which the connection is cut."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        if seconds is not None and not self.closed.called:
            self._timer = self._forwarder.reactor.callLater(seconds, self.abort)


class GatewayProtocol(HopProtocol):
    """One connection to the gateway: one question, its answer, then one side of a relay."""

    def __init__(self, gateway: Address, clock: Any) -> None:
        super().__init__(gateway)
        self._clock = clock
        self._reader = AnswerReader(f"{gateway}")
        self._answer: Deferred[Answer] | None = None

    async def ask(self, data: bytes) -> Answer:
        """The gateway's answer, all bytes that came so far. Raises `GatewayUnreachable`."""
        self._answer = Deferred(lambda _: self.abort())
        self.transport.write(data)
        return await self._answer.addTimeout(
            ANSWER_WITHIN, self._clock, onTimeoutCancel=self._silent
        )

    # --- from the transport

    def connectionMade(self) -> None:
        self.side = Side(self.transport, self._clock)
        super().connectionMade()

    def dataReceived(self, data: bytes) -> None:
        if self._answer is None:
            self.abort()  # nobody asked for anything yet
        elif self._answer.called:
            self.side.received(data)
        else:
            self._read(self._answer, data)

    def _read(self, answer: Deferred[Answer], data: bytes) -> None:
        try:
            whole = self._reader.feed(data)
        except GatewayUnreachable as fault:
            answer.errback(fault)
            self.abort()
            return
        if whole is not None:
            answer.callback(whole)

    def readConnectionLost(self) -> None:
        if self._answer is not None and self._answer.called:
            self.side.said_all()
        else:
            super().readConnectionLost()

    def writeConnectionLost(self) -> None:
        self.side.told_all()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        self.side.lost(reason)
        if self._answer is not None and not self._answer.called:
            self._answer.errback(lost(self.gateway, reason))

    def _silent(self, _: object, timeout: float) -> NoReturn:
        raise GatewayUnreachable(
            f"The gateway at {self.gateway} did not answer within {timeout:g} s; its log may say "
            "why."
        )


def _unavailable(fault: TokenUnavailable | GatewayUnreachable) -> Refused:
    if isinstance(fault, TokenUnavailable):
        return Refused(502, "token-unavailable", "The agent's token cannot be had", f"{fault}")
    return Refused(502, "gateway-unreachable", "The gateway cannot be asked", f"{fault}")


def _thrown_away(_: bytes) -> None: ...
