"""What is read of HTTP/1.1 messages, as events in order."""

from __future__ import annotations

from dataclasses import dataclass, field

from jitgate.errors import PeerFault
from jitgate.values import Headers, RequestHead, ResponseHead


@dataclass(frozen=True, slots=True)
class Request:
    """A request's head as read, with what only the connection needs to know."""

    head: RequestHead
    host: bytes | None
    keep_alive: bool
    minor: int


@dataclass(frozen=True, slots=True)
class Response:
    """A response's head as read; ``interim`` for 1xx, after which another one follows."""

    head: ResponseHead
    interim: bool = False


@dataclass(frozen=True, slots=True)
class Data:
    """A piece of the body, not empty."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class End:
    """The message is whole; for a response ``reusable`` tells if the connection may go on."""

    trailers: Headers = field(default=(), repr=False)
    reusable: bool = True


@dataclass(frozen=True, slots=True)
class Tunnel:
    """A CONNECT request: what follows in ``rest`` is no longer HTTP of this connection."""

    request: Request
    rest: bytes = field(repr=False)


Event = Request | Response | Data | End | Tunnel | PeerFault
