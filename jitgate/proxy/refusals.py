"""How a refusal looks to the agent: its status, and its body in the shape the target's SDK shows.

The text is written for whoever reads the SDK's exception: what was refused, why, what to do next.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from email.utils import formatdate

import orjson

from jitgate.proxy.tasks import HERE, moment, status_url, task
from jitgate.values import Denial, Headers, Pending, Refusal, ResponseHead

STATUS: Mapping[Denial, int] = {
    Denial.TOKEN_MISSING: 407,
    Denial.TOKEN_REFUSED: 401,
    Denial.TOKEN_OUT_OF_SCOPE: 403,
    Denial.IDENTITY_UNAVAILABLE: 502,
    Denial.TARGET_UNKNOWN: 403,
    Denial.HOST_MISMATCH: 421,
    Denial.MALFORMED: 400,
    Denial.HEAD_TOO_LARGE: 431,
    Denial.BODY_TOO_LARGE: 413,
    Denial.OPERATION_UNKNOWN: 403,
    Denial.POLICY: 403,
    Denial.BUDGET_SPENT: 403,
    Denial.NEEDS_APPROVAL: 403,
    Denial.APPROVAL_PENDING: 403,
    Denial.APPROVAL_DENIED: 403,
    Denial.APPROVAL_EXPIRED: 403,
    Denial.APPROVAL_WITHDRAWN: 403,
    Denial.APPROVAL_USED: 403,
    Denial.GRANT_REVOKED: 403,
    Denial.APPROVERS_UNREACHABLE: 502,
    Denial.OVERLOADED: 429,
    Denial.TARGET_BUSY: 429,
    Denial.UPSTREAM_UNREACHABLE: 502,
    Denial.UPSTREAM_UNTRUSTED: 502,
    Denial.UPSTREAM_MALFORMED: 502,
    Denial.RESPONSE_WITHHELD: 502,
    Denial.CREDENTIAL_UNAVAILABLE: 502,
    Denial.CREDENTIAL_CHALLENGED: 502,
    Denial.AGENT_GONE: 400,
    Denial.CUT_SHORT: 502,
    Denial.RECORDER_DOWN: 502,
    Denial.STORE_DOWN: 502,
    Denial.FAULT: 500,
}
"""No denial is a 503 or a 504, which make some SDKs send again at once, but for ``busy`` ones.

None has a Retry-After, but for those that mean "not yet"."""

TITLES: Mapping[Denial, str] = {
    Denial.TOKEN_MISSING: "The agent must authenticate to the gateway",
    Denial.TOKEN_REFUSED: "The agent's token is refused",
    Denial.TOKEN_OUT_OF_SCOPE: "The agent's token is for another operation",
    Denial.IDENTITY_UNAVAILABLE: "The agent's token cannot be checked at present",
    Denial.TARGET_UNKNOWN: "The gateway serves no such host",
    Denial.HOST_MISMATCH: "The request is for another host than the tunnel",
    Denial.MALFORMED: "The request is malformed",
    Denial.HEAD_TOO_LARGE: "The request's head is too large",
    Denial.BODY_TOO_LARGE: "The request's body is too large",
    Denial.OPERATION_UNKNOWN: "The operation is not known",
    Denial.POLICY: "Denied by policy",
    Denial.BUDGET_SPENT: "Too many such calls for now",
    Denial.NEEDS_APPROVAL: "The operation needs approval",
    Denial.APPROVAL_PENDING: "The operation waits for approval",
    Denial.APPROVAL_DENIED: "The operation was not approved",
    Denial.APPROVAL_EXPIRED: "The request for approval has expired",
    Denial.APPROVAL_WITHDRAWN: "The request for approval was withdrawn",
    Denial.APPROVAL_USED: "The approval has been used",
    Denial.GRANT_REVOKED: "The approval was revoked",
    Denial.APPROVERS_UNREACHABLE: "Nobody could be asked for approval",
    Denial.OVERLOADED: "The gateway has no room for more at present",
    Denial.TARGET_BUSY: "The target has no room for more such calls at present",
    Denial.UPSTREAM_UNREACHABLE: "The target cannot be reached",
    Denial.UPSTREAM_UNTRUSTED: "The target's certificate is not trusted",
    Denial.UPSTREAM_MALFORMED: "The target's response is malformed",
    Denial.RESPONSE_WITHHELD: "The response is withheld",
    Denial.CREDENTIAL_UNAVAILABLE: "No credential could be had for the operation",
    Denial.CREDENTIAL_CHALLENGED: "The target did not accept the credential this time",
    Denial.AGENT_GONE: "The agent did not stay for the answer",
    Denial.CUT_SHORT: "The gateway gave the exchange no more time",
    Denial.RECORDER_DOWN: "The gateway cannot record, so nothing may pass",
    Denial.STORE_DOWN: "The gateway cannot keep its state, so nothing that needs approval may pass",
    Denial.FAULT: "The gateway failed",
}

PROBLEM = f"{HERE}/problems/"
"""The problem types' base (RFC 9457, section 3.1.1)."""

_SCHEMES = (b'Bearer realm="jitgate"', b'Basic realm="jitgate"')
_TO_THE_PROXY: Headers = tuple((b"Proxy-Authenticate", each) for each in _SCHEMES)
_TO_THE_ORIGIN: Headers = tuple((b"WWW-Authenticate", each) for each in _SCHEMES)

_ERRORS: Mapping[Denial, str] = {
    Denial.TOKEN_REFUSED: "invalid_token",
    Denial.TOKEN_OUT_OF_SCOPE: "insufficient_scope",
}
"""What is wrong with the token, in a word of RFC 6750's (section 3.1)."""

