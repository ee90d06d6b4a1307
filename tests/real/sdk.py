"""The official Okta SDK in a process of its own, which makes one call after the other, or many.

To load it takes seconds; here that is once. What it is given are the environment's variables, which
it reads at each call.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import orjson

PROGRAM = """
import asyncio, json, os, sys
from okta.client import Client
from okta import models

SETTINGS = {
    "orgUrl": "https://acme.okta.example",
    "token": "00dummytoken",
    "raiseException": False,
    "logging": {"enabled": False},
}

async def called(told):
    os.environ.update(told["environment"])
    try:
        with_models = {"client": Client(SETTINGS), "models": models}
        result = await asyncio.wait_for(eval(told["call"], with_models), told["patience"])
        error = result[-1]
        shown = {"error": str(error or ""), "kind": type(error).__name__}
    except TimeoutError:
        shown = {"error": "It hung up.", "kind": "TimeoutError"}
    except Exception as error:
        shown = {"error": str(error), "kind": type(error).__name__}
    print(json.dumps({"number": told["number"], **shown}), flush=True)

async def main():
    under_way = set()
    while line := await asyncio.to_thread(sys.stdin.readline):
        doing = asyncio.create_task(called(json.loads(line)))
        under_way.add(doing)
        doing.add_done_callback(under_way.discard)

asyncio.run(main())
"""

LONGEST = 600.0
"""Seconds after which a call hangs up, if nothing else is said."""

Result = Mapping[str, Any]
"""``error``, an empty text if there is none, and its ``kind``."""


class Sdk:
    """The process; ``environment`` is what each call is given as it is made."""

    def __init__(self, trusting: str) -> None:
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**kept, "SSL_CERT_FILE": trusting, "PYTHONWARNINGS": "ignore"},
        )
        self._waiting: dict[int, Future[Result]] = {}
        self._made = 0
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @classmethod
    @contextmanager
    def start(cls, trusting: str) -> Iterator[Sdk]:
        """Run one that trusts the authority in this file."""
        sdk = cls(trusting)
        try:
            yield sdk
        finally:
            sdk._process.kill()  # what is under way is of no interest any more
            sdk._process.communicate()
            sdk._reader.join()

    def call(
        self, call: str, environment: Mapping[str, str], *, patience: float = LONGEST
    ) -> Future[Result]:
        """Begin a call, in the SDK's own words; it hangs up after ``patience`` seconds."""
        self._made += 1
        told = {"number": self._made, "call": call, "patience": patience}
        coming: Future[Result] = Future()
        self._waiting[self._made] = coming
        assert self._process.stdin is not None
        self._process.stdin.write(orjson.dumps({**told, "environment": environment}) + b"\n")
        self._process.stdin.flush()
        return coming

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            told = orjson.loads(line)
            self._waiting.pop(told["number"]).set_result(told)
