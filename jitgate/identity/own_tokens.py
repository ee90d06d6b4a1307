"""Tokens that the gateway makes itself: for one subject, for minutes, for one operation if asked.

They are JWTs (RFC 9068) signed with keys that live in memory alone and follow one another: a
restart ends every token, as their few minutes would.
"""

from __future__ import annotations

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
from jitgate.identity.oidc import verify_signature
from jitgate.identity.unverified import UnverifiedToken, read_token, token_refused
from jitgate.interfaces import IIdentityVerifier, ITokenSource
from jitgate.values import Binding, Made, Refusal, Subject

ROTATED_AFTER = 12 * 3600.0
"""Seconds for which a key signs. It counts on until the last token that it signed has expired."""

ALGORITHM = "ES256"


@dataclass(frozen=True, slots=True)
class _Key:
    id: str
    signs_until: float
    private: ec.EllipticCurvePrivateKey = field(repr=False)


@implementer(IIdentityVerifier, ITokenSource)
class OwnTokens:
    """Makes them and proves them; ``audience`` names this gateway, and no other."""

    def __init__(self, audience: Callable[[], str], clock: IReactorTime) -> None:
        self._audience = audience
        self._clock = clock
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
        return next((key for key in self._keys if key.id == token.key_id), None)

    def _signing(self) -> _Key:
        """The key that signs now: a new one where the last has signed long enough."""
        now = self._clock.seconds()
        self._keys = [key for key in self._keys if now < key.signs_until + LONGEST]
        if not self._keys or now >= self._keys[-1].signs_until:
            private = ec.generate_private_key(ec.SECP256R1())
            self._keys.append(_Key(secrets.token_urlsafe(8), now + ROTATED_AFTER, private))
        return self._keys[-1]


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
