"""The story of ``jitgate demo --once``: calls made as an agent, their effects seen from outside.

Nothing here asks the gateway how it went. A step looks at the bytes that the agent got, at the
sandbox's own journal, and at what the auditor's commands say about the files.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.threads import deferToThread

from jitgate.demo.agent import Reply, call
from jitgate.demo.sandbox import Sandbox

AGENT = "demo-agent"
USERS, APPS = "/api/v1/users", "/api/v1/apps"

ATTEMPTS = 50
"""How often the approver looks, five times a second, before the story says that nobody asked."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the story: what was done, what was expected, whether it was seen."""

    did: str
    saw: str
    good: bool


@dataclass(frozen=True, slots=True)
class Held:
    """A call that waits: its reply to come, its access request, where it goes."""

    call: Deferred[Reply]
    request: str
    path: str


@dataclass(frozen=True, slots=True)
class Stage:
    """Where the story plays: the sandbox, the way to the gateway, the folder of the demo."""

    sandbox: Sandbox
    proxy: tuple[str, int]
    ca: Path
    folder: Path
    stop: Callable[[], Awaitable[None]]

    @property
    def config(self) -> tuple[str, str]:
        """Where the approver's commands find the control socket."""
        return "--config", f"{self.folder / 'etc' / 'jitgate.yaml'}"

    @property
    def recordings(self) -> Path:
        return self.folder / "recordings"

    async def ask(self, method: str, path: str, body: object = None, token: str = "") -> Reply:
        """Make one call as the agent, in a thread: its code has nothing of the gateway's."""
        data = None if body is None else json.dumps(body).encode()
        proof = token or self.sandbox.issuer.mint(AGENT)
        url = f"https://{self.sandbox.org.host}{path}"
        reply: Reply = await deferToThread(call, self.proxy, proof, self.ca, method, url, data)
        return reply

    def arrived(self, path: str) -> list[frozenset[str]]:
        """The scopes of every request for that path that reached the org."""
        return [each.scopes for each in self.sandbox.org.journal if each.path == path]


async def play(stage: Stage) -> AsyncIterator[Step]:
    """The steps, each played when it is asked for."""
    yield await _list_users(stage)
    yield await _list_apps(stage)
    yield await _grant_a_role(stage)
    step, held = await _hold(stage)
    yield step
    if held is not None:
        yield await _approve(stage, held)
        yield await _deny(stage)
    yield await _come_with_a_forged_token(stage)
    yield await _sessions(stage)
    await stage.stop()
    yield await _replay(stage)
    yield await _verify(stage)
    yield await _tamper(stage)


async def _list_users(stage: Stage) -> Step:
    reply = await stage.ask("GET", USERS)
    scopes = stage.arrived(USERS)
    good = reply.status == 200 and scopes == [frozenset({"okta.users.read"})]
    good = good and b"Chiara" in reply.body
    return Step(
        "list the users",
        f"{reply.status}, and the org saw a token for {_listed(scopes)} only",
        good,
    )


async def _list_apps(stage: Stage) -> Step:
    reply = await stage.ask("GET", APPS)
    secrets = [each.encode() for each in stage.sandbox.org.client_secrets]
    leaked = [each for each in secrets if each in reply.body]
    masked = reply.body.count(b'"client_secret":"****************"')
    good = reply.status == 200 and bool(secrets) and not leaked and masked == len(secrets)
    return Step("list the apps", f"{reply.status}, {masked} client secrets masked", good)


async def _grant_a_role(stage: Stage) -> Step:
    users = json.loads((await stage.ask("GET", USERS)).body)
    path = f"{USERS}/{users[0]['id']}/roles"
    reply = await stage.ask("POST", path, {"type": "SUPER_ADMIN"})
    reached = stage.arrived(path)
    good = reply.status == 403 and b"no-admin-grants" in reply.body and not reached
    return Step(
        "make a user an administrator",
        f"{reply.status} by rule no-admin-grants, and {len(reached)} requests reached the org",
        good,
    )


async def _hold(stage: Stage) -> tuple[Step, Held | None]:
    """A call that policy sends to people waits, and nothing of it reaches the org meanwhile."""
    user, known = next(iter(stage.sandbox.org.directory.users.items()))
    path = f"{USERS}/{user}/lifecycle/deactivate"
    call = ensureDeferred(stage.ask("POST", path))
    asked = await _pending(stage)
    reached = stage.arrived(path)
    good = asked is not None and asked["action"] == "deactivateUser" and not reached
    name = asked and asked["names"]["id"]["name"]
    good = good and name == known["profile"]["login"]
    saw = f"held: a person is asked about {name}, and {len(reached)} requests reached the org"
    held = None if asked is None else Held(call, str(asked["id"]), path)
    return Step("deactivate a user", saw, good and not call.called), held


