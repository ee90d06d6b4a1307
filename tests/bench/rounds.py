"""Measuring in rounds: each in turn, again and again, so that all meet the same machine."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from .load import Load, Told
from .proxies import PEERS, Proxy
from .site import Site

IN_MEMORY = Path("/dev/shm")  # noqa: S108 - only folders with names of their own are made there

Value = TypeVar("Value")


@dataclass
class Bench:
    """How to measure, and what was asked of whom in the row that is being measured."""

    site: Site
    peers: Sequence[str]
    rounds: int
    seconds: float
    held: int
    disk: Path
    say: Callable[[str], None]
    asked: Counter[str] = field(default_factory=Counter)
    """Requests, by the name of the proxy."""
    hosts: Counter[str] = field(default_factory=Counter)
    """Hosts that are not new any more."""

    def ask(self, proxy: Proxy, load: Load, at: Callable[[str], None] = lambda _: None) -> Told:
        """Put a load on a proxy."""
        told = load.run(at)
        self.asked[proxy.name] += told.all
        return told

    def cost(self, proxy: Proxy, load: Load) -> tuple[float, Told]:
        """Seconds of processor that the proxy spent on a load once it was warm."""
        marks = {"BEGUN": proxy.used()}
        told = self.ask(proxy, load, lambda word: marks.update({word: proxy.used()}))
        return marks["DONE"] - marks.get("READY", marks["BEGUN"]), told

    @contextmanager
    def gateway_folder(self, parent: Path = IN_MEMORY) -> Iterator[Path]:
        """A folder for a gateway that nobody has asked anything yet."""
        self.asked.clear()
        self.hosts.clear()
        with tempfile.TemporaryDirectory(prefix="jitgate-bench-", dir=parent) as folder:
            yield Path(folder)

    def peers_running(self, stack: ExitStack, without: Collection[str] = ()) -> list[Proxy]:
        """The peers, each with a processor's share only while it is asked."""
        wanted = [peer for peer in self.peers if peer not in without]
        return [stack.enter_context(PEERS[peer](self.site)) for peer in wanted]

    def side_by_side(
        self, proxies: Sequence[Proxy], measure: Callable[[Proxy], Value]
    ) -> dict[str, list[Value]]:
        """Measure them in turn, round by round; the first round only warms up."""
        found: dict[str, list[Value]] = {proxy.name: [] for proxy in proxies}
        for number in range(self.rounds + 1):
            for proxy in proxies:
                value = measure(proxy)
                if number:
                    found[proxy.name].append(value)
                    self.told(number, proxy.name, value)
        return found

    def told(self, number: int, name: str, value: object) -> None:
        """Say how it goes."""
        shown = f"{value:.5g}" if isinstance(value, float) else str(value)
        self.say(f"  round {number}: {name} {shown}")
