"""The way to one host: resolve, check the addresses, dial one of them, check the certificate.

It is a Twisted endpoint, so that the data path and the calls that the gateway makes itself (token
endpoints) go the same checked way.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import cast

from OpenSSL import SSL
from service_identity import VerificationError
from twisted.internet._sslverify import IOpenSSLTrustRoot
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.interfaces import (
    IAddress,
    IProtocol,
    IProtocolFactory,
    IReactorTCP,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory
from twisted.internet.ssl import CertificateOptions
from twisted.python.failure import Failure
from twisted.web.client import URI
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from jitgate.core.limits import LIMITS, Limits
from jitgate.errors import PeerFault, UpstreamUnreachable, UpstreamUntrusted
from jitgate.tls import TlsPump
from jitgate.trust import Identity
from jitgate.upstreams.address import checked

Resolve = Callable[[str], Awaitable[Sequence[str]]]
"""Turns a name into its addresses; raises `OSError`."""


def addresses_of(host: str) -> list[str]:
    """The system's answer for a name, blocking: to be called in a thread."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [str(each[4][0]) for each in found]


@implementer(IStreamClientEndpoint)
class CheckedEndpoint:
    """Connects to ``host:port`` over TLS. ``dial`` is an address to take instead of resolving.

    The address given in ``dial`` is the operator's word and is not checked; the certificate is.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        reactor: IReactorTCP,
        resolve: Resolve,
        trust: IOpenSSLTrustRoot,
        dial: tuple[str, int] | None = None,
        limits: Limits = LIMITS,
    ) -> None:
        self.host = host
        self._limits = limits
        self._port = port
        self._reactor = reactor
        self._resolve = resolve
        self._dial = dial
        self._identity = Identity(host)
        self._context = CertificateOptions(trustRoot=trust).getContext()

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:  # noqa: N803
        return Deferred.fromCoroutine(self._connected(protocolFactory))

    async def _connected(self, factory: IProtocolFactory) -> IProtocol:
        """The first address that accepts; TLS begins, its outcome is the protocol's to hear."""
        reason = "it has no address"
        for address, port in await self._addresses():
            kind = TCP6ClientEndpoint if ":" in address else TCP4ClientEndpoint
            endpoint = kind(self._reactor, address, port, timeout=self._limits.dial)
            try:
                pump = await endpoint.connect(_Pumped(self._pump, factory))
            except ConnectError as error:
                reason = _plain(error)
            else:
                return cast(TlsPump, pump).inner
        raise UpstreamUnreachable(f"{self.host} could not be connected to: {reason}.")

    def _pump(self, inner: IProtocol) -> TlsPump:
        """TLS with a peer whose certificate must be trusted, and for this host."""
        tls = SSL.Connection(self._context, None)
        tls.set_connect_state()
        if not self._identity.is_address:
            tls.set_tlsext_host_name(self.host.encode("ascii"))
        return TlsPump(tls, inner, self._identity.verify)

    async def _addresses(self) -> list[tuple[str, int]]:
        if self._dial is not None:
            return [self._dial]
        try:
            found = await self._resolve(self.host)
        except (OSError, DNSLookupError) as error:
            raise UpstreamUnreachable(f"The name {self.host} could not be resolved.") from error
        return [(address, self._port) for address in checked(self.host, found)]


class _Pumped(Factory):
    """A factory of protocols, each inside TLS."""

    noisy = False

    def __init__(self, pump: Callable[[IProtocol], TlsPump], inside: IProtocolFactory) -> None:
        self._pump = pump
        self._inside = inside

    def buildProtocol(self, addr: IAddress | None) -> TlsPump:
        return self._pump(cast(IProtocol, self._inside.buildProtocol(cast(IAddress, addr))))


@implementer(IAgentEndpointFactory)
class CheckedEndpoints:
    """Endpoints for `twisted.web.client.Agent`: the same checked way, for one host only."""

    def __init__(self, endpoint: CheckedEndpoint) -> None:
        self._endpoint = endpoint

    def endpointForURI(self, uri: URI) -> CheckedEndpoint:
        if uri.scheme != b"https" or uri.host.decode("ascii").lower() != self._endpoint.host:
            raise UpstreamUnreachable("This client calls one host only, and over https.")
        return self._endpoint


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


def _plain(error: ConnectError) -> str:
    """What happened, without the address: it may be inside."""
    name = type(error).__name__
    return {"ConnectionRefusedError": "connection refused", "TimeoutError": "no answer"}.get(
        name, "connecting failed"
    )
