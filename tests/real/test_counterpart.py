"""The org that the credentials are proved against, held against Okta's own SDK and by hand.

Nothing of jitgate is in between here: what the org takes from Okta's SDK is what Okta takes, and
what its checker is there to refuse it does refuse.
"""

from __future__ import annotations

import subprocess
import sys
import time

import jwt
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from real.world import clean
from support.counterparts import LOOPBACK, Org
from support.proxies import Relay
from support.service_app import ServiceApp

USERS, GROUPS = "/api/v1/users", "/api/v1/groups"
READ = "okta.users.read"

SDK = """
import asyncio, json
from okta.client import Client as OktaClient

async def main(configuration):
    client = OktaClient(configuration)
    users, _, error = await client.list_users()
    groups, _, other = await client.list_groups()
    return [str(error), str(other), bool(users), bool(groups)]

print(json.dumps([asyncio.run(main(each)) for each in CONFIGURATIONS]))
"""


@pytest.fixture(autouse=True)
def from_the_seed(org):
    """An org that is well, and an empty journal."""
    org.tell()
    org.clear()


@pytest.fixture
def app(org):
    return ServiceApp(org, org.apps["bound"])


def configuration(org: Org, name: str) -> dict[str, object]:
    """What Okta's SDK for Python is told to be one of the org's apps by its own OAuth flow."""
    app = org.apps[name]
    return {
        "orgUrl": org.url,
        "authorizationMode": "PrivateKey",
        "clientId": app.client_id,
        "privateKey": str(app.private_key),
        "kid": app.kid,
        "scopes": ["okta.users.read", "okta.groups.read"],
        "dpopEnabled": app.dpop,
        "logging": {"enabled": False},
    }


def sdk(org: Org, *names: str) -> list[list[object]]:
    """What the SDK sees as one app after the other."""
    script = SDK.replace("CONFIGURATIONS", repr([configuration(org, name) for name in names]))
    with Relay((LOOPBACK, org.port)) as relay:
        host, port = relay.address
        env = {"HTTPS_PROXY": f"http://{host}:{port}", "SSL_CERT_FILE": str(org.ca)}
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", script],
            env=clean() | env,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    seen: list[list[object]] = orjson.loads(done.stdout)
    return seen


# --- the yardstick


def test_it_takes_what_the_sdk_sends_with_dpop_and_without_and_asks_it_for_nonces(org):
    """The SDK promises less than jitgate: an assertion for 50 minutes, one token for all calls."""
    org.tell(promises=False)
    assert sdk(org, "bound", "bearer") == [["None", "None", True, True]] * 2
    by_app: dict[str | None, list[object]] = {}
    for each in org.journal():
        by_app.setdefault(each.client, []).append((each.path, each.status))
    taken = [(USERS, 200), (GROUPS, 200)]
    assert by_app == {
        org.apps["bearer"].client_id: [(org.token_path, 200), *taken],
        org.apps["bound"].client_id: [
            (org.token_path, 400),  # use_dpop_nonce; the assertion counts as used
            (org.token_path, 200),
            (USERS, 401),  # the API's nonces are others than those of the token endpoint
            *taken,
        ],
    }


# --- what the checker refuses


def test_a_call_by_hand_is_taken(org, app):
    token = app.mint(READ)
    assert app.call("GET", USERS, token).status == 200
    assert app.ask(org.revoke_path, token=token).status == 200
    ids = [each.token for each in org.journal() if each.status == 200]
    assert len(ids) == 3
    assert len(set(ids)) == 1


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"exp": int(time.time()) + 3600}, "lives for"),
        ({"aud": "https://acme.okta.example"}, '"aud"'),
        ({"aud": "https://acme.okta.example/oauth2/v1/revoke"}, '"aud"'),
        ({"sub": "somebody"}, '"sub"'),
        ({"exp": 1}, '"exp"'),
        ({"iat": int(time.time()) + 3000, "exp": int(time.time()) + 3050}, "from the future"),
        ({"jti": ""}, "without a jti"),
    ],
)
def test_an_assertion_that_is_not_as_it_must_be_is_refused(org, app, claims, reason):
    wrong = app.assertion(org.token_path, **claims)
    reply = app.ask(org.token_path, wrong, grant_type="client_credentials", scope=READ)
    assert (reply.status, orjson.loads(reply.body)["error"]) == (401, "invalid_client")
    assert reason in org.journal()[-1].reason


def test_an_assertion_without_a_key_id_or_by_another_key_is_refused(org, app):
    other = ServiceApp(org, org.apps["bearer"])
    theirs = {"iss": org.apps["bound"].client_id, "sub": org.apps["bound"].client_id}
    for wrong in (app.assertion(org.token_path, {}), other.assertion(org.token_path, **theirs)):
        assert app.ask(org.token_path, wrong, scope=READ).status == 401


