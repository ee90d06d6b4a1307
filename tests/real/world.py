"""What clients are tried against: httpbin, GitHub, Slack and Microsoft Graph, behind one gateway.

httpbin is served by gunicorn; the others are npm's emulate under the names that the clients have
built in.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from support.counterparts import (
    GITHUB,
    GITHUB_TOKEN,
    LOOPBACK,
    NODE,
    Services,
    TestCA,
)
from support.gateway import GatewayProcess, settings, target
from support.tokens import Tokens

from jitgate.forwarding.environment import variables

PROGRAMS = Path(__file__).parent / "programs"

SLACK_TOKEN = "xoxb-the-gateways-own"
GRAPH_TOKEN = "graph-token-of-the-gateway"

SERVICES: Mapping[str, Mapping[str, object]] = {
    "api.github.com": GITHUB,
    "slack.com": {
        "service": "slack",
        "seed": {
            "tokens": {SLACK_TOKEN: {"login": "U000000001", "scopes": []}},
            "slack": {
                "users": [{"name": "ada", "email": "ada@acme.example"}],
                "channels": [{"name": "alerts"}],
            },
        },
    },
    "graph.microsoft.com": {
        "service": "microsoft",
        "seed": {
            "tokens": {GRAPH_TOKEN: {"login": "ada@acme.example", "scopes": ["User.Read"]}},
            "microsoft": {"users": [{"email": "ada@acme.example", "name": "Ada Lovelace"}]},
        },
    },
}

POLICY = [
    {
        "name": "nothing-is-deleted",
        "reason": "Agents delete nothing",
        "match": {"methods": ["DELETE"]},
        "effect": "deny",
    },
    {
        "name": "messages-stay",
        "reason": "Messages stay where they are",
        "match": {"paths": ["/api/chat.delete"]},
        "effect": "deny",
    },
    {
        "name": "private-things-are-masked",
        "reason": "Everybody may read and write, but for what is private",
        "match": {
            "paths": [
                *("/json", "/anything", "/users/{login}", "/api/users.list", "/v1.0/me"),
                *("/gzip", "/deflate", "/brotli", "/in-html/user/repos"),
            ],
            "groups": ["it-agents"],
        },
        "effect": "permit",
        "mask": "private",
    },
    {
        "name": "all-else",
        "reason": "Nothing in it is private",
        "match": {"groups": ["it-agents"]},
        "effect": "permit",
    },
]
MASKING = [{"profile": "private", "names": ["author", "email", "mail"]}]


@dataclass(frozen=True)
class Told:
    """What a client program said, scenario by scenario, and what the gateway recorded meanwhile."""

    scenarios: Mapping[str, Mapping[str, Any]]
    entries: Sequence[Mapping[str, Any]]

    def __getitem__(self, scenario: str) -> Any:
        """What the scenario returned; it must have returned."""
        told = self.scenarios[scenario]
        assert "said" in told, told
        return told["said"]

    def raised(self, scenario: str) -> str:
        """Name and text of what the client raised; it must have raised."""
        told = self.scenarios[scenario]
        assert "raised" in told, told
        return f"{told['raised']}: {told['text']}"

    def calls(self, method: str, url: str) -> int:
        """How often such a call arrived at the gateway."""
        operations = [each["operation"] for each in self.entries if each["type"] == "decision"]
        return sum((each["method"], each["url"]) == (method, url) for each in operations)

    @property
    def tunnels(self) -> int:
        """How many tunnels were opened."""
        return sum(each["type"] == "tunnel" for each in self.entries)

    @property
    def outcomes(self) -> int:
        """How many calls were answered."""
        return sum(each["type"] == "outcome" for each in self.entries)


@dataclass(frozen=True)
class World:
    """All of it, running."""

    gateway: GatewayProcess
    services: Services
    tokens: Tokens
    npm: Path

    def environment(self, token: str | None = None) -> dict[str, str]:
        """What `jitgate env` prints, and little beside; ``token``: another one, none if empty."""
        host, port = self.gateway.proxy
        token = self.tokens.token() if token is None else token
        user = f"run:{token}@" if token else ""
        return clean() | variables(f"http://{user}{host}:{port}", self.gateway.ca)

    def play(self, program: str, *scenarios: str, token: str | None = None) -> Told:
        """Run a client program."""
        before = len(self.gateway.all_entries())
        told = play(self.npm, program, self.environment(token), *scenarios)
        return Told(told, self.gateway.all_entries()[before:])

    def play_in_exec(self, program: str, *scenarios: str) -> Told:
        """Run a client program by `jitgate exec`, with no variable of ours but its own."""
        token = self.gateway.folder / "agent.token"
        token.touch(mode=0o600)
        token.write_text(self.tokens.token())
        host, port = self.gateway.proxy
        under = [
            *(sys.executable, "-m", "jitgate", "exec", "--config", str(self.gateway.config)),
            *("--proxy", f"http://{host}:{port}", "--token-file", str(token), "--"),
        ]
        before = len(self.gateway.all_entries())
        told = play(self.npm, program, clean(), *scenarios, under=under)
        return Told(told, self.gateway.all_entries()[before:])


def clean() -> dict[str, str]:
    """Nothing but what a program needs to start."""
    return {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}


def play(
    npm: Path,
    program: str,
    environment: Mapping[str, str],
    *scenarios: str,
    under: Sequence[str] = (),
    patience: float = 110,
) -> dict[str, dict[str, Any]]:
    """What a client program tells, by scenario. ``npm`` is where Node's programs are.

    ``under`` is a command that runs it.
    """
    command = [NODE, npm / program] if program.endswith(".mjs") else [sys.executable, program]
    done = subprocess.run(
        [*under, *command, *scenarios],
        cwd=PROGRAMS,
        env=environment,
        capture_output=True,
        text=True,
        timeout=patience,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, dict[str, Any]] = orjson.loads(done.stdout)
    return told


@contextmanager
def world_in(folder: Path, npm: Path) -> Iterator[World]:
    """Start everything in ``folder``."""
    tokens = Tokens(folder)
    (folder / "policy.yaml").write_bytes(orjson.dumps(POLICY))
    (folder / "masking.yaml").write_bytes(orjson.dumps(MASKING))
    with (
        httpbin_in(folder) as httpbin,
        unheard() as down,
        Services.start(folder, SERVICES) as services,
    ):
        targets = [
            target(httpbin[0], httpbin[1], name="httpbin", hosts=["httpbin.example"]),
            target(down, httpbin[1], name="down", hosts=["down.example"]),
            *(
                target(
                    services.port,
                    services.ca,
                    name=host.removesuffix(".com").replace(".", "-"),
                    hosts=[host],
                    credential=_static(folder, host, token),
                )
                for host, token in (
                    ("api.github.com", GITHUB_TOKEN),
                    ("slack.com", SLACK_TOKEN),
                    ("graph.microsoft.com", GRAPH_TOKEN),
                )
            ),
        ]
        made = settings(folder, tokens.jwks, targets, masking=[str(folder / "masking.yaml")])
        with GatewayProcess(folder, made) as gateway:
            yield World(gateway, services, tokens, npm)


def _static(folder: Path, host: str, token: str) -> dict[str, str]:
    secret = folder / f"{host}.token"
    secret.touch(mode=0o600)
    secret.write_text(f"Bearer {token}")
    return {"type": "static", "header": "Authorization", "value": f"file:{secret}"}


@contextmanager
def httpbin_in(folder: Path) -> Iterator[tuple[int, Path]]:
    """httpbin over TLS: its port, and the CA to trust."""
    authority = TestCA.create(folder)
    leaf = authority.leaf("httpbin.example")
    with socket.create_server((LOOPBACK, 0)) as listener:
        command = [
            *(sys.executable, "-m", "gunicorn", "--bind", f"fd://{listener.fileno()}"),
            *("--worker-class", "gthread", "--threads", "16", "--keep-alive", "30"),
            *("--certfile", str(leaf.cert), "--keyfile", str(leaf.key)),
            *("--chdir", str(PROGRAMS), "--no-control-socket"),
            *("--graceful-timeout", "1", "origin:app"),
        ]
        with (folder / "httpbin.log").open("wb") as log:
            process = subprocess.Popen(command, pass_fds=[listener.fileno()], stderr=log)
        try:
            yield listener.getsockname()[1], authority.pem
        finally:
            process.terminate()
            process.wait(30)


@contextmanager
def unheard() -> Iterator[int]:
    """A port at which nobody listens, and nobody else will."""
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        yield taken.getsockname()[1]
