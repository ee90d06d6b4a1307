"""A host of the gateway's own in a target's place: with real clients that know of no proxy."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import ssl
import subprocess
import sys
from pathlib import Path

import httpx
import orjson
import pytest
import requests
from support.counterparts import TestCA
from support.gateway import GatewayProcess, settings, target, wait_for
from support.tokens import Tokens
from support.wire import Origin

USERS = b'[{"id":"00u1","profile":{"login":"ada@acme.example"}}]'
SDK = """
import asyncio, json, sys
from okta.client import Client

async def main():
    client = Client({
        "orgUrl": sys.argv[1],
        "token": sys.argv[2],
        "logging": {"enabled": False},
    })
    users, response, error = await client.list_users()
    *_, refused = await client.delete_user("00u2")
    return {
        "users": [each.profile.login for each in users or []],
        "error": str(error or ""),
        "refused": str(refused or ""),
    }

print(json.dumps(asyncio.run(main())))
"""


def answer(request, tls):
    """Pages of users, whose links name the target's own host."""
    link = (
        ""
        if "after=" in request.line
        else ('Link: <https://api.example/api/v1/users?after=1>; rel="next"\r\n')
    )
    head = f"HTTP/1.1 200 X\r\nContent-Type: application/json\r\n{link}"
    tls.sendall(f"{head}Content-Length: {len(USERS)}\r\n\r\n".encode() + USERS)
    return True


