"""Takes what comes from Slack, has it done, and tells what comes of it: on the reactor."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any, Final

from jitgate.approvers.slack import payloads
from jitgate.approvers.slack.clicks import Clicks
from jitgate.approvers.slack.gate import ELSEWHERE, UNKEPT, Gate
from jitgate.approvers.slack.payloads import Place
from jitgate.approvers.slack.replies import DONE, NOT_TAKEN, WITHIN, Outcome, Replies
from jitgate.approvers.slack.signs import Signs

_UNREAD = "What Slack sent could not be read."
_STRANGER = "You are of another Slack workspace: only members of this one answer."

_TOLD: Final = frozenset({UNKEPT, ELSEWHERE})
"""Why something was not let in, where whoever clicked is told."""


class Desk:
    """Everything here is Slack's by then, and let in first. ``since`` is when it has come."""

    def __init__(self, gate: Gate, clicks: Clicks, signs: Signs, replies: Replies) -> None:
        self._gate = gate
        self._clicks = clicks
        self._signs = signs
        self._replies = replies
        self.now = replies.now

    async def objection(self, body: Mapping[str, Any], proof: str, since: float) -> str | None:
        """Why it is not let in (`Gate.objection`); who clicked reads it, where they need to.

        Of who reacted nothing is told: Slack sends a reaction again.
        """
        why = await self._gate.objection(body, proof, WITHIN)  # though it waited for a thread
        done = payloads.click(body) or payloads.submission(body) if why in _TOLD else None
        if done is None:
            return why
        if why == UNKEPT:
            self._replies.say(done.user, done.place, NOT_TAKEN)
            return why
        about = done.about.request
        refused = self._replies.refused(done.user, "answer", _STRANGER, about=about)
        await self._done(refused, since, done.user, done.place)
        return why

    async def pressed(self, body: Mapping[str, Any], since: float) -> Outcome:
        """A button."""
        click = payloads.click(body)
        if click is None:
            return await self._unread(body, "press")
        return await self._done(self._clicks.pressed(click), since, click.user, click.place)

    async def submitted(self, body: Mapping[str, Any], since: float) -> Outcome:
        """A form."""
        form = payloads.submission(body)
        if form is None:
            return await self._unread(body, "submit")
        return await self._done(self._clicks.submitted(form), since, form.user, form.place)

    async def reacted(self, body: Mapping[str, Any], since: float) -> Outcome:
        """A reaction, of which most are none of ours."""
        sign = payloads.sign(body)
        if sign is None:
            return DONE
        return await self._done(self._signs.changed(sign), since, sign.user, sign.place)

    async def _done(
        self, work: Awaitable[Outcome], since: float, user: str, place: Place
    ) -> Outcome:
        outcome = await self._replies.in_time(work, since, user, place)
        if outcome.says:
            self._replies.say(user, place, outcome.says)
        return outcome

    async def _unread(self, body: Mapping[str, Any], what: str) -> Outcome:
        told = payloads.sender(body)
        await self._replies.refused("" if told is None else told.user, what, _UNREAD)
        return DONE
