"""An identity provider's certificates: read from its metadata (SAML 2.0 Metadata), kept fresh.

Metadata in a file is the operator's own word. Metadata from a URL only takes away: of the
certificates that the configuration pins, those count that the provider still publishes.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from lxml import etree
from treq.client import HTTPClient
from twisted.internet.interfaces import IReactorTime

from jitgate.errors import ConfigurationInvalid, IdentityUnavailable
from jitgate.fetching import Fetcher
from jitgate.identity.freshness import MAX_AGE, Fresh
from jitgate.identity.keys import MIN_RSA_BITS
from jitgate.identity.saml_xml import (
    METADATA,
    PROTOCOL,
    Objection,
    ds,
    instant,
    parser,
    rooted,
    text,
)

MAX_METADATA = 1024 * 1024
"""Bytes of a metadata document: that of one provider, Entra's included, has 100 KiB."""

MAX_CERTIFICATES = 8
"""Certificates of a provider: each may be tried for each assertion. In a rotation there are two."""

_XML = "application/samlmetadata+xml, application/xml;q=0.9, */*;q=0.1"

CURVES = ("secp256r1", "secp384r1", "secp521r1")


@dataclass(frozen=True, slots=True)
class Provider:
    """An identity provider, as its metadata has it."""

    issuer: str
    """Its entityID."""
    certificates: tuple[x509.Certificate, ...] = field(repr=False)
    valid_until: float = float("inf")

    def at(self, now: float) -> tuple[x509.Certificate, ...]:
        """The certificates that count now. Raises `IdentityUnavailable` where there are none."""
        if now >= self.valid_until:
            raise IdentityUnavailable("The identity provider's metadata is out of date.")
        found = tuple(
            each
            for each in self.certificates
            if each.not_valid_before_utc.timestamp() <= now <= each.not_valid_after_utc.timestamp()
        )
        if not found:
            raise IdentityUnavailable("No certificate of the identity provider is valid now.")
        return found


class ProviderSource(Protocol):
    """Where an identity provider's certificates come from."""

    async def provider(self) -> Provider:
        """The provider as it is known now. Raises `IdentityUnavailable` where it is not known."""


def read_provider(data: bytes, issuer: str) -> Provider:
    """The provider ``issuer`` in its metadata. Raises `ValueError`, a reason each."""
    try:
        return _provider(data, issuer)
    except Objection as objection:
        raise ValueError(f"{objection}") from None


def _provider(data: bytes, issuer: str) -> Provider:
    if len(data) > MAX_METADATA or b"<!DOCTYPE" in data:
        raise Objection(f"it is longer than {MAX_METADATA} bytes, or has a document type (DTD)")
    root = rooted(_undeclared(data), parser(comments=True))
    if root.tag != _md("EntityDescriptor") or root.get("entityID") != issuer:
        raise Objection(f"it does not describe {issuer} alone")
    until = root.get("validUntil")
    roles = [
        role
        for role in root.findall(_md("IDPSSODescriptor"))
        if PROTOCOL in role.get("protocolSupportEnumeration", "").split()
    ]
    keys = [key for role in roles for key in role.findall(_md("KeyDescriptor"))]
    found = dict.fromkeys(
        _certificate(element)
        for key in keys
        if key.get("use", "signing") == "signing"
        for element in key.iter(ds("X509Certificate"))
    )
    certificates = tuple(each for each in found if usable(each))
    if not 0 < len(certificates) <= MAX_CERTIFICATES:
        raise Objection(
            "it publishes no certificate for signatures that is taken (RSA of 2048 bits, or an "
            f"elliptic curve), or more than {MAX_CERTIFICATES}"
        )
    ends = float("inf") if until is None else instant(until, "validUntil")
    return Provider(issuer, certificates, ends)


def usable(certificate: x509.Certificate) -> bool:
    """Whether signatures can be checked with it here."""
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return False
    if isinstance(key, rsa.RSAPublicKey):
        return key.key_size >= MIN_RSA_BITS
    return isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in CURVES


def _undeclared(data: bytes) -> bytes:
    """The document in UTF-8 without a byte order mark; Entra's has one."""
    return data.removeprefix(b"\xef\xbb\xbf")


def _certificate(element: etree._Element) -> x509.Certificate:
    try:
        der = base64.b64decode("".join(text(element).split()), validate=True)
        return x509.load_der_x509_certificate(der)
    except (binascii.Error, ValueError):
        raise Objection("a certificate in it cannot be read") from None


def _md(name: str) -> str:
    return f"{{{METADATA}}}{name}"


# --- where it comes from


class MetadataFile:
    """The metadata in a file, read once. Raises `ConfigurationInvalid`."""

    def __init__(self, path: Path, issuer: str) -> None:
        try:
            self._provider = read_provider(path.read_bytes(), issuer)
        except (OSError, ValueError) as error:
            raise ConfigurationInvalid([f"The metadata {path} cannot be used: {error}."]) from error

    async def provider(self) -> Provider:
        """The provider."""
        return self._provider


class FetchedMetadata:
    """The metadata at a URL, as `Fresh` keeps it; of its certificates the pinned ones count."""

    def __init__(
        self,
        url: str,
        issuer: str,
        pinned: Sequence[x509.Certificate],
        http: HTTPClient,
        clock: IReactorTime,
        *,
        max_age: float = MAX_AGE,
    ) -> None:
        if not 0 < len(pinned) <= MAX_CERTIFICATES or not all(map(usable, pinned)):
            raise ValueError(
                f"1 to {MAX_CERTIFICATES} certificates are pinned, RSA of 2048 bits or an elliptic "
                "curve"
            )
        self._url = url
        self._issuer = issuer
        self._pinned = frozenset(pinned)
        name = "The identity provider"
        self._fetcher = Fetcher(http, clock, name, IdentityUnavailable, MAX_METADATA, _XML)
        name = f"Metadata of {issuer}"
        self._metadata: Fresh[Provider] = Fresh(name, self._published, clock, max_age=max_age)

    async def provider(self) -> Provider:
        """The provider as it was published last. Raises `IdentityUnavailable`."""
        return await self._metadata.current(lambda _: True)

    async def _published(self) -> Provider:
        answer = await self._fetcher.get(self._url)
        if answer.status != 200:
            raise IdentityUnavailable(f"The identity provider answered {answer.status}.")
        try:
            found = read_provider(answer.body, self._issuer)
        except ValueError as error:
            raise IdentityUnavailable(f"The identity provider's metadata: {error}.") from error
        pinned = tuple(each for each in found.certificates if each in self._pinned)
        if not pinned:
            raise IdentityUnavailable(
                "The identity provider publishes no certificate of the pinned."
            )
        return replace(found, certificates=pinned)
