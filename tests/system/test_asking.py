"""The real gateway asks people well: over its socket, by the command line, and after a crash."""

from __future__ import annotations

import signal

import orjson
import pytest
from support.approver import APPROVER, REVIEWED
from support.counterparts import TestCA
from support.gateway import wait_for
from system.test_held import HELD, LATER, Stage

GROUPS = {"it-leads": [APPROVER, "bob@acme.example"], "security": ["carol@acme.example"]}


@pytest.fixture(autouse=True)
def plain_answers():
    """A stage begins with them."""


@pytest.fixture(autouse=True)
def no_unforeseen_fault():
    """`Stage.serving` looks for one, gateway by gateway."""


@pytest.fixture
def scene(tmp_path):
    made = Stage(tmp_path, TestCA.create(tmp_path, name="origin"))
    with made.origin:
        made.configured(groups=GROUPS)
        yield made


def asks(scene, grant=None, **approvers):
    rule = REVIEWED | {"approvers": {"groups": ["it-leads"], **approvers}}
    rule |= {"grant": {"life": "10m"} | (grant or {})}
    (scene.folder / "policy.yaml").write_bytes(orjson.dumps([rule]))


def test_more_people_are_asked_in_their_time_and_count_from_then_on(scene):
    asks(scene, groups=["security"], escalate=[{"after": "2s", "groups": ["it-leads"]}])
    with scene.serving() as gateway, scene.calling(fields=HELD) as tunnel:
        waiting = scene.approver.next()
        assert waiting["could_answer"] == ["carol@acme.example"]
        wait_for(lambda: gateway.entries("access.escalated"))
        shown = scene.approver.shown(waiting["id"])
        assert [(each["groups"], each["asked"]) for each in shown["escalations"]] == [
            (["it-leads"], True)
        ]
        assert shown["objection"] is None
        scene.approver.approve(waiting["id"])
        assert tunnel.reply().status == 200


def test_a_step_that_came_due_while_the_gateway_was_dead_is_taken(scene):
    asks(scene, groups=["security"], escalate=[{"after": "3s", "groups": ["it-leads"]}])
    with scene.serving():
        waiting = orjson.loads(scene.call().body)["task"]["id"]
        scene.kill()
    with scene.serving() as gateway:
        wait_for(lambda: gateway.entries("access.escalated"))
        scene.approver.approve(waiting)
        assert scene.call().status == 200


def test_what_people_denied_is_not_asked_again_not_even_after_a_crash(scene):
    with scene.serving():
        waiting = orjson.loads(scene.call().body)["task"]["id"]
        scene.approver.deny(waiting, "No ticket")
        scene.kill()
    with scene.serving() as gateway:
        reply = scene.call()
        assert reply.status == 403
        assert b"they are not asked for it again before" in reply.body
        assert scene.approver.waiting() == []
        assert len(gateway.entries("access.opened")) == 1
        assert scene.call("/things/8").status == 202
        scene.verify()


def test_less_is_given_and_no_more_goes_out(scene):
    asks(scene, grant={"uses": 5})
    with scene.serving():
        waiting = orjson.loads(scene.call().body)["task"]["id"]
        refused = scene.approver.run("approve", waiting, "--uses", "9")
        assert (refused.returncode, "Policy offers 1 to 5 uses" in refused.stderr) == (1, True)
        given = scene.approver.run("approve", waiting, "--uses", "2", "--life", "5m")
        assert given.returncode == 0, given.stderr
        assert [scene.call().status for _ in range(3)] == [200, 200, 202]
        assert len(scene.origin.received) == 2
        scene.verify()


def test_the_same_asked_again_is_shown_with_a_count(scene):
    with scene.serving():
        for _ in range(4):
            assert scene.call().status == 202
        (waiting,) = scene.approver.waiting()
        assert waiting["asked"] == 4
        assert "asked 4 times" in scene.approver.run("requests", waiting["id"]).stdout


def test_who_is_deactivated_by_a_reload_counts_no_longer(scene):
    asks(scene, reason="required")
    with scene.serving() as gateway:
        waiting = orjson.loads(scene.call(fields=LATER).body)["task"]["id"]
        refused = scene.approver.run("approve", waiting)
        assert (refused.returncode, "wants a reason" in refused.stderr) == (1, True)
        scene.settings["approvals"]["inactive"] = [APPROVER.upper()]
        gateway.config.write_bytes(orjson.dumps(scene.settings, option=orjson.OPT_NON_STR_KEYS))
        gateway.process.send_signal(signal.SIGHUP)
        wait_for(lambda: gateway.entries("reload"))
        refused = scene.approver.run("approve", waiting, "--reason", "OPS-7")
        assert (refused.returncode, "is deactivated" in refused.stderr) == (1, True)
        assert scene.approver.grants() == []
