"""No secret stands in anything that anybody can read, whatever happens to the calls.

One session with all that there is: calls that are permitted, reviewed, denied and challenged, a
token endpoint with every fault, targets that tell the agent all that they were sent, a gateway that
is killed and comes back. Then every byte that the agent was sent is looked through, and all that
was logged, recorded, stored and shown, for every secret that was in play.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, quote_plus

import jwt
import orjson
import pytest
from real.lending import APPS, DEACTIVATE, SECRET, Lending, lending_in
from support.canary import Canary, files_under
from support.counterparts import Org
from support.gateway import GatewayProcess, health, wait_for
from support.vault import Vault, vault_in
from support.wire import Received, Tunnel

USER = b'{"profile":{"login":"c@acme.example","email":"c@acme.example"}}'
ROLE = b'{"type":"USER_ADMIN"}'

PASSWORD = 'pass/word+that="nobody=knows'
KEPT = "kept-in-a-vault/0001=+"
"""What else the other target knows the gateway by, under two more names of its host."""

KINDS: Mapping[object, str] = {
    "at+jwt": "an access token",
    "dpop+jwt": "a proof",
    None: "an assertion",
}
"""What a JWT is, by its type."""

FAULTS: tuple[Mapping[str, object], ...] = (
    {"token": "down"},
    {"token": "cut"},
    {"token": "broken"},
    {"token": {"scope": "okta.roles.manage"}},
    {"token": "nonces"},
    {"clock": 600},
)


class Agent:
    """Keeps every byte that it was sent."""

    def __init__(self, lending: Lending) -> None:
        self.gateway = lending.gateway
        self.token = lending.agent
        self.heard = b""

    def ask(self, method: str, path: str, body: bytes = b"", host: str = Org.host) -> bytes:
        """Make a call in a tunnel of its own, and read until that ends."""
        head = [
            f"{method} {path} HTTP/1.1",
            f"Host: {host}",
            "Connection: close",
            "Prefer: respond-async",
            "Authorization: SSWS00dummytoken",
            *(["Content-Type: application/json"] if body else []),
            *([f"Content-Length: {len(body)}"] if method == "POST" else []),
        ]
        way = (self.gateway.proxy, self.gateway.ca, self.token, f"{host}:443", host)
        with Tunnel(*way) as tunnel:
            tunnel.send("\r\n".join([*head, "", ""]).encode() + body)
            answer = b"".join(iter(lambda: tunnel.tls.recv(65536), b""))
        self.heard += tunnel.answer + answer
        return answer


@dataclass(frozen=True)
class Session:
    """What came of it: all that can be read, by where, and what must not stand there."""

    places: Mapping[str, bytes]
    canary: Canary
    used: frozenset[str]
    """The ids of the tokens."""


def echoing(request: Received, tls: ssl.SSLSocket) -> bool:
    """A target that tells whoever calls what it was sent, as encoders of all kinds spell it."""
    head = request.head.decode("latin-1")
    known = str(request.header("Authorization"))
    whole = orjson.dumps({"head": head, "url": quote(known), "whole": quote(known, safe="")})
    body = whole + whole.replace(b"/", b"\\/") + request.head
    fields = f"X-Echo: {known}\r\nLocation: {request.line}\r\nContent-Type: text/plain\r\n"
    length = f"Content-Length: {len(body)}\r\n\r\n"
    tls.sendall(f"HTTP/1.1 200 {known}\r\n{fields}{length}".encode() + body)
    return True


def permitted_and_denied(lending: Lending, agent: Agent) -> None:
    wait_for(lambda: b" 200 " in agent.ask("GET", "/api/v1/users"))
    lending.org.tell(reuse=True)
    for _ in range(2):
        assert b"Everyone" in agent.ask("GET", "/api/v1/groups")
    assert b"c@acme.example" in agent.ask("POST", "/api/v1/users", USER)
    assert b"Groups stay" in agent.ask("DELETE", "/api/v1/groups/00g1")
    assert b"is no operation" in agent.ask("GET", "/api/v1/unknown")
    assert b"invalid_scope" in agent.ask("GET", "/api/v1/apps")
    lending.org.rotate()
    assert b"Send it again" in agent.ask("POST", "/api/v1/users/00u1/roles", ROLE)
    lending.org.tell(nonces="never")
    assert b"Send it again" in agent.ask("GET", "/api/v1/users")
    lending.org.tell()


def reviewed(lending: Lending, agent: Agent) -> bytes:
    """An approval that every fault leaves as it was, until it is used; what the approver saw."""
    assert b" 202 " in agent.ask("POST", DEACTIVATE)
    approver = lending.approver
    request = approver.next()["id"]
    seen = [approver.run("requests"), approver.run("requests", request)]
    seen += [approver.run("approve", request, "--reason", "Seen"), approver.run("grants")]
    for told in FAULTS:
        lending.org.tell(**told)
        assert b"errorSummary" in agent.ask("POST", DEACTIVATE), told
        lending.org.tell()
        agent.ask("GET", "/api/v1/users")  # the token endpoint is not left alone
    assert b" 200 " in agent.ask("POST", DEACTIVATE)
    return "".join(each.stdout + each.stderr for each in seen).encode()


def echoed(lending: Lending, agent: Agent) -> None:
    for kind in ("body", "page"):
        lending.org.tell(echo=kind)
        assert b"********" in agent.ask("GET", "/api/v1/users")
        assert b"********" in agent.ask("POST", "/api/v1/users", USER)
    lending.things.handler = echoing
    for host in ("api.example", "basic.example", "kept.example"):
        assert b"********" in agent.ask("GET", "/things", host=host)
        assert b"********" in agent.ask("POST", "/things", USER, host=host)


def killed_and_back(lending: Lending, agent: Agent) -> dict[str, bytes]:
    """While a token waits to be revoked, and another is shared; what was left lying about."""
    lending.org.tell(revoke="broken")
    assert b" 200 " in agent.ask("GET", "/api/v1/users")
    wait_for(lambda: len(lending.journal(lending.org.revoke_path)) > 1)
    lending.org.tell(reuse=True)
    gateway = lending.gateway
    os.killpg(gateway.process.pid, signal.SIGKILL)
    gateway.process.wait(10)
    left = {f"{name}, once it was killed": it for name, it in files_under(gateway.folder).items()}
    left["the log until it was killed"] = "".join(gateway.output).encode()
    with GatewayProcess(gateway.folder, lending.made) as back:
        agent.gateway = back
        wait_for(lambda: b" 200 " in agent.ask("GET", "/api/v1/users"))
        left["the health page"] = orjson.dumps(health(back))
    left["the log from then on"] = "".join(back.output).encode()
    return left


def all_that_is_secret(lending: Lending) -> Canary:
    canary = Canary()
    for each in lending.org.journal():
        for secret in filter(None, each.secrets):
            canary.keep_jwt(KINDS[jwt.get_unverified_header(secret).get("typ")], secret)
    for name in APPS:
        canary.keep_key(f"the key of the {name}", lending.org.apps[name].private_key)
    canary.keep("the token of another target", SECRET)
    canary.keep("the token of another target", SECRET.removeprefix("Bearer "))
    canary.keep("the password at another target", PASSWORD)
    canary.keep("what a vault keeps", KEPT)
    canary.keep_jwt("the agent's own token", lending.agent)
    return canary


@pytest.fixture(scope="module")
def session(tmp_path_factory, org):
    org.tell()
    org.reset()
    org.clear()
    folder = tmp_path_factory.mktemp("canary")
    (kept := folder / "vault").mkdir()
    with vault_in(kept) as vault:
        vault.put(token=KEPT)
        role, opens = vault.role("gateway", "1h")
        others = other_credentials(folder, vault, role, opens)
        with lending_in(folder, org, others) as lending:
            agent = Agent(lending)
            permitted_and_denied(lending, agent)
            approver = reviewed(lending, agent)
            echoed(lending, agent)
            places = {
                **killed_and_back(lending, agent),
                **files_under(lending.gateway.folder),
                "all that the agent was sent": agent.heard,
                "all that the approver saw": approver,
            }
            canary = all_that_is_secret(lending)
            canary.keep("what opens the vault", opens)
            used = frozenset(str(each.token) for each in lending.calls())
            yield Session(places, canary, used)


def other_credentials(
    folder: Path, vault: Vault, role: str, opens: str
) -> dict[str, dict[str, object]]:
    """A password, and a secret that a vault keeps, by the hosts that they are for."""
    files = {"password": PASSWORD, "opens": opens}
    for name, secret in files.items():
        file = folder / name
        file.touch(mode=0o600)
        file.write_text(secret)
    basic = {"username": "jitgate", "password": f"file:{folder / 'password'}"}
    by_role = {"approle": {"role_id": role, "secret_id": f"file:{folder / 'opens'}"}}
    kept = {
        "type": "vault",
        "address": vault.address,
        "dial": f"127.0.0.1:{vault.port}",
        "trust": str(vault.ca),
        "auth": by_role,
        "path": "apis/github",
        "field": "token",
        "as": {"query": "api_key"},
    }
    return {"basic.example": {"type": "static", "basic": basic}, "kept.example": kept}


@pytest.fixture(autouse=True)
def from_the_seed():
    """Nothing here is of the estate that other tests seed anew."""


def test_no_secret_stands_in_anything_that_anybody_can_read(session):
    assert session.canary.found(session.places) == set()


def test_all_that_was_in_play_is_looked_for_in_all_that_can_be_read(session):
    assert session.canary.kept == {
        *KINDS.values(),
        *(f"the key of the {name}" for name in APPS),
        "the token of another target",
        "the password at another target",
        "what a vault keeps",
        "what opens the vault",
        "the agent's own token",
    }
    records = b"".join(it for name, it in session.places.items() if name.endswith(".jsonl"))
    assert [each for each in session.used if each.encode() not in records] == []
    held = {name for name, whole in session.places.items() if whole}
    assert {name.rpartition(".")[2] for name in held} >= {"jsonl", "sqlite"}
    assert held >= {
        "all that the agent was sent",
        "all that the approver saw",
        "the health page",
        "the log until it was killed",
        "the log from then on",
    }


ENCODERS = (
    str,
    json.dumps,
    lambda it: json.dumps(it).replace("/", "\\/"),
    lambda it: json.dumps(it).replace("=", "\\u003D").replace("+", "\\u002B"),
    quote,
    quote_plus,
    lambda it: quote(it, safe="").replace("%2F", "%2f"),
    *(lambda it, n=n: base64.b64encode(f"{'run:'[:n]}{it}:".encode()).decode() for n in range(4)),
    lambda it: base64.urlsafe_b64encode(it.encode()).decode(),
)


def test_a_secret_that_stood_anywhere_would_be_found(session):
    for place, whole in session.places.items():
        assert planted(session, place, whole, SECRET)


def test_a_secret_would_be_found_however_it_is_spelled(session):
    place = "all that the agent was sent"
    for encode in ENCODERS:
        assert planted(session, place, session.places[place], encode(SECRET))


def planted(session: Session, place: str, whole: bytes, text: str) -> bool:
    """Whether the other target's token is found, and nothing else, once it stands there."""
    middle = len(whole) // 2
    spoilt = whole[:middle] + text.encode() + whole[middle:]
    return session.canary.found({place: spoilt}) == {("the token of another target", place)}
