"""How many more tokens a token endpoint has room for: what it says of that is heeded.

Okta counts by app and endpoint, so that each app has a room of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IReactorTime

from jitgate.core.rates import Rates, refused_for, spread, told
from jitgate.errors import CredentialBusy
from jitgate.fetching import Fetched
from jitgate.values import ResponseHead

USUAL_WAIT = 10.0
"""Seconds for which nothing is asked after a 429 that does not say for how long."""

_TOKENS: Final = ("token", "")
"""The one kind of call that is counted here."""


class Room:
    """The room for tokens of one app.

    Args:
        app: The app's name.
        clock: Wall-clock time.
        jitter: A number from 0 to 1, another at each call: those who wait are spread.
    """

    def __init__(self, app: str, clock: IReactorTime, jitter: Callable[[], float]) -> None:
        self._app = app
        self._clock = clock
        self._jitter = jitter
        self._rates = Rates()

    def claim(self, *, approved: bool) -> None:
        """Count a token that is about to be asked for.

        Raises `CredentialBusy` where it has to wait; one for what was ``approved`` is asked for
        while there is room for any.
        """
        now = self._clock.seconds()
        until = self._rates.take(_TOKENS, now, approved=approved)
        if until is not None:
            raise self._busy(
                f"The token endpoint takes no more requests of {self._app} for now, or only so "
                "few that they are kept for calls that people approved.",
                until,
            )

    def heard(self, answer: Fetched) -> None:
        """Remember what an answer says. Raises `CredentialBusy` where it is a 429."""
        now = self._clock.seconds()
        fields = tuple(
            (name, value) for name, values in answer.headers.getAllRawHeaders() for value in values
        )
        new = told(ResponseHead(answer.status, fields), now)
        refused = answer.status == 429
        if refused:
            new = new or refused_for(USUAL_WAIT, now)
        self._rates.hear(_TOKENS, new, now)
        if refused and new is not None:
            raise self._busy("The token endpoint answered 429.", new.until)

    def _busy(self, said: str, until: float) -> CredentialBusy:
        now = self._clock.seconds()
        return CredentialBusy(said, now + spread(until - now, self._jitter()))
