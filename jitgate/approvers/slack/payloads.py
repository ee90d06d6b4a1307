"""What Slack sends, read into values: only after it was verified, and strictly all the same.

What is read here says who has done what, and with which message. Nothing here says that they may.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from jitgate.approvers.slack.about import About

SIGNS: Final[Mapping[str, bool]] = {"white_check_mark": True, "x": False}
"""The reactions that are an answer, by Slack's names for them (✅, ❌); whether they approve."""

ID_CHARS: Final = 64
"""The longest of Slack's ids that is read: they have about eleven characters."""


@dataclass(frozen=True, slots=True)
class Place:
    """A message: in which channel, and its time there, which is its id."""

    channel: str
    ts: str


@dataclass(frozen=True, slots=True)
class Sender:
    """Which app something was sent to, in which workspace, and who has done it."""

    app: str
    team: str
    user: str
    user_team: str | None = None
    """Where they are at home, if that is told."""


@dataclass(frozen=True, slots=True)
class Bound:
    """What a view is about, and the message that it was opened from. It stands in its metadata."""

    about: About
    place: Place

    @property
    def text(self) -> str:
        return json.dumps([self.about.text, self.place.channel, self.place.ts])

    @classmethod
    def read(cls, text: object) -> Self | None:
        """From its text; None for anything that is none."""
        try:
            read = json.loads(text) if isinstance(text, str) else None
        except (ValueError, RecursionError):
            return None
        if not isinstance(read, list) or len(read) != 3:
            return None
        told, channel, ts = read
        about = About.read(told) if isinstance(told, str) else None
        if about is None or not isinstance(channel, str) or not isinstance(ts, str):
            return None
        return cls(about, Place(channel, ts))


@dataclass(frozen=True, slots=True)
class Click:
    """A button was pressed, on a message or in a view that was opened from one."""

    user: str
    action: str
    about: About
    place: Place
    trigger: str
    view: str | None = None
    """The id of the view that it stands in; None: it stands on the message itself."""


@dataclass(frozen=True, slots=True)
class Submission:
    """A form was sent off."""

    user: str
    view: str
    """Which form: its callback id."""
    about: About
    place: Place
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Sign:
    """A reaction that may be an answer came to a message, or went."""

    user: str
    approves: bool
    is_there: bool
    place: Place
    at: float
    """When, by Slack's clock, in seconds since the epoch."""

    @property
    def name(self) -> str:
        """What Slack calls it."""
        return next(name for name, approves in SIGNS.items() if approves is self.approves)


def sender(body: Mapping[str, Any]) -> Sender | None:
    """Who has sent it, by its own words; None where it does not say."""
    event = body.get("event")
    if isinstance(event, Mapping):
        told = [body.get("api_app_id"), body.get("team_id"), event.get("user")]
        home = None
    else:
        user = body.get("user")
        told = [body.get("api_app_id"), _in(body, "team", "id"), _in(body, "user", "id")]
        home = user.get("team_id") if isinstance(user, Mapping) else None
    if not all(_is_id(each) for each in told) or not (home is None or _is_id(home)):
        return None
    app, team, someone = map(str, told)
    return Sender(app, team, someone, home)


def click(body: Mapping[str, Any]) -> Click | None:
    """One button of ours; None for anything else."""
    actions, user, trigger = body.get("actions"), _in(body, "user", "id"), body.get("trigger_id")
    if not isinstance(actions, list) or len(actions) != 1 or not _is_id(user):
        return None
    name, value = _in(actions[0], "action_id"), _in(actions[0], "value")
    about = About.read(value) if isinstance(value, str) else None
    if about is None or not isinstance(name, str) or not isinstance(trigger, str):
        return None
    kind = _in(body, "container", "type")
    if kind == "message":
        place = _place(_in(body, "container", "channel_id"), _in(body, "container", "message_ts"))
        return None if place is None else Click(user, name, about, place, trigger)
    bound, view = Bound.read(_in(body, "view", "private_metadata")), _in(body, "view", "id")
    if kind != "view" or bound is None or not _is_id(view) or not _is_same(about, bound.about):
        return None
    return Click(user, name, about, bound.place, trigger, view)


def submission(body: Mapping[str, Any]) -> Submission | None:
    """A form of ours; None for anything else."""
    user, name = _in(body, "user", "id"), _in(body, "view", "callback_id")
    bound = Bound.read(_in(body, "view", "private_metadata"))
    values = _in(body, "view", "state", "values")
    if bound is None or not _is_id(user) or not isinstance(name, str):
        return None
    if not isinstance(values, Mapping):
        return None
    return Submission(user, name, bound.about, bound.place, values)


def sign(body: Mapping[str, Any]) -> Sign | None:
    """A reaction of a person that may be an answer; None for any other, and for the app's own."""
    kind, user, name = (_in(body, "event", each) for each in ("type", "user", "reaction"))
    if not isinstance(name, str) or name not in SIGNS or not _is_id(user):
        return None
    if kind not in {"reaction_added", "reaction_removed"} or user in _own(body):
        return None
    item = _in(body, "event", "item")
    place = _place(_in(item, "channel"), _in(item, "ts"))
    at = _seconds(_in(body, "event", "event_ts"))
    if _in(item, "type") != "message" or place is None or at is None:
        return None
    return Sign(user, SIGNS[name], kind == "reaction_added", place, at)


def _own(body: Mapping[str, Any]) -> set[object]:
    """The app's own users, for which Slack sends this."""
    installed = body.get("authorizations")
    if not isinstance(installed, list):
        return set()
    return {_in(each, "user_id") for each in installed if _in(each, "is_bot") is True}


def _place(channel: object, ts: object) -> Place | None:
    if not isinstance(channel, str) or not isinstance(ts, str) or _seconds(ts) is None:
        return None
    return Place(channel, ts)


def _seconds(stamp: object) -> float | None:
    """One of Slack's times, such as 1355517523.000005."""
    if not isinstance(stamp, str) or len(stamp) > ID_CHARS or not stamp.isascii():
        return None
    whole, _, part = stamp.partition(".")
    return float(stamp) if whole.isdigit() and (part or "0").isdigit() else None


def _is_id(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= ID_CHARS and value.isalnum()


def _is_same(one: About, other: About) -> bool:
    """Whether both are about one version of one request, on whichever page."""
    return (one.request, one.version) == (other.request, other.version)


def _in(value: object, *names: str) -> Any:
    """What stands under these names, one in the other; None where one of them is not there."""
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
