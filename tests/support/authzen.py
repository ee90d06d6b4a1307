"""What AuthZEN's drafts say of a body, and the bodies that an agent writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

_SCHEMAS = json.loads(
    (Path(__file__).parents[1] / "vectors" / "authzen" / "schemas.json").read_text()
)

ERROR = "urn:openid:authzen:access-request:error:"


def checked(body: bytes, kind: str) -> dict[str, Any]:
    """A body that is what the drafts call so: ``decision``, ``response``, ``problem``, ..."""
    content: dict[str, Any] = json.loads(body)
    schema = {"$ref": f"#/$defs/{kind}", "$defs": _SCHEMAS["$defs"]}
    Draft202012Validator(schema).validate(content)
    return content


def inquiry(
    action: str = "POST", path: str = "/things/7", subject: str = "bot-7", **more: object
) -> dict[str, Any]:
    """What is asked of the evaluation endpoint."""
    return {
        "subject": {"type": "agent", "id": subject},
        "action": {"name": action},
        "resource": {"type": "things", "id": path},
        **more,
    }


def submission(denied: dict[str, Any], asked: dict[str, Any], **more: object) -> dict[str, Any]:
    """The access request after a decision on ``asked``."""
    context = denied["context"]
    denial = {
        "evaluation_id": context["evaluation_id"],
        "evaluated_at": context["evaluated_at"],
        "expires_at": context["access_request"]["expires_at"],
        "reason": context["reason"],
    }
    return {**asked, "denial": denial, **more}
