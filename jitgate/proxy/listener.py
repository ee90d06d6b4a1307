"""Where agents come in: the listening port, and CONNECT on each connection to it.

The CONNECT is read by the same strict reader as everything else, its token is handed to the
gateway, and what the gateway admits continues inside TLS with a leaf for the CONNECT host alone.
What an agent needs before all that, the CA's certificate above all, it gets here without.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Mapping
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
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from jitgate.core.http1_reading import Request, RequestReader, Tunnel
from jitgate.core.http1_writing import response_bytes
from jitgate.core.limits import LIMITS, Limits
from jitgate.errors import PeerFault, StateUnusable
from jitgate.flow import admission as flow
from jitgate.flow.deadlines import Deadline
from jitgate.flow.gateway import Gateway
from jitgate.flow.load import STOPPING
from jitgate.interfaces import IProtocolListener
from jitgate.proxy.authority import CertificateAuthority
from jitgate.proxy.connection import AgentConnection
from jitgate.proxy.knocks import knock_of
from jitgate.proxy.refusals import rendered
from jitgate.proxy.registry import Connections, Note
from jitgate.tls import TlsPump
from jitgate.values import ResponseHead, Subject

UNSENT = 16 * 1024
"""Bytes that the kernel takes beyond what is on its way (tcp(7)). Without it an agent that reads
nothing costs 4 MiB of the kernel's memory; what is on its way is not limited, nor is the speed."""

EARLY = 64 * 1024
"""Bytes that an agent may send before its CONNECT has been answered."""

_ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
_OURS = re.compile(r"(?i:http://jitgate\.internal(?::80)?)(/.*)?\Z")
_OUR_HOSTS = frozenset({b"jitgate.internal", b"jitgate.internal:80"})

FOR_EXCHANGES, FOR_ANSWERS = 0.7, 0.85
"""Parts of the time for a stop after which exchanges are cut short, and connections cut off. What
is left is for the record, which is sealed at the end."""

Plain = Callable[[str], tuple[ResponseHead, bytes] | None]
"""What anybody may GET of ``http://jitgate.internal`` at a path, or None."""


def unnoted(fields: Mapping[str, object]) -> None:
    """For a port without a record."""


def nothing_plain(path: str) -> None:
    """For a port that answers nothing but CONNECT."""


@implementer(IProtocolListener)
class HttpProxyListener:
    """The HTTPS proxy port. One object a port; `start` once.

    ``tls`` makes the server's side of a connection, where the port itself speaks TLS.
    """

    def __init__(
        self,
        gateway: Gateway,
        authority: CertificateAuthority,
        endpoint: IStreamServerEndpoint,
        clock: IReactorTime,
        plain: Plain = nothing_plain,
        *,
        limits: Limits = LIMITS,
        note: Note = unnoted,
        tls: Callable[[], SSL.Connection] | None = None,
    ) -> None:
        self._gateway = gateway
        self._endpoint = endpoint
        self._tls = tls
        self._clock = clock
        self._limits = limits
        self._open = Connections(clock, limits.unproved, note)
        self._connect: Callable[[], Protocol] = lambda: ConnectProtocol(
            gateway, authority, clock, plain=plain, registry=self._open, limits=limits
        )
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
                f"{error.socketError}. Stop what holds it or set another listen.proxy."
            ) from error

    def _connected(self) -> Protocol:
        """For one connection; the CONNECT's deadline runs from before the port's own handshake."""
        connection = self._connect()
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