async def _approve(stage: Stage, held: Held) -> Step:
    """The approver answers on the command line, in a process of its own; the call goes out."""
    code, _ = await _jitgate("approve", held.request, "--reason", "He left", *stage.config)
    reply = await held.call
    scopes = stage.arrived(held.path)
    good = code == 0 and reply.status == 200 and scopes == [frozenset({"okta.users.manage"})]
    return Step(
        f"approve it, with jitgate approve {held.request}",
        f"{reply.status}: the call returned, and the org saw it {len(scopes)} time",
        good,
    )


async def _deny(stage: Stage) -> Step:
    """Asked again, and denied: the agent reads by whom and why."""
    held = (await _hold(stage))[1]
    if held is None:
        return Step("ask again, and be denied", "nobody was asked", good=False)
    code, _ = await _jitgate("deny", held.request, "--reason", "Once is enough", *stage.config)
    reply = await held.call
    reached = len(stage.arrived(held.path)) - 1
    good = code == 0 and reply.status == 403 and b"Once is enough" in reply.body and not reached
    return Step(
        "ask again, and be denied",
        f"{reply.status} with the approver's reason, and {reached} more requests reached the org",
        good,
    )


async def _pending(stage: Stage) -> dict[str, Any] | None:
    """The one request that waits, as the approver's command shows it; None if none does."""
    for _ in range(ATTEMPTS):
        code, out = await _jitgate("requests", "--json", *stage.config)
        if code == 0 and (found := json.loads(out)):
            waiting: dict[str, Any] = found[0]
            return waiting
        await deferToThread(time.sleep, 0.2)
    return None


async def _come_with_a_forged_token(stage: Stage) -> Step:
    before = len(stage.sandbox.org.journal)
    header, claims, signature = stage.sandbox.issuer.mint(AGENT).split(".")
    forged = ".".join((header, claims, signature[::-1]))
    reply = await stage.ask("GET", USERS, token=forged)
    reached = len(stage.sandbox.org.journal) - before
    good = reply.status == 401 and b"token-refused" in reply.body and not reached
    return Step(
        "come with a forged token", f"{reply.status}, and {reached} requests reached the org", good
    )


async def _sessions(stage: Stage) -> Step:
    code, out = await _jitgate("sessions", "--recordings", f"{stage.recordings}", "--json")
    exchanges = [one for each in json.loads(out or "[]") for one in each["exchanges"]]
    told = {(one["action"], one["effect"], one["status"]) for one in exchanges}
    expected = {
        ("listUsers", "permit", 200),
        ("listApplications", "permit", 200),
        ("assignRoleToUser", "deny", 403),
        ("deactivateUser", "review", 200),
        ("deactivateUser", "review", 403),
    }
    return Step(
        "read the sessions",
        f"{len(exchanges)} exchanges on record, each with who, what, why and its outcome",
        code == 0 and expected <= told,
    )


async def _replay(stage: Stage) -> Step:
    _, out = await _jitgate("sessions", "--recordings", f"{stage.recordings}", "--json")
    session = next(each["id"] for each in json.loads(out) if each["exchanges"])
    code, shown = await _jitgate("replay", session, "--recordings", f"{stage.recordings}")
    leaked = [each for each in stage.sandbox.org.client_secrets if each in shown]
    return Step(
        f"replay session {session}",
        f"{len(shown.splitlines())} lines, no secret in them",
        code == 0 and "no-admin-grants" in shown and not leaked,
    )


async def _verify(stage: Stage) -> Step:
    code, _ = await _verified(stage, stage.recordings)
    return Step("verify the recording", f"exit status {code}: nobody touched it", code == 0)


async def _tamper(stage: Stage) -> Step:
    copy = stage.folder / "tampered"
    shutil.copytree(stage.recordings, copy, dirs_exist_ok=True)
    segment = next(iter(sorted(copy.glob("logs/*/*.jsonl"))))
    segment.chmod(0o600)
    segment.write_bytes(segment.read_bytes().replace(b'"deny"', b'"perm"', 1))
    code, _ = await _verified(stage, copy)
    return Step(
        'change one "deny" in a copy and verify that', f"exit status {code}: found", code == 1
    )


async def _verified(stage: Stage, recordings: Path) -> tuple[int, str]:
    key = stage.folder / "state" / "site.vkey"
    return await _jitgate("verify", "--key", f"{key}", f"{recordings}")


async def _jitgate(*arguments: str) -> tuple[int, str]:
    """Run a command as an auditor would: a process of its own, with files and a key only."""
    done: subprocess.CompletedProcess[str] = await deferToThread(
        subprocess.run,
        [sys.executable, "-m", "jitgate", *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stdout


def _listed(scopes: list[frozenset[str]]) -> str:
    return ", ".join(sorted({scope for each in scopes for scope in each})) or "nothing"
