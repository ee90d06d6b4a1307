import asyncio
import hashlib
import json
import socket
import ssl
import time

import aiohttp
import jwt
import pytest
import pytest_twisted
from twisted.internet.threads import deferToThread

from jitgate.demo.org import _ROUTES, HOST, SCOPES
from jitgate.demo.signing import TokenSigner
from jitgate.demo.site import Call

USERS = "/api/v1/users"
BODIES = {
    USERS: {"profile": {"login": "dora@acme.example", "email": "dora@acme.example"}},
    f"{USERS}/{{}}/roles": {"type": "SUPER_ADMIN"},
}


def call(method, path, token=None, body=None, *, headers=()):
    if token is not None:
        headers = (*headers, (b"authorization", f"Bearer {token}".encode()))
    return Call(method, path, "", headers, b"" if body is None else json.dumps(body).encode())


def somebody(sandbox):
    return next(iter(sandbox.org.directory.users.values()))


def snapshot(sandbox):
    directory = sandbox.org.directory
    return json.dumps([directory.users, directory.groups, directory.apps, directory.roles])


@pytest.mark.parametrize(("method", "pattern", "scope"), [route[:3] for route in _ROUTES])
def test_a_call_needs_its_own_scope_and_no_other(resting, client, method, pattern, scope):
    asked = (method, pattern.replace("{}", somebody(resting)["id"]))
    body, before = BODIES.get(pattern), snapshot(resting)
    others = client.token(" ".join(SCOPES - {scope}))
    refused = resting.org.answer(call(*asked, others, body))
    assert (refused.status, refused.content["errorCode"]) == (403, "E0000006")
    assert f'scope="{scope}"' in refused.headers["WWW-Authenticate"]
    assert snapshot(resting) == before
    assert resting.org.answer(call(*asked, client.token(scope), body)).status in {200, 201}


def test_a_call_without_a_token_is_refused(resting):
    answer = resting.org.answer(call("GET", USERS))
    assert (answer.status, answer.content["errorCode"]) == (401, "E0000011")
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
    assert not resting.org.journal[-1].authorized


def bad_tokens(sandbox, client):
    good, server = client.token("okta.users.read"), sandbox.org._tokens
    claims = jwt.decode(good, options={"verify_signature": False})
    yield TokenSigner().sign(claims, "JWT")
    yield jwt.encode(claims, "", "none")
    yield server._signer.sign({**claims, "aud": "https://other.example"}, "JWT")
    yield server._signer.sign({**claims, "iss": "https://other.example"}, "JWT")
    yield server._access_token(["okta.users.read"], life=-5)
    yield good[:-4]
    yield ""


def test_a_token_that_is_not_the_orgs_own_and_current_is_refused(resting, client):
    for token in bad_tokens(resting, client):
        assert resting.org.answer(call("GET", USERS, token)).status == 401


def test_a_second_authorization_field_or_another_scheme_is_refused(resting, client):
    good = client.token("okta.users.read")
    second = ((b"authorization", b"SSWS 00abc"),)
    assert resting.org.answer(call("GET", USERS, good, headers=second)).status == 401
    assert resting.org.answer(call("GET", USERS, headers=second)).status == 401
    assert resting.org.answer(call("GET", USERS, good)).status == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/policies"),
        ("GET", "/api/v1/users/"),
        ("GET", "/api/v1/users/00u1/"),
        ("DELETE", "/api/v1/users/00u1"),
        ("GET", "https://acme.okta.example/api/v1/users"),
    ],
)
def test_what_the_org_does_not_know_is_not_found(resting, client, method, path):
    answer = resting.org.answer(call(method, path, client.token(" ".join(SCOPES))))
    assert (answer.status, answer.content["errorCode"]) == (404, "E0000007")


def test_a_user_is_found_by_id_and_by_login(resting, client):
    token, user = client.token("okta.users.read"), somebody(resting)
    for name in (user["id"], user["profile"]["login"].replace("@", "%40")):
        assert resting.org.answer(call("GET", f"{USERS}/{name}", token)).content == user


def test_a_deactivation_happens_once(resting, client):
    token, user = client.token("okta.users.manage"), somebody(resting)
    path = f"{USERS}/{user['id']}/lifecycle/deactivate"
    answers = [resting.org.answer(call("POST", path, token)).status for _ in range(2)]
    assert (answers, user["status"]) == ([200, 400], "DEPROVISIONED")


def test_a_new_user_is_shown_without_the_password(resting, client):
    body = {**BODIES[USERS], "credentials": {"password": {"value": "correct horse"}}}
    token = client.token("okta.users.manage")
    answer = resting.org.answer(call("POST", USERS, token, body))
    assert answer.content["credentials"]["password"] == {}
    assert "correct horse" not in snapshot(resting) + repr(resting.org.journal)
    assert resting.org.answer(call("POST", USERS, token, body)).status == 400


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"profile":1}', b'{"profile":{}}'])
def test_a_user_without_a_profile_is_refused(resting, client, body):
    headers = call("POST", USERS, client.token("okta.users.manage")).headers
    before = snapshot(resting)
    assert resting.org.answer(Call("POST", USERS, "", headers, body)).status == 400
    assert snapshot(resting) == before


