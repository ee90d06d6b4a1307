"""A port where agents come in: which connections are open there, and how they end with it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from OpenSSL import SSL
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import (
    IListeningPort,
    IReactorTime,
    IStreamServerEndpoint,
    ITCPTransport,
)
from twisted.internet.protocol import Factory, Protocol
from zope.interface import implementer

from jitgate.core.limits import LIMITS, Limits
from jitgate.errors import StateUnusable
from jitgate.flow.gateway import Gateway
from jitgate.flow.load import STOPPING
from jitgate.flow.revoking import End
from jitgate.interfaces import IProtocolListener
from jitgate.proxy.registry import Connections, Note
from jitgate.tls import TlsPump
from jitgate.values import Subject

UNSENT = 16 * 1024
"""Bytes that the kernel takes beyond what is on its way (tcp(7)). Without it an agent that reads
nothing costs 4 MiB of the kernel's memory; what is on its way is not limited, nor is the speed."""

FOR_EXCHANGES, FOR_ANSWERS = 0.7, 0.85
"""Parts of the time for a stop after which exchanges are cut short, and connections cut off. What
is left is for the record, which is sealed at the end."""


def unnoted(fields: Mapping[str, object]) -> None:
    """For a port without a record."""


@implementer(IProtocolListener)
class AgentPort:
    """A port where agents come in. One object a port; `start` once.

    ``connect`` makes the protocol of a connection, which enters itself into what it is given.
    ``tls`` makes the server's side of a connection, where the port itself speaks TLS. ``key`` is
    where its address stands in the configuration.
    """

    def __init__(
        self,
        gateway: Gateway,
        endpoint: IStreamServerEndpoint,
        clock: IReactorTime,
        connect: Callable[[Connections], Protocol],
        *,
        key: str,
        limits: Limits = LIMITS,
        note: Note = unnoted,
        tls: Callable[[], SSL.Connection] | None = None,
    ) -> None:
        self._gateway = gateway
        self._endpoint = endpoint
        self._key = key
        self._tls = tls
        self._clock = clock
        self._limits = limits
        self._open = Connections(clock, limits.unproved, note)
        self._connect = connect
        self._port: IListeningPort | None = None

    @property
    def port(self) -> IListeningPort:
        """The bound port, once started."""
        assert self._port is not None  # noqa: S101 (asked before `start`: a bug)
        return self._port

    async def start(self) -> None:
        factory = Factory.forProtocol(self._connected)
        factory.noisy = False
        try:
            self._port = await self._endpoint.listen(factory)
        except CannotListenError as error:
            raise StateUnusable(
                f"The proxy cannot listen on {error.interface or '*'}:{error.port}: "
                f"{error.socketError}. Stop what holds it or set another {self._key}."
            ) from error

    def _connected(self) -> Protocol:
        """For one connection; the CONNECT's deadline runs from before the port's own handshake."""
        connection = self._connect(self._open)
        return connection if self._tls is None else TlsPump(self._tls(), connection, serves=True)

    def end_of(self, why: str, whose: Callable[[Subject], bool]) -> int:
        """End every tunnel of some subjects; how many that are."""
        return sum(connection.end_of(whose) for connection in list(self._open))

    async def stop(self) -> None:
        if self._port is not None:
            await maybeDeferred(self._port.stopListening)
        open_now = list(self._open)
        for connection in open_now:
            connection.end()
        recorded = Deferred.fromCoroutine(self._gateway.rest())
        ends = [
            self._clock.callLater(FOR_EXCHANGES * self._limits.stop, self._gateway.cut, STOPPING),
            self._clock.callLater(FOR_ANSWERS * self._limits.stop, self._cut, recorded),
        ]
        await DeferredList([recorded, *(each.closed for each in open_now)], consumeErrors=True)
        for end in ends:
            if end.active():
                end.cancel()
        self._open.stop()

    def _cut(self, recorded: Deferred[None]) -> None:
        """End what is still open; a recorder that hangs is waited for no longer."""
        recorded.cancel()
        for connection in list(self._open):
            connection.abort()


def ends_in(ports: Sequence[AgentPort]) -> End:
    """What ends every tunnel of some subjects at several ports."""
    return lambda why, whose: sum(port.end_of(why, whose) for port in ports)


def lets_little_wait(transport: ITCPTransport) -> None:
    """Send at once what is written, and let the kernel hold little of it back."""
    transport.setTcpNoDelay(True)
    tcp = _socket_of(transport)
    tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)


def _socket_of(transport: Any) -> socket.socket:
    """The socket, whether or not the port itself speaks TLS."""
    below = transport.transport if isinstance(transport, TlsPump) else transport
    handle: socket.socket = below.getHandle()
    return handle


def address_of(peer: Any) -> str:
    """An address as it is written before a path."""
    host = f"[{peer.host}]" if ":" in peer.host else peer.host
    return f"{host}:{peer.port}"
