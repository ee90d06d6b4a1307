"""The whole of it: an agent calls, a card appears in Slack, somebody clicks, the call returns."""

from __future__ import annotations

import contextlib
import os
import signal
import threading

import orjson
import pytest
from support.approver import REVIEWED, Approver
from support.counterparts import TestCA
from support.gateway import GatewayProcess, health, settings, target, wait_for
from support.slack import Slack
from support.tokens import Tokens
from support.wire import Origin, answering
from system.conftest import Scene

from jitgate.approvers.slack.about import APPROVE, DENY, REVOKE

CHANGE = (
    b"POST /things/1 HTTP/1.1\r\nHost: api.example\r\nContent-Type: application/json\r\n"
    b"Content-Length: 2\r\n\r\n{}"
)


@pytest.fixture(autouse=True)
def plain_answers():
    """A stage begins with them."""


@pytest.fixture(autouse=True)
def no_unforeseen_fault():
    """A stage looks for them itself."""


@pytest.fixture(scope="module")
def slack(tmp_path_factory):
    with Slack.start(tmp_path_factory.mktemp("slack")) as slack:
        yield slack


class Stage(Scene):
    """A gateway whose people answer in Slack alone, and an agent before it."""

    def __init__(self, folder, ca, slack, mode):
        self.folder, self.slack, self.mode = folder, slack, mode
        self.tokens = Tokens(folder)
        self.origin = Origin(ca.leaf("api.example"), self.handle).__enter__()
        self.handler = answering(b'{"done":true}')
        (folder / "policy.yaml").write_bytes(orjson.dumps([dict(REVIEWED)]))
        self.channel = slack.channel()
        for name, token in {
            "bot": slack.bot_token,
            "app": slack.app_token,
            "signing": slack.signing_secret,
        }.items():
            (folder / name).write_text(token)
            (folder / name).chmod(0o600)
        slack.reset()
        way = {"app_token": "file:./app"} if mode == "socket" else {}
        way = way or {"signing_secret": "file:./signing"}
        self.settings = settings(folder, self.tokens.jwks, [target(self.origin.port, ca.pem)])
        self.settings |= {
            "control": {"operators": {os.getuid(): "root"}},
            "approvals": {
                "hold": "30s",
                "channels": ["cli", "slack"],
                "groups": {"it-leads": ["alice@acme.example", "bob@acme.example"]},
            },
            "slack": {
                "app": slack.facts.app_id,
                "team": slack.facts.team_id,
                "channel": self.channel,
                "bot_token": "file:./bot",
                "api": slack.url,
                **way,
            },
        }

    def start(self):
        self.gateway = GatewayProcess(self.folder, self.settings)
        if self.mode == "socket":
            self.slack.deliver_to(None)
            wait_for(lambda: health(self.gateway)[1]["slack"]["state"] == "ok")
        else:
            self.slack.deliver_to(f"http://127.0.0.1:{self.gateway.ports['admin']}/slack/events")

    def end(self):
        with self.gateway:
            pass
        self.origin.__exit__(None, None, None)

    def kill(self):
        os.kill(self.gateway.process.pid, signal.SIGKILL)
        self.gateway.process.wait(30)

    def calling(self):
        """A call that its agent waits for, in a thread; and what becomes of it."""
        told = []

        def call():
            with contextlib.suppress(OSError, EOFError), self.tunnel() as tunnel:
                tunnel.tls.settimeout(40)
                tunnel.send(CHANGE)
                told.append(tunnel.reply())

        thread = threading.Thread(target=call)
        thread.start()
        return thread, told

    def ask_and_leave(self):
        """The status of a call whose agent does not wait for people."""
        with self.tunnel() as tunnel:
            tunnel.send(CHANGE.replace(b"Content-Type", b"Prefer: respond-async\r\nContent-Type"))
            return tunnel.reply().status

    def card(self):
        return self.slack.message(self.channel, 20)

    def entries(self, kind):
        return self.gateway.entries(kind)


@pytest.fixture
def mode():
    return "http"


