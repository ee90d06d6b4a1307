"""The two stream ports of an exchange at the agent's end: its request in, its response out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred
from zope.interface import implementer

from jitgate.core.http1_writing import chunk_bytes, last_chunk_bytes, response_bytes
from jitgate.core.limits import LIMITS
from jitgate.core.websocket import SWITCHED
from jitgate.errors import AgentGone, BodyTooLarge, PeerFault
from jitgate.interfaces import IRequest, IResponse
from jitgate.proxy.refusals import rendered
from jitgate.values import Headers, Refusal, RequestHead, ResponseHead


class Carrier(Protocol):
    """What the ports need of what carries them, whichever version of HTTP it speaks."""

    def wanted(self) -> None:
        """The exchange at hand asks for more of its body."""

    def go_on(self) -> None:
        """The exchange at hand gives leave to send its body (RFC 9110, section 10.1.1)."""

    async def in_time(self, act: Deferred[None]) -> None:
        """Wait for what the agent has to do, but not for ever. Raises `AgentGone`."""

    def listen(self, to_hang_ups: bool) -> None:
        """See to it that a hang-up is noticed, whatever else the agent sends, or no longer."""


class Connection(Carrier, Protocol):
    """A connection that carries one exchange after the other."""

    @property
    def keeps(self) -> bool:
        """Whether the connection may stay open after the exchange at hand."""

    def write(self, data: bytes) -> None:
        """Send bytes to the agent."""

    def end(self) -> None:
        """Take no more requests; close when the one at hand has been answered."""

    def abort(self) -> None:
        """Close without the orderly end that would make a cut body look whole."""


@implementer(IRequest)
class AgentRequest:
    """The request's bytes on their way in."""

    def __init__(
        self,
        connection: Carrier,
        head: RequestHead,
        hosts: tuple[str, ...],
        fault: PeerFault | None = None,
        most: int = LIMITS.body_bytes,
    ) -> None:
        self.head = head
        self.hosts = hosts
        self.fault = fault
        self.ended = fault is not None
        self._most = self._room = most
        self._hold_to_limit(head.length or 0)
        self.asked = False
        self.switched = False
        """Whether it is a WebSocket by now, in which an agent may be silent, and say much."""
        self.waiting = 0
        self._connection = connection
        self._pieces: deque[bytes] = deque()
        self._reader: Deferred[None] | None = None

    async def read(self) -> bytes:
        if not self.asked:
            self.asked = True
            if self.head.expects_continue and not self.ended and not self._pieces:
                self._connection.go_on()
        while not self._pieces:
            if self.fault is not None:
                raise self.fault
            if self.ended:
                return b""
            self._reader = Deferred()
            self._connection.wanted()
            if self.switched:
                await self._reader
            else:
                await self._connection.in_time(self._reader)
        piece = self._pieces.popleft()
        self.waiting -= len(piece)
        return piece

    def add(self, data: bytes) -> None:
        """A piece of the body has come."""
        if not self.switched:
            self._hold_to_limit(len(data))
        if self.fault is not None:
            self._wake()
            return
        self._room -= len(data)
        self._pieces.append(data)
        self.waiting += len(data)
        self._wake()

    def end(self) -> None:
        """The body is whole."""
        self.ended = True
        self._wake()

    def fail(self, fault: PeerFault) -> None:
        """The body will never be whole."""
        if not self.ended:
            self.fault, self.ended = fault, True
            self._wake()

    def _hold_to_limit(self, size: int) -> None:
        """Refuse a body that would be longer than it may; what is left of it is not kept."""
        if size > self._room and self.fault is None:
            self.fault = BodyTooLarge(f"Bodies of up to {self._most} bytes are carried.")

    def _wake(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.callback(None)


class Outgoing:
    """The response's bytes on their way out: what is the same whatever frames them."""

    def __init__(self, carrier: Carrier, request: AgentRequest) -> None:
        self.started = False
        self._carrier = carrier
        self._request = request
        self._left: int | None = None
        self._fault: PeerFault | None = None
        self._room: Deferred[None] | None = None
        self._on_gone: Callable[[], None] | None = None
        self._listening = False

    @property
    def gone(self) -> bool:
        return self._fault is not None

    def on_gone(self, call: Callable[[], None] | None, *, first: bool = False) -> None:
        self._on_gone = call
        if first or self._listening:
            self._listening = first
            self._carrier.listen(first)
        if call is not None and self._fault is not None:
            call()

    def render(self, refusal: Refusal, exchange: str, manner: str) -> tuple[ResponseHead, bytes]:
        return rendered(refusal, exchange, manner)

    def _counted(self, data: bytes) -> bytes:
        """A piece of the body as far as there is a body: nothing for HEAD.

        Raises `AgentGone` if it is more than the head has announced.
        """
        if self._request.head.method == "HEAD" or not data:
            return b""
        if self._left is not None:
            self._left -= len(data)
            if self._left < 0:
                raise AgentGone("More was to be written than the head had announced.")
        return data

    def _check_whole(self) -> None:
        """Raises `AgentGone` if nothing more can be written, or not all was that is announced."""
        self._check()
        if self._left:
            raise AgentGone("Less was written than the head had announced.")

    async def _caught_up(self, room: Deferred[None]) -> None:
        """Return when there is room for more."""
        await self._carrier.in_time(room)
        self._check()

    def pause(self) -> None:
        """The agent reads slower than it is sent to."""
        if self._room is None:
            self._room = Deferred()

    def resume(self) -> None:
        """The agent has caught up, or never will."""
        room, self._room = self._room, None
        if room is not None:
            room.callback(None)

    def fail(self, fault: PeerFault) -> None:
        """Nothing more can be written."""
        self._fault = fault
        self.resume()
        if self._on_gone is not None:
            self._on_gone()

    def _check(self) -> None:
        if self._fault is not None:
            raise self._fault


@implementer(IResponse)
class AgentResponse(Outgoing):
    """The response in HTTP/1.1."""

    def __init__(self, connection: Connection, request: AgentRequest, minor: int) -> None:
        super().__init__(connection, request)
        self._connection = connection
        self._minor = minor
        self.takes_trailers = minor > 0  # HTTP/1.0 has no chunks, and nothing behind a body
        self._chunked = False

    async def start(self, head: ResponseHead, first: bytes = b"") -> None:
        self._check()
        self.started = True
        if head.status == SWITCHED:
            self._request.switched = True
            self._connection.write(response_bytes(head, chunked=False, keep_alive=True))
            return
        bodiless = self._request.head.method == "HEAD"
        self._chunked = head.length is None and self._minor > 0 and not bodiless
        until_close = head.length is None and not self._chunked and not bodiless
        if until_close or self._cut_short():
            self._connection.end()
        self._left = 0 if bodiless else head.length
        written = response_bytes(head, chunked=self._chunked, keep_alive=self._connection.keeps)
        self._connection.write(written + self._framed(first))
        if self._room is not None:
            await self._caught_up(self._room)

    async def write(self, data: bytes) -> None:
        self._check()
        framed = self._framed(data)
        if framed:
            self._connection.write(framed)
        if self._room is not None:
            await self._caught_up(self._room)

    def _framed(self, data: bytes) -> bytes:
        """A piece of the body as it goes out: a chunk if there are chunks."""
        piece = self._counted(data)
        return chunk_bytes(piece) if self._chunked and piece else piece

    async def finish(self, trailers: Headers = ()) -> None:
        self._check_whole()
        if self._chunked:
            self._connection.write(last_chunk_bytes(trailers))

    def truncate(self) -> None:
        self._connection.abort()

    def _cut_short(self) -> bool:
        """Whether the agent still waits for leave to send a body that nobody will read."""
        head = self._request.head
        return head.expects_continue and not self._request.asked and not self._request.ended
