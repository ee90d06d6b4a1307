"""The rows: what is measured, how, and the goals of the project for it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from .figures import US, Goal, Row, rows
from .load import Load, Told
from .proxies import PEERS, Proxy, jitgate
from .record import lacking
from .site import BIG, BIG_SIZE, CLEAN, FILES, SECRET, Site

CONNECTIONS = 16
"""Kept open at once; an agent's SDK has fewer, several agents have more."""


@dataclass
class Bench:
    """How to measure, and how much was asked of jitgate."""

    site: Site
    peers: Sequence[str]
    rounds: int
    seconds: float
    say: Callable[[str], None]
    asked: int = 0

    def cost(self, proxy: Proxy, load: Load) -> tuple[float, Told]:
        """Seconds of processor that the proxy spent on a load, and what came of it."""
        marks = {"BEGUN": proxy.used()}
        told = load.run(lambda word: marks.update({word: proxy.used()}))
        if proxy.name == US:
            self.asked += told.all
        return marks["DONE"] - marks.get("READY", marks["BEGUN"]), told

    @contextmanager
    def gateway_folder(self) -> Iterator[Path]:
        """A folder in memory for a gateway that has not been asked anything."""
        self.asked = 0
        with tempfile.TemporaryDirectory(prefix="jitgate-bench-", dir="/dev/shm") as folder:
            yield Path(folder)

    def peers_running(self, stack: ExitStack) -> list[Proxy]:
        return [stack.enter_context(PEERS[peer](self.site)) for peer in self.peers]

    def side_by_side(
        self, proxies: Sequence[Proxy], measure: Callable[[Proxy], float]
    ) -> Mapping[str, Sequence[float]]:
        """Measure them in turn, round by round; the first round only warms up."""
        found: dict[str, list[float]] = {proxy.name: [] for proxy in proxies}
        for number in range(self.rounds + 1):
            for proxy in proxies:
                value = measure(proxy)
                if number:
                    found[proxy.name].append(value)
                    self.say(f"  round {number}: {proxy.name} {value:,.4g}")
        return found


@dataclass(frozen=True)
class Compared:
    """A row for which jitgate and its peers are asked the same in turn, with one figure each."""

    name: str
    unit: str
    tells: str
    measure: Callable[[Bench, Proxy], float]
    goal: Goal | None = None
    masks: Mapping[str, int] = field(default_factory=dict)

    def run(self, bench: Bench) -> list[Row]:
        with bench.gateway_folder() as folder:
            with ExitStack() as stack:
                proxies = [stack.enter_context(jitgate(bench.site, folder))]
                proxies += bench.peers_running(stack)
                found = bench.side_by_side(proxies, lambda proxy: self.measure(bench, proxy))
            failed = lacking(folder / "recordings", bench.asked, self.masks)
        return rows(self.name, self.unit, found, self.goal, failed)


def _request(path: str) -> Callable[[Bench, Proxy], float]:
    def measure(bench: Bench, proxy: Proxy) -> float:
        """Microseconds of processor for a request on a warm connection."""
        load = proxy.load(path, c=CONNECTIONS, t=bench.seconds, m="ka", W="")
        used, told = bench.cost(proxy, load)
        return 1e6 * used / told.done

    return measure


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


ROWS = (
    Compared(
        "request",
        "µs",
        "CPU per request: keep-alive, 16 connections, 1 KiB of JSON, nothing to mask",
        _request(CLEAN),
        Goal(2.5, "squid"),
    ),
    Compared(
        "masked",
        "µs",
        "the same with a masked field",
        _request(SECRET),
        masks={"bench": 1},
    ),
    Compared(
        "connection",
        "ms",
        "CPU per new connection: TCP, CONNECT, TLS with a warm leaf, one request",
        _connection,
        Goal(0.4, "squid"),
    ),
    Compared(
        "body",
        "MB per CPU second",
        "bodies of 10 MiB that are not JSON",
        _body,
        Goal(0.8, "squid", least=True),
    ),
)
