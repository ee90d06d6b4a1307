"""Slack in the configuration: what is used, what is said at the start, and what a reload takes up."""

import json
import subprocess
import sys
import threading

import orjson
import pytest
from support.counterparts import TestCA
from support.gateway import settings, target
from support.tokens import Tokens
from twisted.internet import reactor

from jitgate.app.assembly import make_service
from jitgate.app.in_force import made
from jitgate.config import load, read_all
from jitgate.errors import ConfigurationInvalid

GROUPS = {"it-leads": ["alice@acme.com"]}
REVIEW = {
    "name": "people-decide",
    "reason": "A test.",
    "match": {"groups": ["it-agents"]},
    "effect": "review",
    "approvers": {"groups": ["it-leads"], "quorum": 1},
}


class Site:
    """A configuration with a section for Slack, as a test wants it."""

    def __init__(self, folder):
        self.folder = folder
        ca = TestCA.create(folder, name="origin")
        for name, token in {
            "bot": "xoxb" + "-1-the-bots",
            "app": "xapp" + "-1-the-apps",
            "signing": "0123456789abcdef",
        }.items():
            file = folder / name
            file.write_text(f"{token}\n")
            file.chmod(0o600)
        (folder / "policy.yaml").write_bytes(orjson.dumps([REVIEW]))
        self.slack = {
            "app": "A0JITGATE0",
            "team": "T000000001",
            "channel": "C000000001",
            "bot_token": "file:./bot",
            "signing_secret": "file:./signing",
        }
        self.approvals = {"channels": ["cli", "slack"], "groups": GROUPS}
        self.settings = settings(folder, Tokens(folder).jwks, [target(1, ca.pem)])

    @property
    def file(self):
        file = self.folder / "jitgate.yaml"
        told = self.settings | {"approvals": self.approvals}
        told |= {} if self.slack is None else {"slack": self.slack}
        file.write_bytes(orjson.dumps(told))
        return file

    def made(self, before=None):
        configuration, problems = read_all(self.file)
        assert configuration is not None, problems
        return made(configuration, reactor, problems, before=before)

    def problems(self, before=None):
        configuration, problems = read_all(self.file)
        if configuration is None:
            return "\n".join(problems)
        with pytest.raises(ConfigurationInvalid) as told:
            made(configuration, reactor, problems, before=before)
        return f"{told.value}"


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


def test_people_are_asked_there_as_the_configuration_says(site):
    first = site.made()
    assert list(first.channels) == ["cli", "slack"]
    assert first.slack.signing == "0123456789abcdef"
    assert "0123456789abcdef" not in f"{first.slack}"
    assert not [each for each in first.notices if "slack" in each.lower()]
    assert "Nobody of the group" not in "\n".join(first.notices), "in Slack everybody can answer"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda site: site.slack.pop("bot_token"), "slack has no bot_token"),
        (lambda site: site.slack.pop("signing_secret"), "no signing_secret or app_token"),
        (lambda site: setattr(site, "slack", None), "there is no section slack"),
    ],
)
@pytest.mark.parametrize("channels", [["cli", "slack"], ["slack"]])
def test_without_a_token_it_is_said_once_and_the_command_line_serves(site, change, says, channels):
    site.approvals["channels"] = channels
    change(site)
    first = site.made()
    assert list(first.channels) == ["cli"]
    assert [says in each for each in first.notices].count(True) == 1
    assert first.slack is None


def test_a_section_that_no_channel_names_is_said_too(site):
    site.approvals["channels"] = ["cli"]
    first = site.made()
    assert list(first.channels) == ["cli"]
    assert any("does not name slack" in each for each in first.notices)


def test_over_http_it_needs_the_admin_port(site):
    site.settings["services"] = ["recorder", "control", "proxy"]
    assert any("without the service admin" in each for each in site.made().notices)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"app": "jitgate"}, "app"),
        ({"team": "acme"}, "team"),
        ({"channel": "#approvals"}, "channel"),
        ({"groups": {"it-leads": {"channel": "D000000001"}}}, "channel"),
        ({"groups": {"it-lead": {"channel": "C000000002"}}}, "did you mean"),
        ({"groups": {"it-leads": {"channel": "C000000002", "mention": "@it"}}}, "mention"),
        ({"people": {"alice": "alice@acme.com"}}, "people"),
        ({"people": {"U1AA": "Alice@acme.com", "U2AA": "alice@acme.com"}}, "two people"),
        ({"api": "http://slack.com/api/"}, "https://"),
        ({"api": "http://10.0.0.1/api/"}, "https://"),
        ({"api": "ftp://127.0.0.1/"}, "https://"),
        ({"api": "https://user:hunter2@slack.com/api/"}, "such as"),
        ({"api": "https://slack.com/api/?token=hunter2"}, "such as"),
        ({"bot_token": "xoxb" + "-hunter2"}, "file:PATH"),
        ({"app_token": "file:./app"}, "exclude each other"),
        ({"bot_token": "file:./app"}, "another kind of token"),
        ({"bot_token": "file:./nothing"}, "cannot be read"),
        ({"signing_secret": "env:JITGATE_NOT_SET"}, "JITGATE_NOT_SET"),
        ({"colour": "red"}, "unknown key"),
    ],
)
def test_what_cannot_be_meant_is_refused(site, change, says):
    site.slack |= change
    told = site.problems()
    assert says in told
    assert "hunter2" not in told


