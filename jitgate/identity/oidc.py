"""Subjects out of the tokens of OpenID Connect issuers: JWTs (RFC 7519), checked as RFC 8725 asks.

A token is read (`jitgate.identity.unverified`), its signature is checked with a key of the
issuer, and only what was signed is read again, as `VerifiedClaims`, and becomes a Subject.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jwt
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from jitgate.identity.keys import KeySource, PublicKey
from jitgate.identity.unverified import (
    ALGORITHMS,
    UnverifiedToken,
    json_object,
    read_token,
    token_refused,
)
from jitgate.interfaces import IIdentityVerifier
from jitgate.values import Refusal, Subject

LEEWAY = 30
"""Seconds by which ``nbf`` and ``iat`` may lie ahead of our clock. ``exp`` is given none."""

MAX_LIFE = 24 * 3600
"""Seconds from now to the latest ``exp`` that is taken: a stolen token must not live for long."""

MAX_ACTORS = 8
"""Links of an ``act`` chain. A chain of delegation longer than that is no agent's of ours."""

REMEMBERED_FOR = 300.0
"""Seconds for which a checked token is not checked again: some SDKs open a tunnel for each call.
This is also how long a token outlives the withdrawal of the key that signed it."""

MAX_REMEMBERED = 1024
"""Tokens remembered at a time, about 1 KiB each."""


@dataclass(frozen=True, slots=True)
class VerifiedClaims:
    """Claims that the issuer signed. `verify_signature` alone makes one."""

    claims: Mapping[str, Any] = field(repr=False)


def verify_signature(token: UnverifiedToken, key: PublicKey) -> VerifiedClaims | None:
    """What was signed, read from the bytes that the library checked; None if the key disagrees."""
    try:
        signed = jwt.PyJWS().decode(token.text, key, algorithms=[token.algorithm])
    except jwt.PyJWTError:
        return None
    claims = json_object(signed)
    return None if claims is None else VerifiedClaims(claims)


