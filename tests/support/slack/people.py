"""Who is in the workspace, as `users.info` tells of them, and their user groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from support.slack.blocks import Json

OTHER_TEAM = "T0STRANGER"
"""The workspace at the other end of Slack Connect."""

NAMES = ("alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi")
"""Ordinary people; `alice@acme.example` and so on."""

SPECIAL: Mapping[str, Mapping[str, object]] = {
    "guest": {"is_restricted": True},
    "single": {"is_restricted": True, "is_ultra_restricted": True},
    "stranger": {"team_id": OTHER_TEAM, "is_stranger": True, "email": None},
    "visitor": {"is_stranger": True},
    "robot": {"is_bot": True},
    "gone": {"deleted": True},
    "nomail": {"email": None},
    "unproven": {"is_email_confirmed": False},
}
"""People who are not as others are: a guest of some channels and of one, somebody of another
workspace, one who is only said to be, a bot, somebody deactivated, one without an address, one whose address is unproven."""

GONE = ("id", "team_id", "name", "deleted", "profile", "is_bot", "is_app_user", "updated")
"""All that Slack tells of a deactivated user."""


@dataclass(frozen=True)
class Person:
    """Somebody in the workspace; `token` is theirs at emulate."""

    id: str
    name: str
    token: str = field(repr=False)


@dataclass
class People:
    """Everybody, what was changed about them, and the user groups."""

    by_name: Mapping[str, Person]
    team_id: str
    changes: dict[str, dict[str, object]] = field(default_factory=dict)
    groups: dict[str, Json] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Everybody as they were at the start, and no user group."""
        self.groups.clear()
        self.changes.clear()
        for name, change in SPECIAL.items():
            self.changes[self.by_name[name].id] = dict(change)

    def team_of(self, user: str) -> str:
        """The workspace that a user belongs to."""
        return str(self.changes.get(user, {}).get("team_id", self.team_id))

    def told(self, user: Json, scopes: Sequence[str]) -> Json:
        """A user of emulate's, as `users.info` answers."""
        change = dict(self.changes.get(user["id"], {}))
        profile = {**user["profile"], "team": self.team_of(user["id"])}
        if "email" in change:
            profile["email"] = change.pop("email")
        if "users:read.email" not in scopes or profile.get("email") is None:
            profile.pop("email", None)
        flags = ("deleted", "is_admin", "is_owner", "is_primary_owner", "is_restricted")
        more = ("is_ultra_restricted", "is_bot", "is_app_user")
        shown: Json = {
            **dict.fromkeys((*flags, *more), False),
            **user,
            "color": "9f69e7",
            "tz": "Europe/Amsterdam",
            "tz_label": "Central European Time",
            "tz_offset": 3600,
            "updated": 1700000000,
            "is_email_confirmed": "email" in profile,
            "who_can_share_contact_card": "EVERYONE",
            **change,
            "profile": profile,
        }
        return {name: shown[name] for name in GONE} if shown["deleted"] else shown

    def group(self, handle: str, members: Sequence[Person], *, enabled: bool = True) -> str:
        """Make a user group, or make it another; its id."""
        number = "S0" + handle.upper().replace("-", "")[:9].ljust(9, "0")
        self.groups[number] = {
            "id": number,
            "team_id": self.team_id,
            "is_usergroup": True,
            "is_subteam": True,
            "name": handle,
            "handle": handle,
            "description": "",
            "is_external": False,
            "date_create": 1446746793,
            "date_update": 1446747767,
            "date_delete": 0 if enabled else 1446748865,
            "auto_type": None,
            "created_by": "USLACKBOT",
            "updated_by": "USLACKBOT",
            "deleted_by": None if enabled else "USLACKBOT",
            "prefs": {"channels": [], "groups": []},
            "users": [each.id for each in members],
            "user_count": len(members),
        }
        return number


def listed_groups(people: People, asked: Mapping[str, Any]) -> Json:
    """`usergroups.list`."""
    shown = [
        {
            name: value
            for name, value in group.items()
            if (name != "users" or true(asked, "include_users"))
            and (name != "user_count" or true(asked, "include_count"))
        }
        for group in people.groups.values()
        if not group["date_delete"] or true(asked, "include_disabled")
    ]
    return {"ok": True, "usergroups": shown}


def listed_members(people: People, asked: Mapping[str, Any]) -> Json:
    """`usergroups.users.list`."""
    group = people.groups.get(str(asked.get("usergroup")))
    if group is None or (group["date_delete"] and not true(asked, "include_disabled")):
        return {"ok": False, "error": "no_such_subteam"}
    return {"ok": True, "users": group["users"]}


def true(asked: Mapping[str, Any], name: str) -> bool:
    """Whether an argument says yes, in any of the ways that clients write that."""
    return asked.get(name) in {True, "true", "1"}
