"""What every version of HTTP does inside a tunnel's TLS: which host, how long, and how it ends.

The versions differ in how requests are told apart; each is a protocol of its own on top of this.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NoReturn

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHandshakeListener, IPushProducer, IReactorTime
from twisted.internet.protocol import Protocol
from twisted.logger import Logger
from zope.interface import implementer

from jitgate.core.limits import Limits
from jitgate.errors import AgentGone
from jitgate.flow.admission import Tunnel
from jitgate.flow.deadlines import Deadline
from jitgate.flow.gateway import Gateway
from jitgate.interfaces import IRequest, IResponse
from jitgate.tls import TlsPump

EXPIRING = 60.0
"""Seconds before its token ends from which on a tunnel is closed after the exchange at hand: the
agent opens another, with a fresh token if it has one, instead of being refused on this one."""

GOODBYE = 1.0
"""Seconds that an agent has to answer the end of its tunnel when the gateway stops. All it is owed
has been handed to the kernel, which delivers it even after the gateway has ended."""


@implementer(IPushProducer, IHandshakeListener)
class Inside(Protocol):
    """One tunnel's requests. ``closed`` fires when the connection has ended."""

    _log = Logger()
    transport: TlsPump

    def __init__(
        self,
        gateway: Gateway,
        tunnel: Tunnel,
        clock: IReactorTime,
        limits: Limits,
        deadline: Deadline,
    ) -> None:
        self._gateway = gateway
        self._tunnel = tunnel
        self._clock = clock
        self._limits = limits
        self._deadline = deadline
        self._last = False
        self._ending = False
        self._out = False
        self._linger = limits.closing
        self._hosts_before: tuple[bytes | None, tuple[str, ...]] | None = None
        self.closed: Deferred[None] = Deferred()

    # --- from the transport

    def connectionMade(self) -> None:
        self.transport.registerProducer(self, True)
        self._within(self._limits.handshake, self.abort)

    def handshakeCompleted(self) -> None:
        self._within(self._limits.idle, self.end)

    def pauseProducing(self) -> None:
        """The agent reads slower than it is sent to."""
        raise NotImplementedError

    def resumeProducing(self) -> None:
        """The agent has caught up."""
        raise NotImplementedError

    def stopProducing(self) -> None:
        """The transport is ending; `connectionLost` says so to whoever waits."""

    # --- how it ends

    def end(self) -> None:
        """Take no more requests; close when those at hand have been answered."""
        raise NotImplementedError

    def stop(self) -> None:
        """`end`, without waiting long for the agent to answer that."""
        self._linger = GOODBYE
        if self._out:
            self._within(GOODBYE, self.transport.hang_up)
        self.end()

    def _close(self) -> None:
        """Say that nothing more will come, once."""
        if self._ending or self.closed.called:
            return
        self._ending = True
        self._within(self._limits.closing, self.abort)
        self.transport.unregisterProducer()
        self.transport.loseConnection()
        self.transport.when_sent(self._sent)

    def _sent(self) -> None:
        """All is in the kernel's hands. The connection is kept open for the agent's answer only.

        Closed at once, it would answer what the agent still sends with a reset, upon which some
        systems throw away what the agent has not read yet (RFC 9112, section 9.6).
        """
        self._out = True
        self._within(self._linger, self.transport.hang_up)

    def abort(self) -> None:
        """Close without the orderly end that would make a cut body look whole."""
        self._last = True
        if not self.closed.called:
            self.transport.abortConnection()

    def _within(self, seconds: float, act: Callable[[], None]) -> None:
        """Replace the one deadline of this connection."""
        if not self.closed.called:
            self._deadline.set(seconds, act)

    def _rest(self) -> None:
        """No exchange is at hand: a tunnel that lies idle is closed before its token ends."""
        self._within(min(self._limits.idle, max(0.0, self._left - EXPIRING)), self.end)

    # --- an exchange

    async def _carry(self, request: IRequest, response: IResponse) -> None:
        """Carry one out; returns when the agent has its whole answer."""
        try:
            await self._answer(request, response)
        except GeneratorExit:  # the process ends, and nobody waits for it any more
            raise
        except BaseException:  # noqa: BLE001 (whatever it is, nothing more may pass here)
            self._log.failure("An exchange failed outside the gateway's story")
            self.abort()

    async def _answer(self, request: IRequest, response: IResponse) -> None:
        await self._gateway.serve(self._tunnel, request, response)

    async def in_time(self, act: Deferred[None]) -> None:
        """Wait for the agent to go on with its part. Raises `AgentGone` if it does not."""
        await act.addTimeout(self._limits.stalled, self._clock, onTimeoutCancel=_stalled)

    @property
    def keeps(self) -> bool:
        """Whether the connection may stay open after the exchange at hand."""
        busy = self._tunnel.refusal is not None and self._tunnel.refusal.manner == "busy"
        return not self._last and not busy and self._left > EXPIRING

    @property
    def _left(self) -> float:
        """Seconds until the tunnel's token ends; without end for one that is refused anyway."""
        subject = self._tunnel.subject
        return math.inf if subject is None else subject.expires_at - self._clock.seconds()

    # --- which host

    def _hosts(self, host: bytes | None) -> tuple[str, ...]:
        """Every host the agent named: Host, and the handshake's server name if there was one.

        On one tunnel the handshake's stays what it is, and Host is mostly that of the one before.
        """
        if self._hosts_before is None or self._hosts_before[0] != host:
            self._hosts_before = host, self._all_named(host)
        return self._hosts_before[1]

    def _all_named(self, host: bytes | None) -> tuple[str, ...]:
        port = self._tunnel.authority.rpartition(":")[2]
        named = [] if host is None else [with_port(host.decode("ascii"))]
        sni = self.transport.getHandle().get_servername()
        if sni:
            named.append(f"{sni.decode('ascii', 'replace').lower()}:{port}")
        return tuple(named)


def _stalled(_: object, __: float) -> NoReturn:
    raise AgentGone("The agent did not go on with the exchange in time.")


def with_port(host: str) -> str:
    """The authority with its port: https means 443 where none is written (RFC 9110, 4.2.2)."""
    return host if host.rpartition("]")[2].count(":") else f"{host}:443"
