"""Tokens of the gateway's own, asked for and used at a real gateway, and all that takes back."""

from __future__ import annotations

import json
import os
import threading
import time
from contextlib import ExitStack
from urllib.parse import urlencode

import jwt
import orjson
import pytest
from support.approver import REVIEWED, Approver, people
from support.counterparts import TestCA
from support.gateway import GatewayProcess, settings, target, wait_for
from support.tokens import Tokens
from support.wire import Origin, Tunnel, answering
from system.conftest import Scene

from jitgate.proxy.token_pages import GRANT_TYPE

JWT = "urn:ietf:params:oauth:token-type:jwt"
FORM = "Content-Type: application/x-www-form-urlencoded\r\n"
HERE = "jitgate.internal"

RULES = [
    {
        "name": "reads",
        "reason": "Everybody may read",
        "match": {"methods": ["GET"], "groups": ["it-agents"]},
        "effect": "permit",
    },
    {
        "name": "never",
        "reason": "Nobody does this",
        "match": {"paths": ["/never"]},
        "effect": "deny",
    },
    {**REVIEWED, "match": {"methods": ["POST"], "groups": ["it-agents"]}},
]


class Desk(Scene):
    """An agent that asks for tokens, and an approver."""

    @property
    def approver(self) -> Approver:
        return Approver(self.gateway.config)

    def asks(self, bearer=None, path="/token", **form):
        """The answer of one of the OAuth endpoints."""
        bearer = bearer or self.tokens.token()
        whole = {
            "grant_type": GRANT_TYPE,
            "subject_token": bearer,
            "subject_token_type": JWT,
            **form,
        }
        body = urlencode({name: value for name, value in whole.items() if value is not None})
        with Tunnel(self.gateway.proxy, self.gateway.ca, bearer, f"{HERE}:443", HERE) as tunnel:
            tunnel.send(
                f"POST {path} HTTP/1.1\r\nHost: {HERE}\r\n{FORM}"
                f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
            )
            reply = tunnel.reply("POST")
        return reply, json.loads(reply.body)

    def made(self, **form):
        """A token of the gateway's own."""
        reply, said = self.asks(**form)
        assert reply.status == 200, said
        return said["access_token"]

    def calls(self, token, method="GET", path="/things/1"):
        """The answer to one call with a token, and whether it reached the origin."""
        before = len(self.origin.received)
        with Tunnel(self.gateway.proxy, self.gateway.ca, token) as tunnel:
            reply = tunnel.ask(method, path, b"" if method == "GET" else b"{}")
        return reply, len(self.origin.received) > before


INVALID_DETAILS = "invalid_authorization_details"


def operation(method="GET", path="/things/1", **more):
    """Authorization details for one call of a target without a catalog."""
    named = {"target": "things", "action": method, "resource": {"path": path}}
    return json.dumps([{"type": "jitgate_operation", **named, **more}])


def header(reply, name):
    return {key.lower(): value for key, value in reply.headers}.get(name)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokens")
    ca = TestCA.create(folder, name="origin")
    tokens = Tokens(folder)
    (folder / "policy.yaml").write_bytes(orjson.dumps(RULES))
    made = Desk.__new__(Desk)
    with Origin(ca.leaf("api.example"), made.handle) as origin:
        far = target(origin.port, ca.pem)
        configuration = settings(folder, tokens.jwks, [far]) | people()
        with GatewayProcess(folder, configuration) as gateway:
            made.gateway, made.origin, made.tokens = gateway, origin, tokens
            yield made


# --- what it is good for


def test_a_token_for_one_operation_is_good_for_that_and_for_nothing_else(scene):
    reply, said = scene.asks(authorization_details=operation())
    assert reply.status == 200
    assert said["token_type"] == "Bearer"
    assert said["issued_token_type"] == "urn:ietf:params:oauth:token-type:access_token"
    assert 290 <= said["expires_in"] <= 300
    assert said["authorization_details"] == json.loads(operation())
    assert header(reply, "cache-control") == "no-store"
    token = said["access_token"]
    assert scene.calls(token)[0].status == 200
    for method, path in (("GET", "/things/2"), ("GET", "/things"), ("POST", "/things/1")):
        refused, reached = scene.calls(token, method, path)
        assert (refused.status, reached) == (403, False)
        assert b"token-out-of-scope" in refused.body
        assert 'error="insufficient_scope"' in header(refused, "www-authenticate")
    refused, _ = scene.asks(token, path="/token")
    assert refused.status == 403


