"""The site: a gateway with all that it has to do with, as real as the tests have it."""

from __future__ import annotations

import argparse
import json
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import orjson
from support import moto
from support.approver import people
from support.counterparts import ALICE, Org, TestCA
from support.dam import Dam
from support.gateway import GatewayProcess, health, settings, target, wait_for
from support.postgres import Postgres
from support.postgres import running as postgres_running
from support.preloaded import compiled
from support.receiver import secret
from support.slack import Slack
from support.tokens import Tokens
from support.wire import Origin

from jitgate.cli.calling import Gateway, NotTold

from .far import SILENCE, Keeper, origin_of

INSIDE = Path(__file__).with_name("inside")
TREE = Path(__file__).parents[2]

OPERATOR = pwd.getpwnam("nobody").pw_uid

HOST = "api.example"
OWN_HOST = "localhost"
USER = f"/api/v1/users/{ALICE}"
START = 120.0
"""Seconds for a gateway to start: its processes are started one by one, under what slows them."""


class Site:
    """Everything that runs."""

    gateway: GatewayProcess
    org: Org | None = None
    slack: Slack | None = None
    postgres: Postgres | None = None
    archive: Dam | None = None

    def __init__(self, folder: Path, workers: int, leak: str = "") -> None:
        self.folder, self.workers, self.leak = folder, workers, leak
        self.tokens = Tokens(folder)
        self.ca = TestCA.create(folder, name="origin")
        self.front = TestCA.create(folder, name="front")
        self.sent: list[str] = []
        self.origin = Origin(self.ca.leaf(HOST), origin_of(self.sent.append))
        self.keeper = Keeper()
        self.lasting = ThreadPoolExecutor(1)
        """A thread that lasts: a database server dies with the thread that has started it."""
        self.channel = ""
        self.is_slack_up = True
        (folder / "told").mkdir()
        leaf = self.front.leaf(OWN_HOST)
        for made, name in ((leaf.key, "front.key"), (leaf.cert, "front.pem")):
            shutil.move(made, folder / name)
        self._private("kept", secret("kept"))

    # --- how it is configured

    def policy(self, generation: int = 0) -> None:
        """The rules; each generation has another one that is for nobody."""
        every = {"groups": ["it-agents"]}
        rules: list[dict[str, Any]] = [
            {
                "name": "people-look",
                "reason": "Changes are looked at",
                "match": {"paths": ["/held/{n}", "/later/{n}", "/flight/{n}"], **every},
                "effect": "review",
                "approvers": {"groups": ["it-leads"]},
                "grant": {"life": "90s"},
                "mask": "soak",
            },
            _rule("nobody-may", "deny", {"paths": ["/denied/{n}"]}),
            _rule("of-old", "deny", {"paths": [f"/generation/{generation}"]}),
            _rule(
                "looked-at",
                "permit",
                {"paths": [f"/{each}/{{n}}" for each in ("read", "up", "events", "ws")], **every},
                mask="soak",
            ),
            _rule(
                "files",
                "permit",
                {
                    "paths": [
                        f"/{each}/{{n}}"
                        for each in ("body", "slowly", "reset", "cut", "malformed", "stall")
                    ],
                    **every,
                },
            ),
        ]
        if self.org is not None:
            users = {"targets": ["okta"], **every}
            rules.append(_rule("users", "permit", users, mask="soak"))
        new = self.folder / "policy.new"
        new.write_bytes(orjson.dumps(rules))
        new.replace(self.folder / "policy.yaml")

    def configured(self) -> dict[str, Any]:
        self.policy()
        (self.folder / "masking.yaml").write_bytes(
            orjson.dumps([{"profile": "soak", "names": ["password"], "detectors": ["private-key"]}])
        )
        far = target(self.origin.port, self.ca.pem, websocket={"paths": ["/ws/{n}"]})
        targets = [far, *self._org()]
        keeper = {"type": "webhook", "name": "ops", "url": self.keeper.url, "secret": "file:./kept"}
        made = settings(self.folder, self.tokens.jwks, targets, workers=self.workers)
        made |= people(
            hold="20s",
            linger="2s",
            expire="30s",
            channels=["cli", *(["slack"] if self.slack else [])],
            per_agent=10_000,
            cool_down="0s",
            fatigue={
                "per_agent": 100_000,
                "per_approver": 100_000,
                "denials": 1000,
                "after_denials": 10_000,
                "alike": 1000,
            },
        )
        made["control"]["operators"] = {OPERATOR: "root@acme.example"}
        made["masking"] = ["./masking.yaml"]
        made["recording"] = {"directory": f"{self.recordings}", "keepers": [keeper]}
        made["recording"] |= self._archive()
        made["limits"] = {"silence": f"{SILENCE}s", "stalled": "10s", "closing": "3s"}
        made["listen"]["reverse"] = {
            "address": "127.0.0.1:0",
            "cert": "./front.pem",
            "key": "file:./front.key",
            "hosts": {OWN_HOST: HOST},
        }
        return made | self._slack() | self._store()

    def _org(self) -> Sequence[dict[str, Any]]:
        if self.org is None:
            return ()
        app = self.org.app
        credential = {
            "type": "okta",
            "org": self.org.url,
            "client_id": app.client_id,
            "key_id": app.kid,
            "private_key": f"file:{app.private_key}",
        }
        named = {"name": "okta", "hosts": [self.org.host], "catalog": "okta"}
        return [target(self.org.port, self.org.ca, **named, credential=credential)]

    def _slack(self) -> dict[str, Any]:
        if self.slack is None:
            return {}
        self.channel = self.slack.channel()
        self._private("bot", self.slack.bot_token)
        self._private("signing", self.slack.signing_secret)
        facts = self.slack.facts
        return {
            "slack": {
                "app": facts.app_id,
                "team": facts.team_id,
                "channel": self.channel,
                "bot_token": "file:./bot",
                "signing_secret": "file:./signing",
                "api": self.slack.url,
            }
        }

    def _archive(self) -> dict[str, Any]:
        """Behind a way that can be shut: whoever asks there is answered later, or never."""
        if self.archive is None:
            return {}
        self._private("s3-id", moto.ID)
        self._private("s3-key", moto.KEY)
        store = moto.client(f"http://127.0.0.1:{self.archive.port}")
        archive = {
            "type": "s3",
            "bucket": moto.bucket_in(store),
            "retention": "400d",
            "region": moto.REGION,
            "endpoint": f"http://127.0.0.1:{self.archive.port}",
            "access_key": "file:./s3-id",
            "secret_key": "file:./s3-key",
        }
        store.close()
        return {"archive": archive}

    def _store(self) -> dict[str, Any]:
        if self.postgres is None:
            return {}
        place = {"socket": f"{self.postgres.folder}", "port": self.postgres.port}
        return {"store": {"type": "postgres", **place, "tables": "soak"}}

    def _private(self, name: str, content: str) -> None:
        file = self.folder / name
        file.touch(mode=0o600)
        file.write_text(content)

    @property
    def recordings(self) -> Path:
        return self.folder / "state" / "recordings"

    # --- its processes

    @property
    def env(self) -> dict[str, str]:
        made = {
            "PYTHONPATH": f"{INSIDE}{os.pathsep}{TREE}",
            "JITGATE_SOAK": f"{self.folder / 'told'}",
            "JITGATE_SOAK_LEAK": self.leak,
        }
        if shutil.which("gcc"):
            made |= {
                "LD_PRELOAD": f"{compiled('failing', self.folder)}",
                "JITGATE_FAULT": f"{self.fault}",
                "JITGATE_FAULTY": f"{self.recordings}",
                "JITGATE_JOURNAL": os.devnull,
            }
        return made

    @property
    def fault(self) -> Path:
        """Whose one word says how the disk fails, while it is there."""
        return self.folder / "fault"

    def processes(self) -> dict[int, str]:
        """The control process, and then its workers in their order, with what they are called."""
        pid = self.gateway.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        slots = {int(child): _slot_of(child) for child in children}
        workers = sorted((slot, child) for child, slot in slots.items() if slot is not None)
        return {pid: "control process"} | {child: f"worker {slot + 1}" for slot, child in workers}

    @property
    def people(self) -> Gateway:
        place = self.folder / "state" / "control.sock"
        return Gateway(argparse.Namespace(socket=place, config=None))

    def revoke_subject(self, subject: str) -> None:
        """As an operator."""
        self.operate(command="revoke-subject", id=subject, reason="It was enough")

    def operate(self, **asked: str) -> None:
        """Ask as an operator, who is another user of the machine than the approver is.

        Raises `NotTold`.
        """
        place = f"{self.folder / 'state' / 'control.sock'}"
        as_nobody = ("setpriv", "--reuid", f"{OPERATOR}", "--regid", f"{OPERATOR}")
        program = [*as_nobody, "--clear-groups", "/usr/bin/python3", "-c", _ASK]
        done = subprocess.run(
            [*program, place, json.dumps(asked)],
            capture_output=True,
            text=True,
            cwd="/",
            timeout=60,
            check=False,
        )
        said = json.loads(done.stdout.strip() or "{}")
        if not said.get("ok") or "problem" in said:
            raise NotTold(f"{done.stdout}{done.stderr}"[-200:])

    def is_well(self) -> bool:
        with suppress(OSError):
            status, told = health(self.gateway)
            parts = [each for each in told.values() if "reason" in each]
            return status == 200 and all(each["state"] == "ok" for each in parts)
        return False

    def tidy(self) -> None:
        """Forget what counterparts have kept of what is over."""
        self.origin.received.clear()
        self.origin._open.clear()
        if self.org is not None:
            self.org.clear()
        if self.slack is not None:
            self.slack.front.calls.clear()
            self.slack.front.ephemerals.clear()


