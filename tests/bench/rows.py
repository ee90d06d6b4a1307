"""The rows: what is measured, how, and the goals of the project for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Protocol

from .clicks import Clicks
from .figures import US, Goal, Row, rows
from .held import Held
from .hostile import Hostile
from .overload import Overload
from .proxies import PEERS, Proxy, direct, jitgate
from .record import lacking
from .rounds import Bench
from .site import BIG, BIG_SIZE, CLEAN, FILES, HOST, LENT, NEW, NEW_HOSTS, SECRET

CONNECTIONS = 16
"""Kept open at once; an agent's SDK has fewer, several agents have more."""

TUNNELS = 1000
"""So many idle ones that what else the process does with memory is lost among them."""

ON_DISK = "jitgate, recording to disk"


class Measured(Protocol):
    """One of the rows that can be asked for."""

    @property
    def name(self) -> str: ...
    @property
    def tells(self) -> str: ...
    def run(self, bench: Bench) -> list[Row]: ...


@dataclass(frozen=True)
class Compared:
    """A row for which jitgate and its peers are asked the same in turn, with one figure each."""

    name: str
    unit: str
    tells: str
    measure: Callable[[Bench, Proxy], float]
    goal: Goal | None = None
    masks: Mapping[str, int] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    """Peers to whom it does not apply."""

    def run(self, bench: Bench) -> list[Row]:
        with bench.gateway_folder() as folder:
            with ExitStack() as stack:
                proxies = [stack.enter_context(jitgate(bench.site, folder))]
                proxies += bench.peers_running(stack, self.without)
                found = bench.side_by_side(proxies, lambda proxy: self.measure(bench, proxy))
            failed = lacking(folder / "state" / "recordings", bench.asked[US], self.masks)
        return rows(self.name, self.unit, found, self.goal, failed)


def _request(path: str, host: str = HOST) -> Callable[[Bench, Proxy], float]:
    def measure(bench: Bench, proxy: Proxy) -> float:
        """Microseconds of processor for a request on a warm connection."""
        load = proxy.load(path, host, c=CONNECTIONS, t=bench.seconds, m="ka", W="")
        used, told = bench.cost(proxy, load)
        return 1e6 * used / told.done

    return measure


def _lent(path: str) -> Callable[[Bench, Proxy], float]:
    """Microseconds that a token of an org adds to a request that needs one."""
    without, with_token = _request(path), _request(path, LENT)
    return lambda bench, proxy: with_token(bench, proxy) - without(bench, proxy)


def _connection(bench: Bench, proxy: Proxy) -> float:
    """Milliseconds of processor for a new connection with one request."""
    load = proxy.load(CLEAN, c=CONNECTIONS, t=bench.seconds, m="new")
    used, told = bench.cost(proxy, load)
    return 1e3 * used / told.done


def _body(bench: Bench, proxy: Proxy) -> float:
    """Megabytes for a second of processor."""
    load = proxy.load(BIG, host=FILES, c=2, t=bench.seconds, m="ka", W="")
    used, told = bench.cost(proxy, load)
    return told.done * BIG_SIZE / 1e6 / used


def _first(bench: Bench, proxy: Proxy) -> float:
    """Milliseconds that a first request to a host takes over one to a host that is known."""
    count = (NEW_HOSTS - 1) // (bench.rounds + 1)
    start = 1 + bench.hosts[proxy.name]
    bench.hosts[proxy.name] += count
    options: Mapping[str, object] = {"c": 1, "t": 60, "n": count, "m": "new"}
    new = bench.ask(proxy, proxy.load(CLEAN, NEW, s=start, **options))
    return new.p50 - bench.ask(proxy, proxy.load(CLEAN, NEW % 0, **options)).p50


