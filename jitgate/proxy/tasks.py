"""An access request as its agent is told of it: how it stands, and what to do next.

The form is a task of the AuthZEN Access Request and Approval Profile 1.0 (a draft). It lets others
add members in a few places only, ``display`` and ``result`` among them, under names like ours.
"""

from __future__ import annotations

from datetime import UTC, datetime

from jitgate.core.answers import approvers, asked
from jitgate.core.binding import details
from jitgate.core.giving import given
from jitgate.core.waiting import RETURN_AFTER
from jitgate.values import AccessRequest, AccessState, Binding, Grant, Operation, Pending

HERE = "https://jitgate.internal"
"""Where the gateway answers for itself, inside the proxy."""

_OURS = "jitgate.internal/"
"""What our members' names begin with (section "Naming Extensions")."""

_STATUS = {AccessState.WITHDRAWN.value: "cancelled", AccessState.SUPERSEDED.value: "cancelled"}
"""Our words for the ends of an access request, where the profile has another."""

_TITLES = {
    AccessState.PENDING: "Waits for approval",
    AccessState.APPROVED: "Approved",
    AccessState.DENIED: "Not approved",
    AccessState.EXPIRED: "Nobody answered in time",
    AccessState.WITHDRAWN: "Withdrawn",
    AccessState.SUPERSEDED: "Policy has changed",
}

_SEND_AGAIN = "Send the same call again: it goes out once it has been approved."
_ASK_TOKEN = (
    f"Ask here how it stands. Once it has been approved, {HERE}/token gives you a token for this "
    "operation, and calls with that go out."
)
_USED = (
    "The approval was used or revoked, or its time is over. Look whether the call has been carried "
    "out before you ask once more."
)
_FINAL = "A person has decided. Do not ask for the same in another form."
_ONCE_MORE = "Send the call again only if it should be asked for once more."


def status_url(access_request: str) -> str:
    """Where an agent asks how its access request stands."""
    return f"{HERE}/access-requests/{access_request}"


def moment(seconds: float) -> str:
    """Seconds since the epoch as RFC 3339 in UTC, to the second."""
    return datetime.fromtimestamp(int(seconds), UTC).isoformat().removesuffix("+00:00") + "Z"


def task(pending: Pending) -> dict[str, object]:
    """The task handle of a pending request (section "Access Request Response")."""
    here = status_url(pending.id)
    return {
        "id": pending.id,
        "status": pending.status,
        "status_endpoint": here,
        "expires_at": moment(pending.expires_at),
        "progress": {"awaiting": list(pending.awaited)},
        "links": {"cancel": f"{here}/cancel"},
        "display": {"title": _TITLES[AccessState.PENDING], "description": _SEND_AGAIN},
    }


def status(request: AccessRequest, grant: Grant | None) -> dict[str, object]:
    """How a request stands (section "Task Status Endpoint").

    ``grant`` is what lets the call go now, if anything does.
    """
    state = request.state
    shown: dict[str, object] = {
        "id": request.id,
        "status": _STATUS.get(state.value, state.value),
        "status_endpoint": status_url(request.id),
    }
    if state is AccessState.PENDING:
        shown = task(_pending(request)) | {"progress": _progress(request)}
    display = {"title": _TITLES[state], "description": _next(request, grant)}
    shown["display"] = display | {f"{_OURS}call": _call(request)}
    if state is AccessState.APPROVED:
        return {"task": shown, "result": _result(request, grant)}
    return {"task": shown}


def _pending(request: AccessRequest) -> Pending:
    return Pending(
        id=request.id,
        status=request.state.value,
        told_at=request.opened_at,
        expires_at=request.expires_at,
        again=RETURN_AFTER,
    )


def _progress(request: AccessRequest) -> dict[str, object]:
    """Who is asked: groups, never people. Where several must approve, how many have."""
    quorums = request.ask.terms.quorums
    total, so_far = sum(each.count for each in quorums), len(approvers(request))
    steps = {"current_step": min(so_far + 1, total), "total_steps": total} if total > 1 else {}
    return {"awaiting": list(asked(request)), **steps}


def _next(request: AccessRequest, grant: Grant | None) -> str:
    """What the agent does next, in a sentence or two."""
    if request.state is AccessState.PENDING:
        return _ASK_TOKEN if request.ask.terms.ahead else _SEND_AGAIN
    if request.state is AccessState.APPROVED:
        return _USED if grant is None else _good_for(grant)
    return f"{request.why} {_FINAL if request.state is AccessState.DENIED else _ONCE_MORE}"


def _good_for(grant: Grant) -> str:
    until = moment(grant.expires_at)
    if grant.ask.terms.ahead:
        return f"Until {until}, {HERE}/token gives a token for this operation: bring it, and call."
    if not grant.given.alone:
        operation = grant.ask.operation
        what = f"{operation.action} on the same resource"
        return f"Until {until}, {grant.left} more calls of {what} go out without asking."
    return f"Send the same call again before {until}: it goes out at once."


def _call(request: AccessRequest) -> dict[str, object]:
    """The call, as people are shown it, and why they are asked."""
    ask, operation = request.ask, request.ask.operation
    return {
        "target": operation.target,
        "action": operation.action,
        "method": operation.method,
        "url": ask.shown.url,
        "rule": ask.rule,
        "reason": ask.reason,
    }


def _result(request: AccessRequest, grant: Grant | None) -> dict[str, object]:
    """What the approval is good for, or was (section "Completed Task Response")."""
    approved_at = max((each.at for each in request.answers), default=request.opened_at)
    until = approved_at + given(request).life if grant is None else grant.expires_at
    result: dict[str, object] = {
        "mode": "reevaluate",
        "approval": {
            "id": request.grant or request.id,
            "approved_at": moment(approved_at),
            "approved_until": moment(until),
        },
        f"{_OURS}uses_left": 0 if grant is None else grant.left,
    }
    if request.ask.terms.ahead:
        result[f"{_OURS}authorization_details"] = details(_bound(request.ask.operation))
    return result


def _bound(operation: Operation) -> Binding:
    """What a token for the operation is bound to."""
    return Binding(
        "", target=operation.target, action=operation.action, resource=operation.resource
    )
