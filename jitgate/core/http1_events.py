"""What is read of HTTP/1.1 messages, as events in order."""

from __future__ import annotations

from typing import NamedTuple

from jitgate.errors import PeerFault
from jitgate.values import Headers, RequestHead, ResponseHead, shown_names


class Request(NamedTuple):
    """A request's head as read, with what only the connection needs to know."""

    head: RequestHead
    host: bytes | None
    keep_alive: bool
    minor: int


class Response(NamedTuple):
    """A response's head as read; ``interim`` for 1xx, after which another one follows."""

    head: ResponseHead
    interim: bool = False


class Data(NamedTuple):
    """A piece of the body, not empty."""

    data: bytes

    def __repr__(self) -> str:
        return f"Data({len(self.data)} bytes)"


class End(NamedTuple):
    """The message is whole; for a response ``reusable`` tells if the connection may go on."""

    trailers: Headers = ()
    reusable: bool = True

    def __repr__(self) -> str:
        return f"End({shown_names(self.trailers)!r}, reusable={self.reusable})"


class Tunnel(NamedTuple):
    """A CONNECT request: what follows in ``rest`` is no longer HTTP of this connection."""

    request: Request
    rest: bytes

    def __repr__(self) -> str:
        return f"Tunnel({self.request!r}, {len(self.rest)} bytes)"


Event = Request | Response | Data | End | Tunnel | PeerFault