def test_it_carries_its_subject_as_policy_and_record_know_it(scene):
    token = scene.made()
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["sub"] == "bot-7"
    assert claims["iss"] == f"https://{HERE}"
    assert claims["aud"].startswith("jitgate/")
    assert scene.calls(token)[0].status == 200
    decision = scene.gateway.entries("decision")[-1]
    assert decision["subject"]["issuer"] == "https://idp.example"
    assert decision["subject"]["id"] == "bot-7"
    assert decision["subject"]["groups"] == ["it-agents"]
    assert decision["subject"]["token"] == claims["jti"]


def test_its_keys_and_what_makes_it_are_published(scene):
    token = scene.made()
    with scene.tunnel(authority=f"{HERE}:443", sni=HERE) as tunnel:
        asked = []
        for path in ("/jwks.json", "/.well-known/oauth-authorization-server"):
            tunnel.send(f"GET {path} HTTP/1.1\r\nHost: {HERE}\r\n\r\n".encode())
            asked.append(json.loads(tunnel.reply().body))
    keys, about = asked
    key = jwt.PyJWKSet.from_dict(keys)[jwt.get_unverified_header(token)["kid"]]
    audience = jwt.decode(token, options={"verify_signature": False})["aud"]
    assert jwt.decode(token, key, algorithms=["ES256"], audience=audience)["sub"] == "bot-7"
    assert about["issuer"] == f"https://{HERE}"
    assert about["token_endpoint"] == f"https://{HERE}/token"
    assert about["grant_types_supported"] == [GRANT_TYPE]


def test_a_token_for_one_call_carries_one(scene):
    token = scene.made(once="true")
    assert scene.calls(token)[0].status == 200
    refused, reached = scene.calls(token)
    assert (refused.status, reached) == (401, False)
    assert b"has carried one" in refused.body


def test_of_many_at_once_one_goes(scene):
    token = scene.made(once="true", authorization_details=operation())
    before, found = len(scene.origin.received), []

    def call():
        found.append(scene.calls(token)[0].status)

    threads = [threading.Thread(target=call) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [200, *[401] * 19]
    assert len(scene.origin.received) == before + 1


def test_a_token_never_outlives_the_one_that_it_was_given_for(scene):
    token = scene.tokens.token(life=100)
    _, said = scene.asks(token, life="900")
    assert said["expires_in"] <= 100


# --- what is not given


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"grant_type": "client_credentials"}, "unsupported_grant_type"),
        ({"grant_type": None}, "unsupported_grant_type"),
        ({"subject_token": None}, "invalid_request"),
        (
            {"subject_token_type": "urn:ietf:params:oauth:token-type:refresh_token"},
            "invalid_request",
        ),
        ({"actor_token": "x"}, "invalid_request"),
        ({"life": "901"}, "invalid_request"),
        ({"life": "9"}, "invalid_request"),
        ({"scope": "x"}, "invalid_scope"),
        ({"audience": "x"}, "invalid_target"),
        ({"subject_token_type": "urn:ietf:params:oauth:token-type:saml2"}, "invalid_request"),
        ({"authorization_details": f'[{{"type":"x",{operation()[2:]}'}, INVALID_DETAILS),
        ({"life": "1e2"}, "invalid_request"),
        ({"once": "yes"}, "invalid_request"),
        ({"requested_token_type": "urn:ietf:params:oauth:token-type:saml2"}, "invalid_request"),
        ({"subject_token": "a.b.c"}, "invalid_grant"),
        ({"authorization_details": "{}"}, INVALID_DETAILS),
        ({"authorization_details": '[{"type":"other"}]'}, INVALID_DETAILS),
        ({"authorization_details": operation(x=1)}, INVALID_DETAILS),
        ({"authorization_details": operation("GET", "/a//b")}, INVALID_DETAILS),
        ({"authorization_details": operation("GET", "/a/../b")}, INVALID_DETAILS),
        ({"authorization_details": operation("TRACE")}, INVALID_DETAILS),
        ({"authorization_details": operation(target="x")}, INVALID_DETAILS),
        ({"authorization_details": operation("GET", "/never")}, "access_denied"),
        ({"authorization_details": operation("DELETE")}, "access_denied"),
    ],
)
def test_what_is_asked_wrongly_or_denied_gets_none(scene, form, error):
    reply, said = scene.asks(**form)
    assert (reply.status, said["error"]) == (400, error)
    assert said["error_description"]


def test_nobody_gets_a_token_for_another(scene):
    _, said = scene.asks(subject_token=scene.tokens.token("bot-8"))
    assert said["error"] == "invalid_grant"


