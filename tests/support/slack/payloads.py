"""What Slack sends to an app, field by field as in docs.slack.dev, reference/interaction-payloads,
reference/events and apis/events-api.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from support.slack.blocks import Json, interactive
from support.slack.people import Person


@dataclass(frozen=True)
class Forgery:
    """How a delivery is not what Slack would send; as it stands, it is.

    `secret` signs in place of the app's; None sends no signature at all. `age` is how many seconds
    ago it was signed. `change` alters the payload before it is signed.
    """

    secret: str | None = ""
    age: float = 0.0
    change: Callable[[Json], object] = field(default=lambda payload: None)


HONEST = Forgery()


@dataclass(frozen=True)
class Facts:
    """What every payload says of the workspace and the app."""

    team_id: str
    domain: str
    app_id: str
    bot_id: str
    bot_user_id: str
    verification_token: str = field(repr=False)

    def about(self, person: Person, team_id: str) -> Json:
        """What every interaction says. A person may be of another workspace."""
        return {
            "team": {"id": self.team_id, "domain": self.domain},
            "enterprise": None,
            "is_enterprise_install": False,
            "api_app_id": self.app_id,
            "token": self.verification_token,
            "user": {
                "id": person.id,
                "username": person.name,
                "name": person.name,
                "team_id": team_id,
            },
        }


def stamp() -> str:
    """Now, as Slack writes it."""
    return f"{time.time():.6f}"


def action(block: Json, element: Json, chosen: str | None) -> Json:
    """What a person did with an element: clicked at it, or chose an option of it."""
    told: Json = {
        name: element[name]
        for name in ("action_id", "type", "text", "value", "style")
        if name in element
    }
    told |= {"block_id": block["block_id"], "action_ts": stamp()}
    if "options" in element or "option_groups" in element:
        told["selected_option"] = option(element, chosen)
    return told


def option(element: Json, value: str | None) -> Json:
    """The option of an element that has this value; there must be one."""
    groups = element.get("option_groups", ())
    options = [
        *element.get("options", ()),
        *(each for group in groups for each in group["options"]),
    ]
    found: list[Json] = [each for each in options if each.get("value") == value]
    assert found, (
        f"a person cannot choose {value!r}: there are {[each['value'] for each in options]}"
    )
    return found[0]


def element(blocks: list[Json], action_id: str) -> tuple[Json, Json]:
    """The block and the element in it that a person sees; there must be exactly one."""
    seen = [
        (block, each)
        for block in blocks
        for each in interactive(block)
        if each["action_id"] == action_id
    ]
    assert len(seen) == 1, f"{len(seen)} elements {action_id!r} can be clicked at"
    return seen[0]


def on_message(message: Json, channel: Json, about: Json, acted: Json, **more: object) -> Json:
    """`block_actions` from a message; ``more`` is its trigger_id and response_url."""
    return {
        "type": "block_actions",
        **about,
        "container": {
            "type": "message",
            "message_ts": message["ts"],
            "channel_id": channel["id"],
            "is_ephemeral": False,
            **({"thread_ts": message["thread_ts"]} if "thread_ts" in message else {}),
        },
        "channel": channel,
        "message": message,
        "state": {"values": {}},
        "actions": [acted],
        **more,
    }


def on_view(view: Json, about: Json, acted: Json, **more: object) -> Json:
    """`block_actions` from a modal."""
    return {
        "type": "block_actions",
        **about,
        "container": {"type": "view", "view_id": view["id"]},
        "view": view,
        "actions": [acted],
        **more,
    }


def submitted(view: Json, about: Json, trigger_id: str) -> Json:
    """`view_submission`."""
    return {
        "type": "view_submission",
        **about,
        "trigger_id": trigger_id,
        "view": view,
        "response_urls": [],
    }


def closed(view: Json, about: Json, *, cleared: bool) -> Json:
    """`view_closed`."""
    return {"type": "view_closed", **about, "view": view, "is_cleared": cleared}


def state_of(view: Json, values: Mapping[str, object]) -> Json:
    """A view's `state` once a person has filled in ``values``, by block id or action id."""
    left = dict(values)
    state: Json = {}
    for block in view["blocks"]:
        for each in interactive(block):
            if each["type"] in {"button", "overflow"}:
                continue
            given = left.pop(block["block_id"], left.pop(each["action_id"], None))
            needed = block["type"] == "input" and not block.get("optional")
            filled = _filled(each, given, needed=needed)
            state.setdefault(block["block_id"], {})[each["action_id"]] = filled
    assert not left, f"nothing to fill in: {sorted(left)}"
    return {"values": state}


def _filled(element: Json, given: Any, *, needed: bool) -> Json:
    """What an element holds. Slack's own client lets nobody submit what breaks its limits."""
    kind = element["type"]
    if kind.startswith("multi_") or kind == "checkboxes":
        first = [each["value"] for each in element.get("initial_options", ())]
        chosen = [option(element, each) for each in (first if given is None else given)]
        assert chosen or not needed, f"{element['action_id']} must be chosen"
        return {"type": kind, "selected_options": chosen}
    if "options" in element or "option_groups" in element:
        first = element.get("initial_option", {}).get("value")
        value = first if given is None else given
        assert value is not None or not needed, f"{element['action_id']} must be chosen"
        return {"type": kind, "selected_option": value if value is None else option(element, value)}
    if kind == "datepicker":
        return {"type": kind, "selected_date": given or element.get("initial_date")}
    text = element.get("initial_value") if given is None else str(given)
    text = text or None
    assert text or not needed, f"{element['action_id']} must be filled in"
    least, most = element.get("min_length", 0), element.get("max_length", 3000)
    assert text is None or least <= len(text) <= most, f"{element['action_id']}: {least} to {most}"
    return {"type": kind, "value": text}


def event(facts: Facts, told: Json) -> Json:
    """`event_callback` around an event."""
    stamped = {**told, "event_ts": stamp()}
    return {
        "token": facts.verification_token,
        "team_id": facts.team_id,
        "context_team_id": facts.team_id,
        "context_enterprise_id": None,
        "api_app_id": facts.app_id,
        "event": stamped,
        "type": "event_callback",
        "event_id": "Ev" + secrets.token_hex(5).upper(),
        "event_time": int(time.time()),
        "authorizations": [
            {
                "enterprise_id": None,
                "team_id": facts.team_id,
                "user_id": facts.bot_user_id,
                "is_bot": True,
                "is_enterprise_install": False,
            }
        ],
        "is_ext_shared_channel": False,
        "event_context": "4-" + secrets.token_urlsafe(30),
    }


def reaction(message: Json, channel: str, person: Person, name: str, *, added: bool) -> Json:
    """The event of a reaction that came or went."""
    return {
        "type": "reaction_added" if added else "reaction_removed",
        "user": person.id,
        "reaction": name,
        "item": {"type": "message", "channel": channel, "ts": message["ts"]},
        "item_user": message["user"],
    }


def command(facts: Facts, person: Person, channel: Json, said: str, **more: str) -> Json:
    """A slash command as it was typed; ``more`` is its trigger_id and response_url."""
    name, _, text = said.partition(" ")
    return {
        "token": facts.verification_token,
        "team_id": facts.team_id,
        "team_domain": facts.domain,
        "channel_id": channel["id"],
        "channel_name": channel["name"],
        "user_id": person.id,
        "user_name": person.name,
        "command": name,
        "text": text,
        "api_app_id": facts.app_id,
        "is_enterprise_install": "false",
        **more,
    }


def encoded(payload: Json) -> str:
    """JSON as Slack writes it."""
    return json.dumps(payload, separators=(",", ":"), ensure_ascii=True)
