"""The token that the gateway has at a Vault: given, or had by a role; renewed before it ends."""

from __future__ import annotations

import math
import re
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.defer import TimeoutError as TookTooLong
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from jitgate.credentials.vault_server import VaultDown, VaultRefused, VaultServer
from jitgate.errors import CredentialUnavailable, traced

USED = 2 / 3
"""How much of its life a token may have had before it is renewed: there is time to try again."""

MARGIN = 5.0
"""Seconds before its end at which a token is not used any more: clocks and ways differ."""

RETRY = 10.0
"""Seconds until a renewal that failed is tried again."""

AT_END = 5.0
"""Seconds that it may take to hand a token back when the gateway stops."""

YOUNG = 10.0
"""Seconds for which a token is taken to be good, whatever it is refused: Vault has just given it.

What it is refused then, another one would be too."""

_HANDED_BACK = frozenset({204, 403})
"""Statuses that say that a token is no more: Vault has revoked it, or does not know it."""

_TOKEN = re.compile(r"[!-~]{1,4096}")
"""What a header field can hold, narrowed to visible ASCII."""


@dataclass(frozen=True, slots=True)
class Held:
    """A token and its life."""

    token: str = field(repr=False)
    until: float
    """When it ends; infinite for one that does not."""
    renew_at: float
    """When it is to be renewed; infinite for one that cannot be."""
    since: float
    """When Vault gave it, looked it up or renewed it."""


class Login(Protocol):
    """A way to a token."""

    lasting: bool
    """Whether there is no other token than this one: then it is kept alive while nobody calls."""

    async def login(self, now: float) -> Held:
        """A token, asked for at that time. Raises `VaultDown` or `VaultRefused`."""


class GivenToken:
    """A token that somebody gave the gateway."""

    lasting = True

    def __init__(self, server: VaultServer, token: bytes) -> None:
        text = token.decode("ascii", "replace")
        if not _TOKEN.fullmatch(text):
            raise ValueError("the token is not one line of visible ASCII characters")
        self._server = server
        self._token = text

    async def login(self, now: float) -> Held:
        try:
            found = await self._server.asked("GET", "auth/token/lookup-self", token=self._token)
        except VaultRefused as refused:
            raise VaultRefused(
                "Vault refuses the gateway's token: it has ended, or no policy of it (`default` "
                "does) lets it look itself up.",
                refused.status,
            ) from refused
        data = _section(found, "data")
        return _held(self._token, data.get("ttl"), data.get("renewable"), now)


class AppRole:
    """A role's id and its secret, which have a token made at each login."""

    lasting = False

    def __init__(self, server: VaultServer, *, mount: str, role_id: str, secret_id: bytes) -> None:
        secret = secret_id.decode("ascii", "replace")
        if not _TOKEN.fullmatch(secret):
            raise ValueError("the secret_id is not one line of visible ASCII characters")
        self._server = server
        self._path = f"auth/{mount}/login"
        self._members = {"role_id": role_id, "secret_id": secret}

    async def login(self, now: float) -> Held:
        try:
            made = await self._server.asked("POST", self._path, members=self._members)
        except VaultRefused as refused:
            raise VaultRefused(
                f"Vault refuses the gateway's role at {self._path} ({refused.status}): role_id or "
                "secret_id is wrong, has ended, or may not be used from here.",
                refused.status,
            ) from refused
        return _made(made, now)


