"""The bodies of AuthZEN's Authorization API 1.0 and of its Access Request and Approval Profile.

Read strictly, written plainly; what is in them means nothing yet. docs/authzen.md says which
section is met how.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from jitgate.core.fields import is_json, values_of
from jitgate.flow.evaluating import Asked, Evaluation
from jitgate.proxy.tasks import HERE, moment
from jitgate.values import Headers, Subject

ERROR = "urn:openid:authzen:access-request:error:"
"""What the profile's problem types begin with (section "Error Responses")."""

EVALUATION = "/access/v1/evaluation"
REQUESTS = "/access-requests"

_CAPABILITY = "urn:openid:authzen:capability:access-request"
_OURS = "jitgate.internal/"
DEEPEST = 32
"""Levels of objects and arrays in a body: what the drafts show has six."""

_ID = re.compile(r"[!-~]{1,64}")
_KEY = 255
"""Bytes of an Idempotency-Key: a UUID has 36."""

_OBJECT = (
    "The body is one JSON object in UTF-8, sent as application/json, no member of which twice."
)
_MEMBERS = (
    "subject has a type and an id, resource a type (the target) and an id (the path), and action "
    "a name: texts. properties and context are objects."
)
_BULK = "items are not taken: submit a request for each resource and action."
_CALLBACK = "No callback is allowed here: ask at the status endpoint."
_DENIAL = (
    "denial holds evaluation_id and expires_at, as the evaluation gave them, and no other binding."
)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Why a body is refused, by a word of the profile's or by none."""

    detail: str
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Inquiry:
    """An evaluation that is asked for."""

    asked: Asked
    subject: str
    actors: tuple[dict[str, Any], ...]
    """Whom it says to act, each with ``id``, and with ``issuer`` and ``act`` where it says so."""
    approval: str | None


@dataclass(frozen=True, slots=True)
class Submission:
    """A request for people's leave."""

    asked: Asked
    actors: tuple[dict[str, Any], ...]
    evaluation: str
    written: str
    """All of it, in one writing."""


def inquiry_of(headers: Headers, body: bytes) -> Inquiry | Unreadable:
    """An evaluation request (Authorization API 1.0, section "Access Evaluation API Request")."""
    members = _object(headers, body)
    if members is None:
        return Unreadable(_OBJECT)
    if not _is_whole(members):
        return Unreadable(_MEMBERS)
    approval = members.get("context", {}).get("approval")
    brought = None if approval is None else _id_of(approval)
    if approval is not None and brought is None:
        return Unreadable("context.approval is an object with the id of an approval.")
    return Inquiry(_asked(members), members["subject"]["id"], _acts(members), brought)


def submission_of(headers: Headers, body: bytes) -> Submission | Unreadable:
    """An access request (section "Access Request Submission")."""
    members = _object(headers, body)
    if members is None:
        return Unreadable(_OBJECT)
    wrong = _wrong_in(members)
    if wrong is not None:
        return wrong
    client = members.get("client", {})
    actors = (*_acts(members), *([client["actor"]] if "actor" in client else []))
    evaluation = members["denial"]["evaluation_id"]
    return Submission(_asked(members), actors, evaluation, _written(members))


def _wrong_in(members: dict[str, Any]) -> Unreadable | None:
    if "items" in members:
        return Unreadable(_BULK)
    if not _is_whole(members):
        return Unreadable(_MEMBERS)
    if "callback" in members:
        return Unreadable(_CALLBACK)
    client, denial = members.get("client", {}), members.get("denial", {})
    if not isinstance(client, dict) or not _has_texts(client.get("actor", {"id": ""}), "id"):
        return Unreadable("client is an object, and its actor has an id.")
    # A binding token is to be verified where there is one, and none was given.
    if not _has_texts(denial, "evaluation_id", "expires_at") or "binding_token" in denial:
        return Unreadable(_DENIAL, "invalid_denial_binding")
    return None


def proves(subject: Subject, actor: dict[str, Any]) -> bool:
    """Whether the subject's token says of the actor what is said here (section "Delegation")."""
    known = {"id": subject.agent or subject.id, "issuer": subject.issuer}
    said = {name: actor.get(name, known[name]) for name in known}
    return said == known and "act" not in actor


