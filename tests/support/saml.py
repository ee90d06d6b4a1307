"""A SAML identity provider that nobody here wrote: npm's samlp, and what it signs with.

It blocks: inside a running reactor, call it in a thread.
"""

from __future__ import annotations

import base64
import json
import re
import select
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from support.counterparts import NODE, place_programs

SAML_FOLDER = Path(__file__).parents[1] / "real" / "saml"
ISSUER = "https://idp.example/saml"
AUDIENCE = "urn:jitgate"
RECIPIENT = "https://jitgate.internal/token"

MORE = "http://www.w3.org/2001/04/xmldsig-more#"
DIGEST = "http://www.w3.org/2001/04/xmlenc#sha256"
EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"
ENVELOPED = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
UNSPECIFIED = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"

ANSWER_SECONDS = 30


@dataclass(frozen=True)
class IdpKey:
    """A key and the certificate for it, both in PEM."""

    key: str = field(repr=False)
    certificate: str

    @classmethod
    def new(cls, *, bits: int = 2048, days: int = 30) -> IdpKey:
        """A new RSA key with a certificate that began yesterday."""
        return cls._certified(rsa.generate_private_key(65537, bits), days)

    @classmethod
    def _certified(cls, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, days: int) -> IdpKey:
        named = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "idp.example")])
        begin = datetime.now(UTC) - timedelta(days=1)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(named)
            .issuer_name(named)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(begin + timedelta(days=days))
            .sign(key, hashes.SHA256())
        )
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return cls(pem.decode(), certificate.public_bytes(serialization.Encoding.PEM).decode())

    @classmethod
    def elliptic(cls) -> IdpKey:
        """A new key on P-256 with its certificate."""
        return cls._certified(ec.generate_private_key(ec.SECP256R1()), 30)

    @property
    def public(self) -> str:
        """The public key."""
        return (
            self.x509.public_key()
            .public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            .decode()
        )

    @property
    def x509(self) -> x509.Certificate:
        """The certificate, read."""
        return x509.load_pem_x509_certificate(self.certificate.encode())


@dataclass(frozen=True)
class SamlIdp:
    """A running identity provider."""

    key: IdpKey
    _process: subprocess.Popen[str]

    @classmethod
    @contextmanager
    def start(cls, folder: Path, key: IdpKey) -> Iterator[SamlIdp]:
        """Run it, with one key."""
        own = Path(tempfile.mkdtemp(prefix="saml-", dir=folder))
        place_programs(own, SAML_FOLDER)
        with (
            (own / "stderr.log").open("w") as log,
            subprocess.Popen(
                [NODE, own / "idp.mjs"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            ) as process,
        ):
            yield cls(key, process)

    def response(
        self,
        name: str = "bot-7",
        attributes: Mapping[str, object] | None = None,
        *,
        name_format: str = UNSPECIFIED,
        **options: object,
    ) -> str:
        """A response with a signed assertion; ``options`` are samlp's."""
        user = {
            "name": name,
            "format": name_format,
            "attributes": attributes or {"groups": "it-agents"},
        }
        given: dict[str, object] = {
            "issuer": ISSUER,
            "audience": AUDIENCE,
            "recipient": RECIPIENT,
            "lifetimeInSeconds": 600,
            "cert": self.key.certificate,
            "key": self.key.key,
            "user": user,
            "signatureAlgorithm": "rsa-sha256",
            "digestAlgorithm": "sha256",
        }
        return str(self._ask("respond", given | options))

    def assertion(self, *args: Any, **options: Any) -> str:
        """The assertion alone."""
        return alone(self.response(*args, **options))

    def sign(
        self,
        xml: str,
        *,
        key: IdpKey | None = None,
        at: str = "//*[local-name(.)='Assertion']/*[local-name(.)='Issuer']",
        reference: str = "//*[local-name(.)='Assertion']",
        transforms: Sequence[str] = (ENVELOPED, EXCLUSIVE),
        canonical: str = EXCLUSIVE,
        signature: str = MORE + "rsa-sha256",
        digest: str = DIGEST,
        info: str = "<X509Data></X509Data>",
    ) -> str:
        """XML of a test's own making, signed with the provider's key or another."""
        return str(
            self._ask(
                "sign",
                {
                    "xml": xml,
                    "key": (key or self.key).key,
                    "at": at,
                    "reference": reference,
                    "transforms": list(transforms),
                    "canonical": canonical,
                    "signature": signature,
                    "digest": digest,
                    "info": info,
                },
            )
        )

    def metadata(self, **options: object) -> str:
        """Its metadata."""
        given: dict[str, object] = {
            "issuer": ISSUER,
            "cert": self.key.certificate,
            "redirectEndpointPath": "/login",
            "postEndpointPath": "/login",
        }
        return str(self._ask("metadata", given | options))

    def _ask(self, action: str, options: Mapping[str, object]) -> object:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": action, **options}) + "\n")
        self._process.stdin.flush()
        readable, _, _ = select.select([self._process.stdout], [], [], ANSWER_SECONDS)
        line = self._process.stdout.readline() if readable else ""
        if not line:
            raise RuntimeError("the identity provider does not answer")
        answer = json.loads(line)
        if "raised" in answer:
            raise RuntimeError(answer["raised"])
        return answer["said"]


def alone(response: str) -> str:
    """The assertion in a response."""
    found = re.search(r"<saml:Assertion .*</saml:Assertion>", response, re.DOTALL)
    assert found is not None, response
    return found[0]


def unsigned(assertion: str) -> str:
    """An assertion without its signature."""
    return re.sub(r"<Signature .*</Signature>", "", assertion, flags=re.DOTALL)


def presented(document: str | bytes) -> str:
    """A document as an agent presents it (RFC 7522, section 2.1)."""
    data = document.encode() if isinstance(document, str) else document
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
