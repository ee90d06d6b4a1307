"""A proxy before the targets: it is asked for a tunnel, and TLS goes through it end to end.

The proxy resolves the target's name, so which address is dialled is its to decide and not checked
here (docs/decisions/0045). The certificate is, as always.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from jitgate.core.http1_reading import End, Event, Response, ResponseReader
from jitgate.errors import UpstreamUnreachable
from jitgate.upstreams.dialling import Wire

TUNNEL_WITHIN = 15.0
"""Seconds for the proxy's answer: it resolves and connects meanwhile."""

_VALUE = re.compile(rb"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
"""A field value (RFC 9110, section 5.5), narrowed to ASCII."""


@dataclass(frozen=True, slots=True)
class Via:
    """A proxy, and what it wants to see in Proxy-Authorization."""

    host: str
    port: int
    authorization: bytes | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.authorization is not None and not _VALUE.fullmatch(self.authorization):
            raise ValueError("the value for Proxy-Authorization is not one line of visible ASCII")


async def tunnelled(wire: Wire, via: Via, authority: str, clock: IReactorTime) -> None:
    """Ask the proxy for a tunnel. After this, what is written to ``wire`` reaches the target.

    Raises `UpstreamUnreachable`, with the proxy's status if it refused.
    """
    asking = _Asking(authority, via.authorization)
    asking.answered.addTimeout(TUNNEL_WITHIN, clock)
    wire.hand_to(asking)
    try:
        status = await asking.answered
    except Exception as error:
        wire.transport.abortConnection()
        raise UpstreamUnreachable("The proxy before the target gave no clear answer.") from error
    if status != 200:
        wire.transport.abortConnection()
        raise UpstreamUnreachable(f"The proxy before the target refused a tunnel ({status}).")


class _Asking(Protocol):
    """CONNECT, until its answer's head has been read (RFC 9110, section 9.3.6).

    The answer is read like a target's, as strictly and with the same bounds. It has no body that
    counts: 2xx begins the tunnel behind the head, and after anything else nothing is read.
    """

    transport: ITCPTransport

    def __init__(self, authority: str, authorization: bytes | None) -> None:
        lines = [f"CONNECT {authority} HTTP/1.1".encode(), b"Host: " + authority.encode()]
        if authorization is not None:
            lines.append(b"Proxy-Authorization: " + authorization)
        self._request = b"\r\n".join([*lines, b"", b""])
        self._reader = ResponseReader("HEAD")
        self.answered: Deferred[int] = Deferred()

    def connectionMade(self) -> None:
        self.transport.write(self._request)

    def dataReceived(self, data: bytes) -> None:
        events = self._reader.feed(data)
        if events and not self.answered.called:
            self._answer(events)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self.answered.called:
            self.answered.errback(reason)

    def _answer(self, events: list[Event]) -> None:
        """Just a head, and nothing behind it: the target speaks only once it has been spoken to."""
        match events:
            case [Response(head), End()] if head.status >= 200:
                self.answered.callback(head.status)
            case [Response(head), *_] if head.status >= 300:
                self.answered.callback(head.status)  # what is behind it is not looked at
            case _:
                self.answered.errback(UpstreamUnreachable("The proxy's answer is not one head."))