def test_an_assertion_is_used_once_even_where_a_nonce_was_asked_for(org, app):
    used = app.assertion(org.token_path)
    form = {"grant_type": "client_credentials", "scope": READ}
    first = app.ask(org.token_path, used, **form)
    assert orjson.loads(first.body)["error"] == "use_dpop_nonce"
    assert app.ask(org.token_path, used, **form).status == 401
    assert org.journal()[-1].reason == "the assertion was used before"


def test_a_scope_that_an_app_is_not_granted_is_refused(org, app):
    app.mint(READ)
    asked = {"grant_type": "client_credentials", "scope": "okta.apps.manage"}
    reply = app.ask(org.token_path, **asked)
    assert (reply.status, orjson.loads(reply.body)["error"]) == (400, "invalid_scope")


def test_a_token_for_one_operation_is_refused_for_another(org, app):
    token = app.mint(READ)
    assert app.call("GET", GROUPS, token).status == 403
    assert app.call("POST", USERS, app.mint(READ)).status == 403
    broad = app.mint(READ, "okta.groups.read")
    assert app.call("GET", GROUPS, broad).status == 403
    assert org.journal()[-1].reason == f"the token has {READ} beside what it is used for"


def test_a_token_is_used_once_and_only_reads_may_share_one(org, app):
    token = app.mint(READ)
    assert app.call("GET", USERS, token).status == 200
    assert app.call("GET", USERS, token).status == 401
    assert org.journal()[-1].reason == "the token was used before"
    org.tell(reuse=True)
    assert app.call("GET", USERS, token).status == 200
    write = app.mint("okta.users.manage")
    assert app.call("POST", USERS, write).status != 401
    assert app.call("POST", USERS, write).status == 401
    assert org.journal()[-1].reason == "the token was used before"


def test_a_token_is_refused_once_it_is_revoked_which_only_its_own_app_can_do(org, app):
    token = app.mint(READ)
    other = ServiceApp(org, org.apps["bearer"])
    assert other.ask(org.revoke_path, token=token).status == 400
    assert app.ask(org.revoke_path, token=token).status == 200
    assert app.call("GET", USERS, token).status == 401
    assert org.journal()[-1].reason == "a token that is revoked"


def test_a_token_is_refused_that_the_org_did_not_sign(org, app):
    claims = jwt.decode(app.mint(READ), options={"verify_signature": False})
    forged = jwt.encode(
        claims, ec.generate_private_key(ec.SECP256R1()), "ES256", headers={"typ": "at+jwt"}
    )
    assert app.call("GET", USERS, forged).status == 401


def test_a_bound_token_is_refused_without_its_key(org, app):
    token = app.mint(READ)
    assert app.send("GET", USERS, {"Authorization": f"Bearer {token}"}).status == 401
    other = ec.generate_private_key(ec.SECP256R1())
    assert app.call("GET", USERS, token, app.proof("GET", USERS, token, other)).status == 401
    assert org.journal()[-1].reason == "the proof is by another key"
    bearer = ServiceApp(org, org.apps["bearer"]).mint(READ)
    assert app.call("GET", USERS, bearer).status == 401
    assert org.journal()[-1].reason == "a token as DPoP"


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"htm": "POST"}, "for POST"),
        ({"htu": "https://acme.okta.example/api/v1/groups"}, "for https"),
        ({"ath": "another"}, "another token"),
        ({"iat": int(time.time()) - 600}, "clock is off by"),
        ({"jti": ""}, "without a jti"),
        ({"nonce": "made-up"}, "a nonce of the org"),
    ],
)
def test_a_proof_that_is_not_for_this_request_is_refused(org, app, claims, reason):
    token = app.mint(READ)
    right = {"nonce": app.api_nonce(token)}
    wrong = app.proof("GET", USERS, token, **{**right, **claims})
    assert app.call("GET", USERS, token, wrong).status == 401
    assert reason in org.journal()[-1].reason
    assert app.call("GET", USERS, token, app.proof("GET", USERS, token, **right)).status == 200


def test_a_proof_is_used_once(org, app):
    org.tell(reuse=True)
    token = app.mint(READ)
    proof = app.proof("GET", USERS, token, nonce=app.api_nonce(token))
    assert app.call("GET", USERS, token, proof).status == 200
    assert app.call("GET", USERS, token, proof).status == 401
    assert org.journal()[-1].reason == "the proof was used before"


def test_a_nonce_counts_until_the_api_has_another(org, app):
    token = app.mint(READ)
    old = app.api_nonce(token)
    org.rotate()
    proof = app.proof("GET", USERS, token, nonce=old)
    reply = app.call("GET", USERS, token, proof)
    assert (reply.status, reply.header("DPoP-Nonce") == old) == (401, False)
    assert 'error="use_dpop_nonce"' in str(reply.header("WWW-Authenticate"))
    assert app.call("GET", USERS, token).status == 200
