"""Reactions that count as answers, where policy and risk leave it to a mere sign.

Events come late, twice, and in any order; so each says only that something may have changed, and
what stands at the message is asked of Slack. What contradicts itself is a denial. A sign that went
takes the answer back that it gave, and brings none back that another sign had given before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from twisted.logger import Logger

from jitgate.approvers.slack.calls import Calls
from jitgate.approvers.slack.cards import CHANGED, Cards, Seen
from jitgate.approvers.slack.clicks import CHANNEL, OPEN_FIRST
from jitgate.approvers.slack.payloads import SIGNS, Sign
from jitgate.approvers.slack.replies import DONE, GIVEN, Outcome, Replies
from jitgate.approvers.slack.who import Who
from jitgate.core.access import NotCounted
from jitgate.core.answers import person, takes_signs
from jitgate.errors import SlackFault
from jitgate.flow.access import Access
from jitgate.flow.turns import Turns
from jitgate.values import AccessRequest, AccessState, Answer

SETTLED: Final = 2.0
"""Seconds that a card has stood before a sign counts: clocks differ, and people read first."""

_NO_SIGNS: Final = "A reaction is no answer to this request: use the buttons of the card."
_UNTOLD: Final = "Slack does not tell at present who has reacted here, so this does not count."
_LEFT: Final = "Your answer is taken back. The other reaction of yours that stands there is none."


class Signs:
    """Counts signs."""

    _log = Logger()

    def __init__(
        self, access: Access, cards: Cards, who: Who, calls: Calls, replies: Replies
    ) -> None:
        self._access = access
        self._cards = cards
        self._who = who
        self._calls = calls
        self._replies = replies
        self._turns = Turns()

    async def changed(self, sign: Sign) -> Outcome:
        """What comes of a reaction; of one person at one message in turn."""
        async with self._turns.at((sign.user, sign.place)):
            return await (self._came(sign) if sign.is_there else self._went(sign))

    async def _came(self, sign: Sign) -> Outcome:
        seen = await self._cards.at(sign.place)
        if seen is None or seen.request.state is not AccessState.PENDING:
            return DONE  # a message of others', or one that there is nothing to answer to
        if not takes_signs(seen.request):
            return Outcome(_NO_SIGNS)
        if sign.at < seen.since + SETTLED:
            return Outcome(CHANGED.reason)
        there = await self._there(sign)
        if there is None:
            return Outcome(_UNTOLD)
        if sign.approves not in there:
            return DONE  # it went since
        return await self._answered(sign, seen, approves=False not in there)

    async def _answered(self, sign: Sign, seen: Seen, *, approves: bool) -> Outcome:
        name = await self._who.now(sign.user)
        what = "approve" if approves else "deny"
        if isinstance(name, NotCounted):
            return await self._refused(sign, seen.request, what, name.reason)
        now = await self._cards.at(sign.place)
        if now is None or now.version != seen.version or now.since != seen.since:
            return Outcome(CHANGED.reason)
        if approves and not self._cards.may_approve(sign.user, now):
            return Outcome(OPEN_FIRST)
        before = _theirs(now.request, name)
        if before is not None and (before.approves is approves or _is_after(before, sign)):
            return DONE  # Slack tells it again
        after = await self._access.answer(
            now.request.id, name, approves=approves, reason="", channel=CHANNEL, sign=True
        )
        if isinstance(after, NotCounted):
            return await self._refused(sign, now.request, what, after.reason, name)
        return GIVEN

    async def _went(self, sign: Sign) -> Outcome:
        """What went gives nothing any more, whichever card stands there by now."""
        request = await self._cards.of(sign.place)
        if request is None or request.state is not AccessState.PENDING:
            return DONE
        there = await self._there(sign)
        if there is None or sign.approves in there:  # or it has come back since
            return Outcome(_UNTOLD) if there is None else DONE
        name = await self._who.now(sign.user)
        if isinstance(name, NotCounted):
            return await self._refused(sign, request, "take back", name.reason)
        if not await self._gave(sign, name):
            return DONE
        after = await self._access.take_back(request.id, name, CHANNEL)
        if isinstance(after, NotCounted):
            return await self._refused(sign, request, "take back", after.reason, name)
        return Outcome(_LEFT) if there else GIVEN

    async def _gave(self, sign: Sign, name: str) -> bool:
        """Whether their answer, as it stands now, is the one that the sign has given."""
        request = await self._cards.of(sign.place)
        given = None if request is None else _theirs(request, name)
        return given is not None and given.sign and given.approves is sign.approves

    async def _refused(
        self, sign: Sign, of: AccessRequest, what: str, why: str, name: str | None = None
    ) -> Outcome:
        return await self._replies.refused(sign.user, what, why, name=name, about=of.id)

    async def _there(self, sign: Sign) -> frozenset[bool] | None:
        """Which signs of theirs stand at the message now; None where Slack does not tell."""
        channel, stamp = sign.place.channel, sign.place.ts
        try:
            told = await self._calls.call(
                "reactions.get", channel=channel, timestamp=stamp, full="true"
            )
        except SlackFault as fault:
            self._log.warn("Slack does not tell of reactions: {why}", why=f"{fault}")
            return None
        return _signs_of(sign.user, told.get("message"))


def _signs_of(user: str, message: object) -> frozenset[bool]:
    reactions = message.get("reactions") if isinstance(message, Mapping) else None
    return frozenset(
        SIGNS[each["name"]]
        for each in (reactions if isinstance(reactions, list) else [])
        if _is_by(each, user)
    )


def _is_by(reaction: Any, user: str) -> bool:
    if not isinstance(reaction, Mapping) or not isinstance(reaction.get("name"), str):
        return False
    users = reaction.get("users")
    return reaction["name"] in SIGNS and isinstance(users, list) and user in users


def _is_after(answer: Answer, sign: Sign) -> bool:
    """Whether somebody has denied since they gave the sign; no denial comes too late."""
    return sign.approves and answer.at >= sign.at


def _theirs(request: AccessRequest, name: str) -> Answer | None:
    """What they have answered so far."""
    given = (each for each in request.answers if person(each.approver) == person(name))
    return next(given, None)
