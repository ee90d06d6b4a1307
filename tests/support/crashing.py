"""Load on a gateway that is killed in the middle of it, and what its recording must then hold."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import count
from pathlib import Path

from support.gateway import GatewayProcess
from support.wire import Handler, Received, Tunnel

from jitgate.core.note import VerifierKey
from jitgate.stores.findings import Finding, Report
from jitgate.stores.reading import Recording
from jitgate.stores.verifying import verify

CLIENTS = 3
"""Each on a tunnel of its own, so that several entries share a batch."""


def answer_to(line: str) -> bytes:
    """The body that the origin answers a request with: each has its own."""
    return b'{"digest":"' + sha256(line.encode()).hexdigest().encode() + b'"}'


def answering() -> Handler:
    """An origin that answers every request with `answer_to` its line."""

    def handle(request: Received, tls: object) -> bool:
        body = answer_to(request.line)
        head = f"HTTP/1.1 200 X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        tls.sendall(head.encode() + b"\r\n\r\n" + body)  # type: ignore[attr-defined]
        return True

    return handle


@dataclass
class Load:
    """Clients that ask without a pause, and remember whatever they were answered to the end."""

    gateway: GatewayProcess
    token: str
    name: str
    answered: dict[str, bytes] = field(default_factory=dict)
    """The path of each request that got its whole response, with the response's body."""

    def until(self, moment: Callable[[], object]) -> None:
        """Ask until ``moment`` has returned and the gateway has been killed."""
        with contextlib.ExitStack() as tunnels:
            clients = [
                threading.Thread(target=self._ask, args=(number, tunnels.enter_context(tunnel)))
                for number, tunnel in enumerate(self._tunnel() for _ in range(CLIENTS))
            ]
            for client in clients:
                client.start()
            moment()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.gateway.process.pid, signal.SIGKILL)
            for client in clients:
                client.join(30)
        self.gateway.process.wait(30)

    def _tunnel(self) -> Tunnel:
        return Tunnel(self.gateway.proxy, self.gateway.ca, self.token)

    def _ask(self, number: int, tunnel: Tunnel) -> None:
        # A killed gateway resets, or closes short.
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            for turn in count():
                path = f"/{self.name}/{number}/{turn}"
                # Two of three change something; a safe one may go out before its record.
                method = "GET" if turn % 3 == 2 else "POST"
                reply = tunnel.ask(method, path, b"" if method == "GET" else b'{"a":1}')
                if reply.status == 200:
                    self.answered[path] = reply.body


def verified(folder: Path, key: Path, checkpoint: bytes | None = None) -> Report:
    """The report on a recording in which nothing is wrong."""
    steps = list(verify(folder, VerifierKey.parse(key.read_text()), checkpoint))
    findings = [step for step in steps if isinstance(step, Finding)]
    assert not findings, findings
    report = steps[-1]
    assert isinstance(report, Report)
    return report


@dataclass
class Recorded:
    """What a recording says of each path."""

    decided: set[str] = field(default_factory=set)
    bodies: dict[str, bytes] = field(default_factory=dict)
    """The body that was released to whoever asked for the path, once that was completed."""

    @classmethod
    def of(cls, folder: Path) -> Recorded:
        """Read the whole of it."""
        found, paths, recording = cls(), dict[str, str](), Recording(folder)
        for kept in recording.every_entry():
            exchange = kept.text("exchange") or ""
            if kept.type == "decision" and kept.text("effect") == "permit":
                paths[exchange] = str(kept.part("request")["target"])
                found.decided.add(paths[exchange])
            elif kept.type == "outcome" and kept.text("outcome") == "completed":
                found.bodies[paths[exchange]] = recording.body(kept, "response")
        return found


def lacking(recorded: Recorded, answered: dict[str, bytes], sent: list[Received]) -> list[str]:
    """What was answered, or changed something at the origin, and is not on record as it was."""
    return [*_lacking(recorded, answered, sent)]


def _lacking(recorded: Recorded, answered: dict[str, bytes], sent: list[Received]) -> Iterator[str]:
    for path, body in answered.items():
        if recorded.bodies.get(path) != body:
            yield f"answered: {path}"
    for request in sent:
        method, path, _ = request.line.split(" ")
        if method == "POST" and path not in recorded.decided:
            yield f"sent: {path}"


def pause(seconds: float) -> Callable[[], None]:
    """A moment that comes after so many seconds of load."""
    return lambda: time.sleep(seconds)