def test_loopback_may_be_called_in_the_clear(site):
    site.slack["api"] = "http://127.0.0.1:4003/api"
    assert load(site.file).settings.slack.api == "http://127.0.0.1:4003/api/"


def test_a_group_can_be_a_user_group_of_slacks(site):
    elsewhere = {"from": "slack", "group": "S012345678"}
    site.approvals["groups"] = {"it-leads": elsewhere}
    assert site.made().groups["it-leads"].group == "S012345678"
    elsewhere["group"] = "@it-leads"
    assert "the id of a Slack user group was expected" in site.problems()
    elsewhere["group"] = "S012345678"
    site.approvals["channels"] = ["cli"]
    assert "Slack is not used" in site.problems()


def test_a_plugin_is_not_called_like_it(site):
    plugin = site.folder / "plugin.py"
    plugin.write_text(
        "from jitgate.approvers.memory import MemoryChannel\n"
        "def plugin(options):\n"
        "    made = MemoryChannel('slack')\n    made.version = '1'\n    return made\n"
    )
    site.settings["plugins"] = [{"file": str(plugin)}]
    assert "'slack' is the gateway's own" in site.problems()


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"app": "A0ANOTHER0"}, "slack.app"),
        ({"team": "T0ANOTHER0"}, "slack.team"),
        ({"bot_token": "file:./bot2"}, "slack.bot_token"),
        ({"signing_secret": "file:./signing2"}, "slack.signing_secret"),
        ({"api": "https://slack.example/api/"}, "slack.api"),
    ],
)
def test_what_a_running_gateway_is_bound_to_needs_a_restart(site, change, what):
    first = site.made()
    for name in ("bot", "signing"):
        (site.folder / f"{name}2").write_bytes((site.folder / name).read_bytes())
        (site.folder / f"{name}2").chmod(0o600)
    site.slack |= change
    assert f"{what} is another: restart to change it" in site.problems(before=first)


def test_to_begin_or_to_end_with_it_needs_a_restart(site):
    first = site.made()
    site.approvals["channels"] = ["cli"]
    assert "slack is another: restart to change it" in site.problems(before=first)


def test_people_and_channels_are_taken_up_by_a_reload(site):
    first = site.made()
    site.slack |= {
        "channel": "C000000009",
        "people": {"U000000001": "alice@acme.com"},
        "groups": {"it-leads": {"channel": "C000000002", "mention": "S000000001"}},
    }
    after = site.made(before=first).configuration.settings.slack
    assert after.people == {"U000000001": "alice@acme.com"}
    assert after.groups["it-leads"].mention == "S000000001"


def test_no_thread_begins_before_it_starts(site):
    before = threading.enumerate()
    make_service(load(site.file), reactor)
    assert threading.enumerate() == before


LOADED = """
import sys
import jitgate.cli, jitgate.app, jitgate.app.assembly
print([name for name in sys.modules if name.startswith(("slack_bolt", "slack_sdk"))])
"""

CALLS = """
import json, socket, sys
def refused(*args, **how):
    raise AssertionError("a network call")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refused
from twisted.internet import reactor
from pathlib import Path
from jitgate.app.assembly import make_service
from jitgate.config import load
make_service(load(Path(sys.argv[1])), reactor)
import threading
print(json.dumps([each.name for each in threading.enumerate()]))
"""


def test_nothing_is_called_before_it_starts(site):
    """Whatever the environment has for Bolt: it is not asked."""
    del site.slack["signing_secret"]
    site.slack["app_token"] = "file:./app"
    env = {
        "SLACK_BOT_TOKEN": "xoxb" + "-another",
        "SLACK_SIGNING_SECRET": "another",
        "SLACK_CLIENT_ID": "1.2",
        "SLACK_CLIENT_SECRET": "another",
        "HTTPS_PROXY": "http://127.0.0.1:9",
    }
    done = subprocess.run(
        [sys.executable, "-c", CALLS, site.file],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=env,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == ["MainThread"]


def test_its_libraries_are_loaded_only_where_it_is_configured():
    done = subprocess.run(
        [sys.executable, "-c", LOADED], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
