"""Lets in what Slack sends to this app, of this workspace, once.

That it comes from Slack has been checked by then: by its signature, or by the connection.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from jitgate.approvers.slack.payloads import sender
from jitgate.errors import StoreDown, traced
from jitgate.interfaces import IOnce

KIND: Final = "slack"
"""Of what is taken once here."""

KEPT = 660.0
"""Seconds: a signature is believed for 300 before and after its time; and a minute to spare."""

REPLAYED: Final = "This was sent before."
ELSEWHERE: Final = "It is from another workspace."
UNKEPT: Final = "Whether this was sent before cannot be told at present."


class Gate:
    """Says of each thing that was sent why it is not looked at, if it is not.

    Args:
        app: The one app that is spoken to.
        team: The one workspace that it is spoken to from.
        once: What was let in is remembered there, for all gateways and over restarts.
    """

    _log = Logger()

    def __init__(self, app: str, team: str, once: IOnce, clock: IReactorTime) -> None:
        self._app = app
        self._team = team
        self._once = once
        self._clock = clock

    async def objection(self, body: Mapping[str, Any], proof: str, within: float) -> str | None:
        """Why it is not let in, in a sentence; None if it is.

        ``proof`` is what made it Slack's. ``within`` is in how many seconds that is to be known: a
        store that is slow is one that is down, for whoever clicked.
        """
        why = None if body.get("type") == "url_verification" else self._misled(body)
        if why is not None:
            return why
        try:
            is_new = await self._taken(proof, within)
        except StoreDown as down:
            return self._unkept(f"{down}")
        if is_new is None:
            return self._unkept("The store is too slow.")
        return None if is_new else REPLAYED

    def _unkept(self, why: str) -> str:
        self._log.error("{why} What comes from Slack is refused.", why=why)
        return UNKEPT

    def _taken(self, proof: str, within: float) -> Deferred[bool | None]:
        """Whether it comes for the first time; None where that is not known in time.

        It is taken all the same, perhaps later: so what is refused for that is never done.
        """
        until = self._clock.seconds() + KEPT
        taking = Deferred.fromCoroutine(self._once.take(KIND, proof, until))
        known: Deferred[bool | None] = Deferred()
        timer = self._clock.callLater(within, known.callback, None)

        def done(result: Any) -> None:
            if timer.active():
                timer.cancel()
                known.callback(result)
            elif isinstance(result, Failure):
                self._log.error("Slack: {how}", how=traced(cast(BaseException, result.value)))

        taking.addBoth(done)
        return known

    def _misled(self, body: Mapping[str, Any]) -> str | None:
        told = sender(body)
        if told is None:
            return "It does not say whose it is."
        if told.app != self._app:
            return "It is for another app."
        if told.team != self._team or told.user_team not in {None, self._team}:
            return ELSEWHERE
        return None
