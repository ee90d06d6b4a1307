"""All who are believed, behind one door: who is asked about a token, and what is remembered."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from jitgate.identity.saml_verifier import named_issuer
from jitgate.identity.unverified import UnverifiedToken, read_token, token_refused
from jitgate.interfaces import IIdentityVerifier
from jitgate.values import Refusal, Subject

REMEMBERED_FOR = 300.0
"""Seconds for which a checked token is not checked again: some SDKs open a tunnel for each call.
This is also how long a token outlives the withdrawal of the key that signed it."""

MAX_REMEMBERED = 1024
"""Tokens remembered at a time, about 1 KiB each."""


class TokenVerifier(Protocol):
    """Verifies the tokens of one issuer."""

    async def verify_read(self, read: UnverifiedToken) -> Subject | Refusal:
        """As `IIdentityVerifier.verify`, of a token that has been read."""


@implementer(IIdentityVerifier)
class Issuers:
    """Hands a token to the verifier of the issuer that it names; any other issuer is unknown.

    ``verifiers`` are those of JWTs, by ``iss``, ``providers`` those of assertions, by entityID.

    The name is not believed: the verifier compares it again, in what was signed. A token that was
    proved is remembered by its digest. Of one that was not, the log says why.
    """

    _log = Logger()

    def __init__(
        self,
        verifiers: Mapping[str, TokenVerifier],
        clock: IReactorTime,
        providers: Mapping[str, IIdentityVerifier] = MappingProxyType({}),
    ) -> None:
        self._verifiers = dict(verifiers)
        self._providers = dict(providers)
        self._clock = clock
        self._remembered: dict[bytes, tuple[Subject, float]] = {}

    async def verify(self, token: str, *, again: bool = False) -> Subject | Refusal:
        if self._providers and "." not in token:  # a JWT has two dots
            return await self._asserted(token, again=again)
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        subject, until = self._remembered.get(digest, (None, 0.0))
        if subject is not None and self._clock.seconds() < until:
            return subject
        outcome = await self._asked(token)
        if isinstance(outcome, Subject):
            self._remember(digest, outcome)
        return outcome

    async def _asserted(self, token: str, *, again: bool) -> Subject | Refusal:
        """The same of an assertion, which is never remembered: each counts once."""
        issuer = named_issuer(token)
        if isinstance(issuer, Refusal):
            return self._refused("nobody known", issuer)
        provider = self._providers.get(issuer)
        if provider is None:
            return self._refused("nobody known", _unknown())
        outcome = await provider.verify(token, again=again)
        return self._refused(issuer, outcome) if isinstance(outcome, Refusal) else outcome

    async def _asked(self, token: str) -> Subject | Refusal:
        unverified = read_token(token)
        if isinstance(unverified, Refusal):
            return self._refused("nobody known", unverified)
        issuer = unverified.claims.get("iss")
        verifier = self._verifiers.get(issuer) if isinstance(issuer, str) else None
        if verifier is None:
            return self._refused("nobody known", _unknown())
        outcome = await verifier.verify_read(unverified)
        return self._refused(issuer, outcome) if isinstance(outcome, Refusal) else outcome

    def _refused(self, issuer: object, refusal: Refusal) -> Refusal:
        self._log.info("A token of {issuer}: {detail}", issuer=issuer, detail=refusal.detail)
        return refusal

    def _remember(self, digest: bytes, subject: Subject) -> None:
        """Keep a checked token's Subject for a while; the oldest goes when there are too many."""
        until = min(subject.expires_at, self._clock.seconds() + REMEMBERED_FOR)
        self._remembered.pop(digest, None)
        self._remembered[digest] = (subject, until)
        if len(self._remembered) > MAX_REMEMBERED:
            del self._remembered[next(iter(self._remembered))]


def _unknown() -> Refusal:
    return token_refused("no issuer that is known here made it")
