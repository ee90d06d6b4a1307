"""How soon a gateway at its limit says so: ``python -m bench.overload [LIMIT]`` in tests/.

It opens twice as many tunnels as exchanges may be in flight, sends a call on each at once, and
prints after how many milliseconds those beyond the limit had their slow-down answer, while the
others waited at a target that answers none until all of that is over; the recorder writes to disk.

It ends with status 1 if a goal is missed: every answer within 250 ms, as many refused as were sent
too many, and every accepted call served.
"""

from __future__ import annotations

import selectors
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.held import _allow_files
from support.counterparts import TestCA
from support.gateway import GatewayProcess, settings, target
from support.tokens import Tokens
from support.wire import Origin, Reply, Tunnel, answering

MILLISECONDS = 250.0
"""The goal."""

CALL = b"GET /things HTTP/1.1\r\nHost: api.example\r\n\r\n"


def main(limit: int) -> int:
    """Measure, and say what was found."""
    _allow_files(8 * limit + 1000)
    with tempfile.TemporaryDirectory(prefix="jitgate-bench-", dir=Path.cwd()) as folder:
        return _measured(Path(folder), limit)


def _measured(folder: Path, limit: int) -> int:
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
    return _judged(limit, took, refused, served)


def _at_once(tunnels: Sequence[Tunnel]) -> tuple[list[float], Counter[int]]:
    """Send on all of them; milliseconds to the first byte of each answer, and the statuses."""
    took, replies = [], list[Reply]()
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


def _judged(limit: int, took: Sequence[float], refused: Counter[int], served: Counter[int]) -> int:
    print(f"{limit} exchanges in flight, {limit} more sent at once")
    print(
        f"  slow-down after  {statistics.median(took):.0f} ms in the median, "
        f"{took[int(len(took) * 0.99)]:.0f} ms at the 99th percentile, {took[-1]:.0f} ms at most"
    )
    print(f"  beyond the limit {dict(refused)}, accepted {dict(served)}")
    well = took[-1] <= MILLISECONDS and refused == {503: limit} and served == {200: limit}
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 250))