@pytest.fixture
def stage(mode, tmp_path, slack):
    ca = TestCA.create(tmp_path, name="origin")
    stage = Stage(tmp_path, ca, slack, mode)
    try:
        stage.start()
        yield stage
    finally:
        stage.end()
    output = "".join(stage.gateway.output)
    assert "Traceback" not in output, output
    assert "critical]" not in output, output
    said = output + f"{stage.gateway.all_entries()}"
    for secret in (slack.bot_token, slack.app_token, slack.signing_secret):
        assert secret not in said


@pytest.mark.parametrize("mode", ["http", "socket"])
def test_a_click_lets_the_call_go_and_one_who_may_not_does_not(stage, slack):
    thread, told = stage.calling()
    message = stage.card()
    assert slack.click(message, APPROVE, slack["carol"]).ok
    assert "none of the groups" in slack.wait(lambda: slack.ephemerals(slack["carol"]))[0].text
    assert not told
    assert slack.click(message, APPROVE, slack["alice"]).ok
    thread.join(30)
    assert told[0].status == 200
    (answer,) = stage.entries("access.answered")
    assert (answer["approver"], answer["channel"]) == ("alice@acme.example", "slack")
    refused = wait_for(lambda: stage.entries("slack.refused"))
    assert refused[0]["user"] == slack["carol"].id


def test_a_denial_reaches_the_agent_with_its_reason(stage, slack):
    thread, told = stage.calling()
    message = stage.card()
    slack.click(message, DENY, slack["bob"])
    view = slack.views(slack["bob"])[-1]
    assert slack.submit(view, slack["bob"], {"reason": "Ask on Monday."}).ok
    thread.join(30)
    assert told[0].status == 403
    assert b"Ask on Monday" in told[0].body


@pytest.mark.parametrize("mode", ["http", "socket"])
def test_a_kill_after_the_commit_loses_nothing_and_doubles_nothing(stage, slack):
    """Slack may or may not have heard: whoever clicks again is told that it was approved."""
    assert stage.ask_and_leave() == 202
    message = stage.card()
    clicking = threading.Thread(target=slack.click, args=(message, APPROVE, slack["alice"]))
    clicking.start()
    wait_for(lambda: stage.entries("grant.made"))
    stage.kill()
    clicking.join(30)
    stage.start()
    assert slack.click(message, APPROVE, slack["alice"], as_shown=True).ok
    slack.wait(lambda: slack.ephemerals(slack["alice"]), 20)
    assert len(stage.entries("access.answered")) == 1
    assert len(stage.entries("grant.made")) == 1
    assert stage.ask_and_leave() == 200
    assert len(stage.entries("grant.spent")) == 1
    assert stage.ask_and_leave() == 202


def test_a_grant_is_revoked_from_the_card(stage, slack):
    assert stage.ask_and_leave() == 202
    message = stage.card()
    slack.click(message, APPROVE, slack["alice"])
    wait_for(lambda: REVOKE in f"{slack.messages(stage.channel)[0]['blocks']}")
    slack.click(message, REVOKE, slack["bob"])
    view = slack.views(slack["bob"])[-1]
    assert slack.submit(view, slack["bob"], {"reason": "Not now."}).ok
    (ended,) = wait_for(lambda: stage.entries("grant.ended"))
    assert ended["state"] == "revoked"


def test_a_reload_says_anew_who_somebody_is_and_whoever_else_is_bound_to_a_restart(stage, slack):
    operator = Approver(stage.gateway.config)
    assert stage.ask_and_leave() == 202
    message = stage.card()
    stage.settings["slack"]["people"] = {slack["carol"].id: "bob@acme.example"}
    stage.gateway.config.write_bytes(orjson.dumps(stage.settings, option=orjson.OPT_NON_STR_KEYS))
    assert operator.run("reload").returncode == 0
    slack.click(message, APPROVE, slack["bob"])
    assert "somebody else's" in slack.wait(lambda: slack.ephemerals(slack["bob"]))[0].text
    slack.click(message, APPROVE, slack["carol"])
    (answer,) = wait_for(lambda: stage.entries("access.answered"))
    assert answer["approver"] == "bob@acme.example"
    stage.settings["slack"]["team"] = "T0ANOTHER0"
    stage.gateway.config.write_bytes(orjson.dumps(stage.settings, option=orjson.OPT_NON_STR_KEYS))
    refused = operator.run("reload")
    assert refused.returncode != 0
    assert "restart to change it" in refused.stdout + refused.stderr
