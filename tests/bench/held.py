"""What ten thousand held requests cost: ``python -m bench.held [COUNT]`` in tests/, on a quiet machine.

It opens that many tunnels to a gateway, then sends a call on each that people must approve, and
prints: KiB of memory a held request costs beyond its tunnel, per cent of a processor that waiting
takes over 30 s, and milliseconds from an approver's answer to the first byte of the agent's.

It ends with status 1 if a goal is missed: 40 KiB, 1 %, 100 ms.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson
from support.approver import REVIEWED, people
from support.counterparts import TestCA
from support.gateway import GatewayProcess, settings, target
from support.tokens import Tokens
from support.wire import Origin, Tunnel, answering

KIB, PER_CENT, MILLISECONDS = 40.0, 1.0, 100.0
"""The goals."""

WATCHED = 30.0
"""Seconds over which the cost of waiting is taken."""

ANSWERS = 200
"""Requests that are approved, one after the other."""


def main(count: int) -> int:
    """Measure, and say what was found."""
    _allow_files(2 * count + 1000)
    with tempfile.TemporaryDirectory(prefix="jitgate-bench-") as folder:
        return _measured(Path(folder), count)


def _measured(folder: Path, count: int) -> int:
    ca, tokens = TestCA.create(folder, name="origin"), Tokens(folder)
    policy = folder / "policy.yaml"
    policy.write_bytes(orjson.dumps([REVIEWED]))
    waiting = people(hold="1h", expire="2h", per_agent=2 * count, in_all=2 * count)
    waiting["limits"] = {"connections": 2 * count, "connections_per_agent": 2 * count}
    with Origin(ca.leaf("api.example"), answering(b"{}")) as origin:
        made = settings(folder, tokens.jwks, [target(origin.port, ca.pem)]) | waiting
        with GatewayProcess(folder, made) as gateway:
            return _judged(gateway, list(_opened(gateway, tokens, count)))


def _judged(gateway: GatewayProcess, tunnels: Sequence[Tunnel]) -> int:
    pid = gateway.process.pid
    time.sleep(2)
    before = _memory(pid)
    for number, tunnel in enumerate(tunnels):
        head = (
            f"POST /things/{number} HTTP/1.1\r\nHost: api.example\r\nContent-Length: 2\r\n\r\n{{}}"
        )
        tunnel.send(head.encode())
    _until_held(gateway, len(tunnels))
    memory = (_memory(pid) - before) / 1024 / len(tunnels)
    used, begun = _processor(pid), time.monotonic()
    time.sleep(WATCHED)
    share = 100 * (_processor(pid) - used) / (time.monotonic() - begun)
    took = sorted(_answered(gateway, tunnels))
    print(f"{len(tunnels)} held requests on {len(tunnels)} tunnels")
    print(f"  memory beyond the tunnels  {memory:.1f} KiB each")
    print(f"  waiting                    {share:.2f} % of a processor over {WATCHED:.0f} s")
    print(
        f"  answer to agent            {statistics.median(took):.0f} ms in the median, "
        f"{took[int(len(took) * 0.99)]:.0f} ms at the 99th percentile, {took[-1]:.0f} ms at most"
    )
    return 0 if memory <= KIB and share <= PER_CENT and took[-1] <= MILLISECONDS else 1


def _opened(gateway: GatewayProcess, tokens: Tokens, count: int) -> Iterator[Tunnel]:
    token = tokens.token()
    with ThreadPoolExecutor(4) as pool:
        for number, tunnel in enumerate(
            pool.map(lambda _: Tunnel(gateway.proxy, gateway.ca, token), range(count)), 1
        ):
            if number % 1000 == 0:
                print(f"  {number} tunnels", file=sys.stderr, flush=True)
            yield tunnel


def _until_held(gateway: GatewayProcess, count: int) -> None:
    while (now := len(gateway.entries("access.opened"))) < count:
        print(f"  {now} held", file=sys.stderr, flush=True)
        time.sleep(2)
    time.sleep(5)


def _answered(gateway: GatewayProcess, tunnels: Sequence[Tunnel]) -> Iterator[float]:
    """Milliseconds from an answer to the agent's, one request after the other."""
    opened = {
        each["operation"]["resource"]["path"]: each["access_request"]
        for each in gateway.entries("access.opened")
    }
    step = max(1, len(tunnels) // ANSWERS)
    for number in range(0, len(tunnels), step):
        tls = tunnels[number].tls
        assert tls is not None
        ask = {"command": "approve", "id": opened[f"/things/{number}"], "reason": ""}
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(str(gateway.folder / "state" / "control.sock"))
            begun = time.monotonic()
            control.sendall(json.dumps(ask).encode() + b"\n")
            if not tls.recv(1):
                raise RuntimeError("an approved call did not come back")
            yield 1000 * (time.monotonic() - begun)


def _memory(pid: int) -> int:
    """Bytes that are the process's own."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("the gateway has ended")


def _processor(pid: int) -> float:
    """Seconds of processor that it has used."""
    fields: Any = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _allow_files(count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(count, hard), hard))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000))
