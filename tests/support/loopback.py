"""A real HTTPS server on loopback for one test, and a client that trusts nothing else."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from treq.client import HTTPClient
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort
from twisted.internet.ssl import Certificate, CertificateOptions, trustRootFromCertificates
from twisted.web.client import Agent, BrowserLikePolicyForHTTPS
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import Site

HOST = "127.0.0.1"

Answer = Callable[[Request], bytes | int]
"""Takes a request and gives the body, or NOT_DONE_YET."""


class _Everything(Resource):
    isLeaf = True  # noqa: N815 - Twisted's name

    def __init__(self, answer: Answer) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._answer = answer

    def render(self, request: Request) -> bytes | int:
        return self._answer(request)


@dataclass(frozen=True)
class Loopback:
    """A server that is up: where it is, and the client to reach it with."""

    origin: str
    client: HTTPClient
    port: IListeningPort
    pem: bytes
    """The certificate to trust."""

    async def stop(self) -> None:
        """Accept nothing more."""
        stopping = self.port.stopListening()
        if isinstance(stopping, Deferred):
            await stopping


def serve(answer: Answer) -> Loopback:
    """Serve every path over TLS with what ``answer`` gives."""
    from twisted.internet import reactor  # noqa: PLC0415 - installed by pytest-twisted

    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _self_signed(key)
    # The library takes the objects of cryptography, and warns of its own; its annotations lag.
    shown = CertificateOptions(cast("Any", key), cast("Any", certificate))
    site = Site(_Everything(answer))
    port = cast("Any", reactor).listenSSL(0, site, shown, interface=HOST)
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    trusted = trustRootFromCertificates([Certificate.loadPEM(pem)])
    client = HTTPClient(Agent(reactor, BrowserLikePolicyForHTTPS(trusted)))
    return Loopback(f"https://{HOST}:{port.getHost().port}", client, port, pem)


def _self_signed(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """A certificate for the loopback address, signed with its own key."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = datetime.now(UTC)
    address = x509.IPAddress(ipaddress.ip_address(HOST))
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