_ASK = """
import socket, sys
with socket.socket(socket.AF_UNIX) as asked:
    asked.settimeout(50)
    asked.connect(sys.argv[1])
    asked.sendall(sys.argv[2].encode() + b"\\n")
    print(asked.makefile().readline())
"""


def _slot_of(pid: str) -> int | None:
    """Which worker a process is, by the facts that it was started with; None: it has ended."""
    with suppress(OSError, ValueError):
        facts = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").rpartition(b"\0")[2]
        return int(json.loads(facts)["slot"])
    return None


def _rule(name: str, effect: str, match: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": name, "reason": "The soak.", "match": match, "effect": effect, **more}


@contextmanager
def running(
    folder: Path, workers: int, *, whole: bool, store: str, leak: str = ""
) -> Iterator[Site]:
    """A site in ``folder``. ``whole``: with an Okta org, a Slack and an archive, which take long to start."""
    site = Site(folder, workers, leak)
    with ExitStack() as parts:
        parts.enter_context(site.origin)
        parts.enter_context(site.keeper)
        if whole:
            site.org = parts.enter_context(Org.start(folder))
            site.slack = parts.enter_context(Slack.start(folder))
            store_at = parts.enter_context(moto.running())
            site.archive = parts.enter_context(Dam(int(store_at.rpartition(":")[2])))
        if store == "postgres":
            site.postgres = parts.enter_context(postgres_running())
        site.gateway = parts.enter_context(
            GatewayProcess(folder, site.configured(), env=site.env, within=START)
        )
        if site.slack is not None:
            url = f"http://127.0.0.1:{site.gateway.ports['admin']}/slack/events"
            site.slack.deliver_to(url)
        wait_for(site.is_well)
        yield site
