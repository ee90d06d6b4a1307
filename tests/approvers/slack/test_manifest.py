"""The app's manifest asks Slack for what the code uses, and for nothing else."""

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from jitgate.approvers.slack import bolt
from jitgate.approvers.slack.about import APPROVE, DENY, DETAILS, LESS, PAGES, REVOKE

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "etc" / "slack-app-manifest.yaml").read_text()
CODE = [file.read_text() for file in (ROOT / "jitgate" / "approvers" / "slack").glob("*.py")]

NEEDS = {
    "apps.connections.open": set(),  # the app's token, with connections:write
    "chat.postEphemeral": {"chat:write"},
    "chat.postMessage": {"chat:write"},
    "chat.update": {"chat:write"},
    "conversations.history": {"channels:history", "groups:history", "im:history"},
    "conversations.open": {"im:write"},
    "conversations.replies": {"channels:history", "groups:history", "im:history"},
    "reactions.get": {"reactions:read"},
    "usergroups.list": {"usergroups:read"},
    "usergroups.users.list": {"usergroups:read"},
    "users.info": {"users:read"},
    "users.list": {"users:read"},
    "users.lookupByEmail": {"users:read.email"},
    "views.open": set(),
    "views.update": set(),
}
"""The scopes that Slack's reference names for each method, of those that this app can need."""

EVENTS = {"reaction_added": "reactions:read", "reaction_removed": "reactions:read"}

METHOD = re.compile(
    r'"((?:apps|auth|chat|conversations|reactions|usergroups|users|views)\.[a-zA-Z.]+)"'
)


def read(text=TEXT):
    return YAML(typ="safe").load(text)


def used():
    return {method for code in CODE for method in METHOD.findall(code)}


def test_it_asks_for_the_scopes_of_what_is_called_and_no_other():
    assert used() >= {"chat.postMessage", "users.info", "views.open"}
    asked = read()["oauth_config"]["scopes"]
    needed = set().union(*(NEEDS[method] for method in used()))
    # An address is told by users.info only with it.
    needed |= {"users:read.email"} | {EVENTS[event] for event in bolt.EVENTS}
    assert set(asked["bot"]) == needed
    assert asked.keys() == {"bot"}, "nothing is done in the name of a person"


def test_it_asks_for_the_events_that_are_listened_to():
    assert read()["settings"]["event_subscriptions"]["bot_events"] == list(bolt.EVENTS)
    assert read()["settings"]["interactivity"]["is_enabled"] is True


@pytest.mark.parametrize("name", [APPROVE, DENY, DETAILS, LESS, REVOKE, *PAGES])
def test_every_button_and_form_is_listened_to(name):
    assert bolt.OURS.match(name)


def test_for_http_it_is_changed_where_it_says_so():
    changed = re.sub(r"# HTTP: (request_url)", r"\1", TEXT)
    changed = re.sub(r"true +# HTTP: false", "false", changed)
    settings = read(changed)["settings"]
    url = "https://jitgate.acme.com/slack/events"
    assert settings["event_subscriptions"]["request_url"] == url
    assert settings["interactivity"]["request_url"] == url
    assert settings["socket_mode_enabled"] is False
    assert "HTTP:" not in changed
