"""An exchange as an event of the Open Cybersecurity Schema Framework: API Activity, class 6003.

https://schema.ocsf.io/1.8.0/classes/api_activity, with the profile `security_control`. What OCSF
has no attribute for stands in `unmapped`. An attribute that is not on record is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import SplitResult, urlsplit

from jitgate.exports.exchanges import Told, text

VERSION = "1.8.0"
"""Of the schema; a stable one."""

CATEGORY = 6
CLASS = 6003

UNKNOWN, CREATE, READ, UPDATE, DELETE, OTHER = 0, 1, 2, 3, 4, 99
"""`activity_id`."""

_ACTIVITIES = {
    "GET": (READ, "Read"),
    "HEAD": (READ, "Read"),
    "OPTIONS": (READ, "Read"),
    "PUT": (UPDATE, "Update"),
    "PATCH": (UPDATE, "Update"),
    "DELETE": (DELETE, "Delete"),
}
"""By method. What a POST does its action says, and no method."""

_METHODS = frozenset(
    ("OPTIONS", "GET", "HEAD", "POST", "PUT", "DELETE", "TRACE", "CONNECT", "PATCH")
)
"""Those that OCSF has."""

_SEVERITIES = {
    "read": (1, "Informational"),
    "write": (2, "Low"),
    "privileged": (3, "Medium"),
    "destructive": (4, "High"),
}
"""By the risk that the catalog gives the operation."""

Content = dict[str, Any]


def event(told: Told, version: str) -> Content:
    """The event; ``version`` is that of the program that writes it. Times are milliseconds."""
    activity, activity_name = _activity(told)
    severity, severity_name = _SEVERITIES.get(text(told.operation, "risk") or "", (0, "Unknown"))
    content = {
        "category_uid": CATEGORY,
        "category_name": "Application Activity",
        "class_uid": CLASS,
        "class_name": "API Activity",
        "activity_id": activity,
        "activity_name": activity_name,
        "type_uid": CLASS * 100 + activity,
        "type_name": f"API Activity: {_OF_TYPE.get(activity, 'Other')}",
        "severity_id": severity,
        "severity": severity_name,
        **_when(told),
        **_status(told),
        **_control(told),
        "actor": _actor(told),
        "api": _api(told),
        "src_endpoint": {"svc_name": text(told.subject, "id") or "unknown"},
        "dst_endpoint": _far(told),
        "http_request": _request(told),
        "http_response": _response(told),
        "resources": _resources(told),
        "metadata": _metadata(told, version),
        "unmapped": _unmapped(told),
    }
    return {name: value for name, value in content.items() if value not in (None, {}, [])}


_OF_TYPE = {UNKNOWN: "Unknown", CREATE: "Create", READ: "Read", UPDATE: "Update", DELETE: "Delete"}


def _activity(told: Told) -> tuple[int, str]:
    method = told.method
    if method in _ACTIVITIES:
        return _ACTIVITIES[method]
    if method == "POST" and text(told.operation, "risk") == "read":
        return READ, "Read"
    action = text(told.operation, "action")
    if action:
        return OTHER, action
    return (OTHER, method) if method else (UNKNOWN, "Unknown")


def _when(told: Told) -> Content:
    start = _millis(told.started)
    if told.seconds is None:
        return {"time": start}
    end = _millis(told.ended)
    return {"time": start, "start_time": start, "end_time": end, "duration": end - start}


def _status(told: Told) -> Content:
    """Whether the call did what it was for, as far as an HTTP status says so."""
    word = None if told.outcome is None else told.outcome.text("outcome")
    if word is None:
        number, name = 0, "Unknown"
    elif word == "pending":
        number, name = 99, "pending"
    elif word == "completed" and (told.status or 0) < HTTPStatus.BAD_REQUEST:
        number, name = 1, "Success"
    else:
        number, name = 2, "Failure"
    code = None if told.status is None else str(told.status)
    why = None if told.outcome is None else told.outcome.text("why")
    known = {"status_id": number, "status": name, "status_code": code, "status_detail": why}
    return {name: value for name, value in known.items() if value is not None}


def _control(told: Told) -> Content:
    """What the gateway did about it (the profile `security_control`)."""
    decision, outcome = told.decision, told.outcome
    effect = None if decision is None else decision.text("effect")
    word = None if outcome is None else outcome.text("outcome")
    if told.spent is not None:
        did, how = (1, "Allowed"), (8, "Approved")
    elif effect == "deny" or word == "denied":
        did, how = (2, "Denied"), (2, "Blocked")
    elif effect == "permit" and word in ("completed", "truncated", "failed"):
        did, how = (1, "Allowed"), (1, "Allowed")
    elif word == "pending":
        did, how = (2, "Denied"), (14, "Delayed")
    else:
        did, how = (0, "Unknown"), (0, "Unknown")
    return {
        "action_id": did[0],
        "action": did[1],
        "disposition_id": how[0],
        "disposition": how[1],
    }


def _actor(told: Told) -> Content:
    """The agent. The session is always there, though it may be of nobody."""
    actor: Content = {"session": {"uid": told.session}}
    if subject_id := text(told.subject, "id"):
        groups = told.subject.get("groups")
        listed = groups if isinstance(groups, list) else []
        names = [name for name in listed if isinstance(name, str)]
        actor["user"] = {"uid": subject_id, "groups": [{"name": name} for name in names]}
        if issuer := text(told.subject, "issuer"):
            actor["session"]["issuer"] = issuer
    decided: Mapping[str, Any] = {} if told.decision is None else told.decision.content
    if effect := text(decided, "effect"):
        policy = {
            "name": text(decided, "rule"),
            "version": text(decided, "policy"),
            "desc": text(decided, "reason"),
            "type": "rule",
        }
        known = {name: value for name, value in policy.items() if value is not None}
        actor["authorizations"] = [{"decision": effect, "policy": known}]
    return actor


def _api(told: Told) -> Content:
    api: Content = {
        "operation": text(told.operation, "action") or "unknown",
        "request": {"uid": told.id},
    }
    if target := text(told.operation, "target"):
        api["service"] = {"name": target}
    if told.outcome is not None and told.outcome.text("denial"):
        api["response"] = {"error": told.outcome.text("denial")}
        if why := told.outcome.text("why"):
            api["response"]["error_message"] = why
    return api


def _far(told: Told) -> Content:
    url = _split(told.url)
    known = {
        "hostname": None if url is None else url.hostname,
        "svc_name": text(told.operation, "target"),
    }
    return {name: value for name, value in known.items() if value}


def _request(told: Told) -> Content:
    request: Content = {}
    if told.method in _METHODS:
        request["http_method"] = told.method
    url = _split(told.url)
    if url is not None:
        parts = {"scheme": url.scheme, "hostname": url.hostname, "query_string": url.query}
        known = {name: value for name, value in parts.items() if value}
        request["url"] = {"url_string": told.url, "path": url.path, **known}
    elif told.target is not None:
        path, mark, query = told.target.partition("?")
        request["url"] = {"path": path, **({"query_string": query} if mark else {})}
    if told.sent is not None:
        request["body_length"] = told.sent
    return request


def _response(told: Told) -> Content:
    if told.status is None:
        return {}
    response: Content = {"code": told.status}
    if told.released is not None:
        response["body_length"] = told.released
    for name, value in told.answer:
        if name.lower() == "content-type":
            response["content_type"] = value
    return response


def _resources(told: Told) -> list[Content]:
    named = told.operation.get("resource")
    pairs = named.items() if isinstance(named, Mapping) else ()
    return [{"type": name, "uid": value} for name, value in pairs if isinstance(value, str)]


def _metadata(told: Told, version: str) -> Content:
    return {
        "version": VERSION,
        "profiles": ["security_control"],
        "product": {"name": "jitgate", "vendor_name": "jitgate", "version": version},
        "uid": told.id,
        "correlation_uid": told.session,
        "log_name": told.last.log,
        "sequence": told.last.seq,
        "original_time": told.last.time,
        "logged_time": _millis(told.ended),
    }


def _unmapped(told: Told) -> Content:
    """What else is on record of who let it pass, and of what was hidden."""
    spent: Mapping[str, Any] = {} if told.spent is None else told.spent.content
    came: Mapping[str, Any] = {} if told.outcome is None else told.outcome.content
    known = {
        "humans": told.subject.get("humans"),
        "risk": told.operation.get("risk"),
        "approved_by": spent.get("approved_by"),
        "access_request": spent.get("access_request"),
        "fingerprint": spent.get("fingerprint"),
        **{name: came.get(name) for name in ("outcome", "grant", "masks", "user_agent_tokens")},
    }
    return {name: value for name, value in known.items() if value not in (None, {}, [])}


def _split(url: str | None) -> SplitResult | None:
    try:
        return None if url is None else urlsplit(url)
    except ValueError:
        return None


def _millis(seconds: float) -> int:
    return round(seconds * 1000)
