"""What the org knows, in Okta's shapes: users, groups, applications. In memory, lost at the end."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import orjson

from jitgate.demo.site import Answer, Call

Record = dict[str, Any]

PEOPLE = (("Alice", "Adams"), ("Bruno", "Becker"), ("Chiara", "Conti"))
APPLICATIONS = ("Payroll", "Warehouse")


class Directory:
    """The org's objects, and the calls on them: each takes path arguments and the call."""

    def __init__(self) -> None:
        people = [_user(_profile(*names), "ACTIVE") for names in PEOPLE]
        self.users: dict[str, Record] = {user["id"]: user for user in people}
        self.groups = [_group("Everyone", "BUILT_IN"), _group("it-leads", "OKTA_GROUP")]
        self.apps = [_app(label) for label in APPLICATIONS]
        self.roles: list[tuple[str, str]] = []
        """Every (user id, role type) that was assigned."""

    def list_users(self, _arguments: tuple[str, ...], _call: Call) -> Answer:
        return Answer(200, list(self.users.values()))

    def list_groups(self, _arguments: tuple[str, ...], _call: Call) -> Answer:
        return Answer(200, self.groups)

    def list_apps(self, _arguments: tuple[str, ...], _call: Call) -> Answer:
        return Answer(200, self.apps)

    def get_user(self, arguments: tuple[str, ...], _call: Call) -> Answer:
        user = self._find(arguments[0])
        return Answer(200, user) if user else not_found(arguments[0])

    def create_user(self, _arguments: tuple[str, ...], call: Call) -> Answer:
        body = _json_object(call.body)
        profile = body.get("profile")
        if not isinstance(profile, dict) or not isinstance(profile.get("login"), str):
            return invalid("profile.login", "The field cannot be left blank")
        if self._find(profile["login"]):
            return invalid("login", "An object with this field already exists")
        user = _user(profile, "STAGED" if "activate=false" in call.query.split("&") else "ACTIVE")
        self.users[user["id"]] = user
        return Answer(200, user)

    def deactivate_user(self, arguments: tuple[str, ...], _call: Call) -> Answer:
        user = self._find(arguments[0])
        if user is None:
            return not_found(arguments[0])
        if user["status"] == "DEPROVISIONED":
            return invalid("status", "The user is deactivated already")
        user.update(status="DEPROVISIONED", statusChanged=_now(), lastUpdated=_now())
        return Answer(200, {})

    def assign_role(self, arguments: tuple[str, ...], call: Call) -> Answer:
        user, role = self._find(arguments[0]), _json_object(call.body).get("type")
        if user is None:
            return not_found(arguments[0])
        if not isinstance(role, str):
            return invalid("type", "The field cannot be left blank")
        self.roles.append((user["id"], role))
        label = role.replace("_", " ").title()
        facts = {"label": label, "type": role, "status": "ACTIVE", "assignmentType": "USER"}
        return Answer(201, {**_dated("ra1"), **facts})

    def _find(self, id_or_login: str) -> Record | None:
        def named(user: Record) -> bool:
            return bool(user["profile"]["login"].lower() == id_or_login.lower())

        return self.users.get(id_or_login) or next(filter(named, self.users.values()), None)


def error(
    status: int, code: str, summary: str, causes: Iterable[str] = (), challenge: str = ""
) -> Answer:
    """An error in the shape of Okta's API; ``challenge`` becomes WWW-Authenticate."""
    content = {
        "errorCode": code,
        "errorSummary": summary,
        "errorLink": code,
        "errorId": _id("oae"),
        "errorCauses": [{"errorSummary": cause} for cause in causes],
    }
    return Answer(status, content, {"WWW-Authenticate": challenge} if challenge else {})


def not_found(what: str) -> Answer:
    """Okta's answer for an object or an endpoint that does not exist."""
    return error(404, "E0000007", f"Not found: {what}")


def invalid(field: str, cause: str) -> Answer:
    """Okta's answer for a request that its validation refuses."""
    return error(400, "E0000001", f"Api validation failed: {field}", [f"{field}: {cause}"])


def _json_object(body: bytes) -> Record:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def _id(prefix: str) -> str:
    """Twenty characters that begin with the three by which Okta tells kinds of objects apart."""
    return prefix + secrets.token_hex(9)[:17]


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _dated(prefix: str) -> Record:
    return {"id": _id(prefix), "created": _now(), "lastUpdated": _now()}


def _profile(first: str, last: str) -> Record:
    login = f"{first}.{last}@acme.example".lower()
    return {"firstName": first, "lastName": last, "login": login, "email": login}


def _user(profile: Record, status: str) -> Record:
    provider = {"type": "OKTA", "name": "OKTA"}
    return {
        **_dated("00u"),
        "status": status,
        "activated": None if status == "STAGED" else _now(),
        "statusChanged": _now(),
        "lastLogin": None,
        "profile": profile,
        "credentials": {"password": {}, "provider": provider},
    }


def _group(name: str, kind: str) -> Record:
    profile = {"name": name, "description": f"The group {name}"}
    return {
        **_dated("00g"),
        "lastMembershipUpdated": _now(),
        "objectClass": ["okta:user_group"],
        "type": kind,
        "profile": profile,
    }


def _app(label: str) -> Record:
    facts = _dated("0oa")
    client = {
        "client_id": facts["id"],
        "client_secret": secrets.token_urlsafe(48),
        "token_endpoint_auth_method": "client_secret_basic",
        "autoKeyRotation": True,
        "pkce_required": False,
    }
    settings = {
        "application_type": "web",
        "grant_types": ["authorization_code"],
        "response_types": ["code"],
        "redirect_uris": [f"https://{label.lower()}.acme.example/callback"],
    }
    return {
        **facts,
        "name": "oidc_client",
        "label": label,
        "status": "ACTIVE",
        "signOnMode": "OPENID_CONNECT",
        "features": [],
        "credentials": {"oauthClient": client},
        "settings": {"oauthClient": settings},
    }