class Desk:
    """A gateway before an origin, and the certificate of its own host."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.front = TestCA.create(folder, name="front")
        self.tokens = Tokens(folder)
        self.ca = TestCA.create(folder, name="origin")
        self.origin = Origin(self.ca.leaf("api.example"), answer)
        leaf = self.front.leaf("localhost")
        for made, name in ((leaf.key, "front.key"), (leaf.cert, "front.pem")):
            shutil.move(made, self.folder / name)

    @property
    def settings(self):
        match = {"groups": ["it-agents"]}
        rules = [
            {"name": "all", "reason": "A test.", "match": match, "effect": "permit"},
            {
                "name": "none-deleted",
                "reason": "Nobody deletes.",
                "match": {"methods": ["DELETE"]},
                "effect": "deny",
            },
        ]
        (self.folder / "policy.yaml").write_bytes(orjson.dumps(rules))
        reverse = {
            "address": "127.0.0.1:0",
            "cert": "./front.pem",
            "key": "file:./front.key",
            "hosts": {"localhost": "api.example"},
        }
        listen = {"proxy": "127.0.0.1:0", "admin": "127.0.0.1:0", "reverse": reverse}
        far = target(self.origin.port, self.ca.pem, catalog="okta")
        return settings(self.folder, self.tokens.jwks, [far], listen=listen)

    @property
    def url(self) -> str:
        return f"https://localhost:{self.gateway.ports['reverse']}"


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    made = Desk(tmp_path_factory.mktemp("desk"))
    with made.origin, GatewayProcess(made.folder, made.settings) as made.gateway:
        yield made
    assert not [line for line in made.gateway.output if "Traceback" in line or "critical" in line]


def test_the_okta_sdk_with_another_url_and_its_own_token(desk):
    done = subprocess.run(
        [sys.executable, "-c", SDK, desk.url, desk.tokens.token()],
        env={**os.environ, "SSL_CERT_FILE": str(desk.front.pem)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seen = orjson.loads(done.stdout.splitlines()[-1])
    assert (seen["users"], seen["error"]) == (["ada@acme.example"], "")
    assert "Nobody deletes." in seen["refused"]


def test_httpx_follows_links_back_and_is_refused_in_the_target_s_form(desk):
    verify = ssl.create_default_context(cafile=str(desk.front.pem))
    token = desk.tokens.token()
    fields = {"Authorization": f"Bearer {token}", "Jitgate-Session": "run-1"}
    with httpx.Client(verify=verify, headers=fields, base_url=desk.url) as client:
        users = client.get("/api/v1/users")
        assert users.links["next"]["url"] == f"{desk.url}/api/v1/users?after=1"
        assert client.get(users.links["next"]["url"]).json()[0]["id"] == "00u1"
    with httpx.Client(verify=verify) as client:
        missing = client.get(f"{desk.url}/api/v1/users")
        bad = client.get(f"{desk.url}/api/v1/users", headers={"Authorization": "Bearer x.y.z"})
    assert (missing.status_code, bad.status_code) == (401, 401)
    assert missing.json()["errorCode"] == "jitgate:token-missing"
    assert bad.json()["errorCode"] == "jitgate:token-refused"
    assert not [each for each in desk.origin.received if token.encode() in each.head]
    assert not [each for each in desk.origin.received if b"run-1" in each.head]
    refused = wait_for(lambda: desk.gateway.entries("refused"))
    assert (refused[0]["denial"], refused[0]["near"]) == (
        "token-missing",
        desk.url.removeprefix("https://"),
    )


def test_requests_with_basic(desk):
    with requests.Session() as session:
        session.auth = ("run-2", desk.tokens.token())
        session.verify = str(desk.front.pem)
        for _ in range(2):
            # Beside a variable that names a bundle only what is given with the call counts.
            answer = session.get(f"{desk.url}/api/v1/users", timeout=20, verify=session.verify)
            assert answer.status_code == 200
    names = [each["name"] for each in desk.gateway.entries("tunnel")]
    assert names.count("run-2") == 1


def test_many_agents_at_once(desk):
    async def ask(client, number):
        token = desk.tokens.token(f"bot-{number % 5}")
        fields = {"Authorization": f"Bearer {token}"}
        return (await client.get(f"{desk.url}/api/v1/users/00u1", headers=fields)).status_code

    async def every():
        verify = ssl.create_default_context(cafile=str(desk.front.pem))
        async with httpx.AsyncClient(verify=verify, timeout=30) as client:
            return await asyncio.gather(*(ask(client, number) for number in range(40)))

    assert set(asyncio.run(every())) == {200}


@pytest.mark.needs_debian("curl")
def test_curl(desk):
    command = ["curl", "-sS", "--max-time", "20", "--cacert", str(desk.front.pem)]
    done = subprocess.run(
        [*command, "-u", f"run-3:{desk.tokens.token()}", f"{desk.url}/api/v1/users"],
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, USERS), done.stderr


def test_a_reload_brings_another_host_and_certificate(desk):
    changed = desk.settings
    hosts = changed["listen"]["reverse"]["hosts"]
    hosts["other.example"] = hosts.pop("localhost")
    leaf = desk.front.leaf("other.example")
    before = {name: (desk.folder / name).read_bytes() for name in ("front.key", "front.pem")}
    for made, name in ((leaf.key, "front.key"), (leaf.cert, "front.pem")):
        shutil.move(made, desk.folder / name)
    fields = {"Authorization": f"Bearer {desk.tokens.token()}"}

    def asked(name):
        verify = ssl.create_default_context(cafile=str(desk.front.pem))
        extensions = {"sni_hostname": name}
        with httpx.Client(verify=verify, headers=fields | {"Host": name}) as client:
            return client.get(f"{desk.url}/api/v1/users", extensions=extensions).status_code

    def reloaded(settings):
        before = len(desk.gateway.output)
        desk.gateway.config.write_bytes(orjson.dumps(settings))
        os.kill(desk.gateway.process.pid, signal.SIGHUP)
        # It is on record before it is gone by, and said after that.
        wait_for(lambda: any("Reloaded " in line for line in desk.gateway.output[before:]))

    try:
        reloaded(changed)
        assert asked("other.example") == 200
        with pytest.raises(httpx.ConnectError):
            asked("localhost")
    finally:
        for name, data in before.items():
            (desk.folder / name).write_bytes(data)
        reloaded(desk.settings)
    assert asked("localhost") == 200
