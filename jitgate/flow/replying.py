"""What an agent is told of its access request, while it is pending and once it has ended."""

from __future__ import annotations

from jitgate.core import answers
from jitgate.core.waiting import RETURN_AFTER, Wait
from jitgate.flow.restraint import TAKE_NO
from jitgate.values import AccessRequest, AccessState, Denial, Pending, Refusal

SEND_AGAIN = "Send the same call again, with the same headers and body."
ASK_AGAIN = "Send the call again only if it should be asked for once more."

_DENIALS = {
    AccessState.DENIED: (Denial.APPROVAL_DENIED, TAKE_NO),
    AccessState.EXPIRED: (Denial.APPROVAL_EXPIRED, ASK_AGAIN),
    AccessState.WITHDRAWN: (Denial.APPROVAL_WITHDRAWN, ASK_AGAIN),
}


def is_denied(request: AccessRequest) -> bool:
    """Whether it has ended without an approval, and of itself."""
    return request.state in _DENIALS


def come_back(request: AccessRequest, wait: Wait, now: float) -> Refusal:
    """It is pending: when the agent is to come back. Times are seconds since the epoch."""
    last = now + wait.again >= request.expires_at
    pending = _told(request, now, RETURN_AFTER if last else wait.again)
    return Refusal(
        Denial.APPROVAL_PENDING,
        f"This call waits for approval by {', '.join(pending.awaited)}: {request.ask.reason}",
        request.ask.rule,
        SEND_AGAIN,
        pending,
        manner=None if last and wait.manner == "slow-down" else wait.manner,
    )


def denied(request: AccessRequest, now: float) -> Refusal:
    """It `is_denied`: how, and why."""
    denial, advice = _DENIALS[request.state]
    return Refusal(denial, request.why, request.ask.rule, advice, _told(request, now, None))


def used(request: AccessRequest) -> Refusal:
    """It was approved, and nothing is left of the grant."""
    detail = "The approval was used by an identical call of yours, or taken back."
    return Refusal(Denial.APPROVAL_USED, detail, request.ask.rule, ASK_AGAIN)


def overloaded(wait: Wait, now: float) -> Refusal:
    """There is none: too many wait already."""
    return Refusal(
        Denial.OVERLOADED,
        "Too many calls wait for approval.",
        advice="Send the call again once others have been answered.",
        pending=Pending("", "", now, now, again=RETURN_AFTER),
        manner="slow-down" if wait.manner == "slow-down" else None,
    )


def _told(request: AccessRequest, now: float, again: float | None) -> Pending:
    return Pending(
        id=request.id,
        status=request.state.value,
        told_at=now,
        expires_at=request.expires_at,
        again=again,
        awaited=answers.asked(request),
    )
