"""An issuer's public keys: read from a JWK Set (RFC 7517), out of a file or by discovery.

A key is taken only for what it is plainly published for: signatures, by one of two algorithms.
The rest of a set is passed over, as RFC 7517, section 5 says for keys that are not understood.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from treq.client import HTTPClient
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from jitgate.errors import ConfigurationInvalid, IdentityUnavailable
from jitgate.fetching import Fetcher
from jitgate.identity.unverified import base64url_bytes, json_object

MAX_DOCUMENT = 1024 * 1024
"""Bytes of a discovery document or key set: room for a thousand keys."""

MIN_RSA_BITS = 2048
"""RFC 7518, section 3.3."""

REFETCH_AFTER = 60.0
"""Seconds between fetches while there are keys: anybody can make up an unknown key id."""

RETRY_AFTER = 5.0
"""Seconds between fetches while there are no keys at all, and so nobody is let in."""

FRESH_FOR = 900.0
"""Seconds after which keys are fetched anew, so that one the issuer withdrew ends to count."""

MAX_AGE = 12 * 3600.0
"""Seconds for which keys count that could not be fetched anew: an outage of the issuer's lasts
hours, and a key that was withdrawn for being stolen must not count for days."""

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


# --- where it comes from


class KeyFile:
    """The keys of a JWK Set in a file, read once. Raises `ConfigurationInvalid`."""

    def __init__(self, path: Path) -> None:
        try:
            self._keys = KeySet.read(path.read_bytes())
        except (OSError, ValueError) as error:
            raise ConfigurationInvalid([f"The key set {path} cannot be used: {error}."]) from error

    async def key(self, key_id: str | None, algorithm: str) -> PublicKey | None:
        """The one key that fits, or None."""
        return self._keys.find(key_id, algorithm)


class DiscoveredKeys:
    """The keys that an issuer publishes (OpenID Connect Discovery 1.0), kept and kept fresh.

    Callers who need a fetch share one. A fetch that fails leaves the keys there are in force until
    they are ``max_age`` seconds old, and nobody who has a key waits for the next one. The document
    is looked for below ``place``, the issuer itself if that is None; both must be https URLs, else
    `ValueError`.
    """

    _log = Logger()

    def __init__(
        self,
        issuer: str,
        http: HTTPClient,
        clock: IReactorTime,
        *,
        place: str | None = None,
        max_age: float = MAX_AGE,
    ) -> None:
        if not _is_https(issuer) or not _is_https(place or issuer):
            raise ValueError("an issuer whose keys are discovered is an https URL")
        self._issuer = issuer
        self._place = place or issuer
        self._max_age = max_age
        self._clock = clock
        self._fetcher = Fetcher(http, clock, "The issuer", IdentityUnavailable, MAX_DOCUMENT)
        self._keys: KeySet | None = None
        self._fetched_at = self._tried_at = float("-inf")
        self._failing = False
        self._waiting: list[Deferred[None]] = []

    async def key(self, key_id: str | None, algorithm: str) -> PublicKey | None:
        """The one key that fits, or None. Raises `IdentityUnavailable` where none can be had."""
        found = self._known(key_id, algorithm)
        if self._wants_fetch(found):
            fetched = self._fetched()
            if found is None or not self._failing:
                await fetched
                found = self._known(key_id, algorithm)
        if self._keys is None:
            raise IdentityUnavailable("The issuer's keys cannot be had; see the gateway's log.")
        return found

    def _known(self, key_id: str | None, algorithm: str) -> PublicKey | None:
        """The key, if it is there. Keys that are too old are none at all."""
        if self._keys is not None and self._clock.seconds() >= self._fetched_at + self._max_age:
            self._log.error("Keys of {issuer} are too old to be believed.", issuer=self._issuer)
            self._keys = None
        return None if self._keys is None else self._keys.find(key_id, algorithm)

    def _wants_fetch(self, found: PublicKey | None) -> bool:
        if self._waiting:
            return found is None
        now = self._clock.seconds()
        if self._keys is None:
            return now >= self._tried_at + RETRY_AFTER
        stale = now >= self._fetched_at + FRESH_FOR
        return (stale or found is None) and now >= self._tried_at + REFETCH_AFTER

    def _fetched(self) -> Deferred[None]:
        """Fires after the fetch that is under way, or after a new one.

        It runs by itself, so that a caller who gives up ends nobody else's wait.
        """
        waiter: Deferred[None] = Deferred()
        self._waiting.append(waiter)
        if len(self._waiting) == 1:
            self._tried_at = self._clock.seconds()
            Deferred.fromCoroutine(self._fetch())
        return waiter

    async def _fetch(self) -> None:
        """Take up what the issuer publishes now; log why it cannot be had. Wakes who waits."""
        try:
            self._keys = await self._published()
            self._fetched_at = self._clock.seconds()
            self._failing = False
        except IdentityUnavailable as fault:
            self._failing = True
            self._log.warn("Keys of {issuer}: {fault}", issuer=self._issuer, fault=fault)
        finally:
            waiting, self._waiting = self._waiting, []
            for waiter in waiting:
                waiter.callback(None)

    async def _published(self) -> KeySet:
        # Section 4.1: a slash at the issuer's end is taken away before the well-known path.
        url = self._place.removesuffix("/") + "/.well-known/openid-configuration"
        about = json_object(await self._document(url)) or {}
        if about.get("issuer") != self._issuer:  # Section 4.3: exactly.
            raise IdentityUnavailable("The issuer's discovery document is not its own.")
        keys_url = about.get("jwks_uri")
        if not isinstance(keys_url, str) or not _is_https(keys_url):
            raise IdentityUnavailable("The issuer's jwks_uri is not an https URL.")
        try:
            return KeySet.read(await self._document(keys_url))
        except ValueError as error:
            raise IdentityUnavailable(f"The issuer's key set: {error}.") from error

    async def _document(self, url: str) -> bytes:
        answer = await self._fetcher.get(url)
        if answer.status != 200:
            raise IdentityUnavailable(f"The issuer answered {answer.status}.")
        return answer.body


def _is_https(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "https" and bool(parts.hostname) and "@" not in parts.netloc
