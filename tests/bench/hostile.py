"""How long a token that an attacker made takes to be answered.

Each is brought to a real gateway in a CONNECT, whose answer comes when the token has been looked
at. The vectors are among them, and signed tokens that are as long as they may be and slow to read.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass

from support.gateway import GatewayProcess
from support.hostile import VECTORS, Forge
from support.jwts import SigningKey, jwk_set
from support.tokens import ISSUER

from . import gateway
from .figures import US, Goal, Row, rows
from .proxies import Proxy, of_gateway
from .rounds import Bench
from .site import HOST

TIMES = 20
"""How often each token is brought in a round."""


@dataclass(frozen=True)
class Hostile:
    """The rows about hostile tokens."""

    name: str = "hostile-token"
    tells: str = "p99 of the answer to a CONNECT with a hostile token; CPU for the slowest kind"

    def run(self, bench: Bench) -> list[Row]:
        forge = Forge(ISSUER, SigningKey.es256("k1"), int(time.time()))
        tokens = {
            **forge.heavy(),
            **{
                each["name"]: forge.token(each) for each in VECTORS if each.get("edit") != "newline"
            },
        }
        every, slowest = [], []
        with bench.gateway_folder() as folder:
            keys = folder / "forged.json"
            keys.write_bytes(jwk_set(forge.key.jwk()))
            issuer = {"name": "forged", "type": "oidc", "issuer": ISSUER, "audience": "jitgate"}
            identity = {"issuers": [{**issuer, "jwks": str(keys)}]}
            with gateway.running(bench.site, folder, identity=identity) as (run, _):
                proxy = of_gateway(bench.site, run, "")
                for number in range(bench.rounds + 1):
                    took = {name: [*_took(bench, run, tokens[name])] for name in tokens}
                    used = {name: _used(bench, run, proxy, tokens[name]) for name in forge.heavy()}
                    if number:
                        every.append(_p99([each for times in took.values() for each in times]))
                        slowest.append(max(used.values()))
                        bench.say(f"  the slowest: {max(used, key=lambda name: used[name])}")
        return [
            *rows("hostile token, p99 of all", "ms", {US: every}, Goal(5)),
            *rows("hostile token, CPU for the slowest", "ms", {US: slowest}, Goal(5)),
        ]


def _took(bench: Bench, run: GatewayProcess, token: str) -> Iterator[float]:
    """Milliseconds from a CONNECT to its answer, several times."""
    place = f"{HOST}:{bench.site.origin}"
    head = (
        f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\nProxy-Authorization: Bearer {token}\r\n\r\n"
    )
    for _ in range(TIMES):
        with socket.create_connection(run.proxy, 10) as agent:
            begun = time.perf_counter()
            agent.sendall(head.encode())
            answer = agent.recv(4096)
            yield 1000 * (time.perf_counter() - begun)
        if not answer.startswith(b"HTTP/1.1 200 "):
            raise RuntimeError(f"a hostile token was answered with {answer[:60]!r}")


def _used(bench: Bench, run: GatewayProcess, proxy: Proxy, token: str) -> float:
    """Milliseconds of processor for each, all that the gateway does included."""
    before = proxy.used()
    count = len([*_took(bench, run, token)])
    return 1000 * (proxy.used() - before) / count


def _p99(times: list[float]) -> float:
    return sorted(times)[-(-99 * len(times) // 100) - 1]
