"""Tokens that the gateway makes itself: for one subject, for minutes, for one operation if asked.

They are JWTs (RFC 9068) signed with keys that live in memory alone and follow one another: a
restart ends every token, as their few minutes would.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from jitgate.core.binding import ISSUER, LONGEST, details
from jitgate.errors import StateUnusable
from jitgate.identity.oidc import verify_signature
from jitgate.identity.unverified import UnverifiedToken, read_token, token_refused
from jitgate.interfaces import IIdentityVerifier, ITokenSource
from jitgate.values import Binding, Made, Refusal, Subject

ROTATED_AFTER = 12 * 3600.0
"""Seconds for which a key signs. It counts on until the last token that it signed has expired."""

ALGORITHM = "ES256"

SEED = 32
"""Bytes that keys are made of: as many as make a guess as hard as one at the key."""

_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""How many private keys there are on P-256, and one (SEC 2, section 2.4.2)."""


@dataclass(frozen=True, slots=True)
class _Key:
    id: str
    signs_until: float
    private: ec.EllipticCurvePrivateKey = field(repr=False)


@implementer(IIdentityVerifier, ITokenSource)
class OwnTokens:
    """Makes them and proves them; ``audience`` names this gateway, and no other.

    Keys come of ``seed``, one after the other since it was ``born``: who has both has the same.
    """

    def __init__(
        self,
        audience: Callable[[], str],
        clock: IReactorTime,
        *,
        seed: bytes | None = None,
        born: float | None = None,
    ) -> None:
        self._audience = audience
        self._clock = clock
        self.seed = secrets.token_bytes(SEED) if seed is None else seed
        self.born = clock.seconds() if born is None else born
        self._keys: list[_Key] = []
        self._terms: Mapping[str, str] = {}

    def adopt(self, terms: Mapping[str, str]) -> None:
        """Go by these from now on: what each issuer's subjects are believed by, as a digest.

        A token that was made under other terms than its subject's issuer has now is good no more.
        """
        self._terms = terms

    def mint(self, subject: Subject, *, life: float, binding: Binding) -> Made:
        """A token for the subject, of at most `LONGEST` seconds and never longer than its own."""
        now = int(self._clock.seconds())
        until = int(min(now + min(life, LONGEST), subject.expires_at))
        claims = {
            "iss": ISSUER,
            "aud": self._audience(),
            "sub": subject.id,
            "client_id": subject.agent or subject.id,
            "iat": now,
            "exp": until,
            "jti": binding.id,
            "idp": subject.issuer,
            "proved_at": subject.issued_at,
            "terms": self._terms.get(subject.issuer),
            "groups": sorted(subject.groups),
            "humans": list(subject.humans),
            "agent": subject.agent,
            "sid": subject.session,
            "once": binding.once,
            "grant": binding.grant,
            "authorization_details": details(binding),
        }
        key = self._signing()
        header = {"kid": key.id, "typ": "at+jwt"}
        token = jwt.PyJWS().encode(orjson.dumps(claims), key.private, ALGORITHM, headers=header)
        return Made(token, float(until))

    async def verify(self, token: str, *, again: bool = False) -> Subject | Refusal:
        read = read_token(token)
        return read if isinstance(read, Refusal) else await self.verify_read(read)

    async def verify_read(self, read: UnverifiedToken) -> Subject | Refusal:
        """The same, of a token that has been read."""
        key = self._key(read)
        verified = None if key is None else verify_signature(read, key.private.public_key())
        if verified is None:
            return token_refused("the gateway has not signed it, or a restart has ended it")
        if verified.claims["aud"] != self._audience():
            return token_refused("it is meant for another audience")
        terms = self._terms.get(verified.claims["idp"])
        if terms is None or verified.claims["terms"] != terms:
            return token_refused("its subject's issuer is believed no more, or on other terms")
        if verified.claims["exp"] <= self._clock.seconds():
            return token_refused("it has expired")
        return _subject(verified.claims)

    def jwks(self) -> dict[str, object]:
        """The keys' public halves (RFC 7517, section 5)."""
        self._signing()
        return {"keys": [_jwk(key) for key in self._keys]}

    def _key(self, token: UnverifiedToken) -> _Key | None:
        if token.algorithm != ALGORITHM or token.type != "at+jwt":
            return None
        self._signing()  # another process may have been the first to sign with it
        return next((key for key in self._keys if key.id == token.key_id), None)

    def _signing(self) -> _Key:
        """The key that signs now: a new one where the last has signed long enough."""
        now = self._clock.seconds()
        latest = max(0, int((now - self.born) // ROTATED_AFTER))
        made = {number: self.born + (number + 1) * ROTATED_AFTER for number in (latest - 1, latest)}
        kept = {key.id: key for key in self._keys}
        self._keys = [
            kept.get(self._id(number)) or _Key(self._id(number), until, self._private(number))
            for number, until in made.items()
            if number >= 0 and now < until + LONGEST
        ]
        return self._keys[-1]

    def _id(self, number: int) -> str:
        return self._digest(b"jitgate token key id", number)[:8].hex()

    def _private(self, number: int) -> ec.EllipticCurvePrivateKey:
        # Twice as long as the key, so that no key is likelier than another (FIPS 186-5, A.2.1).
        chosen = int.from_bytes(self._digest(b"jitgate token key", number))
        return ec.derive_private_key(chosen % (_ORDER - 1) + 1, ec.SECP256R1())

    def _digest(self, purpose: bytes, number: int) -> bytes:
        if len(self.seed) != SEED:
            raise StateUnusable("The keys of the gateway's own tokens are not known yet.")
        return hmac.digest(self.seed, purpose + b"\0" + number.to_bytes(8), "sha512")


def _subject(claims: Mapping[str, Any]) -> Subject:
    bound = claims["authorization_details"]
    operation = bound[0] if bound else {}
    return Subject(
        issuer=claims["idp"],
        id=claims["sub"],
        groups=frozenset(claims["groups"]),
        expires_at=float(claims["exp"]),
        humans=tuple(claims["humans"]),
        session=claims["sid"],
        agent=claims["agent"],
        issued_at=float(claims["proved_at"]),
        binding=Binding(
            id=claims["jti"],
            target=operation.get("target"),
            action=operation.get("action", ""),
            resource=operation.get("resource", {}),
            once=claims["once"],
            grant=claims["grant"],
        ),
    )


def _jwk(key: _Key) -> dict[str, object]:
    public: dict[str, object] = ECAlgorithm.to_jwk(key.private.public_key(), as_dict=True)
    return public | {"kid": key.id, "use": "sig", "alg": ALGORITHM}
