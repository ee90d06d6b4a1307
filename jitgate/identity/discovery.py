"""The keys that an issuer publishes, found by OpenID Connect Discovery 1.0, and kept fresh."""

from __future__ import annotations

from urllib.parse import urlsplit

from treq.client import HTTPClient
from twisted.internet.interfaces import IReactorTime

from jitgate.core.strict_json import json_object
from jitgate.errors import IdentityUnavailable
from jitgate.fetching import Fetcher
from jitgate.identity.freshness import MAX_AGE, Fresh
from jitgate.identity.keys import KeySet, PublicKey

MAX_DOCUMENT = 1024 * 1024
"""Bytes of a discovery document or key set: room for a thousand keys."""


class DiscoveredKeys:
    """The keys that an issuer publishes (OpenID Connect Discovery 1.0), as `Fresh` keeps them.

    The document is looked for below ``place``, the issuer itself if that is None; both must be
    https URLs, else `ValueError`.
    """

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
        self._fetcher = Fetcher(http, clock, "The issuer", IdentityUnavailable, MAX_DOCUMENT)
        name = f"Keys of {issuer}"
        self._keys: Fresh[KeySet] = Fresh(name, self._published, clock, max_age=max_age)

    async def key(self, key_id: str | None, algorithm: str) -> PublicKey | None:
        """The one key that fits, or None. Raises `IdentityUnavailable` where none can be had."""
        keys = await self._keys.current(lambda kept: kept.find(key_id, algorithm) is not None)
        return keys.find(key_id, algorithm)

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