def test_a_token_of_the_gateways_own_is_not_exchanged_again(scene):
    token = scene.made()
    reply, said = scene.asks(token, subject_token=scene.tokens.token())
    assert (reply.status, said["error"]) == (400, "invalid_grant")


def test_nothing_of_a_token_stands_in_the_record(scene):
    token = scene.made()
    folder = scene.gateway.recordings
    for file in folder.rglob("*"):
        if file.is_file():
            assert token.split(".")[2].encode() not in file.read_bytes()
    verified = scene.approver.run("requests")
    assert verified.returncode == 0
    outcomes = [entry for entry in scene.gateway.entries("outcome") if entry.get("bodies")]
    shown = scene.approver.run("show", outcomes[-1]["exchange"])
    assert token.split(".")[1] not in shown.stdout


# --- people, ahead of the call


def test_people_are_asked_ahead_of_the_call_and_the_token_names_their_grant(scene):
    details = operation("POST", "/things/9")
    reply, said = scene.asks(authorization_details=details)
    assert (reply.status, said["error"]) == (400, "authorization_pending")
    assert header(reply, "retry-after") == str(said["interval"])
    key = said["access_request"]["id"]
    shown = scene.approver.run("requests", key)
    assert "AHEAD OF ANY CALL" in shown.stdout
    assert scene.asks(authorization_details=details)[1]["access_request"]["id"] == key
    assert scene.approver.run("approve", key).returncode == 0
    token = scene.made(authorization_details=details)
    grant = jwt.decode(token, options={"verify_signature": False})["grant"]
    assert grant
    answers = []

    def call():
        answers.append(scene.calls(scene.tokens.token(), "POST", "/things/9"))

    held = threading.Thread(target=call, daemon=True)
    held.start()  # without the token the grant is good for nothing: this one waits for people
    wait_for(lambda: answers or scene.approver.waiting())
    assert answers == []
    answer, reached = scene.calls(token, "POST", "/things/9")
    assert (answer.status, reached) == (200, True)
    spent = scene.gateway.entries("grant.spent")[-1]
    assert spent["grant"] == grant
    waiting = json.loads(scene.approver.run("requests", "--json").stdout)
    assert [each["ahead"] for each in waiting] == [False]
    scene.approver.run("deny", waiting[0]["id"])
    held.join(20)


# --- taken back


def test_a_token_is_taken_back(scene):
    token = scene.made()
    with Tunnel(scene.gateway.proxy, scene.gateway.ca, token) as tunnel:
        assert tunnel.ask("GET", "/things/1").status == 200
        reply, _ = scene.asks(path="/revoke", token=token, grant_type=None)
        assert reply.status == 200
        tunnel.tls.settimeout(5)
        assert tunnel.tls.recv(1) == b""
    refused, reached = scene.calls(token)
    assert (refused.status, reached) == (401, False)
    assert scene.asks(path="/revoke", token="nonsense", grant_type=None)[0].status == 200


def test_a_token_takes_itself_back_and_is_told_so(scene):
    token = scene.made()
    reply, _ = scene.asks(token, path="/revoke", token=token, grant_type=None)
    assert reply.status == 200
    assert scene.calls(token)[0].status == 401


def test_another_cannot_take_it_back(scene):
    token = scene.made()
    other = scene.tokens.token("bot-8")
    assert scene.asks(other, path="/revoke", token=token, grant_type=None)[0].status == 200
    assert scene.calls(token)[0].status == 200


# --- a subject is believed no more


@pytest.fixture
def operated(tmp_path):
    """A gateway whose operator runs the tests."""
    ca = TestCA.create(tmp_path, name="origin")
    tokens = Tokens(tmp_path)
    (tmp_path / "policy.yaml").write_bytes(orjson.dumps(RULES))
    made = Desk.__new__(Desk)
    made.handler = answering(b'{"name":"Ada"}')
    with Origin(ca.leaf("api.example"), made.handle) as origin:
        made.folder, made.origin, made.tokens = tmp_path, origin, tokens
        far = target(origin.port, ca.pem)
        made.settings = settings(tmp_path, tokens.jwks, [far]) | people()
        made.settings["control"] = {"operators": {os.getuid(): "root"}}
        with GatewayProcess(tmp_path, made.settings) as made.gateway:
            yield made


@pytest.fixture
def tunnels():
    """Closes what was opened."""
    with ExitStack() as stack:
        yield stack


def ends_within(tunnel, seconds=1.0):
    """Whether the gateway ends a tunnel in that time."""
    began = time.monotonic()
    tunnel.tls.settimeout(10)
    while tunnel.tls.recv(4096):
        pass
    return time.monotonic() - began <= seconds + 1.0  # the machine may be busy