@implementer(IIdentityVerifier)
class OidcVerifier:
    """Verifies the tokens of one issuer.

    ``owners`` says by ``sub`` whose agent it is, and so does the claim ``owner_claim``.
    A Subject's ``humans`` are those who must not approve what it asks for: the owner, every ``sub``
    in the token's ``act`` chain (RFC 8693, section 4.1), and the verified addresses of all of them.
    The Subject's own id is not repeated there. Raises `ValueError` for an algorithm that is not
    among `ALGORITHMS`.
    """

    def __init__(
        self,
        *,
        issuer: str,
        audience: str,
        algorithms: Sequence[str],
        groups_claim: str,
        owner_claim: str | None,
        owners: Mapping[str, str],
        keys: KeySource,
        clock: IReactorTime,
    ) -> None:
        if not algorithms or not ALGORITHMS.issuperset(algorithms):
            raise ValueError(f"tokens can be signed with {' or '.join(sorted(ALGORITHMS))}")
        self.issuer = issuer
        self._audience = audience
        self._algorithms = frozenset(algorithms)
        self._groups_claim = groups_claim
        self._owner_claim = owner_claim
        self._owners = dict(owners)
        self._keys = keys
        self._clock = clock
        self._remembered: dict[bytes, tuple[Subject, float]] = {}

    async def verify(self, token: str) -> Subject | Refusal:
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        subject, until = self._remembered.get(digest, (None, 0.0))
        if subject is not None and self._clock.seconds() < until:
            return subject
        outcome = await self._examine(token)
        if isinstance(outcome, Subject):
            self._remember(digest, outcome)
        return outcome

    def _remember(self, digest: bytes, subject: Subject) -> None:
        """Keep a checked token's Subject for a while; the oldest goes when there are too many."""
        until = min(subject.expires_at, self._clock.seconds() + REMEMBERED_FOR)
        self._remembered.pop(digest, None)
        self._remembered[digest] = (subject, until)
        if len(self._remembered) > MAX_REMEMBERED:
            del self._remembered[next(iter(self._remembered))]

    async def _examine(self, text: str) -> Subject | Refusal:
        token = read_token(text)
        if isinstance(token, Refusal):
            return token
        if token.algorithm not in self._algorithms:
            return token_refused("its algorithm is not one that is taken from this issuer")
        key = await self._keys.key(token.key_id, token.algorithm)
        if key is None:
            return token_refused("no one key of the issuer fits it")
        verified = verify_signature(token, key)
        if verified is None:
            return token_refused("its signature is not the issuer's")
        return self._subject(verified.claims)

    def _subject(self, claims: Mapping[str, Any]) -> Subject | Refusal:
        reason = self._objection(claims)
        if reason is not None:
            return token_refused(reason)
        groups = _groups(claims.get(self._groups_claim, []))
        actors = _actors(claims)
        owner = self._owner(claims)
        if groups is None:
            return token_refused("its groups are neither a string nor a list of strings")
        if actors is None:
            return token_refused("its act claim does not name each actor by a sub")
        if owner is None:
            return token_refused("its owner is not a string")
        return Subject(
            issuer=self.issuer,
            id=claims["sub"],
            groups=groups,
            expires_at=float(claims["exp"]),
            humans=tuple(dict.fromkeys((*actors, *owner, *_addresses(claims)))),
            session=_session(claims),
        )

    def _objection(self, claims: Mapping[str, Any]) -> str | None:
        """Why the claims do not prove who calls us now, or None if they do."""
        if claims.get("iss") != self.issuer:
            return "another issuer made it"
        audience = claims.get("aud")
        if self._audience not in (audience if isinstance(audience, list) else [audience]):
            return "it is meant for another audience"
        if not _is_name(claims.get("sub")):
            return "it has no sub"
        return self._objection_in_time(claims)

    def _objection_in_time(self, claims: Mapping[str, Any]) -> str | None:
        now = self._clock.seconds()
        expiry = claims.get("exp")
        if type(expiry) is not int:
            return "its exp is not a whole number"
        if expiry <= now:
            return "it has expired"
        if expiry > now + MAX_LIFE + LEEWAY:
            return f"it expires in more than {MAX_LIFE // 3600} hours"
        for name in ("nbf", "iat"):
            time = claims.get(name, 0)
            if type(time) is not int:
                return f"its {name} is not a whole number"
            if time > now + LEEWAY:
                return f"its {name} lies ahead of this machine's clock"
        return None

    def _owner(self, claims: Mapping[str, Any]) -> tuple[str, ...] | None:
        """The owner, if any is known; None if the claim does not hold one."""
        listed = (self._owners[claims["sub"]],) if claims["sub"] in self._owners else ()
        if self._owner_claim is None or self._owner_claim not in claims:
            return listed
        owner = claims[self._owner_claim]
        return (*listed, owner) if _is_name(owner) else None


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _groups(claim: object) -> frozenset[str] | None:
    """The groups that the claim names; None if it is neither a string nor a list of strings."""
    names = [claim] if isinstance(claim, str) else claim
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return None
    return frozenset(names)


def _actors(claims: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The chain of actors, the current one first; None if a link does not say who it is."""
    actors: list[str] = []
    link: Any = claims
    for _ in range(MAX_ACTORS + 1):
        if "act" not in link:
            return tuple(actors)
        link = link["act"]
        if not isinstance(link, dict) or not _is_name(link.get("sub")):
            return None
        actors.append(link["sub"])
        if _is_name(link.get("iss")):
            actors.append(f"{link['iss']} {link['sub']}")
    return None


def _addresses(claims: Mapping[str, Any]) -> Iterator[str]:
    """The e-mail addresses, as far as they were verified, of the subject and of every actor.

    (OpenID Connect Core 1.0, section 5.1.)
    """
    link: Any = claims
    while isinstance(link, Mapping):
        if link.get("email_verified") is True and _is_name(link.get("email")):
            yield str(link["email"])
        link = link.get("act")


def _session(claims: Mapping[str, Any]) -> str | None:
    """The token's own name for the run: ``sid``, else ``jti``, if it is a string."""
    return next((claims[name] for name in ("sid", "jti") if _is_name(claims.get(name))), None)


@implementer(IIdentityVerifier)
class Issuers:
    """Hands a token to the verifier of the issuer that it names; any other issuer is unknown.

    The name is not believed: the verifier compares it again, in what was signed.
    """

    def __init__(self, verifiers: Mapping[str, IIdentityVerifier]) -> None:
        self._verifiers = dict(verifiers)

    async def verify(self, token: str) -> Subject | Refusal:
        unverified = read_token(token)
        if isinstance(unverified, Refusal):
            return unverified
        issuer = unverified.claims.get("iss")
        verifier = self._verifiers.get(issuer) if isinstance(issuer, str) else None
        if verifier is None:
            return token_refused("no issuer that is known here made it")
        return await verifier.verify(token)
