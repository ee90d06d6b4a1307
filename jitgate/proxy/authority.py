"""The gateway's own certificate authority: one for each installation, leaves minted for hosts.

The key is made at the first start, never leaves the state folder, and must not be readable by
anybody else. Leaves live for hours, in memory only; all of them share one key pair, because making
a key costs more than the handshake it serves.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from OpenSSL import SSL

from jitgate.errors import StateUnusable

CA_LIFE = timedelta(days=3650)
"""Agents trust the file they were given; rotating it means giving them another."""

LEAF_LIFE = timedelta(hours=24)
"""A leaf is minted anew after half of it, so that no client sees one about to expire."""

BACKDATED = timedelta(hours=1)
"""How far an agent's clock may lag behind the gateway's."""

LEAVES = 1024
"""Leaves kept in memory; no more hosts than that are named by any configuration seen."""

_CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20"
_SUITES = b"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
"""Of TLS 1.3, in our order: processors have instructions for SHA-256, hardly any for SHA-384, and a
handshake computes some fifty hashes."""
HTTP_1_1, HTTP_2 = b"http/1.1", b"h2"
"""What may be spoken, in ALPN's words (RFC 7301; RFC 9113, section 3.2)."""


@dataclass(frozen=True, slots=True)
class _Leaf:
    chain: Sequence[x509.Certificate]
    contexts: dict[tuple[bytes, ...], SSL.Context]
    """By what may be spoken."""
    renew_at: float


class CertificateAuthority:
    """Mints leaves. ``certificate`` is the PEM that agents must trust."""

    def __init__(
        self,
        key: ec.EllipticCurvePrivateKey,
        certificate: x509.Certificate,
        now: Callable[[], float],
    ) -> None:
        self._key = key
        self._certificate = certificate
        self._now = now
        self._leaf_key = ec.generate_private_key(ec.SECP256R1())
        self._leaves: dict[str, _Leaf] = {}

    @property
    def certificate(self) -> bytes:
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def context_for(self, host: str, *spoken: bytes) -> SSL.Context:
        """The server's TLS context with a leaf for ``host``, minted when it is first needed.

        ``spoken``: which protocols may be agreed on, the preferred one first.
        Whoever calls has seen that a target names the host: a leaf for any other must not exist.
        """
        now = self._now()
        leaf = self._leaves.get(host)
        if leaf is None or leaf.renew_at <= now:
            if len(self._leaves) >= LEAVES:
                self._leaves.clear()
            chain = self._minted(host, datetime.fromtimestamp(now, UTC)), self._certificate
            leaf = self._leaves[host] = _Leaf(chain, {}, now + LEAF_LIFE.total_seconds() / 2)
        context = leaf.contexts.get(spoken)
        if context is None:
            context = server_context(leaf.chain, self._leaf_key, *spoken)
            leaf.contexts[spoken] = context
        return context

    def _minted(self, host: str, now: datetime) -> x509.Certificate:
        issuer_key = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        return (
            _certificate(host, self._leaf_key.public_key(), now, LEAF_LIFE)
            .issuer_name(self._certificate.subject)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([_san(host)]), critical=False)
            .add_extension(_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_key),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )


def server_context(chain: Sequence[x509.Certificate], key: Any, *spoken: bytes) -> SSL.Context:
    """How TLS is spoken to agents, with these certificates, the server's first, and its key.

    ``spoken``: what may be agreed on to be spoken inside, HTTP/1.1 if nothing is named.
    """
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_cipher_list(_CIPHERS)
    context.set_tls13_ciphersuites(_SUITES)
    context.set_options(SSL.OP_CIPHER_SERVER_PREFERENCE)
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
    # No session is taken up again: of one under TLS 1.2 the name that the client asks for is not
    # told (`get_servername`), so that a differing one would pass unseen.
    context.set_options(SSL.OP_NO_TICKET)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    context.use_certificate(chain[0])
    for each in chain[1:]:
        context.add_extra_chain_cert(each)
    context.use_privatekey(key)
    context.set_alpn_select_callback(_first_of(spoken or (HTTP_1_1,)))
    return context


def load_or_create(folder: Path, now: Callable[[], float]) -> CertificateAuthority:
    """The authority of a state folder, made there if it has none. Raises `StateUnusable`."""
    key_file, certificate_file = folder / "ca.key", folder / "ca.pem"
    if not key_file.exists():
        _create(key_file, certificate_file, datetime.fromtimestamp(now(), UTC))
    try:
        if key_file.stat().st_mode & 0o077:
            raise StateUnusable(f"{key_file} can be used by others: chmod 600 {key_file}.")
        key = serialization.load_pem_private_key(key_file.read_bytes(), None)
        certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
    except (OSError, TypeError, ValueError, UnsupportedAlgorithm) as error:
        raise StateUnusable(f"{key_file} or {certificate_file} cannot be read: {error}.") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise StateUnusable(f"{key_file} holds no elliptic curve key; jitgate makes its own.")
    if key.public_key() != certificate.public_key():
        raise StateUnusable(f"{key_file} is not the key of {certificate_file}.")
    return CertificateAuthority(key, certificate, now)


def _create(key_file: Path, certificate_file: Path, now: datetime) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _certificate("jitgate certificate authority", key.public_key(), now, CA_LIFE)
        .issuer_name(_name("jitgate certificate authority"))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(key_cert_sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    try:
        # The key comes last and whole: while it is not there, a start makes both anew.
        _place(certificate_file, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
        _place(key_file, pem, 0o600)
    except OSError as error:
        raise StateUnusable(f"{key_file} cannot be written: {error}.") from error


def _place(file: Path, data: bytes, mode: int) -> None:
    """Make the file appear as a whole, and durably: after a power cut it is there, or was never."""
    made = file.with_suffix(".new")
    made.unlink(missing_ok=True)
    made.touch(mode=mode, exist_ok=False)
    with made.open("wb") as opened:
        opened.write(data)
        opened.flush()
        os.fsync(opened.fileno())
    made.rename(file)
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _certificate(
    name: str, key: ec.EllipticCurvePublicKey, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + life)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _usage(*, digital_signature: bool = False, key_cert_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=key_cert_sign,
        encipher_only=False,
        decipher_only=False,
    )


def _san(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        return x509.DNSName(host)


def _first_of(spoken: tuple[bytes, ...]) -> Callable[[SSL.Connection, list[bytes]], Any]:
    """Agrees on the first that the client offers; one that offers none speaks HTTP/1.1."""

    def agree(_: SSL.Connection, offered: list[bytes]) -> bytes | SSL._NoOverlappingProtocols:
        found = (each for each in spoken if each in offered)
        return next(found, SSL.NO_OVERLAPPING_PROTOCOLS)

    return agree