def key_of(headers: Headers) -> str | Unreadable | None:
    """The submission's ``Idempotency-Key``, if it has one."""
    keys = values_of(headers, b"idempotency-key")
    if not keys:
        return None
    if len(keys) > 1 or not 0 < len(keys[0]) <= _KEY:
        return Unreadable(f"There is one Idempotency-Key, of at most {_KEY} bytes.")
    return keys[0].decode("latin-1")


# --- reading


def _object(headers: Headers, body: bytes) -> dict[str, Any] | None:
    if not is_json(headers):
        return None
    try:
        members = json.loads(body.decode("utf-8"), object_pairs_hook=_once, parse_constant=_refused)
        _written(members).encode("utf-8")  # nothing that JSON cannot say, as a lone surrogate
    except (ValueError, RecursionError):
        return None
    return members if isinstance(members, dict) and not _is_deep(members) else None


def _is_deep(value: object) -> bool:
    """Whether it is nested deeper than anything here is, so that no stack has to hold it."""
    level = [value]
    for _ in range(DEEPEST):
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
    return bool(level)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member stands twice")
    return members


def _refused(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON")


def _written(members: object) -> str:
    """JSON that is the same where the value is."""
    return json.dumps(members, sort_keys=True, ensure_ascii=False, allow_nan=False)


def _is_whole(members: dict[str, Any]) -> bool:
    parts = (("subject", "type", "id"), ("resource", "type", "id"), ("action", "name"))
    return isinstance(members.get("context", {}), dict) and all(
        _has_texts(members.get(name), *texts)
        and isinstance(members[name].get("properties", {}), dict)
        for name, *texts in parts
    )


def _has_texts(value: object, *names: str) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(each), str) for each in names)


def _id_of(approval: object) -> str | None:
    """An id that could be one: what a store is asked for is short, and no control character."""
    found = approval.get("id") if isinstance(approval, dict) else None
    return found if isinstance(found, str) and _ID.fullmatch(found) else None


def _asked(members: dict[str, Any]) -> Asked:
    """What it is about. The actor is no part of it: it may stand elsewhere ("Delegation")."""
    subject = dict(members["subject"])
    properties = {k: v for k, v in subject.pop("properties", {}).items() if k != "act"}
    if properties:
        subject["properties"] = properties
    told = _written([subject, members["resource"], members["action"]])
    resource = members["resource"]
    return Asked(resource["type"], members["action"]["name"], resource["id"], told)


def _acts(members: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    """Whom the subject says to act, in the words of ``client.actor``."""
    properties = members["subject"].get("properties", {})
    if "act" not in properties:
        return ()
    act = properties["act"] if isinstance(properties["act"], dict) else {}
    names = {"sub": "id", "iss": "issuer", "act": "act"}
    return ({"id": None} | {names[each]: act[each] for each in names if each in act},)


# --- writing


def metadata() -> dict[str, object]:
    """What the gateway offers (section "Discovery"; Authorization API 1.0, "PDP Metadata")."""
    return {
        "policy_decision_point": HERE,
        "access_evaluation_endpoint": f"{HERE}{EVALUATION}",
        "access_request_endpoint": f"{HERE}{REQUESTS}",
        "capabilities": [_CAPABILITY],
    }


def evaluated(found: Evaluation) -> dict[str, object]:
    """A decision (section "Requestable Denial Context", and of one that was approved)."""
    context: dict[str, object] = {
        "evaluation_id": found.id,
        "evaluated_at": moment(found.at),
        f"{_OURS}detail": found.detail,
    }
    if found.reason is not None:
        context["reason"] = found.reason.value
    if found.following is not None:
        context["next_action"] = found.following.value
    if found.requestable is not None:
        until = moment(found.requestable)
        context["access_request"] = {"endpoint": f"{HERE}{REQUESTS}", "expires_at": until}
    if found.grant is not None:
        until = moment(found.grant.expires_at)
        context["approval"] = {"id": found.grant.id, "approved_until": until}
    return {"decision": found.reason is None, "context": context}


def of_another() -> dict[str, object]:
    """The decision on whoever it is that does not ask itself."""
    detail = "An agent asks about itself alone: the subject's id is its token's."
    return {
        "decision": False,
        "context": {"reason": f"{_OURS}subject_not_caller", f"{_OURS}detail": detail},
    }
