"""An agent that runs for long: Okta's own SDK in one process, which calls what it is told to."""

from __future__ import annotations

import select
import subprocess
import sys
from collections.abc import Mapping
from types import TracebackType

import orjson
from real.world import clean

PATIENCE = 60.0
"""Seconds that a call may take: the slowest waits for a token endpoint that does not answer."""

_PROGRAM = """
import asyncio, json, sys
from okta import models
from okta.client import Client as OktaClient

async def main():
    client = OktaClient({
        "orgUrl": "https://acme.okta.example",
        "token": "00dummytoken",
        "logging": {"enabled": False},
    })
    print("{}", flush=True)
    for line in sys.stdin:
        result = await eval(line)
        error, answer = result[-1], result[-2]
        print(json.dumps({
            "error": "" if error is None else str(error),
            "kind": type(error).__name__,
            "status": getattr(answer, "status_code", None),
        }), flush=True)

asyncio.run(main())
"""


class SdkSession:
    """The SDK, unmodified, with the variables of an ``environment`` beside."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=clean() | environment,
        )
        self.heard()

    def say(self, call: str) -> None:
        """Begin a call: an expression of ``client`` and ``models``."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{call}\n".encode())
        self._process.stdin.flush()

    @property
    def waits(self) -> bool:
        """Whether the call has not been answered yet."""
        return not select.select([self._process.stdout], [], [], 0)[0]

    def heard(self) -> dict[str, str]:
        """What came of it: the error as the SDK shows it, "" for none."""
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], PATIENCE)
        line = self._process.stdout.readline() if readable else b""
        if not line:
            self._process.kill()
            _, errors = self._process.communicate()
            raise AssertionError(f"the SDK said nothing more: {errors.decode()}")
        told: dict[str, str] = orjson.loads(line)
        return told

    def call(self, call: str) -> dict[str, str]:
        """Make a call, and wait for what comes of it."""
        self.say(call)
        return self.heard()

    def __enter__(self) -> SdkSession:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.communicate(timeout=PATIENCE)
