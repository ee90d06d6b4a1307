"""The programs of docs/identity get a token from who gives them, and the gateway takes it.

Who gives them is a server of this test's, over plain HTTP, which takes only what each vendor's own
would. What needs a cluster or a vendor's tool is not run: docs/README.md says which.
"""

from __future__ import annotations

import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from support.jwts import SigningKey, jwk_set
from support.pages import block, blocks, commands, shell, typed
from support.self_signed import pem

pytestmark = pytest.mark.needs_debian("curl", "jq")

ISSUERS_KEY, AGENTS_KEY = SigningKey.rs256("k1"), SigningKey.rs256("a1")
AROUND = """
state: ./var
targets: [{name: api, hosts: [api.example], catalog: none, credential: {type: none}}]
policy: [./policy.yaml]
"""
TENANT, API = "11111111-2222-3333-4444-555555555555", "99999999-8888-7777-6666-555555555555"
OKTA = "https://acme.okta.com/oauth2/aus1a2b3c4d5e6f7g8h9"


def of_okta(seen):
    assertion = seen.form.pop("client_assertion")
    client = jwt.decode(
        assertion, AGENTS_KEY.private.public_key(), ["RS256"], audience=f"{OKTA}/v1/token"
    )
    assert client["iss"] == client["sub"]
    assert client["exp"] - client["iat"] <= 3600
    assert client["jti"]
    assert seen.form == {
        "grant_type": "client_credentials",
        "scope": "it-agents",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    }
    me = {"sub": client["sub"], "cid": client["sub"], "groups": ["it-agents"]}
    return {"access_token": me | {"aud": "jitgate", "iss": OKTA}}


def of_entra(seen):
    assert seen.headers["Metadata"] == "true"
    assert seen.query["api-version"]
    claims = {"sub": "a-1", "oid": "a-1", "tid": TENANT, "ver": "1.0", "appid": "c-1"}
    claims |= {"appidacr": "1", "idtyp": "app", "roles": ["it-agents"]}
    issuer = f"https://sts.windows.net/{TENANT}/"
    return {"access_token": claims | {"aud": seen.query["resource"], "iss": issuer}}


def of_github(seen):
    assert seen.headers["Authorization"] == "bearer of-the-job"
    claims = {"sub": "repo:acme/it-agent:environment:jitgate", "repository": "acme/it-agent"}
    claims |= {"repository_owner_id": "12345678", "repository_id": "87654321"}
    claims |= {"environment": "jitgate", "ref": "refs/heads/main", "event_name": "schedule"}
    issuer = "https://token.actions.githubusercontent.com"
    return {"value": claims | {"aud": seen.query["audience"], "iss": issuer}}


def of_auth0(seen):
    assert {"client_id", "client_secret"} < set(seen.form)
    assert seen.form["grant_type"] == "client_credentials"
    claims = {"sub": "c-1@clients", "azp": "c-1", "gty": "client-credentials"}
    claims |= {"permissions": ["it-agents"], "aud": seen.form["audience"]}
    return {"access_token": claims | {"iss": "https://acme.eu.auth0.com/"}}


def of_keycloak(seen):
    assert seen.form["client_secret"]
    assert seen.form["grant_type"] == "client_credentials"
    claims = {"sub": "u-1", "azp": seen.form["client_id"], "typ": "Bearer"}
    claims |= {"realm_access": {"roles": ["it-agents"]}, "aud": "jitgate"}
    return {"access_token": claims | {"iss": "https://keycloak.acme.com/realms/agents"}}


GIVERS = {
    f"{urlsplit(OKTA).path}/v1/token": of_okta,
    "/metadata/identity/oauth2/token": of_entra,
    "/github": of_github,
    "/oauth/token": of_auth0,
    "/realms/agents/protocol/openid-connect/token": of_keycloak,
}


class Giver(BaseHTTPRequestHandler):
    """Signs the claims that belong to a request, or says what is wrong with it."""

    def do_GET(self):
        self.do_POST()

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        place = urlsplit(self.path)
        self.query = {name: only for name, (only,) in parse_qs(place.query).items()}
        self.form = {name: only for name, (only,) in parse_qs(body).items()}
        try:
            ((name, claims),) = GIVERS[place.path](self).items()
            now = int(time.time())
            token = ISSUERS_KEY.sign(claims | {"iat": now, "exp": now + 600, "jti": "j-1"})
            status, answer = 200, {name: token}
        except (AssertionError, LookupError, jwt.PyJWTError) as wrong:
            status, answer = 400, {"error": f"{wrong!r}"}
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def giver():
    with ThreadingHTTPServer(("127.0.0.1", 0), Giver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


PROGRAMS = {
    "okta": ("#!/usr/bin/env python3", 0, "okta-token"),
    "entra": ("#!/bin/sh", 1, "entra-token"),
    "github-actions": ("#!/bin/sh", 0, "ci/token"),
    "others": ("curl -sSf https://acme.eu.auth0.com", 0, "token"),
    "others-1": ("curl -sSf https://keycloak.acme.com", 1, "token"),
}
"""The program of a page, the entry there that takes its token, and what it is called."""


@pytest.mark.parametrize("name", PROGRAMS)
def test_what_a_program_prints_is_taken(name, giver, tmp_path):
    begins, entry, called = PROGRAMS[name]
    page = f"docs/identity/{name.removesuffix('-1')}.md"
    program = tmp_path / called
    program.parent.mkdir(exist_ok=True)
    (tmp_path / "okta.pem").write_bytes(pem(AGENTS_KEY.private))
    text = block(page, begins).replace("/etc/it-agent/okta.pem", f"{tmp_path / 'okta.pem'}")
    # The okta-token signs the address for which its assertion is: that stays as it is.
    text = text.replace("urlopen(URL", f"urlopen(URL.replace({OKTA[:21]!r}, {giver!r})")
    vendors = (
        r"http://169\.254\.169\.254|https://(?:acme\.eu\.auth0|keycloak\.acme)\.com(?=/\S*token )"
    )
    text = re.sub(vendors, giver, text)
    program.write_text(text)
    program.chmod(0o700)
    _config(page, entry, tmp_path)
    env = {
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "of-the-job",
        "ACTIONS_ID_TOKEN_REQUEST_URL": f"{giver}/github?api-version=2.0",
    }
    (checking, *_) = commands(block(page, f"./{called} |" if "/" not in called else f"{called} |"))
    printing, _, check = checking.partition(" | ")
    done = shell(printing if name != "others" else f"./{called}", tmp_path, env)
    assert done.code == 0, done.err
    (tmp_path / "printed").write_text(done.out)
    # ``--fetch`` would have the keys from the issuer; here they are in a file.
    said = typed(f"{check.removesuffix(' --fetch')} < printed", tmp_path)
    assert said.code == 0, said.out + said.err


def _config(page, entry, folder):
    """The page's entry, which has the issuer's keys from a file."""
    shown = [each.text for each in blocks(page) if each.kind == "yaml"][entry]
    (folder / "jwks.json").write_bytes(jwk_set(ISSUERS_KEY.jwk()))
    (folder / "policy.yaml").write_text("[]")
    keyed = re.sub(r"( +)audience: .*\n", r"\g<0>\1jwks: ./jwks.json\n", shown)
    (folder / "jitgate.yaml").write_text(keyed.rstrip() + "\n" + AROUND)