class VaultToken:
    """Has a good token whenever one is asked for; asks for none before that, or before `begin`."""

    _log = Logger()

    def __init__(self, server: VaultServer, login: Login, clock: IReactorTime) -> None:
        self._server = server
        self._login = login
        self._clock = clock
        self._held: Held | None = None
        self._refused: Held | None = None
        """What was refused, until there is another: then it is handed back if it is one still."""
        self._turn = DeferredLock()
        self._timer: IDelayedCall | None = None
        self._retired = self._stopped = False

    def begin(self) -> None:
        """Keep the token alive from now on while nobody calls, if there is no other than this."""
        if self._login.lasting:
            self._wake_after(0.0)

    def retire(self) -> None:
        """See to it no more while nobody calls."""
        self._retired = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    async def stop(self) -> None:
        """Hand back what was made for the gateway. None is had from now on."""
        self.retire()
        self._stopped = True
        handing = Deferred.fromCoroutine(self._hand_back())
        try:
            await handing.addTimeout(AT_END, self._clock)
        except TookTooLong:
            self._log.warn("Vault's token was not handed back: it took too long.")

    async def current(self) -> str:
        """A token that has not ended. Raises `VaultDown` or `VaultRefused`."""
        await self._turn.acquire()
        try:
            held = await self._good()
        finally:
            self._turn.release()
        return held.token

    def refused(self) -> bool:
        """Hear that Vault did not take it; whether another one may fare better."""
        held = self._held
        if held is None or self._clock.seconds() < held.since + YOUNG:
            return False
        self._held = None
        self._refused = None if self._login.lasting else held
        return not self._login.lasting

    async def _hand_back(self) -> None:
        await self._turn.acquire()
        held, self._held = self._held, None
        self._turn.release()
        for each in (held, self._refused):
            if each is not None and not self._login.lasting:
                await self._revoke(each)

    async def _revoke(self, held: Held) -> None:
        """Have it revoked; one that cannot be ends by itself."""
        path = "auth/token/revoke-self"
        try:
            await self._server.asked("POST", path, token=held.token, members={})
        except CredentialUnavailable as fault:
            if not isinstance(fault, VaultRefused) or fault.status not in _HANDED_BACK:
                self._log.warn("Vault's token was not handed back: {why}", why=f"{fault}")

    async def _good(self) -> Held:
        if self._stopped:
            raise CredentialUnavailable("The gateway stops.")
        held, now = self._held, self._clock.seconds()
        if held is not None and now < held.until - MARGIN:
            if now >= held.renew_at:
                self._held = held = await self._renewed(held, now)
            return held
        self._held = None
        self._held = await self._login.login(now)
        refused, self._refused = self._refused, None
        if refused is not None:
            await self._revoke(refused)
        return self._held

    async def _renewed(self, held: Held, now: float) -> Held:
        """The token with a longer life; or as it is, where it cannot be renewed just now."""
        try:
            made = await self._server.asked(
                "POST", "auth/token/renew-self", token=held.token, members={}
            )
            renewed = _made(made, now)
        except VaultRefused as refused:
            if not self._login.lasting:
                return await self._login.login(now)
            self._log.error("Vault does not renew its token: {why}", why=f"{refused}")
        except VaultDown as down:
            self._log.warn("Vault's token cannot be renewed yet: {why}", why=f"{down}")
        else:
            return renewed
        return replace(held, renew_at=now + RETRY)

    # --- while nobody calls

    def _wake_after(self, seconds: float) -> None:
        """See to it later, unless nobody has it any more: what a reload made was not taken."""
        if self._retired:
            return
        itself = weakref.ref(self)

        def wake() -> None:
            alive = itself()
            if alive is not None:
                Deferred.fromCoroutine(alive.keep())

        self._timer = self._clock.callLater(seconds, wake)

    async def keep(self) -> None:
        """Renew it where it is time, and come back by itself when it is time again."""
        try:
            await self.current()
        except CredentialUnavailable as fault:
            self._log.error("Vault gives the gateway no token: {why}", why=f"{fault}")
        except Exception as fault:  # noqa: BLE001 (it is tried again, whatever it is)
            self._log.critical("Vault's token was not seen to: {how}", how=traced(fault))
        held = self._held
        after = RETRY if held is None else held.renew_at - self._clock.seconds()
        if math.isfinite(after):
            self._wake_after(max(after, 1.0))


def _made(answer: Mapping[str, Any], now: float) -> Held:
    auth = _section(answer, "auth")
    token = auth.get("client_token")
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise VaultDown("Vault's answer has no token that a header can hold.")
    return _held(token, auth.get("lease_duration"), auth.get("renewable"), now)


def _held(token: str, seconds: object, renewable: object, now: float) -> Held:
    """A life of 0 seconds is one without an end."""
    if type(seconds) is not int or seconds < 0:
        raise VaultDown("Vault's answer does not say how long its token lives.")
    until = now + seconds if seconds else math.inf
    renew_at = now + seconds * USED if seconds and renewable is True else math.inf
    return Held(token, until, renew_at, now)


def _section(answer: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = answer.get(name)
    if not isinstance(section, dict):
        raise VaultDown(f"Vault's answer has no {name}.")
    return section