@dataclass(frozen=True)
class Latency:
    """What a proxy adds to the time of a request, on one connection, one request at a time."""

    name: str = "latency"
    tells: str = "added time at one connection, recording to memory and to disk"

    def run(self, bench: Bench) -> list[Row]:
        with bench.gateway_folder() as memory, bench.gateway_folder(bench.disk) as disk:
            with ExitStack() as stack:
                where = {"recording": {"directory": str(disk / "recordings")}}
                proxies = [
                    direct(bench.site),
                    stack.enter_context(jitgate(bench.site, memory)),
                    stack.enter_context(jitgate(bench.site, disk, ON_DISK, **where)),
                    *bench.peers_running(stack),
                ]
                found = bench.side_by_side(proxies, lambda proxy: self._times(bench, proxy))
            kept = {US: memory / "state" / "recordings", ON_DISK: disk / "recordings"}
            failed = {name: lacking(kept[name], bench.asked[name], {}) for name in kept}
        return [
            row
            for own, where_to in ((US, "memory"), (ON_DISK, "disk"))
            for place, kind in enumerate(("p50", "p99"))
            for row in rows(
                f"latency {kind}, {where_to}",
                "µs",
                {
                    US if name == own else name: [
                        1000 * (time[place] - base[place])
                        for time, base in zip(times, found["direct"], strict=True)
                    ]
                    for name, times in found.items()
                    if name == own or name in PEERS
                },
                Goal(1.0, "squid") if own == US else None,
                failed[own],
            )
        ]

    def _times(self, bench: Bench, proxy: Proxy) -> tuple[float, float]:
        told = bench.ask(proxy, proxy.load(CLEAN, c=1, t=bench.seconds, m="ka", W=""))
        return told.p50, told.p99


@dataclass(frozen=True)
class Idle:
    """What a tunnel costs in memory that has done one request and then waits."""

    name: str = "idle"
    tells: str = f"memory for each of {TUNNELS} idle tunnels"

    def run(self, bench: Bench) -> list[Row]:
        found: dict[str, list[float]] = {}
        failed = None
        for number in range(1, bench.rounds + 1):
            for name in (US, *bench.peers):
                with bench.gateway_folder() as folder:
                    with ExitStack() as stack:
                        start = PEERS.get(name, lambda site, folder=folder: jitgate(site, folder))
                        proxy = stack.enter_context(start(bench.site))
                        value = self._each(bench, proxy)
                    if name == US:
                        record = folder / "state" / "recordings"
                        failed = failed or lacking(record, bench.asked[US], {})
                found.setdefault(name, []).append(value)
                bench.told(number, name, value)
        return rows(self.name, "KiB", found, Goal(24), failed)

    def _each(self, bench: Bench, proxy: Proxy) -> float:
        bench.ask(proxy, proxy.load(CLEAN, c=CONNECTIONS, t=1, m="ka", W=""))
        before, sizes = proxy.memory(), []

        def at(word: str) -> None:
            if word == "HELD":
                time.sleep(1)  # what the handshakes took is given back
                sizes.append(proxy.memory())

        load = proxy.load(CLEAN, c=TUNNELS, r=32, t=60, m="hold", w=3)
        lost = bench.ask(proxy, load, at).lost
        if lost > (0 if proxy.name == US else TUNNELS // 100):
            raise RuntimeError(f"{proxy.name} closed {lost} of {TUNNELS} idle tunnels")
        return (sizes[0] - before) / 1024 / (TUNNELS - lost)


ROWS: tuple[Measured, ...] = (
    Compared(
        "request",
        "µs",
        "CPU per request: keep-alive, 16 connections, 1 KiB of JSON, nothing to mask",
        _request(CLEAN),
        Goal(1.0, "squid"),
    ),
    Compared(
        "masked",
        "µs",
        "the same with a masked field, and a token (DPoP) that is reused",
        _request(SECRET, LENT),
        Goal(2.0, "squid"),
        masks={"bench": 1},
    ),
    Compared(
        "token, reused",
        "µs",
        "what a token (DPoP) that is reused adds to a request",
        _lent(SECRET),
        Goal(100),
        masks={"bench": 1},
        without=tuple(PEERS),
    ),
    Compared(
        "token, minted",
        "µs",
        "what a token (DPoP) adds that is minted for the request, and revoked",
        _lent(CLEAN),
        Goal(3000),
        without=tuple(PEERS),
    ),
    Compared(
        "connection",
        "ms",
        "CPU per new connection: TCP, CONNECT, TLS with a warm leaf, one request",
        _connection,
        Goal(0.25, "squid"),
    ),
    Latency(),
    Compared(
        "first-host",
        "ms",
        "first request to a host never seen, over one to a host that is known",
        _first,
        Goal(5),
        without=("nginx",),
    ),
    Compared(
        "body",
        "MB per CPU second",
        "bodies of 10 MiB that are not JSON",
        _body,
        Goal(1.5, "squid", least=True),
    ),
    Idle(),
    Held(),
    Clicks(),
    Overload(),
    Hostile(),
)
