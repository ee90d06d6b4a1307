"""Somebody who answers: the approver's own commands, each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

APPROVER = "alice@acme.example"
"""The person that the tests' own uid stands for."""

PATIENCE = 30.0
"""Seconds that a request may take to appear on a busy machine."""


def people(*, hold: str = "20s", expire: str = "60s", **more: object) -> dict[str, object]:
    """The sections of a configuration in which whoever runs the tests may approve."""
    return {
        "control": {"approvers": {os.getuid(): APPROVER}},
        "approvals": {
            "hold": hold,
            "expire": expire,
            "groups": {"it-leads": [APPROVER, "bob@acme.example"]},
            **more,
        },
    }


REVIEWED: Mapping[str, object] = {
    "name": "people-look",
    "reason": "Changes are looked at",
    "match": {"methods": ["POST", "PUT", "PATCH", "DELETE"]},
    "effect": "review",
    "approvers": {"groups": ["it-leads"]},
    "grant": {"life": "90s"},
}
"""A rule that sends everything that changes something to people."""


@dataclass(frozen=True)
class Approver:
    """Answers at the gateway that ``config`` describes."""

    config: Path

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """One command of the approver's."""
        return subprocess.run(
            [sys.executable, "-m", "jitgate", *arguments, "--config", str(self.config)],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def waiting(self) -> list[dict[str, Any]]:
        """The requests that wait now."""
        done = self.run("requests", "--json")
        assert done.returncode == 0, done.stderr
        found: list[dict[str, Any]] = orjson.loads(done.stdout)
        return found

    def next(self, fits: Callable[[dict[str, Any]], bool] = lambda _: True) -> dict[str, Any]:
        """The first request that waits and fits, once there is one."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            for request in self.waiting():
                if fits(request):
                    return request
            time.sleep(0.05)
        raise AssertionError("nobody was asked for anything")

    def shown(self, key: str) -> dict[str, Any]:
        """One request, whatever became of it."""
        done = self.run("requests", key, "--json")
        assert done.returncode == 0, done.stderr
        found: Any = orjson.loads(done.stdout)
        one: dict[str, Any] = found[0] if isinstance(found, list) else found
        return one

    def approve(self, key: str) -> None:
        """Say yes."""
        done = self.run("approve", key, "--reason", "Seen")
        assert done.returncode == 0, done.stderr

    def deny(self, key: str, reason: str) -> None:
        """Say no."""
        done = self.run("deny", key, "--reason", reason)
        assert done.returncode == 0, done.stderr

    def grants(self) -> list[dict[str, Any]]:
        """The grants with uses left or in use."""
        done = self.run("grants", "--json")
        assert done.returncode == 0, done.stderr
        found: list[dict[str, Any]] = orjson.loads(done.stdout)
        return found
