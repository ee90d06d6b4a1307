"""The real thing: ``jitgate run`` in a process of its own, configured by a test."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import orjson
from support.forked import Forked

Seen = TypeVar("Seen")

START = 20.0
"""Seconds a gateway has to start on a busy machine."""

SOON = 60.0
"""Seconds for what a busy machine is about to do."""


def wait_for(look: Callable[[], Seen]) -> Seen:
    """What ``look`` sees once that is something: what is on record is not there at once."""
    deadline = time.monotonic() + SOON
    while not (seen := look()):
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.02)
    return seen


class GatewayProcess:
    """A gateway that serves ``settings`` (jitgate.yaml as a mapping) from ``folder``."""

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, object],
        command: tuple[str, ...] = (),
        env: Mapping[str, str] | None = None,
        within: float = START,
    ) -> None:
        self._within = within
        self.folder = folder
        self.config = folder / "jitgate.yaml"
        self.config.write_bytes(
            orjson.dumps(settings, option=orjson.OPT_NON_STR_KEYS)
        )  # JSON is YAML
        self.output: list[str] = []
        self.process = _started(("run", "--config", str(self.config)), command, env)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        self.ports = self._ports()

    @property
    def proxy(self) -> tuple[str, int]:
        return "127.0.0.1", self.ports["proxy"]

    @property
    def ca(self) -> Path:
        return self.folder / "state" / "ca.pem"

    @property
    def recordings(self) -> Path:
        return self.folder / "state" / "recordings"

    def entries(self, kind: str) -> list[dict[str, Any]]:
        """Every entry of a type that is in the files now."""
        return [line for line in self.all_entries() if line["type"] == kind]

    def all_entries(self) -> list[dict[str, Any]]:
        """Every entry that is in the files now."""
        return [
            orjson.loads(line)
            for file in sorted(self.recordings.glob("logs/*/*.jsonl"))
            for line in file.read_bytes().splitlines()
        ]

    def stop(self) -> int:
        """End it as an operator would; its exit status."""
        if self.process.poll() is None:
            self._signal(signal.SIGTERM)
        return self.process.wait(30)

    def __enter__(self) -> GatewayProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.stop()
        finally:
            self._signal(signal.SIGKILL)
            self._listener.join(10)

    def _signal(self, number: signal.Signals) -> None:
        """Signal the gateway and what it was started under, a tracer say."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def _listen(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self.output.append(line)

    def _ports(self) -> dict[str, int]:
        deadline = time.monotonic() + self._within
        while time.monotonic() < deadline and self.process.poll() is None:
            found = [line for line in self.output if " serves: " in line]
            if found:
                named = re.findall(r"(proxy|reverse|admin) on \S+?:(\d+)", found[0])
                return {name: int(port) for name, port in named}
            time.sleep(0.02)
        self._signal(signal.SIGKILL)
        self._listener.join(10)  # what it said last may not have been heard yet
        raise RuntimeError("the gateway did not start:\n" + "".join(self.output))


def _started(
    arguments: tuple[str, ...], command: tuple[str, ...], env: Mapping[str, str] | None
) -> subprocess.Popen[str] | Forked:
    """``jitgate`` in a process of its own: under another command, if there is one to be under."""
    if not command and not env:
        return Forked(arguments)
    return subprocess.Popen(
        [*command, sys.executable, "-m", "jitgate", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, **(env or {})},
    )


def settings(
    folder: Path, jwks: Path, targets: list[dict[str, Any]], **more: object
) -> dict[str, Any]:
    """A configuration with everything permitted to it-agents but what a test denies itself."""
    policy = folder / "policy.yaml"
    if not policy.exists():
        rule = {"name": "all", "reason": "A test.", "match": {"groups": ["it-agents"]}}
        policy.write_bytes(orjson.dumps([rule | {"effect": "permit"}]))
    return {
        "state": "./state",
        "listen": {"proxy": "127.0.0.1:0", "admin": "127.0.0.1:0"},
        "identity": {
            "issuers": [
                {
                    "name": "tests",
                    "type": "oidc",
                    "issuer": "https://idp.example",
                    "audience": "jitgate",
                    "jwks": str(jwks),
                }
            ]
        },
        "targets": targets,
        "policy": [str(policy)],
        **more,
    }


def target(port: int, trust: Path, **more: object) -> dict[str, Any]:
    """A target without a catalog or a credential, at a port of the loopback address."""
    return {
        "name": "things",
        "hosts": ["api.example"],
        "catalog": "none",
        "credential": {"type": "none"},
        "dial": f"127.0.0.1:{port}",
        "trust": str(trust),
        **more,
    }


def health(gateway: GatewayProcess) -> tuple[int, dict[str, Any]]:
    """What the health page says."""
    url = f"http://127.0.0.1:{gateway.ports['admin']}/healthz"
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, orjson.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, orjson.loads(error.read())
