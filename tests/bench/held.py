"""What ten thousand calls cost that wait for a person.

Real tunnels, the gateway in its own process: the memory of a held request beyond its tunnel, the
processor's time while they wait, what other traffic feels of them, and the time from an approver's
answer to the first byte of the agent's.
"""

from __future__ import annotations

import json
import resource
import socket
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from support.approver import people
from support.gateway import GatewayProcess
from support.wire import Tunnel

from . import gateway
from .figures import US, Goal, Row, rows
from .machine import memory
from .proxies import Proxy, of_gateway
from .rounds import Bench
from .site import CLEAN, HOST

WATCHED = 30.0
"""Seconds over which the cost of waiting is taken."""

ANSWERS = 200
"""Requests that are approved, one after the other."""

OTHERS = 4
"""Connections of other traffic: they leave the gateway some time of its own, as agents do."""

SETTLE = 2.0
"""Seconds after which what was only needed for a moment has been given back."""

WITHOUT = "without held"


@dataclass(frozen=True)
class Held:
    """The rows about held requests."""

    name: str = "held"
    tells: str = "held requests: memory beyond the tunnel, and the p99 of other traffic"

    def run(self, bench: Bench) -> list[Row]:
        count = bench.held
        allow_files(count + 1000)
        with (
            bench.gateway_folder() as folder,
            gateway.running(bench.site, folder, **roomy(count)) as (run, token),
        ):
            proxy = of_gateway(bench.site, run, token)
            without = [_others(bench, proxy) for _ in range(bench.rounds + 1)][1:]
            tunnels = list(opened(bench, run, token))
            try:
                return _measured(bench, run, proxy, tunnels, without)
            finally:
                for tunnel in tunnels:
                    tunnel.close()


def roomy(count: int) -> dict[str, object]:
    """Sections of a configuration in which one agent may have so many tunnels and requests."""
    return {
        **people(
            hold="1h",
            expire="2h",
            per_agent=2 * count,
            in_all=2 * count,
            fatigue={"per_agent": 2 * count, "per_approver": 2 * count},
        ),
        "limits": {
            "connections": 2 * count,
            "connections_per_agent": 2 * count,
            # They come all at once, and take room until they are held.
            "exchanges": 2 * count,
            "exchanges_per_agent": 2 * count,
            "idle": "1h",  # a busy machine takes long to open so many
        },
    }


def _measured(
    bench: Bench,
    run: GatewayProcess,
    proxy: Proxy,
    tunnels: Sequence[Tunnel],
    without: Sequence[float],
) -> list[Row]:
    time.sleep(SETTLE)
    before = memory(proxy.pid)
    for number, tunnel in enumerate(tunnels):
        tunnel.send(change(bench, number))
    until_held(bench, run, len(tunnels))
    each = (memory(proxy.pid) - before) / 1024 / len(tunnels)
    bench.say(f"  {each:.1f} KiB each")
    used, begun = proxy.used(), time.monotonic()
    time.sleep(WATCHED)
    share = 100 * (proxy.used() - used) / (time.monotonic() - begun)
    beside = [_others(bench, proxy) for _ in range(bench.rounds)]
    took = sorted(_answered(bench, run, tunnels))
    return [
        *rows("held memory", "KiB", {US: [each]}, Goal(40)),
        *rows("held, p99 of others", "ms", {US: beside, WITHOUT: without}, Goal(1.2, WITHOUT)),
        *rows("held, waiting", "% of a CPU", {US: [share]}, Goal(1)),
        *rows("held, slowest answer to agent", "ms", {US: [took[-1]]}, Goal(100)),
    ]


def _others(bench: Bench, proxy: Proxy) -> float:
    """Milliseconds that other traffic takes at its 99th percentile."""
    told = bench.ask(proxy, proxy.load(CLEAN, c=OTHERS, t=bench.seconds, m="ka", W=""))
    bench.say(f"  p99 of others {told.p99:.4g} ms")
    return told.p99


def change(bench: Bench, number: int) -> bytes:
    """A change that policy sends to people."""
    lines = (
        f"POST {path_of(number)} HTTP/1.1",
        f"Host: {HOST}:{bench.site.origin}",
        "Content-Type: application/json",
        "Content-Length: 2",
    )
    return "\r\n".join([*lines, "", "{}"]).encode()


def path_of(number: int) -> str:
    """Where the change of that number goes."""
    return f"/api/v1/users/00uheld{number:013}"


def opened(bench: Bench, run: GatewayProcess, token: str) -> Iterator[Tunnel]:
    """As many tunnels as are to be held."""
    authority = f"{HOST}:{bench.site.origin}"
    with ThreadPoolExecutor(4) as pool:
        for number, tunnel in enumerate(
            pool.map(
                lambda _: Tunnel(run.proxy, run.ca, token, authority, HOST), range(bench.held)
            ),
            1,
        ):
            if number % 1000 == 0:
                bench.say(f"  {number} tunnels")
            yield tunnel


def until_held(bench: Bench, run: GatewayProcess, count: int) -> None:
    """Wait until so many are."""
    while (now := len(run.entries("access.opened"))) < count:
        bench.say(f"  {now} held")
        time.sleep(2)
    time.sleep(SETTLE)


def _answered(bench: Bench, run: GatewayProcess, tunnels: Sequence[Tunnel]) -> Iterator[float]:
    """Milliseconds from an answer to the agent's, one request after the other."""
    requests = {
        each["operation"]["url"].partition("?")[0].rpartition("/")[2]: each["access_request"]
        for each in run.entries("access.opened")
    }
    for number in range(0, len(tunnels), max(1, len(tunnels) // ANSWERS)):
        tls = tunnels[number].tls
        assert tls is not None
        key = requests[path_of(number).rpartition("/")[2]]
        ask = {"command": "approve", "id": key, "reason": ""}
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(str(run.folder / "state" / "control.sock"))
            begun = time.monotonic()
            control.sendall(json.dumps(ask).encode() + b"\n")
            if not tls.recv(1):
                raise RuntimeError("an approved call did not come back")
            yield 1000 * (time.monotonic() - begun)


def allow_files(count: int) -> None:
    """Let this process have so many files open, or as many as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(count, hard), hard))
