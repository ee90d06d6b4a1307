"""An issuer's public keys, read from a JWK Set (RFC 7517): one in a file, or one as it was fetched.

A key is taken only for what it is plainly published for: signatures, by one of two algorithms.
The rest of a set is passed over, as RFC 7517, section 5 says for keys that are not understood.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from jitgate.core.strict_json import json_object
from jitgate.errors import ConfigurationInvalid
from jitgate.identity.unverified import base64url_bytes

MIN_RSA_BITS = 2048
"""RFC 7518, section 3.3."""

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey


class KeySource(Protocol):
    """Where the keys of one issuer come from."""

    async def key(self, key_id: str | None, algorithm: str) -> PublicKey | None:
        """The one key that fits, or None. Raises `IdentityUnavailable` where none can be had."""


# --- the set


@dataclass(frozen=True, slots=True)
class SignatureKey:
    """A public key, for one algorithm alone (RFC 8725, section 3.1)."""

    key_id: str | None
    algorithm: str
    public: PublicKey = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeySet:
    """The usable keys of a JWK Set."""

    keys: tuple[SignatureKey, ...]

    @classmethod
    def read(cls, data: bytes) -> KeySet:
        """The keys in a JWK Set. Raises `ValueError` where it is none, or none of its keys fits.

        An empty set is one: whoever has no keys believes nobody.
        """
        members = (json_object(data) or {}).get("keys")
        listed = members if isinstance(members, list) else []
        found = tuple(key for member in listed if (key := _signature_key(member)))
        if not found and members != []:
            raise ValueError("it holds no key that a token's signature can be checked with here")
        return cls(found)

    def find(self, key_id: str | None, algorithm: str) -> PublicKey | None:
        """The key of that id for that algorithm; without an id, the only one for the algorithm.

        None if there is none, and if there are several: to guess would be to try.
        """
        fits = [
            key.public
            for key in self.keys
            if key.algorithm == algorithm and key_id in (None, key.key_id)
        ]
        return fits[0] if len(fits) == 1 else None


def _signature_key(member: object) -> SignatureKey | None:
    """The key that a member of the set is, or None if it is not one for us."""
    if not isinstance(member, dict) or not _for_signatures(member):
        return None
    public: PublicKey | None
    algorithms: tuple[str, ...]
    match member.get("kty"), member.get("crv"):
        case "RSA", _:
            algorithms, public = ("RS256", "PS256"), _rsa_key(member)
        case "EC", "P-256":
            algorithms, public = ("ES256",), _curve_key(member, ec.SECP256R1())
        case "EC", "P-384":
            algorithms, public = ("ES384",), _curve_key(member, ec.SECP384R1())
        case "OKP", "Ed25519":
            algorithms, public = ("EdDSA",), _ed25519_key(member)
        case _:  # Symmetric keys among them: whoever can check with one can sign with it.
            return None
    algorithm = member.get("alg", algorithms[0])
    if public is None or algorithm not in algorithms:
        return None
    return SignatureKey(member.get("kid"), algorithm, public)


def _for_signatures(member: Mapping[str, Any]) -> bool:
    """Whether the key is published for checking signatures (RFC 7517, sections 4.2 and 4.3).

    One that is published together with its private half ("d") proves nothing any more.
    """
    operations = member.get("key_ops", ["verify"])
    return (
        "d" not in member
        and member.get("use", "sig") == "sig"
        and isinstance(operations, list)
        and "verify" in operations
        and isinstance(member.get("kid", ""), str)
    )


def _rsa_key(member: Mapping[str, Any]) -> PublicKey | None:
    """RFC 7518, section 6.3.1."""
    modulus, exponent = _number(member.get("n")), _number(member.get("e"))
    if modulus is None or exponent is None or modulus.bit_length() < MIN_RSA_BITS:
        return None
    try:
        return rsa.RSAPublicNumbers(exponent, modulus).public_key()
    except ValueError:
        return None


def _curve_key(member: Mapping[str, Any], curve: ec.EllipticCurve) -> PublicKey | None:
    """RFC 7518, section 6.2.1. The library refuses a point that is not on the curve."""
    x, y = _number(member.get("x")), _number(member.get("y"))
    if x is None or y is None:
        return None
    try:
        return ec.EllipticCurvePublicNumbers(x, y, curve).public_key()
    except ValueError:
        return None


def _ed25519_key(member: Mapping[str, Any]) -> PublicKey | None:
    """RFC 8037, section 2."""
    text = member.get("x")
    data = base64url_bytes(text) if isinstance(text, str) else None
    try:
        return None if data is None else ed25519.Ed25519PublicKey.from_public_bytes(data)
    except ValueError:
        return None


def _number(text: object) -> int | None:
    data = base64url_bytes(text) if isinstance(text, str) else None
    return int.from_bytes(data, "big") if data else None


# --- the file


class KeyFile:
    """The keys of a JWK Set in a file, read once. Raises `ConfigurationInvalid`."""

    def __init__(self, path: Path) -> None:
        try:
            self.keys = KeySet.read(path.read_bytes())
            """All that there are."""
        except (OSError, ValueError) as error:
            raise ConfigurationInvalid([f"The key set {path} cannot be used: {error}."]) from error

    async def key(self, key_id: str | None, algorithm: str) -> PublicKey | None:
        """The one key that fits, or None."""
        return self.keys.find(key_id, algorithm)
