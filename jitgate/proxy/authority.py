"""The gateway's own certificate authority: one for each installation, leaves minted for hosts.

The key is made at the first start, never leaves the state folder, and must not be readable by
anybody else. Leaves live for hours, in memory only; all of them share one key pair, because making
a key costs more than the handshake it serves. Beside it may stand the next one, which signs from a
moment on that everybody knows (`jitgate.proxy.rotation`).
"""

from __future__ import annotations

import ipaddress
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from OpenSSL import SSL
from twisted.logger import Logger

from jitgate.errors import StateUnusable
from jitgate.proxy.manifest import Trust
from jitgate.proxy.server_tls import server_context

CA_LIFE = timedelta(days=3650)
"""Agents trust the file they were given; rotating it means giving them another."""

LEAF_LIFE = timedelta(hours=24)
"""A leaf is minted anew after half of it, so that no client sees one about to expire."""

BACKDATED = timedelta(hours=1)
"""How far an agent's clock may lag behind the gateway's."""

LEAVES = 1024
"""Leaves kept in memory; no more hosts than that are named by any configuration seen."""


@dataclass(frozen=True, slots=True)
class _Leaf:
    chain: Sequence[x509.Certificate]
    contexts: dict[tuple[bytes, ...], SSL.Context]
    """By what may be spoken."""
    renew_at: float
    signer: Signer


@dataclass(frozen=True, slots=True)
class Signer:
    """What signs leaves."""

    key: ec.EllipticCurvePrivateKey = field(repr=False)
    certificate: x509.Certificate

    @property
    def sha256(self) -> str:
        """The fingerprint of its certificate."""
        return self.certificate.fingerprint(hashes.SHA256()).hex()


@dataclass(frozen=True, slots=True)
class Signers:
    """What a state folder has: what signs, and what signs from a moment on, if there is a next."""

    first: Signer
    trusted: tuple[x509.Certificate, ...]
    """What agents must trust."""
    following: Signer | None = None
    switch_at: float = math.inf
    """When the next one begins to sign, in seconds since the epoch."""

    def at(self, now: float) -> Signer:
        """What signs then."""
        is_next = self.following is not None and now >= self.switch_at
        return self.following if is_next and self.following is not None else self.first


class CertificateAuthority:
    """Mints leaves. ``certificate`` is the PEM that agents must trust, with all that it holds."""

    _log = Logger()

    def __init__(
        self, signers: Signers, now: Callable[[], float], read: Callable[[], Signers]
    ) -> None:
        self.signers = signers
        self._now = now
        self._read = read
        self._leaf_key = ec.generate_private_key(ec.SECP256R1())
        self._leaves: dict[str, _Leaf] = {}

    @property
    def certificate(self) -> bytes:
        pem = serialization.Encoding.PEM
        return b"".join(each.public_bytes(pem) for each in self.signers.trusted)

    @property
    def trust(self) -> Trust:
        """The same, as agents are told of it."""
        signers = self.signers
        prints = tuple(each.fingerprint(hashes.SHA256()).hex() for each in signers.trusted)
        switch_at = None if signers.following is None else signers.switch_at
        return Trust(self.certificate, prints, switch_at)

    def adopt(self, noted: Callable[[Signers], None] = lambda _: None) -> None:
        """Go by what the state folder has now; ``noted`` hears of it if that is something else."""
        try:
            found = self._read()
        except StateUnusable as error:  # what is in force stays so
            self._log.error("The CA stays as it was: {why}", why=f"{error}")
            return
        before, self.signers = _told(self.signers), found
        if _told(found) != before:
            noted(found)

    def context_for(self, host: str, *spoken: bytes) -> SSL.Context:
        """The server's TLS context with a leaf for ``host``, minted when it is first needed.

        ``spoken``: which protocols may be agreed on, the preferred one first.
        Whoever calls has seen that a target names the host: a leaf for any other must not exist.
        """
        now = self._now()
        signer, leaf = self.signers.at(now), self._leaves.get(host)
        if leaf is None or leaf.renew_at <= now or leaf.signer is not signer:
            if len(self._leaves) >= LEAVES:
                self._leaves.clear()
            chain = self._minted(signer, host, datetime.fromtimestamp(now, UTC)), signer.certificate
            renew_at = now + LEAF_LIFE.total_seconds() / 2
            leaf = self._leaves[host] = _Leaf(chain, {}, renew_at, signer)
        context = leaf.contexts.get(spoken)
        if context is None:
            context = server_context(leaf.chain, self._leaf_key, *spoken)
            leaf.contexts[spoken] = context
        return context

    def _minted(self, signer: Signer, host: str, now: datetime) -> x509.Certificate:
        issuer_key = x509.SubjectKeyIdentifier.from_public_key(signer.key.public_key())
        return (
            _certificate(host, self._leaf_key.public_key(), now, LEAF_LIFE)
            .issuer_name(signer.certificate.subject)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([_san(host)]), critical=False)
            .add_extension(_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_key),
                critical=False,
            )
            .sign(signer.key, hashes.SHA256())
        )


