"""How soon a gateway at its limit says so.

Twice as many tunnels are opened as exchanges may be in flight, and a call is sent on each at once.
Those beyond the limit get their slow-down answer, while the others wait at a target that answers
none until all of that is over; the recorder writes to disk.
"""

from __future__ import annotations

import selectors
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from support.counterparts import TestCA
from support.gateway import GatewayProcess, settings, target
from support.tokens import Tokens
from support.wire import Origin, Tunnel, answering

from .figures import US, Goal, Row, rows
from .held import allow_files
from .rounds import Bench

LIMIT = 250
"""Exchanges in flight that are allowed, and as many are sent beyond."""

CALL = b"GET /things HTTP/1.1\r\nHost: api.example\r\n\r\n"


@dataclass(frozen=True)
class Overload:
    """The row about twice as many requests as may be in flight."""

    name: str = "overload"
    tells: str = f"the slowest of {LIMIT} refusals at twice the limit of exchanges in flight"

    def run(self, bench: Bench) -> list[Row]:
        allow_files(8 * LIMIT + 1000)
        slowest: list[float] = []
        failed = None
        for number in range(1, bench.rounds + 1):
            with bench.gateway_folder(bench.disk) as folder:
                took, refused, served = _measured(folder, LIMIT)
            slowest.append(took[-1])
            bench.told(number, US, took[-1])
            if (refused, served) != ({503: LIMIT}, {200: LIMIT}):
                failed = f"refused {dict(refused)}, accepted {dict(served)}, of {LIMIT} each"
        return rows("overload, slowest refusal", "ms", {US: slowest}, Goal(250), failed)


def _measured(folder: Path, limit: int) -> tuple[list[float], Counter[int], Counter[int]]:
    """Milliseconds of each refusal, sorted; the statuses beyond the limit, and within it."""
    ca, tokens, over = TestCA.create(folder, name="origin"), Tokens(folder), threading.Event()
    answer = answering(b"{}")
    with Origin(ca.leaf("api.example"), lambda *asked: over.wait(60) and answer(*asked)) as origin:
        made = settings(folder, tokens.jwks, [target(origin.port, ca.pem)])
        with GatewayProcess(folder, made | {"limits": {"exchanges": limit}}) as gateway:
            token = tokens.token()
            with ThreadPoolExecutor(4) as pool:
                tunnels = list(
                    pool.map(lambda _: Tunnel(gateway.proxy, gateway.ca, token), range(2 * limit))
                )
            for tunnel in tunnels[:limit]:
                tunnel.send(CALL)
            while len(origin.received) < limit:
                time.sleep(0.05)
            took, refused = _at_once(tunnels[limit:])
            over.set()
            served = Counter(tunnel.reply().status for tunnel in tunnels[:limit])
    return took, refused, served


def _at_once(tunnels: Sequence[Tunnel]) -> tuple[list[float], Counter[int]]:
    """Send on all of them; milliseconds to the first byte of each answer, and the statuses."""
    took: list[float] = []
    with selectors.DefaultSelector() as selector:
        begun = {}
        for tunnel in tunnels:
            assert tunnel.tls is not None
            selector.register(tunnel.tls.fileno(), selectors.EVENT_READ, tunnel)
        for tunnel in tunnels:
            begun[tunnel] = time.monotonic()
            tunnel.send(CALL)
        while len(took) < len(tunnels):
            for key, _ in selector.select(30):
                took.append(1000 * (time.monotonic() - begun[key.data]))
                selector.unregister(key.fileobj)
    replies = [tunnel.reply() for tunnel in tunnels]
    return sorted(took), Counter(reply.status for reply in replies)
