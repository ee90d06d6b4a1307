"""The official Okta SDK for longer than its tokens live, in one process that is never restarted.

The issuer is npm's oidc-provider; `jitgate exec` asks it for another token by itself.
"""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import datetime

import jwt
import orjson
import pytest
from real.conftest import estate_in

LIFE = 10
"""Seconds that a token lives."""

TOKEN = """
import base64, json, ssl, sys, urllib.request
url, ca, client, secret, kept = sys.argv[1:]
login = base64.b64encode(f"{client}:{secret}".encode()).decode()
asked = urllib.request.Request(
    f"{url}/token", b"grant_type=client_credentials", {"Authorization": f"Basic {login}"}
)
context = ssl.create_default_context(cafile=ca)
with urllib.request.urlopen(asked, context=context) as answer:
    token = json.load(answer)["access_token"]
with open(kept, "a") as file:
    print(token, file=file)
print(token)
"""

SDK = """
import asyncio, json, os, sys, time
from okta.client import Client as OktaClient

async def main():
    client = OktaClient({"orgUrl": "https://acme.okta.example", "token": "00dummytoken"})
    until, seen = time.monotonic() + float(sys.argv[1]), []
    while time.monotonic() < until or not seen:
        users, response, error = await client.list_users()
        seen.append(str(error) if error else len(users) > 1)
        await asyncio.sleep(0.5)
    return {"pid": os.getpid(), "seen": seen, "holds": sorted(os.environ)}

print(json.dumps(asyncio.run(main())))
"""


@pytest.fixture(autouse=True)
def from_the_seed():
    """The org is this module's own."""


@pytest.fixture(scope="module")
def brief(tmp_path_factory):
    with estate_in(tmp_path_factory.mktemp("brief"), "RS256", ttl=LIFE) as made:
        yield made


def test_the_okta_sdk_outlives_two_of_its_tokens_without_a_restart(brief, tmp_path):
    kept = tmp_path / "tokens"
    script = tmp_path / "token.py"
    script.write_text(TOKEN)
    agent = brief.issuer.agents["it-agent"]
    command = [sys.executable, script, brief.issuer.url, brief.issuer.ca]
    command += [agent.client_id, agent.client_secret, kept]
    host, port = brief.gateway.proxy
    done = subprocess.run(
        [
            *(sys.executable, "-m", "jitgate", "exec", "--proxy", f"http://{host}:{port}"),
            *("--ca", brief.gateway.ca, "--name", "two-lives"),
            *("--token-command", " ".join(map(str, command))),
            *("--", sys.executable, "-W", "ignore", "-c", SDK, f"{2 * LIFE + 4}"),
        ],
        env={name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = orjson.loads(done.stdout.splitlines()[-1])
    assert set(told["seen"]) == {True}
    tokens = kept.read_text().split()
    claims = [jwt.decode(each, options={"verify_signature": False}) for each in tokens]
    assert {each["exp"] - each["iat"] for each in claims} == {LIFE}
    assert len(set(tokens)) == len(tokens) >= 3
    decisions = brief.gateway.entries("decision")
    begun, ended = (datetime.fromisoformat(decisions[at]["time"]) for at in (0, -1))
    assert (ended - begun).total_seconds() > 2 * LIFE
    assert len(decisions) == len(told["seen"]) >= 3
    assert {each["effect"] for each in decisions} == {"permit"}
    assert {each["subject"]["id"] for each in decisions} == {"it-agent"}
    assert len({each["session"] for each in decisions}) == 1
    assert not [each for each in tokens if each in done.stdout + done.stderr]
