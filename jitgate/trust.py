"""Whose certificate is believed: TLS to a peer whose certificate must be valid for its name.

Every TLS connection that the gateway and its commands make goes through here. Twisted's own
`optionsForClientTLS` lets a certificate pass that has no names or some that cannot be read: what
`service_identity` raises of it is logged, and the chain alone is believed (26.10). Here whatever is
raised is a refusal.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable

from OpenSSL import SSL, crypto
from service_identity import VerificationError
from service_identity.hazmat import DNS_ID, IPAddress_ID, verify_service_identity
from service_identity.pyopenssl import extract_patterns
from twisted.internet._sslverify import IOpenSSLTrustRoot
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import optionsForClientTLS
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer

_REFUSING = SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT

Verify = Callable[[SSL.Connection, crypto.X509, int, int, int], bool]
"""What OpenSSL asks of each certificate of a chain; what it raises would be lost."""


class Identity:
    """The peer that is meant: a name, or an address, which its certificate must be for."""

    def __init__(self, host: str) -> None:
        self.is_address = isIPAddress(host) or isIPv6Address(host)
        self._id = IPAddress_ID(host) if self.is_address else DNS_ID(host)

    def verify(self, tls: SSL.Connection) -> None:
        """Raises `VerificationError` unless the peer of a finished handshake is the one meant."""
        certificate = tls.get_peer_certificate()
        fault = VerificationError(errors=[]) if certificate is None else self.fault(certificate)
        if fault is not None:
            raise fault

    def fault(self, certificate: crypto.X509) -> VerificationError | None:
        """Why a certificate is not for it, if it is not."""
        try:
            verify_service_identity(extract_patterns(certificate), [self._id], [])
        except VerificationError as error:
            return error
        except Exception:  # noqa: BLE001 # it cannot be read: it is for nobody
            return VerificationError(errors=[])
        return None


@implementer(IOpenSSLClientConnectionCreator)
class Named:
    """Makes Twisted's TLS to ``host``, whom an authority in ``trust`` vouches for."""

    def __init__(self, host: str, trust: IOpenSSLTrustRoot) -> None:
        self._identity = Identity(host)
        self._options = optionsForClientTLS(host, trustRoot=trust)

    def clientConnectionForTLS(
        self,
        tlsProtocol: TLSMemoryBIOProtocol,  # noqa: N803
    ) -> SSL.Connection:
        connection = self._options.clientConnectionForTLS(tlsProtocol)
        connection.set_verify(_REFUSING, self._verify(tlsProtocol))
        return connection

    def _verify(self, protocol: TLSMemoryBIOProtocol) -> Verify:
        weakly = weakref.ref(protocol)  # the connection is the protocol's: no circle

        def verify(
            _: SSL.Connection, certificate: crypto.X509, __: int, depth: int, ok: int
        ) -> bool:
            if not ok or depth != 0:
                return bool(ok)
            fault = self._identity.fault(certificate)
            speaker = weakly()
            if fault is not None and speaker is not None:
                speaker.failVerification(Failure(fault))
            return fault is None

        return verify


@implementer(IPolicyForHTTPS)
class NamedPolicy:
    """The same for `twisted.web.client.Agent`: each host is whom its URL names."""

    def __init__(self, trust: IOpenSSLTrustRoot) -> None:
        self._trust = trust

    def creatorForNetloc(self, hostname: bytes, port: int) -> Named:
        return Named(hostname.decode("ascii"), self._trust)
