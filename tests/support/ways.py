"""Ways to an origin on the loopback address, as the gateway goes them: checked, over real TLS."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from support.ports import Asked
from twisted.internet import reactor
from twisted.internet.task import deferLater

from jitgate.app.far import trust_in
from jitgate.core.limits import LIMITS, Limits
from jitgate.upstreams.connection import UpstreamConnection
from jitgate.upstreams.endpoint import CheckedEndpoint
from jitgate.upstreams.via import Via
from jitgate.values import RequestHead

HOST = "api.example"
GET = RequestHead("GET", "/things", ((b"Host", b"api.example"),))


async def never_resolved(host: str) -> Sequence[str]:
    """For a way on which no name has to be resolved."""
    raise AssertionError(f"{host} was resolved")


def way(
    trust: Path | None,
    dial: tuple[str, int] | None = None,
    *,
    host: str = HOST,
    port: int = 443,
    via: Via | None = None,
    resolve: Any = never_resolved,
    loop: Any = reactor,
    limits: Limits = LIMITS,
) -> CheckedEndpoint:
    """A way to a host; None trusts the system's bundle."""
    return CheckedEndpoint(
        host,
        port,
        reactor=loop,
        resolve=resolve,
        trust=trust_in(trust),
        dial=dial,
        via=via,
        limits=limits,
    )


async def exchanged(connection: UpstreamConnection) -> bytes:
    """One exchange on a connection that stays taken; what was answered."""
    asked: Any = Asked()
    await connection.send(GET, asked)
    data = b""
    while piece := await connection.read():
        data += piece
    return data


async def until(seen: Any) -> None:
    """Let the reactor turn until something holds."""
    loop: Any = reactor
    for _ in range(1000):
        if seen():
            return
        await deferLater(loop, 0.005)
    raise AssertionError("it never came about")
