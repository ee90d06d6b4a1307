"""Subjects out of the tokens of OpenID Connect issuers: JWTs (RFC 7519), checked as RFC 8725 asks.

A token is read (`jitgate.identity.unverified`), its signature is checked with a key of the
issuer, and only what was signed counts as `VerifiedClaims`, and becomes a Subject.
"""

from __future__ import annotations

import jwt
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from jitgate.identity.claims import Trust, VerifiedClaims, subject_of
from jitgate.identity.keys import KeySource, PublicKey
from jitgate.identity.unverified import (
    ALGORITHMS,
    UnverifiedToken,
    read_token,
    token_refused,
)
from jitgate.interfaces import IIdentityVerifier
from jitgate.values import Refusal, Subject


def verify_signature(token: UnverifiedToken, key: PublicKey) -> VerifiedClaims | None:
    """What was signed; None if the key disagrees, or the library checked other bytes than we read.

    The claims are not read a second time: they were read from these very bytes.
    """
    try:
        signed = jwt.PyJWS().decode(token.text, key, algorithms=[token.algorithm])
    except jwt.PyJWTError:
        return None
    return VerifiedClaims(token.claims) if signed == token.payload else None


@implementer(IIdentityVerifier)
class OidcVerifier:
    """Verifies the tokens of one issuer, whose keys count for ``algorithms`` alone.

    Raises `ValueError` for an algorithm that is not among `ALGORITHMS`.
    """

    def __init__(
        self, trust: Trust, *, algorithms: frozenset[str], keys: KeySource, clock: IReactorTime
    ) -> None:
        if not algorithms or not ALGORITHMS.issuperset(algorithms):
            raise ValueError(f"tokens can be signed with {' or '.join(sorted(ALGORITHMS))}")
        self._trust = trust
        self._algorithms = algorithms
        self._keys = keys
        self._clock = clock

    async def verify(self, token: str, *, again: bool = False) -> Subject | Refusal:
        read = read_token(token)
        return read if isinstance(read, Refusal) else await self.verify_read(read)

    async def verify_read(self, read: UnverifiedToken) -> Subject | Refusal:
        """As `verify`, of a token that has been read: reading is most of what a long one takes."""
        if read.type not in self._trust.vendor.types:
            return token_refused("its header's typ is not that of an access token of its issuer")
        if read.algorithm not in self._algorithms:
            return token_refused("its algorithm is not one that is taken from this issuer")
        key = await self._keys.key(read.key_id, read.algorithm)
        if key is None:
            return token_refused("no one key of the issuer fits it")
        verified = verify_signature(read, key)
        if verified is None:
            return token_refused("its signature is not the issuer's")
        subject = subject_of(verified, self._trust, self._clock.seconds())
        return subject if isinstance(subject, Subject) else token_refused(subject)
