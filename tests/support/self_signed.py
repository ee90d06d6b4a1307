"""Keys, and certificates that nobody but their own key has signed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID


def self_signed(key: Any, begins: float = -1, ends: float = 1) -> bytes:
    """A certificate in PEM, valid between days from now."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gateway.example")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now + timedelta(days=begins))
        .not_valid_after(now + timedelta(days=ends))
    )
    plain = isinstance(key, ed25519.Ed25519PrivateKey)
    return made.sign(key, None if plain else hashes.SHA256()).public_bytes(Encoding.PEM)


def pem(key: Any, encryption: KeySerializationEncryption | None = None) -> bytes:
    """A private key in PEM."""
    encryption = encryption or NoEncryption()
    made: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    return made


KEY = ec.generate_private_key(ec.SECP256R1())