_UNSAYABLE = re.compile(r"[^\x20-\x21\x23-\x5b\x5d-\x7e]")
"""What stands in no error_description (RFC 6750, section 3)."""


def rendered(refusal: Refusal, exchange: str, manner: str) -> tuple[ResponseHead, bytes]:
    """The refusal as a response, in the target's manner: ``okta``, else problem+json.

    The refusal's own manner goes before it: ``accepted`` (RFC 7240, section 4.1) is a 202,
    ``slow-down`` is a 429 after which SDKs send their call again by themselves, ``busy`` is that
    where the target's SDK knows such a form, else a 503 with Retry-After, ``carried-out`` is a
    403, whatever else the denial would be, and ``origin`` is what a proxy says with 407, as a 401.
    """
    pending = refusal.pending
    if pending is not None and refusal.manner == "accepted":
        return _accepted(pending)
    status = _status(refusal, manner)
    if manner == "okta":
        kind, body = b"application/json", _okta(refusal, exchange)
    else:
        kind, body = b"application/problem+json", _problem(refusal, exchange, status)
    fields = (
        (b"Content-Type", kind),
        (b"Cache-Control", b"no-store"),
        *_challenge(refusal),
        *_when(refusal, manner),
    )
    data = orjson.dumps(body)
    return ResponseHead(status, fields, len(data)), data


def _challenge(refusal: Refusal) -> Headers:
    """What tells an agent which token to bring (RFC 9110, section 11.6; RFC 6750, section 3)."""
    if refusal.denial is Denial.TOKEN_MISSING:
        return _TO_THE_ORIGIN if refusal.manner == "origin" else _TO_THE_PROXY
    error = _ERRORS.get(refusal.denial)
    if error is None:
        return ()
    why = _UNSAYABLE.sub("'", refusal.detail)
    said = f'Bearer realm="jitgate", error="{error}", error_description="{why}"'
    return ((b"WWW-Authenticate", said.encode("ascii")),)


def _status(refusal: Refusal, manner: str) -> int:
    if refusal.manner == "busy":
        return 429 if manner == "okta" else 503
    if refusal.manner == "carried-out":
        return 403  # clients send a call again by themselves for any 5xx
    if refusal.manner == "origin":
        return 401
    return 429 if refusal.manner == "slow-down" else STATUS[refusal.denial]


def _when(refusal: Refusal, manner: str) -> Headers:
    """When the call may be sent again, in the form that the target's SDK obeys.

    Okta's SDKs sleep from Date until X-Rate-Limit-Reset, and a second longer.
    """
    pending = refusal.pending
    if pending is None or pending.again is None:
        return ()
    if manner == "okta" and refusal.manner in {"slow-down", "busy"}:
        reset = int(pending.told_at) + max(0, round(pending.again) - 1)
        date = formatdate(int(pending.told_at), usegmt=True)
        return ((b"Date", date.encode()), (b"X-Rate-Limit-Reset", b"%d" % reset))
    return ((b"Retry-After", b"%d" % math.ceil(pending.again)),)


def _accepted(pending: Pending) -> tuple[ResponseHead, bytes]:
    """The call waits: where to ask how it stands, and when to send it again."""
    data = orjson.dumps({"task": task(pending)})
    fields = (
        (b"Content-Type", b"application/json"),
        (b"Cache-Control", b"no-store"),
        (b"Location", status_url(pending.id).encode()),
        (b"Preference-Applied", b"respond-async"),
        (b"Retry-After", b"%d" % math.ceil(pending.again or 0)),
    )
    return ResponseHead(202, fields, len(data)), data


def _problem(refusal: Refusal, exchange: str, status: int) -> dict[str, object]:
    """RFC 9457, with the deciding rule, the id to ask about, and what to do next."""
    problem: dict[str, object] = {
        "type": PROBLEM + refusal.denial.value,
        "title": TITLES[refusal.denial],
        "status": status,
        "detail": refusal.detail,
        "rule": refusal.rule,
        "request_id": exchange,
        "retry": refusal.advice,
        # Where Microsoft Graph and others say it: their SDKs put this into their exceptions.
        "error": {"code": f"jitgate:{refusal.denial.value}", "message": _summary(refusal)},
    }
    if refusal.pending is not None and refusal.pending.id:
        problem["access_request"] = _reference(refusal.pending)
    return problem


def _summary(refusal: Refusal) -> str:
    """What was refused, by whom, and why, for SDKs that show one sentence."""
    title = TITLES[refusal.denial]
    return f"{title} (jitgate): {refusal.detail.removeprefix(f'{title}: ')}"


def _reference(pending: Pending) -> dict[str, object]:
    return {
        "id": pending.id,
        "status": pending.status,
        "url": status_url(pending.id),
        "expires_at": moment(pending.expires_at),
    }


def _okta(refusal: Refusal, exchange: str) -> dict[str, object]:
    """The error object of Okta's management API, which its SDKs put into their exceptions."""
    causes = [refusal.detail, *([f"Rule: {refusal.rule}"] if refusal.rule else []), refusal.advice]
    if refusal.pending is not None and refusal.pending.id:
        causes += [
            f"Access request {name}: {value}" for name, value in _reference(refusal.pending).items()
        ]
    # Okta's SDKs join them with full stops, or commas, of their own.
    causes = [*(cause.removesuffix(".") for cause in causes[:-1]), causes[-1]]
    return {
        "errorCode": f"jitgate:{refusal.denial.value}",
        "errorSummary": _summary(refusal),
        "errorLink": PROBLEM + refusal.denial.value,
        "errorId": exchange,
        "errorCauses": [{"errorSummary": cause} for cause in causes],
    }
