"""Where agents come in that know of no proxy: at hosts of the gateway's own, in targets' places.

Such an agent says with each request who it is, so that each is admitted by itself: a connection
remembers what it has admitted, by host, token and run. Behind that everything is as in a tunnel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import cast

from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime, IStreamServerEndpoint, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from jitgate.core.http1_reading import Request
from jitgate.core.limits import LIMITS, Limits
from jitgate.flow.admission import Knock, Tunnel, TurnedAway
from jitgate.flow.deadlines import Deadline
from jitgate.flow.gateway import Gateway
from jitgate.interfaces import IRequest, IResponse
from jitgate.proxy.connection import AgentConnection
from jitgate.proxy.knocks import own_knock, without_knock
from jitgate.proxy.port import AgentPort, address_of, lets_little_wait, unnoted
from jitgate.proxy.registry import Connections, Note
from jitgate.values import Headers, RequestHead, Subject

REMEMBERED = 8
"""Pairs of token and run that a connection has admitted: agents have one, and whatever collects
several behind one connection to the gateway has few at a time."""

_NOBODY = Tunnel("", "problem", "", websockets=True)


class OwnHosts:
    """For which target's ``host:port`` each host name stands that is the gateway's own."""

    def __init__(self, hosts: Mapping[str, str]) -> None:
        self.at_hand = hosts

    def adopt(self, hosts: Mapping[str, str]) -> None:
        """Go by these for the requests to come."""
        self.at_hand = hosts


class ReverseListener(AgentPort):
    """The port of the gateway's own hosts. ``tls`` makes the server's side of a connection."""

    def __init__(
        self,
        gateway: Gateway,
        hosts: OwnHosts,
        endpoint: IStreamServerEndpoint,
        clock: IReactorTime,
        tls: Callable[[], SSL.Connection],
        *,
        limits: Limits = LIMITS,
        note: Note = unnoted,
    ) -> None:
        def connect(registry: Connections) -> Protocol:
            return ReverseConnection(gateway, hosts, clock, limits, registry)

        key = "listen.reverse.address"
        super().__init__(
            gateway, endpoint, clock, connect, key=key, limits=limits, note=note, tls=tls
        )


class ReverseConnection(AgentConnection):
    """One connection's requests, each with what admits it."""

    def __init__(
        self,
        gateway: Gateway,
        hosts: OwnHosts,
        clock: IReactorTime,
        limits: Limits,
        registry: Connections,
    ) -> None:
        super().__init__(gateway, _NOBODY, clock, limits, Deadline(clock))
        self._own = hosts
        self._registry = registry
        self._entry = _Entry(self)
        self._peer = ""
        self._knock = Knock("", None)
        self._read: tuple[Headers, tuple[str, ...], Mapping[str, str]] | None = None
        self._bare: Headers = ()
        self._admitted: dict[Knock, Tunnel] = {}

    def connectionMade(self) -> None:
        self._registry.add(self._entry)
        lets_little_wait(cast(ITCPTransport, self.transport))
        self._peer = address_of(self.transport.getPeer())
        super().connectionMade()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._registry.discard(self._entry)
        admitted, self._admitted = self._admitted, {}
        for tunnel in admitted.values():
            self._gateway.left(tunnel)
        super().connectionLost(reason)

    def end_of(self, whose: Callable[[Subject], bool]) -> bool:
        """End it if it carries requests of one of those subjects."""
        subjects = [each.subject for each in self._admitted.values()]
        if not any(subject is not None and whose(subject) for subject in subjects):
            return False
        self.stop()
        return True

    async def _answer(self, request: IRequest, response: IResponse) -> None:
        knock = self._knock
        if request.fault is not None:
            knock = Knock("", None, fault=request.fault, head=request.head, peer=self._peer)
        admitted = await self._admission(knock)
        if isinstance(admitted, TurnedAway):
            head, body = response.render(admitted.refusal, admitted.id, admitted.manner)
            await response.start(head, body)
            await response.finish()
        elif not self.closed.called:
            self._tunnel = admitted
            await super()._answer(request, response)

    async def _admission(self, knock: Knock) -> Tunnel | TurnedAway:
        """What was admitted before, or is now. One that is refused ends the connection.

        So to try tokens costs as much as at the proxy.
        """
        tunnel = self._admitted.pop(knock, None)
        if tunnel is None:
            admitted = await self._gateway.admit(knock)
            if isinstance(admitted, TurnedAway) or admitted.refusal is not None:
                self._last = True
                return admitted
            tunnel = admitted
        if self.closed.called:
            self._gateway.left(tunnel)
            return tunnel
        self._registry.proved(self._entry)
        self._admitted[knock] = tunnel
        if len(self._admitted) > REMEMBERED:
            self._gateway.left(self._admitted.pop(next(iter(self._admitted))))
        return tunnel

    @property
    def _left(self) -> float:
        """The next request may bring another token."""
        return math.inf

    def _named(self, request: Request) -> tuple[RequestHead, tuple[str, ...]]:
        """The head without what is for the gateway alone, and the target that is meant.

        Clients repeat their fields to the letter: what they asked the last time is remembered.
        """
        head, named = super()._named(request)
        before, hosts = self._read, self._own.at_hand
        again = before is not None and before[0] is head.headers and before[2] is hosts
        if not again or before is None or before[1] != named:
            self._read = head.headers, named, hosts
            self._knock = own_knock(head, named, hosts, self._peer)
            self._bare = without_knock(head.headers)
        return head._replace(headers=self._bare), (self._knock.authority,)

    def _all_named(self, host: bytes | None) -> tuple[str, ...]:
        named = () if host is None else (host.decode("ascii"),)
        sni = self.transport.getHandle().get_servername()
        return (*named, sni.decode("ascii", "replace").lower()) if sni else named


class _Entry:
    """A connection as the registry knows it."""

    def __init__(self, connection: ReverseConnection) -> None:
        self._connection = connection
        self.closed: Deferred[None] = connection.closed

    def end(self) -> None:
        self._connection.stop()

    def end_of(self, whose: Callable[[Subject], bool]) -> bool:
        return self._connection.end_of(whose)

    def abort(self) -> None:
        self._connection.abort()
