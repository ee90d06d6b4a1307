"""The keys that an issuer publishes, found by OpenID Connect Discovery 1.0, and kept fresh."""

from __future__ import annotations

from urllib.parse import urlsplit

from treq.client import HTTPClient
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from jitgate.errors import IdentityUnavailable
from jitgate.fetching import Fetcher
from jitgate.identity.keys import KeySet, PublicKey
from jitgate.identity.unverified import json_object

MAX_DOCUMENT = 1024 * 1024
"""Bytes of a discovery document or key set: room for a thousand keys."""

REFETCH_AFTER = 60.0
"""Seconds between fetches while there are keys: anybody can make up an unknown key id."""

RETRY_AFTER = 5.0
"""Seconds between fetches while there are no keys at all, and so nobody is let in."""

FRESH_FOR = 900.0
"""Seconds after which keys are fetched anew, so that one the issuer withdrew ends to count."""

MAX_AGE = 12 * 3600.0
"""Seconds for which keys count that could not be fetched anew: an outage of the issuer's lasts
hours, and a key that was withdrawn for being stolen must not count for days."""


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
