"""Subjects out of SAML assertions, each of which is taken once.

An assertion comes as RFC 7522, section 2.1 has it: its document in base64url. It is verified
(`jitgate.identity.saml`) with the certificates of its provider, and then its ID is taken.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from jitgate.identity.saml import SamlTrust, VerifiedAssertion, read_document, verified
from jitgate.identity.saml_metadata import ProviderSource
from jitgate.identity.saml_signature import UnverifiedAssertion
from jitgate.identity.saml_xml import MAX_DOCUMENT
from jitgate.identity.unverified import base64url_bytes, token_refused
from jitgate.interfaces import IIdentityVerifier, IOnce
from jitgate.values import Refusal, Subject

KIND = "saml"
"""What assertions' IDs are taken as."""

KEPT = 3600.0
"""Seconds for which an ID stays taken beyond its assertion's end: a clock may be set back."""


@lru_cache(maxsize=1)
def read_assertion(token: str) -> UnverifiedAssertion | Refusal:
    """The assertion in a document that a token is the one spelling of, or why there is none.

    The last one is kept: whom it names and what it proves is asked one after the other, and reading
    is what costs most of a hostile one.
    """
    if len(token) > MAX_DOCUMENT * 4 // 3 + 2:
        return token_refused(f"it is longer than {MAX_DOCUMENT} bytes")
    if "." in token:
        return token_refused("it is no assertion, for it has dots, as JWTs have")
    data = base64url_bytes(token)
    if data is None:
        return token_refused(
            "it is neither three segments with dots between them nor an assertion in canonical "
            "base64url, without padding"
        )
    found = read_document(data)
    return token_refused(found) if isinstance(found, str) else found


def named_issuer(token: str) -> str | Refusal:
    """Who a token without dots says that made its assertion: to be believed in nothing."""
    found = read_assertion(token)
    return found if isinstance(found, Refusal) else found.issuer


@implementer(IIdentityVerifier)
class SamlVerifier:
    """Verifies the assertions of one identity provider; ``once`` says which were taken."""

    def __init__(
        self,
        trust: SamlTrust,
        *,
        source: ProviderSource,
        once: Callable[[], IOnce],
        clock: IReactorTime,
    ) -> None:
        self._trust = trust
        self._source = source
        self._once = once
        self._clock = clock

    async def verify(self, token: str, *, again: bool = False) -> Subject | Refusal:
        read = read_assertion(token)
        if isinstance(read, Refusal):
            return read
        provider = await self._source.provider()
        now = self._clock.seconds()
        found = verified(read, self._trust, provider.at(now), now)
        if isinstance(found, str):
            return token_refused(found)
        if not again and not await self._taken(found):
            return token_refused("it was presented before, and each assertion is taken once")
        return found.subject

    async def _taken(self, assertion: VerifiedAssertion) -> bool:
        """Whether this is the first time (SAML 2.0 Profiles, section 4.1.4.5)."""
        named = f"{self._trust.issuer} {assertion.id}".encode()
        key = hashlib.sha256(named).hexdigest()
        return await self._once().take(KIND, key, assertion.subject.expires_at + KEPT)