def revoked(desk, name, *more):
    done = desk.approver.run("subjects", "revoke", name, *more)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_all_that_a_subject_has_ends_at_once(operated, tunnels):
    idp, other = operated.tokens.token(), operated.tokens.token("bot-8")
    own = operated.made()
    gate = threading.Event()

    def slow(request, tls):
        if "slow" in request.line:
            tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
            gate.wait(20)
            return False
        return answering(b"{}")(request, tls)

    operated.handler = slow
    held, idle, busy, others = (
        tunnels.enter_context(Tunnel(operated.gateway.proxy, operated.gateway.ca, token))
        for token in (idp, own, idp, other)
    )
    held.send(
        b"POST /things/1 HTTP/1.1\r\nHost: api.example\r\nContent-Length: 2\r\n"
        b"Content-Type: application/json\r\n\r\n{}"
    )
    assert idle.ask("GET", "/things/1").status == 200
    busy.send(b"GET /slow HTTP/1.1\r\nHost: api.example\r\n\r\n")
    assert others.ask("GET", "/things/1").status == 200
    wait_for(operated.approver.waiting)
    said = revoked(operated, "bot-7", "--reason", "it went astray")
    assert "it went astray" in said
    assert "2 calls, 3 tunnels, 1 requests" in said
    refused = held.reply("POST")
    assert refused.status == 403
    assert b"it went astray" in refused.body
    assert ends_within(held)
    assert ends_within(idle)
    try:
        busy.tls.settimeout(3)
        while busy.tls.recv(4096):
            pass
    except OSError:
        pass  # cut short
    gate.set()
    assert json.loads(operated.approver.run("requests", "--json").stdout) == []
    assert others.ask("GET", "/things/1").status == 200
    for token in (idp, own):
        answer, reached = operated.calls(token)
        assert (answer.status, reached) == (401, False)
        assert b"revoked" in answer.body
    entry = operated.gateway.entries("subject.revoked")[-1]
    assert (entry["name"], entry["by"], entry["reason"]) == ("bot-7", "root", "it went astray")


def test_it_stays_so_over_a_restart_and_a_new_token_is_believed(operated):
    idp = operated.tokens.token()
    revoked(operated, "bot-7")
    operated.gateway.stop()
    with GatewayProcess(operated.folder, operated.settings) as operated.gateway:
        answer, reached = operated.calls(idp)
        assert (answer.status, reached) == (401, False)
        ahead = operated.tokens.token(iat=int(time.time()) + 25)
        assert operated.calls(ahead)[0].status == 401  # clocks differ by that much
        time.sleep(1.1)
        younger = operated.tokens.token(iat=int(time.time()) + 30)
        assert operated.calls(younger)[0].status == 200


def test_whoever_means_nobody_is_told(operated):
    with Tunnel(operated.gateway.proxy, operated.gateway.ca, operated.tokens.token()) as tunnel:
        assert tunnel.ask("GET", "/things/1").status == 200
        said = revoked(operated, "bot")
        assert "Nothing was open under that id" in said
        assert tunnel.ask("GET", "/things/1").status == 200


def test_a_no_is_told_to_whoever_asked_ahead(scene):
    details = operation("POST", "/things/no")
    key = scene.asks(authorization_details=details)[1]["access_request"]["id"]
    scene.approver.run("deny", key, "--reason", "not this one")
    reply, said = scene.asks(authorization_details=details)
    assert (reply.status, said["error"]) == (400, "access_denied")
    assert "not this one" in said["error_description"]
    assert "interval" not in said


def test_another_entry_of_its_issuer_ends_a_token(operated):
    token, idp = operated.made(), operated.tokens.token()
    assert operated.calls(token)[0].status == 200
    operated.settings["identity"]["issuers"][0]["owners"] = {"bot-7": "bob@acme.example"}
    operated.gateway.config.write_bytes(
        orjson.dumps(operated.settings, option=orjson.OPT_NON_STR_KEYS)
    )
    assert operated.approver.run("reload").returncode == 0
    refused, reached = operated.calls(token)
    assert (refused.status, reached) == (401, False)
    assert operated.calls(idp)[0].status == 200
    assert operated.calls(operated.made())[0].status == 200


def test_an_approver_revokes_no_subject(scene):
    done = scene.approver.run("subjects", "revoke", "bot-7")
    assert done.returncode == 1
    assert "cannot revoke-subject" in done.stderr
