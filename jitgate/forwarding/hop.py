"""The hop to the gateway: where it is, whom it trusts, and connections over it.

Over TLS nothing is said before the gateway's certificate has been checked for its name.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar, cast
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificates
from OpenSSL import SSL
from service_identity import VerificationError
from twisted.internet import error as fault
from twisted.internet._sslverify import IOpenSSLTrustRoot
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.interfaces import IHalfCloseableProtocol, IHandshakeListener, ITCPTransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import (
    Certificate,
    platformTrust,
    trustRootFromCertificates,
)
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import alsoProvides

from jitgate.errors import ConfigurationInvalid, GatewayUnreachable
from jitgate.trust import Named

CONNECT_WITHIN = 10.0
"""Seconds to a connection that may be used, its TLS handshake included; across the world it takes
one or two."""

_HOST = re.compile(r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?\Z|[0-9a-f:.]*:[0-9a-f:.]*\Z")


@dataclass(frozen=True, slots=True)
class Address:
    """Where the gateway listens for agents."""

    host: str
    port: int
    tls: bool = False

    @classmethod
    def read(cls, url: str) -> Address:
        """``http://host:port`` or ``https://host:port``. Raises `ConfigurationInvalid`."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            raise _unreadable() from None
        plain = parts.path in {"", "/"} and not (parts.query or parts.fragment)
        if "@" in parts.netloc:
            raise ConfigurationInvalid(
                ["The gateway's address takes no user name and no password; the token is added."]
            )
        if parts.scheme not in {"http", "https"} or not port or not _HOST.match(host) or not plain:
            raise _unreadable()
        return cls(host, port, tls=parts.scheme == "https")

    @property
    def exposed(self) -> bool:
        """Whether what is said there could be read on the way."""
        if self.tls or self.host == "localhost":
            return False
        try:
            return not ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return True

    @property
    def authority(self) -> str:
        """Host and port as they stand in a URL."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.authority}"


def _unreadable() -> ConfigurationInvalid:
    wanted = "http://HOST:PORT, or https://HOST:PORT if the gateway serves TLS"
    return ConfigurationInvalid([f"--proxy takes {wanted}, and was given something else."])


class HopProtocol(Protocol):
    """A connection to the gateway; ``ready`` fires once it may be told something."""

    transport: ITCPTransport

    def __init__(self, gateway: Address) -> None:
        self.gateway = gateway
        self.ready: Deferred[None] = Deferred(lambda _: self.abort())
        # Not both: Twisted's endpoints let a protocol hear only of the last one that it provides.
        alsoProvides(self, IHandshakeListener if gateway.tls else IHalfCloseableProtocol)

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)
        if not isinstance(self.transport, TLSMemoryBIOProtocol):
            self.ready.callback(None)

    def handshakeCompleted(self) -> None:
        self.ready.callback(None)

    def readConnectionLost(self) -> None:
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """Of interest to a relay only."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self.ready.called:
            self.ready.errback(lost(self.gateway, reason))

    def abort(self) -> None:
        """Close at once."""
        if self.transport is not None:
            self.transport.abortConnection()


Connected = TypeVar("Connected", bound=HopProtocol)


class Hop:
    """The way to one gateway. ``trust`` is for its certificate: the system's bundle, or a file."""

    def __init__(self, gateway: Address, reactor: Any, trust: Path | None = None) -> None:
        self.gateway = gateway
        self._reactor = reactor
        endpoint = HostnameEndpoint(reactor, gateway.host, gateway.port, timeout=CONNECT_WITHIN)
        self._endpoint = (
            wrapClientTLS(Named(gateway.host, _trust(trust)), endpoint, reactor)
            if gateway.tls
            else endpoint
        )

    async def connect(self, make: Callable[[Address], Connected]) -> Connected:
        """A connection that may be used. Raises `GatewayUnreachable`."""
        protocol = make(self.gateway)
        connecting = Deferred.fromCoroutine(self._connected(protocol))
        await connecting.addTimeout(CONNECT_WITHIN, self._reactor, onTimeoutCancel=self._late)
        return protocol

    async def _connected(self, protocol: HopProtocol) -> None:
        factory = Factory.forProtocol(lambda: protocol)
        factory.noisy = False
        try:
            await self._endpoint.connect(factory)
        except (ConnectError, DNSLookupError) as error:
            raise GatewayUnreachable(
                f"The gateway at {self.gateway} cannot be reached: {_plain(error)}. Start it, or "
                "name another with --proxy."
            ) from error
        await protocol.ready

    def _late(self, _: object, timeout: float) -> NoReturn:
        raise GatewayUnreachable(
            f"The gateway at {self.gateway} did not take a connection within {timeout:g} s."
        )


def lost(gateway: Address, reason: Failure) -> GatewayUnreachable:
    """The fault that a connection's end is where the gateway had not answered yet."""
    error = reason.value
    if isinstance(error, VerificationError):
        why = f"its certificate is not for the name {gateway.host}"
    elif isinstance(error, SSL.Error) and "certificate verify failed" in f"{error}":
        why = "its certificate is not trusted; the CA that signed it goes into --proxy-ca"
    elif isinstance(error, SSL.Error):
        why = "the TLS handshake failed. Without TLS its address begins with http://"
    else:
        return GatewayUnreachable(
            f"The gateway at {gateway} closed the connection without an answer; its log says why."
        )
    return GatewayUnreachable(f"The gateway at {gateway} is not trusted: {why}.")


def certificates(pem: bytes, source: str) -> bytes:
    """The certificates in PEM and nothing else of it. Raises `ConfigurationInvalid`."""
    return b"".join(_each(pem, source))


def certificates_of(file: Path) -> bytes:
    """The certificates in a file. Raises `ConfigurationInvalid`."""
    try:
        return certificates(file.read_bytes(), f"{file}")
    except OSError as error:
        why = (error.strerror or type(error).__name__).lower()
        raise ConfigurationInvalid([f"{file} cannot be read: {why}."]) from error


def _each(pem: bytes, source: str) -> list[bytes]:
    try:
        found = load_pem_x509_certificates(pem)
    except ValueError as error:
        raise ConfigurationInvalid([f"{source} holds no certificate in PEM."]) from error
    return [each.public_bytes(Encoding.PEM) for each in found]


def _trust(file: Path | None) -> IOpenSSLTrustRoot:
    if file is None:
        return cast(IOpenSSLTrustRoot, platformTrust())
    roots = [Certificate.loadPEM(pem) for pem in _each(certificates_of(file), f"{file}")]
    return cast(IOpenSSLTrustRoot, trustRootFromCertificates(roots))


def _plain(error: Exception) -> str:
    if isinstance(error, DNSLookupError):
        return "its name is not known"
    return "connection refused" if isinstance(error, fault.ConnectionRefusedError) else "no answer"
