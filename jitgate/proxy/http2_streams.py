"""One HTTP/2 stream: what carries one exchange, and the response's way out on it."""

from __future__ import annotations

from contextlib import suppress
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as TooLate
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from jitgate.core.heads import NO_HEAD
from jitgate.core.http2_frames import Code
from jitgate.core.http2_heads import response_pairs, trailer_pairs
from jitgate.errors import AgentGone, MalformedRequest, PeerFault
from jitgate.interfaces import IResponse
from jitgate.proxy.http2_engine import WINDOW, Engine
from jitgate.proxy.streams import AgentRequest, Outgoing
from jitgate.values import Headers, RequestHead, ResponseHead

DISCARDED = 8 * 1024 * 1024
"""Bytes of a body that are thrown away so that its sender gets to read why. Some, httpx for one,
read no answer before they have sent all of it, so this is more than HTTP/1.1 needs."""

_CONTINUE = [(b":status", b"100")]


class Streams(Protocol):
    """What a stream needs of its connection."""

    engine: Engine

    @property
    def paused(self) -> bool:
        """Whether the agent reads nothing at present, of any stream."""

    def flush(self, size: int = 0) -> None:
        """Send what is to be sent; so many bytes of it are of bodies."""

    async def in_time(self, act: Deferred[None]) -> None:
        """Wait for what the agent has to do, but not for ever. Raises `AgentGone`."""


class Stream:
    """A request, and the stream that it came on. It is over once its exchange is.

    ``fault``: for which it is refused as soon as it has begun; the stream then ends with an error.
    """

    def __init__(
        self,
        connection: Streams,
        number: int,
        *,
        head: RequestHead = NO_HEAD,
        hosts: tuple[str, ...] = (),
        fault: PeerFault | None = None,
        most: int,
    ) -> None:
        self.number = number
        self.request = AgentRequest(self, head, hosts, fault, most)
        self.response = StreamResponse(self, self.request)
        self.broken = fault is not None
        self.connection = connection
        self.closed = False
        self._left = head.length
        self._heard = False
        self._unread = 0
        self._spare = DISCARDED
        self._drained: Deferred[None] | None = None

    # --- in

    def receive(self, data: bytes, size: int) -> None:
        """A piece of the body, which takes ``size`` bytes of the window."""
        self._unread += size
        if self._drained is not None:
            self._discard(size)
        elif data and not self.request.ended:
            self._add(data)

    def _add(self, data: bytes) -> None:
        if self._left is not None:
            self._left -= len(data)
            if self._left < 0:
                self.break_off("More came than Content-Length announces.")
                return
        self.request.add(data)

    def whole(self) -> None:
        """The agent has said all of its request."""
        self._heard = True
        if self._left:
            self.break_off("Less came than Content-Length announces.")
        self.request.end()
        self._stop_draining()

    def break_off(self, why: str) -> None:
        """The request is none after all."""
        if not self.request.ended:
            self.broken = True
            self.request.fail(MalformedRequest(why))

    def gone(self, why: str) -> None:
        """The agent has given it up, or can no longer be told anything."""
        self.closed = True
        fault = AgentGone(why)
        self.request.fail(fault)
        self.response.fail(fault)
        self._stop_draining()

    # --- what its request needs (`jitgate.proxy.streams.Carrier`)

    def wanted(self) -> None:
        """More of the body is asked for: what was read makes room for as much."""
        if self._unread > WINDOW // 2 and not self._heard:
            size, self._unread = self._unread, 0
            self.connection.engine.let_in(size, self.number)
            self.connection.flush()

    def go_on(self) -> None:
        self.connection.engine.head(self.number, _CONTINUE, ends=False)
        self.connection.flush()

    async def in_time(self, act: Deferred[None]) -> None:
        await self.connection.in_time(act)

    def listen(self, to_hang_ups: bool) -> None:
        """Nothing holds a hang-up back: a body has its own window, and is not waited for."""

    # --- how it ends

    def reset(self, code: Code) -> None:
        """End it short."""
        if not self.closed:
            self.closed = True
            self.connection.engine.reset(self.number, code)
            self.connection.flush()

    async def settle(self, clock: IReactorTime, seconds: float) -> None:
        """Its exchange is over. What is left of a body that nobody wanted need not come.

        Its sender has some seconds to come to its end, and then is asked to stop.
        """
        if not self.response.finished:
            self.reset(Code.INTERNAL_ERROR)
        unasked = self.request.head.expects_continue and not self.request.asked
        if not self.closed and not self._heard and not unasked:
            self._drained = Deferred()
            self.wanted()
            with suppress(TooLate):
                await self._drained.addTimeout(seconds, clock)
        if not self._heard:
            self.reset(Code.NO_ERROR)  # RFC 9113, section 8.1

    def _discard(self, size: int) -> None:
        """Throw away what came of a body that nobody wants, up to a point."""
        self._spare -= size
        if self._spare < 0:
            self._stop_draining()
        else:
            self.wanted()

    def _stop_draining(self) -> None:
        drained, self._drained = self._drained, None
        if drained is not None and not drained.called:
            drained.callback(None)


