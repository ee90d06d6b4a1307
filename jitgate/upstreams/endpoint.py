"""The way to one host: resolve, check the addresses, dial one of them, check the certificate.

It is a Twisted endpoint, so that the data path and the calls that the gateway makes itself (token
endpoints) go the same checked way.
"""

from __future__ import annotations

import ipaddress
from typing import cast

from OpenSSL import SSL
from service_identity import VerificationError
from twisted.internet._sslverify import IOpenSSLTrustRoot
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as TooLate
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.interfaces import (
    IProtocol,
    IProtocolFactory,
    IReactorTCP,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.ssl import CertificateOptions
from twisted.python.failure import Failure
from twisted.web.client import URI
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from jitgate.core.limits import LIMITS, Limits
from jitgate.errors import PeerFault, UpstreamUnreachable, UpstreamUntrusted
from jitgate.tls import TlsPump
from jitgate.trust import Identity
from jitgate.upstreams.address import checked, literal
from jitgate.upstreams.dialling import Peer, Wire, connector, raced
from jitgate.upstreams.resolving import Resolve
from jitgate.upstreams.room import Room
from jitgate.upstreams.via import Via, tunnelled

DIALS = 64
"""Connections to one host that are being made at once: enough for hundreds a second, and a host
that is dead costs no more sockets than these try."""

OPEN = 1024
"""Connections to one host in all, or as many as there may be exchanges at once: a call that was let
in finds room."""


@implementer(IStreamClientEndpoint)
class CheckedEndpoint:
    """Connects to ``host:port`` over TLS. ``dial`` is an address to take instead of resolving.

    The address given in ``dial`` is the operator's word and is not checked; the certificate is.
    So it is with ``via``, a proxy: where it connects to is not known here.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        reactor: IReactorTCP,
        resolve: Resolve,
        trust: IOpenSSLTrustRoot,
        dial: Peer | None = None,
        via: Via | None = None,
        limits: Limits = LIMITS,
    ) -> None:
        self.host = host
        self._limits = limits
        literal(host)  # raises where an address is not spelled as usual
        self._port = port
        self._clock = cast(IReactorTime, reactor)
        self._connect = connector(reactor, limits.dial)
        self._resolve = resolve
        self._dial = dial
        self._via = via
        self._dials = Room(DIALS, self._clock)
        self._open = Room(max(OPEN, limits.exchanges), self._clock)
        self._current: frozenset[str] | None = None
        self._identity = Identity(host)
        self._context = CertificateOptions(trustRoot=trust).getContext()

    @property
    def full(self) -> bool:
        """Whether a connection has to end before another can be made."""
        return self._open.full

    @property
    def waited_for(self) -> bool:
        """Whether somebody waits for a connection to end."""
        return self._open.waited_for

    def leads_to(self, address: str) -> bool:
        """Whether the name had this address when it was last resolved."""
        current = self._current
        if current is None or address in current:
            return True
        return str(ipaddress.ip_address(address)) in current  # in another spelling

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:  # noqa: N803
        return Deferred.fromCoroutine(self._connected(protocolFactory))

    async def _connected(self, factory: IProtocolFactory) -> IProtocol:
        """TLS begins on the connection; its outcome is the protocol's to hear."""
        wire = await self._wire()
        # A head and what follows it are two writes: without this the second waits for the first
        # one's acknowledgement, which the other end delays (40 ms).
        wire.transport.setTcpNoDelay(True)
        if self._via is not None:
            host = f"[{self.host}]" if ":" in self.host else self.host
            await tunnelled(wire, self._via, f"{host}:{self._port}", self._clock)
        inner = cast(IProtocol, factory.buildProtocol(wire.transport.getPeer()))
        wire.hand_to(self._pump(inner))
        return inner

    def _pump(self, inner: IProtocol) -> TlsPump:
        """TLS with a peer whose certificate must be trusted, and for this host."""
        tls = SSL.Connection(self._context, None)
        if not self._identity.is_address:
            tls.set_tlsext_host_name(self.host.encode("ascii"))
        return TlsPump(tls, inner, self._identity.verify)

    async def _wire(self) -> Wire:
        """A connection that has its place among those that may be open, until it ends."""
        await self._entered(self._open)
        try:
            wire = await self._dialled()
        except BaseException:
            self._open.leave()
            raise
        wire.lost.addBoth(lambda _: self._open.leave())
        return wire

    async def _dialled(self) -> Wire:
        await self._entered(self._dials)
        try:
            peers = await self._peers()
            return await raced(peers, self._connect, self._clock, self._limits.dial)
        except PeerFault:
            raise
        except Exception as error:
            whom = self.host if self._via is None else "The proxy before the target"
            reason = _plain(error)
            raise UpstreamUnreachable(f"{whom} could not be connected to: {reason}.") from error
        finally:
            self._dials.leave()

    async def _entered(self, room: Room) -> None:
        try:
            await room.enter()
        except TooLate as error:
            complaint = f"{self.host} has too many connections as it is."
            raise UpstreamUnreachable(complaint) from error

    async def _peers(self) -> list[Peer]:
        """Whom to dial; resolved now, and each address checked unless the operator named it."""
        if self._via is not None:
            return await self._proxies(self._via)
        if self._dial is not None:
            return [self._dial]
        found = [self.host] if self._identity.is_address else await self._resolve(self.host)
        addresses = checked(self.host, found)
        self._current = frozenset(str(ipaddress.ip_address(each)) for each in addresses)
        return [(address, self._port) for address in addresses]

    async def _proxies(self, via: Via) -> list[Peer]:
        """The operator names the proxy, so that any address of it will do."""
        found = [via.host] if literal(via.host) else await self._resolve(via.host)
        if not found:
            raise UpstreamUnreachable(f"The name {via.host} has no address.")
        return [(address, via.port) for address in found]


@implementer(IAgentEndpointFactory)
class CheckedEndpoints:
    """Endpoints for `twisted.web.client.Agent`: the same checked way, for one host only."""

    def __init__(self, endpoint: CheckedEndpoint) -> None:
        self._endpoint = endpoint

    def endpointForURI(self, uri: URI) -> CheckedEndpoint:
        if uri.scheme != b"https" or uri.host.decode("ascii").lower() != self._endpoint.host:
            raise UpstreamUnreachable("This client calls one host only, and over https.")
        return self._endpoint


@implementer(IAgentEndpointFactory)
class LoopbackEndpoints:
    """Endpoints for `twisted.web.client.Agent` without TLS, to one address of this machine's.

    Raises `ValueError` for any other address: what goes there could be read on the way.
    """

    def __init__(self, reactor: IReactorTCP, address: str, port: int, within: float) -> None:
        found = literal(address)
        if found is None or not found.is_loopback:
            raise ValueError("what goes without TLS stays on this machine")
        kind = TCP6ClientEndpoint if found.version == 6 else TCP4ClientEndpoint
        self._endpoint = kind(reactor, address, port, timeout=within)
        self._address = address, port

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        asked = uri.host.decode("ascii").strip("[]"), uri.port
        if uri.scheme != b"http" or asked != self._address:
            raise UpstreamUnreachable("This client calls one address only, and over http.")
        return cast(IStreamClientEndpoint, self._endpoint)


def lost(host: str, reason: Failure) -> PeerFault:
    """The fault that a connection's end is, for an exchange that was not over."""
    error = reason.value
    if isinstance(error, VerificationError):
        return UpstreamUntrusted(f"The certificate of {host} is not for that name.")
    if isinstance(error, SSL.Error):
        if "certificate verify failed" in str(error):
            return UpstreamUntrusted(f"The certificate of {host} is not trusted.")
        return UpstreamUnreachable(f"The TLS handshake with {host} failed.")
    return UpstreamUnreachable(f"{host} closed the connection early.")


def _plain(error: Exception) -> str:
    """What happened, without the address: it may be inside."""
    name = type(error).__name__
    return {"ConnectionRefusedError": "connection refused", "TimeoutError": "no answer"}.get(
        name, "connecting failed"
    )
