"""The order of disk and wire, as the kernel saw it (invariant 4).

A crash could not show it: the page cache survives the process. A log of its system calls can.
"""

from __future__ import annotations

import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.counterparts import TestCA
from support.gateway import GatewayProcess, settings, target
from support.tokens import Tokens
from support.wire import Origin, Tunnel, answering

pytestmark = pytest.mark.needs_debian("strace")


@dataclass
class Call:
    """One finished system call on a file or a socket."""

    name: str
    on: str
    """What the descriptor is: a path, or ``local->peer`` of a connection."""


@dataclass
class Stage:
    """Where a gateway is traced while a test talks through it."""

    folder: Path
    tokens: Tokens
    origin: Origin
    ca: TestCA

    def traced(self, talk) -> list[Call]:
        """The calls that the gateway made while ``talk(tunnel)`` ran, in order."""
        log = self.folder / "calls"
        trace = "trace=fdatasync,fsync,sendto,write,writev,sendmsg"
        # A slow disk: what does not wait for it is seen not to.
        slow = "inject=fdatasync:delay_enter=30000"
        command = (shutil.which("strace"), "-f", "-yy", "-e", trace, "-e", slow, "-o", str(log))
        configuration = settings(
            self.folder, self.tokens.jwks, [target(self.origin.port, self.ca.pem)]
        )
        with GatewayProcess(self.folder, configuration, command) as gateway:
            with Tunnel(gateway.proxy, gateway.ca, self.tokens.token()) as tunnel:
                warm = tunnel.ask("GET", "/warm")
                assert warm.status == 200
                before = _written(log)
                talk(tunnel)
            self.agent_port = gateway.ports["proxy"]
        return _calls(log)[before:]

    def to_target(self, call: Call) -> bool:
        return call.on.endswith(f"->127.0.0.1:{self.origin.port}")

    def to_agent(self, call: Call) -> bool:
        return call.on.startswith(f"127.0.0.1:{self.agent_port}->")


_RETURNED = r"= \d+(?: \(DELAYED\))?$"


def _written(log: Path) -> int:
    """How many calls there are once the tracer has written down what has happened so far."""
    seen, still = -1, 0
    while still < 5:
        time.sleep(0.1)
        now = len(_calls(log))
        seen, still = now, still + 1 if now == seen else 0
    return seen


def _calls(log: Path) -> list[Call]:
    """Every call that succeeded, at the moment it returned."""
    found, begun = [], {}
    for line in log.read_text(errors="replace").splitlines():
        thread, _, rest = line.partition(" ")
        rest = rest.strip()
        started = re.match(r"(\w+)\(\d+<(?:TCP:\[([^\]]*)\]|([^>]*))>", rest)
        if started:
            call = Call(started[1], started[2] or started[3])
            if "<unfinished ...>" in rest:
                begun[thread] = call
            elif re.search(_RETURNED, rest):
                found.append(call)
        elif "resumed>" in rest and thread in begun and re.search(_RETURNED, rest):
            found.append(begun.pop(thread))
    return found


@pytest.fixture
def stage(tmp_path):
    ca = TestCA.create(tmp_path, name="origin")
    with Origin(ca.leaf("api.example"), answering(b'{"name":"Ada"}')) as origin:
        yield Stage(tmp_path, Tokens(tmp_path), origin, ca)


def positions(calls, wanted):
    return [number for number, call in enumerate(calls) if wanted(call)]


def is_sync(call):
    return call.name in {"fdatasync", "fsync"} and "/logs/" in call.on


def test_a_changing_call_leaves_after_its_decision_was_synced_and_ends_after_its_outcome(stage):
    calls = stage.traced(lambda tunnel: tunnel.ask("POST", "/things", b"{}"))
    syncs = positions(calls, is_sync)
    to_target = positions(calls, stage.to_target)
    to_agent = positions(calls, stage.to_agent)
    assert to_target
    assert to_agent
    entries = [number for number in syncs if calls[number].on.endswith(".jsonl")]
    assert len(entries) >= 2
    assert entries[0] < to_target[0], "the request left before its decision was durable"
    after_sending = [number for number in entries if number > to_target[0]]
    assert after_sending
    assert after_sending[0] < to_agent[0], "the answer was whole before its outcome was durable"


def test_nothing_of_a_safe_calls_answer_is_released_before_its_decision_was_synced(stage):
    body = b'"' + b"a" * 300_000 + b'"'
    stage.origin.handler = answering(body)
    calls = stage.traced(lambda tunnel: tunnel.ask("GET", "/large"))
    entries = positions(calls, lambda call: is_sync(call) and call.on.endswith(".jsonl"))
    to_agent = positions(calls, stage.to_agent)
    assert entries[0] < to_agent[0]
    last_sync_before_the_end = max(number for number in entries if number < to_agent[-1])
    released_before = [number for number in to_agent if number < last_sync_before_the_end]
    assert released_before, "a large body streams before its outcome is known"
    assert last_sync_before_the_end > entries[0], "the last byte waited for the outcome"