@implementer(IResponse)
class StreamResponse(Outgoing):
    """The response in HTTP/2.

    What completes it waits for `finish`, which sends it with END_STREAM, or before the trailers. A
    piece waits for the agent's windows as long as an agent may stall, and no further one is taken.
    """

    def __init__(self, stream: Stream, request: AgentRequest) -> None:
        super().__init__(stream, request)
        self.takes_trailers = True
        self.finished = False
        self._stream = stream
        self._head: list[tuple[bytes, bytes]] = []
        self._pending = b""
        self._ends = False
        self._trailers: list[tuple[bytes, bytes]] = []

    async def start(self, head: ResponseHead, first: bytes = b"") -> None:
        self._check()
        self._head = response_pairs(head)
        self.started = True
        self._left = 0 if self._request.head.method == "HEAD" else head.length
        await self._send(first)

    async def write(self, data: bytes) -> None:
        self._check()
        await self._send(data)

    async def finish(self, trailers: Headers = ()) -> None:
        self._check_whole()
        self._trailers = trailer_pairs(trailers)
        self._ends = True
        await self._pushed()

    def truncate(self) -> None:
        self._stream.reset(Code.INTERNAL_ERROR)

    def resume(self) -> None:
        """There may be more room than before."""
        if self._fault is None and self._room is not None:
            self._push()
        if self._fault is not None or not self._waits:
            super().resume()

    @property
    def _waits(self) -> bool:
        """Whether anything is there that could not be sent yet."""
        return bool(self._head or self._pending or (self._ends and not self.finished))

    async def _send(self, data: bytes) -> None:
        self._pending += self._counted(data)
        if self._left != 0:
            await self._pushed()

    async def _pushed(self) -> None:
        self._push()
        if self._waits:
            self.pause()
        if self._room is not None:
            await self._caught_up(self._room)

    def _push(self) -> None:
        """Send what there is room for."""
        try:
            size = self._pushing()
        except AgentGone as gone:
            self.fail(gone)
        else:
            self._stream.connection.flush(size)

    def _pushing(self) -> int:
        """How many bytes of the body went."""
        number, engine = self._stream.number, self._stream.connection.engine
        if self._stream.connection.paused:
            return 0
        # A stream that is broken is not ended: that would say that its request was one.
        ends = self._ends and not self._trailers and not self._stream.broken
        if self._head:
            self.finished = ends and not self._pending
            head, self._head = self._head, []
            engine.head(number, head, ends=self.finished)
        piece = b""
        if self._pending and (room := engine.room(number)):
            piece, self._pending = self._pending[:room], self._pending[room:]
            self.finished = ends and not self._pending
            engine.data(number, piece, ends=self.finished)
        if self._ends and not self._pending and not self.finished:
            self._end()
        return len(piece)

    def _end(self) -> None:
        number, engine = self._stream.number, self._stream.connection.engine
        self.finished = True
        if self._stream.broken:
            self._stream.reset(Code.PROTOCOL_ERROR)
        elif self._trailers:
            engine.head(number, self._trailers, ends=True)
        else:
            engine.data(number, b"", ends=True)
