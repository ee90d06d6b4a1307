"""A proxy port on a real socket, before a gateway over ports that a test steers."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from OpenSSL import SSL
from support.ports import Stand
from support.wire import Tunnel
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock, deferLater
from twisted.internet.threads import deferToThread

from jitgate.proxy.authority import load_or_create
from jitgate.proxy.listener import HttpProxyListener, Plain, nothing_plain

reactor: Any = _reactor


class Hours:
    """A clock on which what is due at once happens, and what takes long waits for the test."""

    def __init__(self) -> None:
        self.clock = Clock()

    def seconds(self) -> float:
        return self.clock.seconds()

    def callLater(
        self, delay: float, call: Callable[..., object], *args: object, **named: object
    ) -> Any:
        return (self.clock if delay >= 1 else reactor).callLater(delay, call, *args, **named)


class Door:
    """A proxy port before a gateway over ports that the test steers."""

    def __init__(
        self,
        folder: Path,
        stand: Stand,
        plain: Plain = nothing_plain,
        tls: Callable[[], SSL.Connection] | None = None,
    ) -> None:
        self.stand = stand
        self.noted: list[Mapping[str, object]] = []
        self.hours = Hours()
        self.ca = folder / "ca.pem"
        self.listener = HttpProxyListener(
            stand.gateway,
            load_or_create(folder, reactor.seconds),
            TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1"),
            cast("IReactorTime", self.hours),
            plain,
            limits=stand.bounds,
            note=self.noted.append,
            tls=tls,
        )

    @property
    def address(self) -> tuple[str, int]:
        host: Any = self.listener.port.getHost()
        return host.host, host.port

    async def tunnel(self, **how: Any) -> Tunnel:
        return await deferToThread(Tunnel, self.address, self.ca, "t", **how)

    def later(self, seconds: float) -> None:
        self.hours.clock.advance(seconds)

    async def stop(self) -> None:
        stopping = Deferred.fromCoroutine(self.listener.stop())
        await deferLater(reactor, 0.05)  # the port closes first, then the grace begins
        self.later(self.stand.bounds.stop)
        await stopping
        assert not self.listener._open


async def opened(folder: Path, stand: Stand | None = None, plain: Plain = nothing_plain) -> Door:
    door = Door(folder, stand or Stand(), plain)
    await door.listener.start()
    return door


async def until(seen: Callable[[], object]) -> None:
    for _ in range(2000):
        if seen():
            return
        await deferLater(reactor, 0.005)
    raise AssertionError("it never came about")


def rest_of(peer: socket.socket) -> tuple[bytes, bool]:
    """Everything until the end; False in place of the end if it was cut off."""
    peer.settimeout(10)
    data = b""
    try:
        while more := peer.recv(65536):
            data += more
    except (ConnectionError, ssl.SSLError):
        return data, False
    return data, True


async def hung_up(peer: socket.socket) -> tuple[bytes, bool]:
    return await deferToThread(rest_of, peer)