def test_every_application_has_a_secret_of_its_own(resting, client):
    answer = resting.org.answer(call("GET", "/api/v1/apps", client.token("okta.apps.read")))
    shown = [app["credentials"]["oauthClient"]["client_secret"] for app in answer.content]
    assert tuple(shown) == resting.org.client_secrets
    assert len(set(shown)) == len(shown) == 2


@pytest_twisted.ensureDeferred
async def test_the_journal_tells_what_arrived_over_tls_and_keeps_no_secret(sandbox, ask, client_of):
    client, where = client_of(sandbox), (sandbox.ca, HOST, sandbox.org.port)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    body = client.form("okta.users.read")
    asked = await ask(where, "POST", "/oauth2/v1/token", headers=form, body=body)
    token = asked[2]["access_token"]
    bearer = {"Authorization": f"Bearer {token}", "X-Trace": "7"}
    listed = await ask(where, "GET", f"{USERS}?limit=2", headers=bearer)
    refused = await ask(where, "GET", "/api/v1/groups", headers=bearer)
    assert (asked[0], listed[0], refused[0]) == (200, 200, 403)
    assert "insufficient_scope" in refused[1]["WWW-Authenticate"]
    first, second, third = sandbox.org.journal
    assert (first.path, first.status, first.authorized) == ("/oauth2/v1/token", 200, False)
    assert first.body_sha256 == hashlib.sha256(body).hexdigest()
    assert (second.method, second.path, second.query) == ("GET", USERS, "limit=2")
    assert second.scopes == third.scopes == frozenset({"okta.users.read"})
    assert (second.authorized, second.status, third.status) == (True, 200, 403)
    assert {"host", "authorization", "x-trace"} <= set(second.headers)
    assert token not in repr(sandbox.org.journal)


class ToTheSandbox(aiohttp.abc.AbstractResolver):
    """Sends every name to the sandbox's port, so that the org's URL can stay as it is."""

    def __init__(self, port):
        self.port = port

    async def resolve(self, host, port=0, family=socket.AF_INET):
        return [
            {
                "hostname": host,
                "host": "127.0.0.1",
                "port": self.port,
                "family": socket.AF_INET,
                "proto": 0,
                "flags": 0,
            }
        ]

    async def close(self):
        pass


async def tour(config, port, ca):
    """What the official SDK makes of each call; it signs its own client assertion."""
    from okta.client import Client as OktaClient  # noqa: PLC0415 - slow to import
    from okta.models import AssignRoleToUserRequest, CreateUserRequest  # noqa: PLC0415

    trust = ssl.create_default_context(cafile=ca)
    connector = aiohttp.TCPConnector(resolver=ToTheSandbox(port), ssl=trust)
    async with aiohttp.ClientSession(connector=connector) as session:
        okta = OktaClient(config)
        okta._request_executor.set_session(session)
        profile = {"login": "dora@acme.example", "email": "dora@acme.example"}
        role = AssignRoleToUserRequest.from_dict({"type": "HELP_DESK_ADMIN"})
        created = await okta.create_user(CreateUserRequest.from_dict({"profile": profile}))
        person = created[0].id
        return {
            "users": await okta.list_users(),
            "user": await okta.get_user("dora@acme.example"),
            "groups": await okta.list_groups(),
            "apps": await okta.list_applications(),
            "role": await okta.assign_role_to_user(person, role),
            "deactivated": await okta.deactivate_user(person),
            "again": await okta.deactivate_user(person),
        }


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest_twisted.ensureDeferred
async def test_the_official_sdk_understands_every_answer(sandbox):
    config = {
        "orgUrl": sandbox.org.url,
        "authorizationMode": "PrivateKey",
        "clientId": sandbox.client_id,
        "privateKey": sandbox.client_key.read_text(),
        "kid": sandbox.key_id,
        "scopes": sorted(SCOPES),
    }
    began = time.time()
    seen = await deferToThread(lambda: asyncio.run(tour(config, sandbox.org.port, str(sandbox.ca))))
    again = seen.pop("again")[-1]
    assert [outcome[-1] for outcome in seen.values()] == [None] * len(seen)
    users, apps = seen["users"][0], seen["apps"][0]
    assert len(users) == 4
    assert users[0].created.timestamp() == pytest.approx(began, abs=30)
    assert seen["user"][0].profile.login == "dora@acme.example"
    assert seen["groups"][0][0].profile.actual_instance.name == "Everyone"
    shown = tuple(app.credentials.oauth_client.client_secret for app in apps)
    assert shown == sandbox.org.client_secrets
    assert seen["role"][0].actual_instance.type == "HELP_DESK_ADMIN"
    assert seen["deactivated"][1].status_code == 200
    assert (again.status, again.error_code) == (400, "E0000001")
    assert [arrival.status for arrival in sandbox.org.journal] == [200] * 6 + [201, 200, 400]
