"""Where agents come in: the listening port, and CONNECT on each connection to it.

The CONNECT is read by the same strict reader as everything else, its token is handed to the
gateway, and what the gateway admits continues inside TLS with a leaf for the CONNECT host alone.
What an agent needs before all that, the CA's certificate above all, it gets here without.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime, IStreamServerEndpoint, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from jitgate.core.http1_reading import Request, RequestReader, Tunnel
from jitgate.core.http1_writing import response_bytes
from jitgate.core.limits import LIMITS, Limits
from jitgate.errors import PeerFault
from jitgate.flow import admission as flow
from jitgate.flow.deadlines import Deadline
from jitgate.flow.gateway import Gateway
from jitgate.proxy.authority import CertificateAuthority
from jitgate.proxy.connection import AgentConnection
from jitgate.proxy.http2_connection import Http2Connection
from jitgate.proxy.inside import Inside
from jitgate.proxy.knocks import knock_of
from jitgate.proxy.port import AgentPort, address_of, lets_little_wait, unnoted
from jitgate.proxy.refusals import rendered
from jitgate.proxy.registry import Connections, Note
from jitgate.proxy.server_tls import HTTP_1_1, HTTP_2
from jitgate.tls import TlsPump
from jitgate.values import ResponseHead, Subject

EARLY = 64 * 1024
"""Bytes that an agent may send before its CONNECT has been answered."""

_ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
_OURS = re.compile(r"(?i:http://jitgate\.internal(?::80)?)(/.*)?\Z")
_OUR_HOSTS = frozenset({b"jitgate.internal", b"jitgate.internal:80"})

Plain = Callable[[str], tuple[ResponseHead, bytes] | None]
"""What anybody may GET of ``http://jitgate.internal`` at a path, or None."""


def nothing_plain(path: str) -> None:
    """For a port that answers nothing but CONNECT."""


class HttpProxyListener(AgentPort):
    """The HTTPS proxy port."""

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
        def connect(registry: Connections) -> Protocol:
            return ConnectProtocol(
                gateway,
                authority,
                clock,
                plain=plain,
                registry=registry,
                limits=limits,
                spoken=self._spoken,
            )

        super().__init__(
            gateway, endpoint, clock, connect, key="listen.proxy", limits=limits, note=note, tls=tls
        )
        self._http2: Collection[str] = ()

    def adopt(self, http2: Collection[str]) -> None:
        """Prefer HTTP/2 in tunnels to these ``host:port`` from now on, HTTP/1.1 in all others."""
        self._http2 = http2

    def _spoken(self, authority: str) -> tuple[bytes, ...]:
        return (HTTP_2, HTTP_1_1) if authority in self._http2 else (HTTP_1_1, HTTP_2)


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
        spoken: Callable[[str], tuple[bytes, ...]],
    ) -> None:
        self._gateway = gateway
        self._authority = authority
        self._clock = clock
        self._spoken = spoken
        self._plain = plain
        self._registry = registry
        self._limits = limits
        self._reader = RequestReader(limits.head_bytes, limits.head_fields)
        self._deadline = Deadline(clock)
        self._early: bytearray | None = None
        self._tunnel: flow.Tunnel | None = None
        self._tls: TlsPump | None = None
        self._inside: Inside | None = None
        self.closed: Deferred[None] = Deferred()

    # --- from the transport

    def connectionMade(self) -> None:
        self._registry.add(self)
        lets_little_wait(self.transport)
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
        knock, rest = knock_of(event, self._reader.begun, address_of(self.transport.getPeer()))
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
        del self._reader  # with the head that it has read: a tunnel may lie idle for long
        host = knock.authority.rpartition(":")[0]
        self._inside = self._carrying(AgentConnection, result)
        # One host's leaf, whatever name the client asks for: `Gateway` sees to the name.
        context = self._authority.context_for(host, *self._spoken(knock.authority))
        tls = SSL.Connection(context, None)
        self._tls = TlsPump(tls, self._inside, self._agreed, before=_ESTABLISHED, serves=True)
        self._tls.makeConnection(self.transport)
        self.dataReceived = self._tls.dataReceived  # type: ignore[method-assign]
        if early:
            self._tls.dataReceived(early)

    def _carrying(self, kind: type[Inside], tunnel: flow.Tunnel) -> Inside:
        return kind(self._gateway, tunnel, self._clock, self._limits, self._deadline)

    def _agreed(self, tls: SSL.Connection) -> None:
        """The handshake is over: HTTP/1.1 is spoken inside unless it says HTTP/2."""
        if tls.get_alpn_proto_negotiated() == HTTP_2 and self._tls and self._tunnel:
            self._inside = self._tls.inner = self._carrying(Http2Connection, self._tunnel)
            self._inside.makeConnection(self._tls)  # type: ignore[no-untyped-call]

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


def _plain_path(request: Request) -> str | None:
    """The path of a page of the gateway's own, if that is what is asked for, and nothing beside."""
    head = request.head
    if head.method not in {"GET", "HEAD"} or head.length != 0:
        return None
    if request.host not in _OUR_HOSTS:
        return None
    absolute = _OURS.match(head.target)
    return head.target if absolute is None else absolute[1] or "/"
