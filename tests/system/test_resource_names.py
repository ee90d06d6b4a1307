"""The real gateway tells approvers what an id is called, by a read of its own, and nobody else."""

from __future__ import annotations

import signal
import time

import orjson
import pytest
from support.approver import REVIEWED
from support.counterparts import TestCA
from support.gateway import wait_for
from support.wire import answering
from system.test_held import LATER, Stage
from system.test_internal import US
from system.test_internal import asked as ask_ours

from jitgate.flow.looking_up import WITHIN

ROWS = """method,path,operation,risk,scopes,parameters,body,secrets
GET,/users/{id},getUser,read,,,,pin
POST,/users/{id}/stop,stopUser,write,,,,
"""
SOON = 20.0
"""Seconds for all else, on a busy machine."""

READS = {"name": "reads", "reason": "Reading.", "match": {"actions": ["getUser"]}}
JANE = b'{"id":"7","pin":"1234","profile":{"login":"jane@acme.example"}}'


@pytest.fixture(autouse=True)
def plain_answers():
    """A stage begins with them."""


@pytest.fixture(autouse=True)
def no_unforeseen_fault():
    """`Stage.serving` looks for one, gateway by gateway."""


@pytest.fixture
def scene(tmp_path):
    made = Stage(tmp_path, TestCA.create(tmp_path, name="origin"))
    made.handler = answering(JANE)
    (tmp_path / "things.csv").write_text(ROWS)
    rules = [{**REVIEWED, "grant": {"life": "10m"}}, READS | {"effect": "permit"}]
    (tmp_path / "policy.yaml").write_bytes(orjson.dumps(rules))
    with made.origin:
        made.configured()
        made.settings["targets"][0]["catalog"] = str(tmp_path / "things.csv")
        yield made


def test_people_see_it_the_agent_does_not_and_a_crash_forgets_nothing(scene):
    fields = LATER + "X-Mine: 1\r\nCookie: mine=1\r\nUser-Agent: mine\r\n"
    with scene.serving() as gateway:
        reply = scene.call("/users/7/stop", fields)
        waiting = orjson.loads(reply.body)["task"]["id"]
        assert b"jane" not in reply.body
        assert "jane" not in repr(reply.headers)
        shown = scene.approver.shown(waiting)
        assert shown["names"] == {"id": {"name": "jane@acme.example", "why": None}}
        (received,) = scene.origin.received
        assert received.line == "GET /users/7 HTTP/1.1"
        (entry,) = gateway.entries("name.looked-up")
        assert received.header("User-Agent") == entry["user_agent_token"]
        assert b"mine" not in received.head
        assert received.header("Authorization") is None
        with scene.tunnel(authority=f"{US}:443", sni=US) as ours:
            pages = [
                ask_ours(ours, "GET", path).body
                for path in ("/manifest", "/manifest.json", f"/access-requests/{waiting}")
            ]
        assert b"stopUser" in pages[0]
        assert b"stopUser" in pages[2]
        assert b"jane" not in b"".join(pages)
        scene.kill()
    with scene.serving() as gateway:
        lines = scene.approver.run("requests", waiting).stdout
        assert "  resource     id 7 (jane@acme.example)\n" in lines
        assert "id 7 (jane@acme.example)" in scene.approver.run("requests").stdout
        scene.approver.approve(waiting)
        assert scene.call("/users/7/stop").status == 200
        assert scene.paths() == ["/users/7", "/users/7/stop"]
        kinds = [each["type"] for each in gateway.all_entries()]
        assert kinds.index("name.looked-up") < kinds.index("access.opened")
        scene.verify()


def silent(request, tls):
    time.sleep(WITHIN + 1)


def cut(request, tls):
    tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
    return False


def endless(request, tls):
    tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
    tls.sendall(b"Transfer-Encoding: chunked\r\n\r\n")
    for _ in range(1000):
        tls.sendall(b"400\r\n" + b" " * 1024 + b"\r\n")
    return False


FAILED = "its name could not be looked up"

FAILING = {
    "1": (silent, FAILED),
    "2": (cut, FAILED),
    "3": (endless, FAILED),
    "4": (answering(JANE, status=404), "not found there"),
    "5": (answering(JANE, status=403), FAILED),
    "6": (answering(b"{}"), "it has no name there"),
    "7": (answering(JANE), None),
}


def test_whatever_goes_wrong_people_are_asked_and_told_why_there_is_no_name(scene):
    with scene.serving() as gateway:
        for user, (handler, _) in FAILING.items():
            scene.handler = handler
            began = time.monotonic()
            assert scene.call(f"/users/{user}/stop").status == 202
            assert time.monotonic() - began < WITHIN + SOON
        shown = {each["resource"]["id"]: each["names"]["id"] for each in scene.approver.waiting()}
        assert {user: each["why"] for user, each in shown.items()} == {
            user: why for user, (_, why) in FAILING.items()
        }
        assert shown["7"]["name"] == "jane@acme.example"
        entries = gateway.entries("name.looked-up")
        assert [each.get("why") for each in entries] == [why for _, why in FAILING.values()]


def test_it_is_switched_off_by_a_reload(scene):
    with scene.serving() as gateway:
        assert scene.call("/users/7/stop").status == 202
        scene.settings["approvals"]["names"] = False
        gateway.config.write_bytes(orjson.dumps(scene.settings, option=orjson.OPT_NON_STR_KEYS))
        gateway.process.send_signal(signal.SIGHUP)
        wait_for(lambda: gateway.entries("reload"))
        assert scene.call("/users/8/stop").status == 202
        names = [each["names"] for each in scene.approver.waiting()]
        assert names == [{"id": {"name": "jane@acme.example", "why": None}}, {}]
        assert scene.paths() == ["/users/7"]
