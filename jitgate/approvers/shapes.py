"""Access requests and grants as programs read them, over the control socket and by webhooks.

Names and their order are a promise: `jitgate requests --json` prints the same.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime

from jitgate.core.giving import given
from jitgate.flow.ledger import described_quorums
from jitgate.flow.shown_requests import shown_parameters
from jitgate.flow.standing import Standing
from jitgate.values import AccessRequest, Answer, Ask, Grant, Quorum


def request_content(request: AccessRequest, standing: Standing | None = None) -> dict[str, object]:
    """All of an access request that people may see; secrets in it are masked already.

    It stands in one list, because its order is part of the promise.
    ``standing``: by the people that there are now. Without it, who is missing is not told.
    """
    ask, shown, operation = request.ask, request.ask.shown, request.ask.operation
    return {
        "id": request.id,
        "state": request.state.value,
        "subject": ask.subject.id,
        "target": operation.target,
        "action": operation.action,
        "method": operation.method,
        "url": shown.url,
        "rule": ask.rule,
        "reason": ask.reason,
        "fingerprint": ask.fingerprint,
        "expires_at": instant(request.expires_at),
        "issuer": ask.subject.issuer,
        "humans": list(ask.subject.humans),
        "agent": ask.subject.agent,
        "quorums": described_quorums(ask.terms),
        "presence": request.presence.value,
        "away_until": None if request.away_until is None else instant(request.away_until),
        "session": ask.session,
        "resource": dict(operation.resource),
        "risk": None if operation.risk is None else operation.risk.value,
        "parameters": shown_parameters(operation),
        "headers": [list(pair) for pair in shown.headers],
        "body": shown.body,
        "body_bytes": shown.length,
        "uses": ask.terms.uses,
        "life": ask.terms.life,
        "scope": ask.terms.is_scope,
        "ahead": ask.terms.ahead,
        "answers": [_answer_content(answer) for answer in request.answers],
        "opened_at": instant(request.opened_at),
        "why": request.why,
        "grant": request.grant,
        "names": _names(ask),
    } | _how_it_stands(request, standing)


def _how_it_stands(request: AccessRequest, standing: Standing | None) -> dict[str, object]:
    """How often it was asked, what an approval gives by now, and what it still takes."""
    terms, gives = request.ask.terms, given(request)
    return {
        "asked": request.asked,
        "gives": {"uses": gives.uses, "life": gives.life, "scope": not gives.alone},
        "needs_reason": terms.needs_reason,
        "denials": terms.denials,
        "escalations": _escalations(request),
        "missing": None if standing is None else [_place(each) for each in standing.missing],
        "could_answer": None if standing is None else list(standing.could_answer),
        "objection": None if standing is None else standing.objection,
        "unknown": None if standing is None else list(standing.unknown),
        "empty": None if standing is None else list(standing.empty),
    }


def _escalations(request: AccessRequest) -> list[dict[str, object]]:
    """Who is asked as well, and when, in that order; ``asked``: they have been."""
    steps = [each for quorum in request.ask.terms.quorums for each in quorum.escalations]
    return [
        {
            "at": instant(request.opened_at + each.after),
            "groups": list(each.groups),
            "asked": each.after <= request.escalated,
        }
        for each in sorted(steps, key=lambda step: step.after)
    ]


def _place(quorum: Quorum) -> dict[str, object]:
    return {"groups": list(quorum.groups), "count": quorum.count}


def grant_content(grant: Grant) -> dict[str, object]:
    """A grant: what it is for, how much of it is left, and by whom."""
    ask, operation = grant.ask, grant.ask.operation
    return {
        "id": grant.id,
        "state": grant.state.value,
        "access_request": grant.access_request,
        "subject": ask.subject.id,
        "target": operation.target,
        "action": operation.action,
        "method": operation.method,
        "url": ask.shown.url,
        "fingerprint": ask.fingerprint,
        "scope": not grant.given.alone,
        "uses": grant.given.uses,
        "left": grant.left,
        "approved_by": list(grant.approved_by),
        "made_at": instant(grant.made_at),
        "expires_at": instant(grant.expires_at),
        "why": grant.why,
        "resource": dict(operation.resource),
        "parameters": shown_parameters(operation),
        "names": _names(ask),
    }


def _names(ask: Ask) -> dict[str, object]:
    """What the resources are called, or why that is not told, of those that could have a name."""
    names = ask.shown.names.items()
    return {each: {"name": known.name, "why": known.why or None} for each, known in names}


def _answer_content(answer: Answer) -> dict[str, object]:
    return {
        "approver": answer.approver,
        "approves": answer.approves,
        "reason": answer.reason,
        "at": instant(answer.at),
        "channel": answer.channel,
        "less": None if answer.less is None else asdict(answer.less),
    }


def instant(seconds: float) -> str:
    """Seconds since the epoch as RFC 3339 in UTC, as they stand in recordings."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")[:-6] + "Z"
