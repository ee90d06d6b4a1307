"""Access asked for ahead of a call, over real TLS through the real gateway, in the draft's forms."""

from __future__ import annotations

import contextlib
import json
import threading
from urllib.parse import urlencode

import orjson
import pytest
from support.approver import REVIEWED, Approver, people
from support.authzen import checked, inquiry, submission
from support.counterparts import TestCA
from support.gateway import GatewayProcess, settings, target
from support.tokens import Tokens
from support.wire import Origin, Tunnel
from system.conftest import Scene

from jitgate.proxy.token_pages import GRANT_TYPE

US = "jitgate.internal"
HERE = f"https://{US}"
EVALUATION, REQUESTS = "/access/v1/evaluation", "/access-requests"
JSON = "Content-Type: application/json\r\n"
JWT = "urn:ietf:params:oauth:token-type:jwt"
READS = {
    "name": "reads",
    "reason": "Everybody may read",
    "match": {"methods": ["GET"], "groups": ["it-agents"]},
    "effect": "permit",
}


class Desk(Scene):
    """An agent that asks ahead, and an approver."""

    @property
    def approver(self) -> Approver:
        return Approver(self.gateway.config)

    def ours(self, token=None):
        token = token or self.tokens.token()
        return Tunnel(self.gateway.proxy, self.gateway.ca, token, f"{US}:443", US)

    def ask(self, method, path, content=None, token=None, headers=""):
        with self.ours(token) as tunnel:
            return asked(tunnel, method, path, content, headers)

    def evaluated(self, what, token=None):
        reply = self.ask("POST", EVALUATION, what, token)
        assert reply.status == 200, reply.body
        return checked(reply.body, "decision")

    def submitting(self, what, token=None):
        return submission(self.evaluated(what, token), what)

    def requested(self, path, headers=""):
        """The task of a new request for a POST there."""
        reply = self.ask("POST", REQUESTS, self.submitting(inquiry(path=path)), headers=headers)
        assert reply.status == 202, reply.body
        assert reply.header("Location") == json.loads(reply.body)["task"]["status_endpoint"]
        return checked(reply.body, "response")["task"]

    def task(self, key):
        return checked(self.ask("GET", f"{REQUESTS}/{key}").body, "response")

    def made(self, details):
        """The token for an operation."""
        bearer = self.tokens.token()
        form = {
            "grant_type": GRANT_TYPE,
            "subject_token": bearer,
            "subject_token_type": JWT,
            "authorization_details": json.dumps(details),
        }
        kind = "Content-Type: application/x-www-form-urlencoded\r\n"
        reply = self.ask("POST", "/token", urlencode(form).encode(), bearer, kind)
        assert reply.status == 200, reply.body
        return json.loads(reply.body)["access_token"]

    def calls(self, path, token=None):
        """The answer to a POST, and how many calls have reached the origin by it."""
        before = len(self.origin.received)
        with self.tunnel(token=token) as tunnel:
            reply = tunnel.ask("POST", path, b"{}", "Prefer: respond-async\r\n")
        return reply, len(self.origin.received) - before


def asked(tunnel, method, path, content=None, headers=""):
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    body = b"" if content is None else body
    kind = "" if "Content-Type" in headers or content is None else JSON
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    head = f"{method} {path} HTTP/1.1\r\nHost: {US}\r\n{kind}{headers}{length}\r\n"
    tunnel.send(head.encode() + body)
    return tunnel.reply(method)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    folder = tmp_path_factory.mktemp("authzen")
    ca, tokens = TestCA.create(folder, name="origin"), Tokens(folder)
    rules = [READS, {**REVIEWED, "match": {"methods": ["POST"], "groups": ["it-agents"]}}]
    (folder / "policy.yaml").write_bytes(orjson.dumps(rules))
    made = Desk.__new__(Desk)
    with Origin(ca.leaf("api.example"), made.handle) as origin:
        configuration = settings(folder, tokens.jwks, [target(origin.port, ca.pem)]) | people()
        with GatewayProcess(folder, configuration) as gateway:
            made.gateway, made.origin, made.tokens = gateway, origin, tokens
            yield made


def test_from_discovery_to_the_call_and_back_to_where_it_began(scene):
    reply = scene.ask("GET", "/.well-known/authzen-configuration")
    offered = checked(reply.body, "metadata")
    assert offered["policy_decision_point"] == HERE
    assert offered["access_evaluation_endpoint"] == HERE + EVALUATION
    assert scene.evaluated(inquiry(action="GET"))["decision"] is True
    what = inquiry(path="/things/whole")
    denied = scene.evaluated(what)
    assert denied["context"]["access_request"]["endpoint"] == HERE + REQUESTS
    task = scene.requested("/things/whole")
    assert [each["id"] for each in scene.approver.waiting() if each["ahead"]] == [task["id"]]
    assert scene.task(task["id"])["task"]["status"] == "pending"
    scene.approver.approve(task["id"])
    result = scene.task(task["id"])["result"]
    assert scene.evaluated({**what, "context": result})["decision"] is True
    reply, sent = scene.calls("/things/whole")
    assert (reply.status, sent) == (202, 0)  # without its token people are asked
    token = scene.made(result["jitgate.internal/authorization_details"])
    reply, sent = scene.calls("/things/whole", token)
    assert (reply.status, sent) == (200, 1)
    reply, sent = scene.calls("/things/whole", token)
    assert (reply.status != 200, sent) == (True, 0)
    over = scene.evaluated({**what, "context": {"approval": result["approval"]}})
    assert (over["decision"], over["context"]["next_action"]) == (False, "request")