KEY, CERTIFICATES = "ca.key", "ca.pem"
"""What signs, and what agents must trust: the certificate of that key, and of the next one."""

NEXT_KEY, NEXT, NEXT_AT = "ca-next.key", "ca-next.pem", "ca-next.at"
"""The next one, and when it begins to sign."""


def load_or_create(folder: Path, now: Callable[[], float]) -> CertificateAuthority:
    """The authority of a state folder, made there if it has none. Raises `StateUnusable`."""
    if not (folder / KEY).exists():
        signer = made(datetime.fromtimestamp(now(), UTC))
        # The key comes last and whole: while it is not there, a start makes both anew.
        place(folder / CERTIFICATES, pem_of(signer.certificate), 0o644)
        place(folder / KEY, pem_of(signer.key), 0o600)
    return CertificateAuthority(read(folder), now, partial(read, folder))


def read(folder: Path) -> Signers:
    """What a state folder has. Raises `StateUnusable`."""
    key, pem = _key(folder / KEY), folder / CERTIFICATES
    trusted = _certificates(pem)
    first = next((each for each in trusted if each.public_key() == key.public_key()), None)
    if first is None:
        raise StateUnusable(f"{folder / KEY} is not the key of {pem}.")
    if not (folder / NEXT_AT).exists():
        return Signers(Signer(key, first), trusted)
    following = Signer(_key(folder / NEXT_KEY), _certificates(folder / NEXT)[0])
    if following.key.public_key() != following.certificate.public_key():
        raise StateUnusable(f"{folder / NEXT_KEY} is not the key of {folder / NEXT}.")
    try:
        at = datetime.fromisoformat((folder / NEXT_AT).read_text("ascii").strip()).timestamp()
    except (OSError, ValueError) as error:
        raise StateUnusable(f"{folder / NEXT_AT} cannot be read: {error}.") from error
    both = (*trusted, following.certificate)
    return Signers(Signer(key, first), tuple(dict.fromkeys(both)), following, at)


def _key(file: Path) -> ec.EllipticCurvePrivateKey:
    try:
        if file.stat().st_mode & 0o077:
            raise StateUnusable(f"{file} can be used by others: chmod 600 {file}.")
        key = serialization.load_pem_private_key(file.read_bytes(), None)
    except (OSError, TypeError, ValueError, UnsupportedAlgorithm) as error:
        raise StateUnusable(f"{file} cannot be read: {error}.") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise StateUnusable(f"{file} holds no elliptic curve key; jitgate makes its own.")
    return key


def _certificates(file: Path) -> tuple[x509.Certificate, ...]:
    try:
        return tuple(x509.load_pem_x509_certificates(file.read_bytes()))
    except (OSError, ValueError) as error:
        raise StateUnusable(f"{file} cannot be read: {error}.") from error


def made(now: datetime) -> Signer:
    """A new one."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = "jitgate certificate authority"
    certificate = (
        _certificate(name, key.public_key(), now, CA_LIFE)
        .issuer_name(_name(name))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(key_cert_sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Signer(key, certificate)


def pem_of(what: ec.EllipticCurvePrivateKey | x509.Certificate) -> bytes:
    """As it stands in a file."""
    pem = serialization.Encoding.PEM
    if isinstance(what, x509.Certificate):
        return what.public_bytes(pem)
    plain = serialization.NoEncryption()
    return what.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)


def place(file: Path, data: bytes, mode: int) -> None:
    """Make the file appear as a whole, and durably: after a power cut it is there, or was never.

    It is its folder's owner's. Raises `StateUnusable`.
    """
    try:
        made = file.with_suffix(f"{file.suffix}.new")
        made.unlink(missing_ok=True)
        made.touch(mode=mode, exist_ok=False)
        with made.open("wb") as opened:
            owner = file.parent.stat()
            if os.geteuid() == 0:
                os.fchown(opened.fileno(), owner.st_uid, owner.st_gid)
            opened.write(data)
            opened.flush()
            os.fsync(opened.fileno())
        made.rename(file)
        sync(file.parent)
    except OSError as error:
        raise StateUnusable(f"{file} cannot be written: {error}.") from error


def sync(folder: Path) -> None:
    """Return once the folder's names are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _told(signers: Signers) -> tuple[object, ...]:
    following = signers.following and signers.following.sha256
    trusted = [each.fingerprint(hashes.SHA256()) for each in signers.trusted]
    return signers.first.sha256, following, signers.switch_at, trusted


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
