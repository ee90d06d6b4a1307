"""The ports' own certificates: what agents check before they say anything to the gateway.

It is the operator's, unlike the leaves of `jitgate.proxy.authority`, which are for what goes on
inside the tunnels.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL
from OpenSSL.crypto import X509

from jitgate.proxy.server_tls import server_context
from jitgate.trust import Identity


@dataclass(frozen=True, slots=True)
class PortCertificate:
    """A certificate with its key, ready to be served."""

    context: SSL.Context = field(repr=False)
    certificate: X509 = field(repr=False)
    begins: float
    ends: float
    """Seconds since the epoch between which it is valid; it is served all the same."""

    @classmethod
    def read(cls, chain: bytes, key: bytes) -> PortCertificate:
        """From PEM: the server's certificate, then those that lead to its CA. Raises `ValueError`.

        What is raised shows nothing of the key.
        """
        try:
            certificates = x509.load_pem_x509_certificates(chain)
        except ValueError:
            raise ValueError("the file of the certificate holds none in PEM") from None
        try:
            private = load_pem_private_key(key, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise ValueError("the private key is not one in PEM without a password") from None
        if private.public_key() != certificates[0].public_key():
            raise ValueError("the private key is not that of the first certificate")
        try:
            context = server_context(certificates, private)
        except (SSL.Error, TypeError, ValueError):
            raise ValueError("a key of this kind or size cannot be used for TLS") from None
        first = certificates[0]
        times = first.not_valid_before_utc, first.not_valid_after_utc
        return cls(context, X509.from_cryptography(first), *(each.timestamp() for each in times))

    def doubt(self, now: float, names: Iterable[str] = ()) -> str | None:
        """Why agents will not take it, in words for the operator, as far as the clock tells.

        ``names`` are those by which they know the port.
        """
        if self.ends <= now:
            return f"has expired ({_day(self.ends)}): agents will refuse to connect"
        if self.begins > now:
            return f"is not valid before {_day(self.begins)}: agents will refuse to connect"
        strange = [name for name in names if Identity(name).fault(self.certificate) is not None]
        if strange:
            return f"is not for {', '.join(strange)}: agents will refuse to connect"
        return None


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


class PortTls:
    """TLS on the port itself."""

    def __init__(self, certificate: PortCertificate) -> None:
        self._certificate = certificate

    def adopt(self, certificate: PortCertificate | None) -> None:
        """Serve this one to the connections to come; without one, that of before."""
        self._certificate = certificate or self._certificate

    def connection(self) -> SSL.Connection:
        """The server's side of a new connection."""
        return SSL.Connection(self._certificate.context, None)
