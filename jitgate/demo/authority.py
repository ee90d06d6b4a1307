"""The sandbox's own certificate authority: made at start, held in memory, gone at the end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from twisted.internet.ssl import CertificateOptions

LIFE = timedelta(days=7)
"""How long a certificate is valid: longer than anybody leaves a demo running."""

BACKDATE = timedelta(minutes=5)
"""How far before now validity begins, for clocks that differ a little (containers, guests)."""


class SandboxCA:
    """Signs server certificates (ECDSA P-256) below a root that nobody else trusts (RFC 5280)."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        name = _name("jitgate sandbox CA")
        usage = _usage(key_cert_sign=True, crl_sign=True)
        self.certificate = (
            _unsigned(name, name, self._key.public_key(), self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .sign(self._key, hashes.SHA256())
        )

    def issue(self, *hosts: str) -> CertificateOptions:
        """A key and certificate for a TLS server known by ``hosts``: DNS names or IP addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
        server = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        issuer = self.certificate.subject
        certificate = (
            _unsigned(_name(hosts[0]), issuer, key.public_key(), self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(digital_signature=True), critical=True)
            .add_extension(server, critical=False)
            .add_extension(names, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return CertificateOptions(
            privateKey=key,  # type: ignore[arg-type] # pyOpenSSL deprecates its own classes
            certificate=certificate,  # type: ignore[arg-type]
        )


def _unsigned(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    signer: ec.EllipticCurvePublicKey,
) -> x509.CertificateBuilder:
    """What a root and a leaf have in common, both key identifiers included."""
    now = datetime.now(UTC)
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + LIFE)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(authority, critical=False)
    )


def _usage(**allowed: bool) -> x509.KeyUsage:
    bits = (
        "digital_signature content_commitment key_encipherment data_encipherment "
        "key_agreement key_cert_sign crl_sign encipher_only decipher_only"
    )
    return x509.KeyUsage(**{bit: allowed.get(bit, False) for bit in bits.split()})


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)
