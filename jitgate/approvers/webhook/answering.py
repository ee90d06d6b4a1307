"""What comes of a callback: counted once, committed and on record before it is said.

A message's id is used up when it begins to be carried out, durably and for all gateways. What is
known not to have counted gives its id back, so that the sender may try again. In between, where a
gateway has died or its store was down, nobody knows: then it is looked up whether it holds, and if
it does not, it is never carried out later. Its sender says it anew, in another message.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from twisted.internet.interfaces import IReactorTime

from jitgate.approvers.webhook.messages import is_shown_whole
from jitgate.approvers.webhook.reading import Answering, Asked, Revoking, TakingBack, Unread, read
from jitgate.core.access import NotCounted
from jitgate.core.answers import person
from jitgate.core.standard_webhooks import Fields, NotProved, proved
from jitgate.errors import RecorderDown
from jitgate.flow.access import Access
from jitgate.flow.turns import Turns
from jitgate.interfaces import IOnce
from jitgate.values import AccessRequest, Grant, GrantState

TAKEN, GIVEN_BACK = "webhook", "webhook-given-back"
"""What is kept of ids: that they were used, and that they may be used again."""

KEPT_FOR: Final = 8 * 86400.0
"""Seconds for which an id is kept: no request is pending for longer than seven days, and after that
its answer counts no more anyway."""

BACK_FOR: Final = 86400.0
"""Seconds for which an id that was given back can be used again."""

USES: Final = 50
"""How often one id may be used again, each time after it counted for nothing."""

_REVOKED: Final = frozenset({GrantState.REVOKED, GrantState.REVOKED_IN_FLIGHT})


@dataclass(frozen=True, slots=True)
class Callback:
    """Whose callbacks are believed, and for whom they may speak."""

    name: str
    keys: tuple[bytes, ...] = field(repr=False)
    people: Mapping[str, str]
    """As the configuration spells them, by how `jitgate.core.answers.person` does."""


@dataclass(frozen=True, slots=True)
class Counted:
    """It counts, durably: how what it was about stands."""

    about: AccessRequest | Grant


@dataclass(frozen=True, slots=True)
class Refused:
    """Why nothing counts, and the status that says of which kind that is (RFC 9110, RFC 4918)."""

    status: int
    why: str
    asked: Asked | None = None


class Answers:
    """Carries out what callbacks ask for. Raises what `Access` raises where it cannot tell."""

    def __init__(self, access: Access, once: IOnce, clock: IReactorTime) -> None:
        self._access = access
        self._once = once
        self._clock = clock
        self._turns = Turns()
        """What is asked about: what is kept and not on record yet is not said to hold."""

    async def take(self, callback: Callback, fields: Fields, body: bytes) -> Counted | Refused:
        """What comes of a message that says that it is for this callback."""
        proof = proved(fields, body, callback.keys, self._clock.seconds())
        if isinstance(proof, NotProved):
            return Refused(401, proof.why)
        asked = _asked(callback, fields, body)
        if isinstance(asked, Refused):
            return asked
        why = await self._objection(asked)
        if why is not None:
            return Refused(422, why, asked)
        async with self._turns.at(_about(asked)):
            key = await self._begun(f"{callback.name} {proof.id}")
            if key is None:
                return await self._again(callback.name, asked)
            return await self._done(key, callback.name, asked)

    async def _objection(self, asked: Asked) -> str | None:
        """Why it would not be carried out, whatever else there is; seen anew each time."""
        if not isinstance(asked, Answering):
            return None
        request = await self._access.request(asked.access_request)
        if request is None:
            return "There is no such access request."
        shown = request.ask.fingerprint.encode()
        if not hmac.compare_digest(shown, asked.fingerprint.encode()):
            return "Its fingerprint is not the request's: what was shown is not what is asked."
        if asked.approves and not is_shown_whole(request):
            return (
                "The body of this call was too long for a message: it is approved where people "
                "see all of it, such as `jitgate requests`."
            )
        return None

    async def _begun(self, message: str) -> str | None:
        """Take the id; None if it is used up."""
        until = self._clock.seconds() + KEPT_FOR
        for number in range(USES):
            key = f"{message} {number}"
            if await self._once.take(TAKEN, key, until):
                return key
            if key not in await self._once.kept(GIVEN_BACK):
                return None
        return None

    async def _done(self, key: str, channel: str, asked: Asked) -> Counted | Refused:
        try:
            after = await self._carried_out(channel, asked)
        except RecorderDown:
            if await self._held(channel, asked) is None and isinstance(asked, Answering):
                await self._give_back(key)  # an answer that is not on record was never given
            raise
        if isinstance(after, NotCounted):
            await self._give_back(key)
            return Refused(422, after.reason, asked)
        return Counted(after)

    async def _carried_out(self, channel: str, asked: Asked) -> AccessRequest | Grant | NotCounted:
        if isinstance(asked, TakingBack):
            return await self._access.take_back(asked.access_request, asked.approver, channel)
        if isinstance(asked, Revoking):
            return await self._access.revoke(asked.grant, asked.approver, asked.reason)
        return await self._access.answer(
            asked.access_request,
            asked.approver,
            approves=asked.approves,
            reason=asked.reason,
            channel=channel,
            less=asked.less,
        )

    async def _give_back(self, key: str) -> None:
        await self._once.take(GIVEN_BACK, key, self._clock.seconds() + BACK_FOR)

    async def _again(self, channel: str, asked: Asked) -> Counted | Refused:
        """What to say of a message that was taken before: only what is so now."""
        held = await self._held(channel, asked)
        if held is not None:
            return Counted(held)
        why = (
            "A message of this id has come before, and what it asks for does not hold now. It is "
            "not carried out again: if it is still wanted, send it with another id."
        )
        return Refused(409, why, asked)

    async def _held(self, channel: str, asked: Asked) -> AccessRequest | Grant | None:
        """What it is about, if what it asks for is so."""
        if isinstance(asked, Revoking):
            grant = await self._access.grant(asked.grant)
            return grant if grant is not None and grant.state in _REVOKED else None
        request = await self._access.request(asked.access_request)
        if request is None:
            return None
        theirs = [a for a in request.answers if person(a.approver) == person(asked.approver)]
        if isinstance(asked, TakingBack):
            return None if theirs else request
        less = asked.less if asked.approves else None
        given = [(each.approves, each.reason, each.less, each.channel) for each in theirs]
        return request if (asked.approves, asked.reason, less, channel) in given else None


def _asked(callback: Callback, fields: Fields, body: bytes) -> Asked | Refused:
    """What a message asks for, whose it is having been proved, and for whom it may speak."""
    if not _is_json(fields):
        return Refused(415, "Its Content-Type is not application/json.")
    asked = read(body)
    if isinstance(asked, Unread):
        return Refused(400, asked.why)
    approver = callback.people.get(person(asked.approver))
    if approver is None:
        why = f"{asked.approver} is not among those who answer through {callback.name}."
        return Refused(422, why, asked)
    return replace(asked, approver=approver)


def _about(asked: Asked) -> str:
    """The id of what it would change."""
    return asked.grant if isinstance(asked, Revoking) else asked.access_request


def _is_json(fields: Fields) -> bool:
    """Whether it says that it is JSON, once, and in no other encoding than UTF-8."""
    kinds = [value.lower().replace(b" ", b"") for value in fields.get("content-type", ())]
    return len(kinds) == 1 and kinds[0] in _JSON


_JSON: Final = frozenset(
    b"application/json" + more for more in (b"", b";charset=utf-8", b';charset="utf-8"')
)