def test_the_task_of_a_call_that_waits_is_of_the_same_form(scene):
    reply, _ = scene.calls("/things/form")
    assert reply.status == 202
    task = checked(reply.body, "response")["task"]
    listed = json.loads(scene.ask("GET", REQUESTS).body)["tasks"]
    assert task["id"] in [each["id"] for each in listed]
    path = task["links"]["cancel"].removeprefix(HERE)
    ended = checked(scene.ask("POST", path, {"reason": "x"}).body, "response")
    assert ended["task"]["status"] == "cancelled"
    listed = json.loads(scene.ask("GET", REQUESTS).body)["tasks"]
    assert task["id"] not in [each["id"] for each in listed]


def test_a_key_is_read_over_the_wire(scene):
    key = "Idempotency-Key: one\r\n"
    body = scene.submitting(inquiry(path="/things/key"))
    first = scene.ask("POST", REQUESTS, body, headers=key)
    again = scene.ask("POST", REQUESTS, body, headers=key)
    assert (first.status, again.status) == (202, 202)
    assert json.loads(first.body)["task"]["id"] == json.loads(again.body)["task"]["id"]
    other = scene.submitting(inquiry(path="/things/key2"))
    reply = scene.ask("POST", REQUESTS, other, headers=key)
    assert (reply.status, reply.header("Content-Type")) == (409, "application/problem+json")
    assert checked(reply.body, "problem")["type"].endswith(":duplicate_request")
    named = scene.ask("POST", EVALUATION, inquiry(), headers="X-Request-ID: mine\r\n")
    assert named.header("X-Request-ID") == "mine"


# --- attacks


def test_anothers_request_and_denial_look_like_none(scene):
    stranger = scene.tokens.token("bot-8")
    task = scene.requested("/things/private")
    body = scene.submitting(inquiry(path="/things/private2"))
    for method, tail in [("GET", ""), ("DELETE", ""), ("POST", "/cancel")]:
        path, none = f"{REQUESTS}/{task['id']}{tail}", f"{REQUESTS}/a-{'0' * 16}{tail}"
        mine, none = (scene.ask(method, each, token=stranger) for each in (path, none))
        assert (mine.status, mine.body, mine.headers) == (404, none.body, none.headers)
    forged = {**body, "denial": {**body["denial"], "evaluation_id": "e-0.9.0"}}
    mine, none = (scene.ask("POST", REQUESTS, each, stranger) for each in (body, forged))
    assert (mine.status, mine.body, mine.headers) == (400, none.body, none.headers)
    assert json.loads(scene.ask("GET", REQUESTS, token=stranger).body) == {"tasks": []}
    assert scene.task(task["id"])["task"]["status"] == "pending"


@pytest.mark.parametrize("path", [EVALUATION, REQUESTS])
def test_ten_megabytes_are_not_listened_to(scene, path):
    with scene.ours() as tunnel:
        head = f"POST {path} HTTP/1.1\r\nHost: {US}\r\n{JSON}Content-Length: {10 * 1024 * 1024}\r\n"
        tunnel.send(f"{head}\r\n".encode() + b"[" * 100_000)
        assert tunnel.reply().status == 413
        with contextlib.suppress(OSError):
            for _ in range(40):
                tunnel.send(b"[" * 65536)
    assert scene.evaluated(inquiry(action="GET"))["decision"] is True


DEEP = b'{"x":' + b"[" * 8000 + b"]" * 8000 + b"}"
TWICE = json.dumps(inquiry()).encode()[:-1] + b',"action":{"name":"GET"}}'


@pytest.mark.parametrize("body", [DEEP, TWICE, b"\xff", b"[]", b'{"subject":'])
@pytest.mark.parametrize("path", [EVALUATION, REQUESTS])
def test_a_hostile_body_is_refused_and_the_tunnel_lives(scene, path, body):
    with scene.ours() as tunnel:
        for _ in range(2):
            reply = asked(tunnel, "POST", path, body)
            assert checked(reply.body, "problem")["status"] == reply.status == 400


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS"])
def test_another_method_does_nothing(scene, method):
    for path in (EVALUATION, REQUESTS, f"{REQUESTS}/a-1/approve"):
        assert scene.ask(method, path, {}).status == 404
    assert scene.ask("POST", f"{REQUESTS}/a-1/approve", {}).status == 404


def test_of_an_answer_and_many_withdrawals_at_once_one_counts(scene):
    task = scene.requested("/things/race")
    replies = []
    path = f"{REQUESTS}/{task['id']}/cancel"
    threads = [
        threading.Thread(target=lambda: replies.append(scene.ask("POST", path).status))
        for _ in range(4)
    ]
    answering = threading.Thread(target=scene.approver.run, args=("approve", task["id"]))
    for each in (*threads, answering):
        each.start()
    for each in (*threads, answering):
        each.join(60)
    ended = scene.task(task["id"])["task"]["status"]
    assert sorted(replies) == ([200, 409, 409, 409] if ended == "cancelled" else [409] * 4)
    assert ended in {"cancelled", "approved"}


def test_it_is_all_on_record(scene):
    task = scene.requested("/things/record")
    actions = {
        (each["operation"] or {}).get("action")
        for each in scene.gateway.entries("decision")
        if (each["operation"] or {}).get("target") == US
    }
    assert {"evaluateAccess", "requestAccess"} <= actions
    opened = [each for each in scene.gateway.entries("access.opened") if each["ahead"]]
    assert task["id"] in json.dumps(opened)
