"""Twisted's web server reduced to what the sandbox needs: a function from a Call to an Answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.ssl import CertificateOptions
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.web.resource import Resource
from twisted.web.server import Site

from jitgate.errors import StateUnusable
from jitgate.values import Headers

LOOPBACK = "127.0.0.1"
"""The sandbox listens here and nowhere else."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request as it arrived; header names in lower case, ``path`` still percent-encoded."""

    method: str
    path: str
    query: str
    headers: Headers = field(repr=False)
    body: bytes = field(repr=False)

    def authorization(self) -> tuple[str, ...]:
        """The value of every Authorization field."""
        return tuple(
            value.decode("latin-1") for name, value in self.headers if name == b"authorization"
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """One response; ``content`` is sent as JSON."""

    status: int
    content: object = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)


class TlsSite:
    """Serves ``answer`` over TLS on the loopback address.

    Args:
        reactor: The reactor (IReactorTCP and IReactorTime).
        options: The certificate to show, with its key.
        answer: Called once per request; it must not raise.
    """

    port = 0
    """Where it listens, once started."""

    def __init__(
        self, reactor: Any, options: CertificateOptions, answer: Callable[[Call], Answer]
    ) -> None:
        site = _QuietSite(_Adapter(answer), reactor=reactor)  # type: ignore[no-untyped-call]
        self._reactor = reactor
        self._connections = _Connections(options, False, site, reactor)
        self._listening: Any = None

    async def start(self) -> None:
        """Listen; raises `StateUnusable` if no port can be bound."""
        try:
            self._listening = self._reactor.listenTCP(0, self._connections, interface=LOOPBACK)
        except CannotListenError as error:
            raise StateUnusable("The sandbox can bind no port.") from error
        self.port = self._listening.getHost().port

    async def stop(self) -> None:
        """Stop listening and end every connection; returns once all have ended."""
        listening, self._listening = self._listening, None
        if listening is not None:
            await listening.stopListening()
            await self._connections.end()


class _Connections(TLSMemoryBIOFactory):
    """Knows every open connection, so that stopping leaves none behind."""

    _ended: Deferred[None] | None = None

    async def end(self) -> None:
        if self.protocols:
            ended: Deferred[None] = Deferred()
            self._ended = ended
            for connection in list(self.protocols):
                connection.abortConnection()
            await ended

    def unregisterProtocol(self, p: TLSMemoryBIOProtocol) -> None:
        super().unregisterProtocol(p)  # type: ignore[no-untyped-call]
        if self._ended is not None and not self.protocols:
            ended, self._ended = self._ended, None
            ended.callback(None)


class _QuietSite(Site):
    noisy = False

    def log(self, request: Any) -> None:
        """No access log: what arrived is in the journal."""


class _Adapter(Resource):
    isLeaf = True  # noqa: N815 - Twisted's name

    def __init__(self, answer: Callable[[Call], Answer]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._answer = answer

    def render(self, request: Any) -> bytes:
        answer = self._answer(_call(request))
        request.setResponseCode(answer.status)
        request.setHeader("Content-Type", "application/json")
        request.setHeader("Cache-Control", "no-store")
        for name, value in answer.headers.items():
            request.setHeader(name, value)
        return orjson.dumps(answer.content)


def _call(request: Any) -> Call:
    path, _, query = request.uri.decode("latin-1").partition("?")
    headers = tuple(
        (name.lower(), value)
        for name, values in request.requestHeaders.getAllRawHeaders()
        for value in values
    )
    return Call(request.method.decode("latin-1"), path, query, headers, request.content.read())
