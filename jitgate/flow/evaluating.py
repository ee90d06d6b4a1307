"""What an agent is told of a call to come, and the request that it may then make ahead of it.

Nothing is let through by it: each call is decided on when it comes. A denial that people could lift
has an id, which binds the request for their leave to what was asked about, and to who asked.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass

from twisted.internet.interfaces import IReactorTime

from jitgate.core.evaluations import good_until, sealed
from jitgate.core.policy import NeedsBody
from jitgate.flow.access import Access
from jitgate.flow.ahead import Ahead
from jitgate.flow.grants import Grants
from jitgate.values import AccessRequest, Ask, Decision, Denial, Effect, Grant, Refusal, Subject

REQUESTABLE = 600
"""Seconds for which a denial can be answered with a request: for an agent that asks its model
before it does so, and far less than policy stays as it is."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked about."""

    target: str
    action: str
    path: str
    told: str
    """Subject, resource and action as the asker wrote them, in one writing."""


class Next(enum.Enum):
    """What an agent does about a denial although it brought an approval."""

    REQUEST = "request"
    NONE = "none"


class Reason(enum.Enum):
    """Why a call would not go."""

    UNKNOWN = "unknown_operation"
    BODY = "body_needed"
    POLICY = "policy_denied"
    BUDGET = "budget_spent"
    REVIEW = "approval_required"
    EXPIRED = "approval_expired"
    SCOPE = "out_of_scope"
    UNVERIFIABLE = "approval_unverifiable"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was found, at a time in seconds since the epoch."""

    id: str
    at: float
    reason: Reason | None
    """None: it would go."""
    detail: str
    grant: Grant | None = None
    """By which it would go, where policy sends it to people."""
    requestable: int | None = None
    """Until when people's leave can be requested, in seconds since the epoch."""
    following: Next | None = None
    """Where an approval was brought."""


@dataclass(frozen=True, slots=True)
class NotTaken:
    """Why a request is not one, by a word of the profile (section "Error Responses")."""

    error: str
    detail: str


_BY_DENIAL = {Denial.BUDGET_SPENT: Reason.BUDGET}
_UNKNOWN = "There is no such operation: the manifest lists targets and actions."
_BODY = "Policy decides on this operation by its body: send the call itself."
_OTHERS = "You have no approval of that id, or it is not one for this."
_ONE_CALL = "The approval is for one call: send that call again, which is how it is used."
_ELSEWHERE = "The approval is for another operation."
_OVER = "The approval was used or revoked, or its time is over."
_UNBOUND = "The denial is not one that you were given for this subject, resource and action."
_LATE = "The denial is too old. Ask for another evaluation."


class Evaluations:
    """Evaluates, and takes requests. Both are for whoever asks, about itself."""

    def __init__(
        self,
        ahead: Ahead,
        access: Access,
        grants: Grants,
        *,
        site_key: bytes,
        clock: IReactorTime,
        new_id: Callable[[str], str],
    ) -> None:
        self._ahead = ahead
        self._access = access
        self._grants = grants
        self._site_key = site_key
        self._clock = clock
        self._new_id = new_id

    async def evaluate(
        self, subject: Subject, asked: Asked, session: str, approval: str | None = None
    ) -> Evaluation:
        """What would become of a call. Raises what `Ahead` raises where it cannot tell.

        ``approval`` is the id of the one that the subject brings, if it brings any.
        """
        found = await self._found(subject, asked, session)
        if isinstance(found, Ask):
            return await self._under(found, asked, approval)
        reason, detail = found
        following = Next.NONE if approval is not None and reason is not None else None
        return self._evaluation(reason, detail, following=following)

    async def request(
        self, subject: Subject, asked: Asked, session: str, evaluation: str
    ) -> AccessRequest | Refusal | NotTaken:
        """The subject's request after a denial, as it stands now; or why there is none.

        Policy is asked again. Raises what `Ahead` raises where it cannot tell.
        """
        until = good_until(self._site_key, evaluation, subject, asked.told)
        if until is None:
            return NotTaken("invalid_denial_binding", _UNBOUND)
        if self._clock.seconds() > until:
            return NotTaken("expired_denial", _LATE)
        found = await self._found(subject, asked, session)
        if not isinstance(found, Ask):
            return NotTaken("not_requestable", found[1])
        given = await self._ahead.asked(found, anew=True)
        if isinstance(given, Grant):
            key = given.access_request
        elif given.pending is not None and given.pending.id:
            key = given.pending.id
        else:
            return given
        request = await self._access.own(subject, key)
        return NotTaken("not_requestable", _OVER) if request is None else request

    async def _found(
        self, subject: Subject, asked: Asked, session: str
    ) -> Ask | tuple[Reason | None, str]:
        """What would be asked of people; or whether the call would go without them, and why."""
        operation = self._ahead.at(asked.target, asked.action, asked.path)
        if operation is None:
            return Reason.UNKNOWN, _UNKNOWN
        decision = await self._ahead.decide(operation, subject)
        if isinstance(decision, NeedsBody):
            return Reason.BODY, _BODY
        objection = await self._ahead.objection(decision, operation, subject)
        if objection is not None:
            reason = _BY_DENIAL.get(objection.denial, Reason.POLICY)
            return reason, f"{objection.detail} (rule {objection.rule})"
        ask = self._ahead.ask(subject, operation, decision, session)
        return ask or _permitted(decision)

    async def _under(self, ask: Ask, asked: Asked, approval: str | None) -> Evaluation:
        """What becomes of a call that policy sends to people."""
        grant = await self._grants.covering(ask)
        if grant is not None and approval in {None, grant.id}:
            return self._evaluation(None, ask.reason, grant=grant)
        if approval is None:
            return self._denial(ask, asked, Reason.REVIEW, ask.reason)
        brought = await self._grants.one(approval)
        if brought is None or brought.ask.subject.key != ask.subject.key or grant is not None:
            return self._evaluation(Reason.UNVERIFIABLE, _OTHERS, following=Next.NONE)
        if brought.left == 0 or self._clock.seconds() >= brought.expires_at:
            return self._denial(ask, asked, Reason.EXPIRED, _OVER, Next.REQUEST)
        if brought.given.alone:
            return self._evaluation(Reason.SCOPE, _ONE_CALL, following=Next.NONE)
        return self._denial(ask, asked, Reason.SCOPE, _ELSEWHERE, Next.REQUEST)

    def _denial(
        self, ask: Ask, asked: Asked, reason: Reason, detail: str, following: Next | None = None
    ) -> Evaluation:
        """One that people could lift."""
        now = self._clock.seconds()
        until = int(now) + REQUESTABLE
        name = sealed(self._site_key, self._new_id("e"), until, ask.subject, asked.told)
        return Evaluation(name, now, reason, detail, requestable=until, following=following)

    def _evaluation(
        self,
        reason: Reason | None,
        detail: str,
        *,
        grant: Grant | None = None,
        following: Next | None = None,
    ) -> Evaluation:
        now = self._clock.seconds()
        return Evaluation(self._new_id("e"), now, reason, detail, grant, following=following)


def _permitted(decision: Decision) -> tuple[Reason | None, str]:
    said = f"{decision.reason} (rule {decision.rule})"
    return (None if decision.effect is Effect.PERMIT else Reason.POLICY), said
