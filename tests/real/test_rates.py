"""Okta's own SDKs wait by themselves for what the org said it has no room for, and send again."""

from __future__ import annotations

import ssl
import subprocess
import sys
import time
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path

import orjson
import pytest
from real.test_okta_sdk import SDK
from real.world import clean, play
from support.counterparts import TestCA
from support.gateway import GatewayProcess, settings, target
from support.tokens import Tokens
from support.wire import Origin, Received

HOST = "acme.okta.example"
WINDOW = 6
"""Seconds that are left of the org's window."""


@dataclass
class Busy:
    """An org that says, once, that nothing is left of its window, and what it answered."""

    remaining: list[int] = field(default_factory=lambda: [0])

    def answer(self, request: Received, tls: ssl.SSLSocket) -> bool:
        now = int(time.time())
        remaining = self.remaining.pop() if self.remaining else 90
        user = {"id": "00u1", "profile": {"login": "alice@acme.example"}}
        body = orjson.dumps([user])
        fields = {
            "Content-Type": "application/json",
            "Date": formatdate(now, usegmt=True),
            "X-Rate-Limit-Limit": 100,
            "X-Rate-Limit-Remaining": remaining,
            "X-Rate-Limit-Reset": now + WINDOW,
            "Content-Length": len(body),
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        tls.sendall(f"HTTP/1.1 200 OK\r\n{head}\r\n".encode() + body)
        return True


@dataclass
class Office:
    """The gateway before it, and what an agent is given."""

    gateway: GatewayProcess
    origin: Origin
    environment: dict[str, str]

    def check(self, calls: int) -> None:
        """The agent saw its answers, the org no more than the calls, and the record one wait."""
        assert [each.line for each in self.origin.received] == [
            self.origin.received[0].line
        ] * calls
        told = [each.get("denial") for each in self.gateway.entries("outcome")]
        assert told == [None, "target-busy", *[None] * (calls - 1)]


@pytest.fixture
def office(tmp_path: Path):
    tokens, ca = Tokens(tmp_path), TestCA.create(tmp_path, name="org")
    secret = tmp_path / "secret"
    secret.touch(mode=0o600)
    secret.write_text("SSWS the-gateways-own")
    static = {"type": "static", "header": "Authorization", "value": f"file:{secret}"}
    with Origin(ca.leaf(HOST), Busy().answer) as origin:
        okta = target(
            origin.port, ca.pem, name="okta", hosts=[HOST], catalog="okta", credential=static
        )
        with GatewayProcess(tmp_path, settings(tmp_path, tokens.jwks, [okta])) as gateway:
            host, port = gateway.proxy
            given = {
                "HTTPS_PROXY": f"http://sdk-run:{tokens.token()}@{host}:{port}",
                "SSL_CERT_FILE": str(gateway.ca),
                "NODE_EXTRA_CA_CERTS": str(gateway.ca),
            }
            yield Office(gateway, origin, clean() | given)


LISTS = """
found = []
for _ in range(3):
    users, response, error = await client.list_users()
    found.append([str(error or ""), [user.profile.login for user in users or []]])
return found
"""


def test_the_sdk_for_python_waits_and_sends_again_by_itself(office):
    lines = "\n    ".join(LISTS.strip().splitlines())
    script = SDK.replace("BODY", lines).replace("RAISE", "False")
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=office.environment | {"PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert orjson.loads(done.stdout) == [["", ["alice@acme.example"]]] * 3
    office.check(3)


def test_the_sdk_for_node_does_as_well(office, npm):
    told = play(npm, "with_okta.mjs", office.environment, "several")
    assert told["several"]["said"] == [1] * 8
    office.check(8)
