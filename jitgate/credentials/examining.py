"""What a service app may do, found out by asking its org for tokens, each revoked at once.

Okta tells nobody but an administrator what an app was granted; the token endpoint tells it of the
scopes that it is asked for. Nothing else is asked of the org, and no call is made with a token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from jitgate.credentials.asking import had
from jitgate.credentials.okta_app import OktaApp, Pause
from jitgate.credentials.token_answers import Token, TokenRefused, Unwanted
from jitgate.errors import CredentialBusy, CredentialUnavailable

OF_SCOPES = frozenset({"invalid_scope", "access_denied", "consent_required"})
"""Codes that say that a scope is not to be had (RFC 6749, section 5.2; Okta's own beside it)."""

WAITS = 5
"""Times in a row that it is waited for room; Okta's rate limits last a minute."""

LONGEST_WAIT = 90.0
"""Seconds of one wait, whatever the org says: somebody sits before the terminal."""

REVOKINGS = 3
"""Times that a token is revoked, at most, where that fails."""


@dataclass(slots=True)
class Count:
    """How often an org was asked."""

    asked: int = 0
    """Times that a token was asked for."""
    minted: int = 0
    revoked: int = 0


@dataclass(frozen=True, slots=True)
class Examined:
    """What came of asking for one app."""

    granted: frozenset[str] = frozenset()
    fault: str | None = None
    """Why it could not be asked to the end, in sentences."""
    code: str = ""
    """What the org calls that (RFC 6749, section 5.2)."""
    answered: bool = True
    """Whether the org said what is so; False: it was not reached, or too busy."""


@dataclass(slots=True)
class Examiner:
    """Asks for the tokens of one app.

    Args:
        app: The service app.
        now: Wall-clock time.
        pause: Lets so many seconds pass.
        asking: Told before each question, and each second of a wait, of how many scopes it is
            known whether they are granted; raises to end it all.
        user_agent: What the requests say in their User-Agent.
    """

    app: OktaApp
    now: Callable[[], float]
    pause: Pause
    asking: Callable[[int], None]
    user_agent: str
    count: Count = field(default_factory=Count)
    _granted: set[str] = field(default_factory=set)
    _places: dict[str, int] = field(default_factory=dict)

    async def examine(self, needed: Sequence[str], others: Sequence[str]) -> Examined:
        """Which of these scopes it has been granted: those that may be needed, and all others.

        What is needed is likely to be granted, and is asked for together; what is not, is likely
        not to be, and is asked for one by one.
        """
        self._places = {scope: place for place, scope in enumerate([*needed, *others])}
        try:
            await had(needed, self._ask, first=len(needed))
            await had(others, self._ask, first=1)
        except TokenRefused as fault:
            answered = fault.status < 500
            return Examined(frozenset(self._granted), f"{fault}", fault.code, answered=answered)
        except Unwanted as fault:
            return Examined(frozenset(self._granted), f"{fault}")
        except CredentialUnavailable as fault:
            return Examined(frozenset(self._granted), f"{fault}", answered=False)
        return Examined(frozenset(self._granted))

    async def _ask(self, scopes: Sequence[str]) -> bool:
        token = await self._minted(tuple(scopes))
        if token is None:
            return False
        self._granted.update(scopes)
        await self._revoked(token)
        return True

    async def _minted(self, scopes: tuple[str, ...]) -> Token | None:
        """A token of these scopes; None where they are not to be had."""
        for waits in range(WAITS + 1):
            self.asking(self._places[scopes[0]])
            try:
                self.app.room.claim(approved=False)
                self.count.asked += 1
                return await self.app.mint(scopes, self.user_agent)
            except Unwanted as fault:
                for token in fault.tokens:  # they are good for something else
                    await self._revoked(token)
                raise
            except TokenRefused as fault:
                if fault.code in OF_SCOPES:
                    return None
                raise
            except CredentialBusy as fault:
                if waits == WAITS:
                    raise
                await self._wait(scopes, fault.until)
        raise AssertionError("the last turn returns or raises")

    async def _wait(self, scopes: tuple[str, ...], until: float) -> None:
        left = until - self.now() + 1.0
        for _ in range(round(min(max(left, 1.0), LONGEST_WAIT))):
            self.asking(self._places[scopes[0]])
            await self.pause(1.0)

    async def _revoked(self, token: Token) -> None:
        """Revoke it; one that cannot be is counted as that, and ends by itself within the hour."""
        self.count.minted += 1
        for tries in range(REVOKINGS):
            try:
                await self.app.revoke(token)
            except CredentialUnavailable:
                if tries + 1 < REVOKINGS:
                    await self.pause(1.0 + tries)
            else:
                self.count.revoked += 1
                return