class ConnectProtocol(Protocol):
    """One connection: a CONNECT, its answer, then TLS. ``closed`` fires when it has ended."""

    _log = Logger()
    transport: ITCPTransport

    def __init__(
        self,
        gateway: Gateway,
        authority: CertificateAuthority,
        clock: IReactorTime,
        *,
        plain: Plain,
        registry: Connections,
        limits: Limits,
    ) -> None:
        self._gateway = gateway
        self._authority = authority
        self._clock = clock
        self._plain = plain
        self._registry = registry
        self._limits = limits
        self._reader = RequestReader(limits.head_bytes, limits.head_fields)
        self._deadline = Deadline(clock)
        self._early: bytearray | None = None
        self._tunnel: flow.Tunnel | None = None
        self._tls: TlsPump | None = None
        self._inside: AgentConnection | None = None
        self.closed: Deferred[None] = Deferred()

    # --- from the transport

    def connectionMade(self) -> None:
        self._registry.add(self)
        self.transport.setTcpNoDelay(True)
        tcp = _socket_of(self.transport)
        tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)
        self._deadline.set(self._limits.connect, self.abort)

    def dataReceived(self, data: bytes) -> None:
        if self._early is not None:
            self._early += data
            if len(self._early) > EARLY:
                self.abort()
            return
        for event in self._reader.feed(data):
            if isinstance(event, Tunnel | Request | PeerFault):
                self._early = bytearray()
                self._begin(event)
                return

    def _begin(self, event: Tunnel | Request | PeerFault) -> None:
        """Answer at once what anybody may have; with everything else go to the gateway."""
        if isinstance(event, Request):
            path = _plain_path(event)
            page = None if path is None else self._plain(path)
            if page is not None:
                self._answer(*page, bodiless=event.head.method == "HEAD")
                return
        knock, rest = knock_of(event)
        self._early = bytearray(rest)
        asking = Deferred.fromCoroutine(self._gateway.admit(knock))
        asking.addCallback(self._admitted, knock)
        asking.addErrback(self._failed)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._registry.discard(self)
        self._deadline.stop()
        if self._tls is not None:
            self._tls.connectionLost(reason)
        if self._tunnel is not None:
            self._gateway.left(self._tunnel)
        self.closed.callback(None)

    # --- how it ends

    def end(self) -> None:
        """The gateway stops: finish the exchange at hand, if there is one, and close."""
        if self._inside is not None:
            self._inside.stop()
        else:
            self.transport.loseConnection()

    def end_of(self, whose: Callable[[Subject], bool]) -> bool:
        """End the tunnel if it is of one of those subjects: nothing more is served on it."""
        subject = None if self._tunnel is None else self._tunnel.subject
        if subject is None or not whose(subject):
            return False
        self.end()
        return True

    def abort(self) -> None:
        """Close at once."""
        self.transport.abortConnection()

    # --- the answer

    def _admitted(self, result: flow.Tunnel | flow.TurnedAway, knock: flow.Knock) -> None:
        self._deadline.clear()
        if isinstance(result, flow.TurnedAway):
            if not self.closed.called:
                self._refuse(result)
            return
        if self.closed.called:
            self._gateway.left(result)
            return
        self._tunnel = result
        if result.refusal is None:
            self._registry.proved(self)
        early, self._early = bytes(self._early or b""), None
        host = knock.authority.rpartition(":")[0]
        self._inside = AgentConnection(
            self._gateway, result, self._clock, self._limits, self._deadline
        )
        # One host's leaf, whatever name the client asks for: `Gateway` sees to the name.
        tls = SSL.Connection(self._authority.context_for(host), None)
        self._tls = TlsPump(tls, self._inside, before=_ESTABLISHED, serves=True)
        self._tls.makeConnection(self.transport)
        self.dataReceived = self._tls.dataReceived  # type: ignore[method-assign]
        if early:
            self._tls.dataReceived(early)

    def _refuse(self, result: flow.TurnedAway) -> None:
        self._answer(*rendered(result.refusal, result.id, "problem"))

    def _answer(self, head: ResponseHead, body: bytes, *, bodiless: bool = False) -> None:
        """Write the whole answer, and close."""
        written = response_bytes(head, chunked=False, keep_alive=False)
        self.transport.write(written if bodiless else written + body)
        self.transport.loseConnection()
        self._deadline.set(self._limits.closing, self.abort)

    def _failed(self, failure: Failure) -> None:
        self._log.failure("A CONNECT failed outside the gateway's story", failure)
        self.abort()


def _socket_of(transport: Any) -> socket.socket:
    """The socket, whether or not the port itself speaks TLS."""
    below = transport.transport if isinstance(transport, TlsPump) else transport
    handle: socket.socket = below.getHandle()
    return handle


def _plain_path(request: Request) -> str | None:
    """The path of a page of the gateway's own, if that is what is asked for, and nothing beside."""
    head = request.head
    if head.method not in {"GET", "HEAD"} or head.length != 0:
        return None
    if request.host not in _OUR_HOSTS:
        return None
    absolute = _OURS.match(head.target)
    return head.target if absolute is None else absolute[1] or "/"
