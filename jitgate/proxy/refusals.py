"""How a refusal looks to the agent: its status, and its body in the shape the target's SDK shows.

The text is written for whoever reads the SDK's exception: what was refused, why, what to do next.
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from jitgate.values import Denial, Headers, Refusal, ResponseHead

STATUS: Mapping[Denial, int] = {
    Denial.TOKEN_MISSING: 407,
    Denial.TOKEN_REFUSED: 401,
    Denial.IDENTITY_UNAVAILABLE: 502,
    Denial.TARGET_UNKNOWN: 403,
    Denial.HOST_MISMATCH: 421,
    Denial.MALFORMED: 400,
    Denial.HEAD_TOO_LARGE: 431,
    Denial.BODY_TOO_LARGE: 413,
    Denial.OPERATION_UNKNOWN: 403,
    Denial.POLICY: 403,
    Denial.NEEDS_APPROVAL: 403,
    Denial.UPSTREAM_UNREACHABLE: 502,
    Denial.UPSTREAM_UNTRUSTED: 502,
    Denial.UPSTREAM_MALFORMED: 502,
    Denial.RESPONSE_WITHHELD: 502,
    Denial.CREDENTIAL_UNAVAILABLE: 502,
    Denial.AGENT_GONE: 400,
    Denial.RECORDER_DOWN: 502,
    Denial.FAULT: 500,
}
"""No denial is a 503, which makes some SDKs send again at once, and none has a Retry-After."""

TITLES: Mapping[Denial, str] = {
    Denial.TOKEN_MISSING: "The agent must authenticate to the gateway",
    Denial.TOKEN_REFUSED: "The agent's token is refused",
    Denial.IDENTITY_UNAVAILABLE: "The agent's token cannot be checked at present",
    Denial.TARGET_UNKNOWN: "The gateway serves no such host",
    Denial.HOST_MISMATCH: "The request is for another host than the tunnel",
    Denial.MALFORMED: "The request is malformed",
    Denial.HEAD_TOO_LARGE: "The request's head is too large",
    Denial.BODY_TOO_LARGE: "The request's body is too large to be decided on",
    Denial.OPERATION_UNKNOWN: "The operation is not known",
    Denial.POLICY: "Denied by policy",
    Denial.NEEDS_APPROVAL: "The operation needs approval",
    Denial.UPSTREAM_UNREACHABLE: "The target cannot be reached",
    Denial.UPSTREAM_UNTRUSTED: "The target's certificate is not trusted",
    Denial.UPSTREAM_MALFORMED: "The target's response is malformed",
    Denial.RESPONSE_WITHHELD: "The response is withheld",
    Denial.CREDENTIAL_UNAVAILABLE: "No credential could be had for the operation",
    Denial.AGENT_GONE: "The agent did not stay for the answer",
    Denial.RECORDER_DOWN: "The gateway cannot record, so nothing may pass",
    Denial.FAULT: "The gateway failed",
}

PROBLEM = "https://jitgate.internal/problems/"
"""The problem types' base (RFC 9457, section 3.1.1)."""

_CHALLENGES: Mapping[Denial, Headers] = {
    Denial.TOKEN_MISSING: (
        (b"Proxy-Authenticate", b'Bearer realm="jitgate"'),
        (b"Proxy-Authenticate", b'Basic realm="jitgate"'),
    ),
    Denial.TOKEN_REFUSED: (
        (b"WWW-Authenticate", b'Bearer realm="jitgate", error="invalid_token"'),
    ),
}


def rendered(refusal: Refusal, exchange: str, manner: str) -> tuple[ResponseHead, bytes]:
    """The refusal as a response, in the target's manner: ``okta``, else problem+json."""
    status = STATUS[refusal.denial]
    if manner == "okta":
        kind, body = b"application/json", _okta(refusal, exchange)
    else:
        kind, body = b"application/problem+json", _problem(refusal, exchange, status)
    fields = (
        (b"Content-Type", kind),
        (b"Cache-Control", b"no-store"),
        *_CHALLENGES.get(refusal.denial, ()),
    )
    data = orjson.dumps(body)
    return ResponseHead(status, fields, len(data)), data


def _problem(refusal: Refusal, exchange: str, status: int) -> dict[str, object]:
    """RFC 9457, with the deciding rule, the id to ask about, and what to do next."""
    return {
        "type": PROBLEM + refusal.denial.value,
        "title": TITLES[refusal.denial],
        "status": status,
        "detail": refusal.detail,
        "rule": refusal.rule,
        "request_id": exchange,
        "retry": refusal.advice,
    }


def _okta(refusal: Refusal, exchange: str) -> dict[str, object]:
    """The error object of Okta's management API, which its SDKs put into their exceptions."""
    causes = [refusal.detail, *([f"Rule: {refusal.rule}"] if refusal.rule else []), refusal.advice]
    return {
        "errorCode": f"jitgate:{refusal.denial.value}",
        "errorSummary": f"{TITLES[refusal.denial]} (jitgate): {refusal.detail}",
        "errorLink": PROBLEM + refusal.denial.value,
        "errorId": exchange,
        "errorCauses": [{"errorSummary": cause} for cause in causes],
    }
