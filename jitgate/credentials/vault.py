"""A fixed secret that a Vault keeps (KV, version 2): read there, kept for a while, read again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import DeferredLock
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from jitgate.credentials.carriers import Carrier
from jitgate.credentials.vault_server import VaultDown, VaultRefused, VaultServer
from jitgate.credentials.vault_token import VaultToken
from jitgate.errors import CredentialUnavailable
from jitgate.interfaces import ILastingSource
from jitgate.values import Credential, Operation, ResponseHead

RETRY = 5.0
"""Seconds between tries to read it again while what is kept will do.

Also after Vault has said no, and between those that a target's refusals cause: an agent could cause
any number of them."""

_NOT_TAKEN = frozenset({401, 403})


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a Vault a secret is."""

    mount: str
    path: str
    field: str

    @property
    def text(self) -> str:
        return f"{self.mount}/{self.path}"


@dataclass(frozen=True, slots=True)
class _Kept:
    """The secret as it is sent: by calls that change nothing, and by those that may."""

    at: float
    reading: Credential
    writing: Credential


@implementer(ILastingSource)
class VaultCredentials:
    """Lends what a Vault keeps in one field, as ``carrier`` carries it.

    It is read again once it is ``fresh`` seconds old. Where Vault cannot be asked, what is kept is
    used until it is ``oldest`` seconds old; where Vault says no, it is not used any more.

    Args:
        keyed: The digest by which a record may tell one secret from another.
        close: Ends the connections that are kept.
    """

    _log = Logger()

    def __init__(
        self,
        server: VaultServer,
        token: VaultToken,
        place: Place,
        carrier: Carrier,
        *,
        fresh: float,
        oldest: float,
        clock: IReactorTime,
        keyed: Callable[[bytes], str],
        close: Callable[[], Awaitable[object]],
    ) -> None:
        self._server = server
        self._token = token
        self._place = place
        self._carrier = carrier
        self._fresh = fresh
        self._oldest = oldest
        self._clock = clock
        self._keyed = keyed
        self._close = close
        self._kept: _Kept | None = None
        self._again_at = 0.0
        self._no_until, self._no = 0.0, VaultRefused("Vault has not been asked.", 0)
        """What it said when it last said no, and until when it is not asked again."""
        self._turn = DeferredLock()

    def begin(self) -> None:
        """See to the gateway's own token from now on. Before that nothing is asked of Vault."""
        self._token.begin()

    async def lend(
        self, operation: Operation, *, reuse: float, granted: bool = False
    ) -> Credential:
        kept = self._good()
        if kept is None and self._turn.locked:
            kept = self._kept  # somebody reads it again already
        if kept is None:
            await self._turn.acquire()
            try:
                kept = self._good() or await self._anew()
            finally:
                self._turn.release()
        return kept.writing if operation.changes else kept.reading

    def again(self, credential: Credential) -> Credential:
        return credential

    def heard(self, credential: Credential, answer: ResponseHead) -> str | None:
        """Read it again for the next call where the target does not take it for a read.

        Whoever may write has other ways to be refused, and nothing is sent again in either case.
        """
        kept = self._kept
        if kept is not None and credential is kept.reading and answer.status in _NOT_TAKEN:
            self._again_at = min(self._again_at, max(kept.at + RETRY, self._clock.seconds()))
        return None

    def returned(self, credential: Credential) -> None:
        """It is good for the next call too."""

    def retire(self) -> None:
        self._token.retire()

    async def stop(self) -> None:
        self._kept = None
        await self._token.stop()
        await self._close()

    def _good(self) -> _Kept | None:
        """What is kept, if it need not be read again."""
        now = self._clock.seconds()
        if self._kept is not None and now >= self._kept.at + self._oldest:
            self._kept = None
        return self._kept if now < self._again_at else None

    async def _anew(self) -> _Kept:
        now = self._clock.seconds()
        if now < self._no_until:
            raise VaultRefused(f"{self._no}", self._no.status)
        try:
            self._kept = self._credentials(await self._read(), now)
        except VaultDown as down:
            self._again_at = self._clock.seconds() + RETRY
            kept = self._good()
            if kept is None:
                self._again_at = 0.0
                raise
            self._log.warn("What was read before is used: {why}", why=f"{down}")
            return kept
        except VaultRefused as refused:
            self._kept = None
            self._no_until = self._clock.seconds() + RETRY
            self._no = VaultRefused(f"{refused}", refused.status)
            raise
        except CredentialUnavailable:
            self._kept = None
            raise
        self._again_at = now + self._fresh
        return self._kept

    async def _read(self) -> Mapping[str, Any]:
        """What Vault answers with; by another token where it does not take this one."""
        try:
            return await self._asked()
        except VaultRefused as refused:
            if refused.status != 403 or not self._token.refused():
                raise
        return await self._asked()

    async def _asked(self) -> Mapping[str, Any]:
        token = await self._token.current()
        path = f"{self._place.mount}/data/{self._place.path}"
        try:
            return await self._server.asked("GET", path, token=token)
        except VaultRefused as refused:
            raise self._told(refused) from refused

    def _told(self, refused: VaultRefused) -> VaultRefused:
        where, status = self._place.text, refused.status
        if status == 403:
            said = f"Vault does not let the gateway read {where}: its token has ended, or lacks it."
        elif status == 404:
            said = f"Vault has nothing at {where}: no such path, or its newest version is deleted."
        else:
            return refused
        return VaultRefused(said, status)

    def _credentials(self, answer: Mapping[str, Any], now: float) -> _Kept:
        data = answer.get("data")
        fields = data.get("data") if isinstance(data, dict) else None
        metadata = data.get("metadata") if isinstance(data, dict) else None
        if not isinstance(fields, dict) or not isinstance(metadata, dict):
            raise VaultRefused(
                f"Vault's answer for {self._place.text} is not that of a KV engine, version 2.", 200
            )
        value = fields.get(self._place.field)
        if not isinstance(value, str):
            what = "is no text" if self._place.field in fields else "is not there"
            raise VaultRefused(
                f"The field {self._place.field} of {self._place.text} in Vault {what}.", 200
            )
        secret = value.encode("utf-8", "replace").strip(b"\r\n")
        facts = self._facts(secret, metadata, answer)
        try:
            made = [self._carrier.credential(secret, facts) for _ in range(2)]
        except ValueError as error:
            raise VaultRefused(
                f"What Vault has at {self._place.text} cannot be sent: {error}.", 200
            ) from None
        return _Kept(now, *made)

    def _facts(
        self, secret: bytes, metadata: Mapping[str, Any], answer: Mapping[str, Any]
    ) -> dict[str, object]:
        facts: dict[str, object] = {
            "kind": "vault",
            **self._carrier.where,
            "place": self._place.text,
            "field": self._place.field,
            "fingerprint": self._keyed(secret),
        }
        for name, found in (("version", metadata), ("lease_duration", answer)):
            if type(found.get(name)) is int:
                facts[name] = found[name]
        return facts
