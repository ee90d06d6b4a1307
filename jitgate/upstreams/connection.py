"""One connection to a target: HTTPS exchanges on it, one after the other.

Nothing is ever sent twice on it. What comes of a target is read ahead a little and no more, and
whoever is waited for has a deadline.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable, Iterable
from typing import cast

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHandshakeListener, IPushProducer, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from jitgate.core.http1_reading import Data, End, Event, Response, ResponseReader
from jitgate.core.http1_writing import WITH_BODY, chunk_bytes, last_chunk_bytes, request_bytes
from jitgate.core.limits import Limits
from jitgate.core.websocket import SWITCHED
from jitgate.errors import (
    JitgateError,
    PeerFault,
    UpstreamGone,
    UpstreamMalformed,
    UpstreamUnreachable,
)
from jitgate.flow.deadlines import Deadline
from jitgate.interfaces import IRequest, ISwitchedConnection
from jitgate.tls import TlsPump
from jitgate.upstreams.endpoint import lost
from jitgate.values import Headers, RequestHead, ResponseHead

KEPT_FOR = 20.0
"""Seconds an idle connection is kept; servers and balancers close theirs after 30 to 60."""

LASTS = 300.0
"""Seconds after which a connection is not used again, so that changes in DNS are followed even
by a host that is called without a pause."""

READ = 48 * 1024
"""Bytes that are read from a target at once: large ones cost less of the processor, and thousands
of slow agents may have one waiting each."""

AHEAD = 16 * 1024
"""Bytes of a response that are read before the agent has taken those before."""


@implementer(ISwitchedConnection, IHandshakeListener, IPushProducer)
class UpstreamConnection(Protocol):
    """One connection to a target; ``trusted`` fires when its certificate has been checked."""

    transport: TlsPump

    def __init__(
        self,
        host: str,
        clock: IReactorTime,
        limits: Limits,
        rest: Callable[[UpstreamConnection], None],
        gone: Callable[[UpstreamConnection], None],
    ) -> None:
        self._host = host
        self._clock = clock
        self._limits = limits
        self._rest = rest
        self._gone = gone
        self._deadline = Deadline(clock)
        self._reader: ResponseReader | None = None
        self._head: Deferred[ResponseHead] | None = None
        self._answer: ResponseHead | None = None
        self._sending: Deferred[None] | None = None
        self._whole = False
        self._switched = False
        self._room: Deferred[None] | None = None
        self._arrival: Deferred[None] | None = None
        self._pieces: deque[bytes] = deque()
        self._waiting = 0
        self._end: End | None = None
        self._fault: JitgateError | None = None
        self._complaint = ""
        self._alive = False
        self._lost = False
        self._heard = False
        self._until = clock.seconds() + LASTS
        self.address = ""
        """Whose address it was dialled at."""
        self.fresh = True
        self.trusted: Deferred[None] = Deferred()

    # --- from the transport

    def connectionMade(self) -> None:
        self.transport.transport.bufferSize = READ
        self.address = cast(IPv4Address, self.transport.getPeer()).host
        self._within(self._limits.dial_handshake, "The TLS handshake took too long.")

    def handshakeCompleted(self) -> None:
        self._alive = True
        self._deadline.clear()
        self.transport.registerProducer(self, True)
        self.trusted.callback(None)

    def dataReceived(self, data: bytes) -> None:
        if self._reader is None:
            self.abort()  # nobody asked for anything: these bytes belong to no exchange
            return
        self._heard = True
        self._take(self._reader.feed(data))
        if self._sent and self._end is None:
            self._within(self._limits.silence, "The target fell silent.")
        self._wake()
        if self._waiting > AHEAD:
            self.transport.pauseProducing()
            self._deadline.clear()  # it is the agent that is waited for

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._alive, self._lost = False, True
        self._deadline.stop()
        self._gone(self)
        if not self.trusted.called:
            self.trusted.errback(self._fault or lost(self._host, reason))
        if self._reader is not None and self._heard and reason.check(ConnectionDone):
            self._take(self._reader.eof())
            self._wake()
        if self._end is None:
            self._fail(self._ended_by(lost(self._host, reason)))

    # --- from the transport as a consumer of requests (IPushProducer)

    def pauseProducing(self) -> None:
        if self._room is None:
            self._room = Deferred()

    def resumeProducing(self) -> None:
        room, self._room = self._room, None
        if room is not None:
            room.callback(None)

    def stopProducing(self) -> None:
        """The transport is ending; `connectionLost` says so to whoever waits."""

    # --- one exchange

    @property
    def usable(self) -> bool:
        return self._alive

    @property
    def sound(self) -> bool:
        """Whether it may be used again: not too old, open, and nothing has come on it unasked.

        The socket is asked, not the reactor, which may not yet have got to what is there: an end,
        or bytes that would be taken for the answer to the next request. So would be a record of
        which a part has come already.
        """
        if not self._alive or self._clock.seconds() >= self._until or self.transport.mid_record:
            return False
        tcp: socket.socket = self.transport.transport.getHandle()
        try:
            tcp.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def keep(self) -> None:
        """Wait in the pool for another exchange, but not for long."""
        self._deadline.set(KEPT_FOR, self.abort)

    def take(self) -> None:
        """Leave the pool for another exchange."""
        self.fresh = False
        self._deadline.clear()

    async def send(self, head: RequestHead, body: IRequest) -> ResponseHead:
        if not self._alive:
            raise UpstreamGone(f"{self._host} closed the connection early.")
        self._heard = False
        self._reader = ResponseReader(
            head.method,
            self._limits.head_bytes,
            self._limits.head_fields,
            websocket=head.websocket,
        )
        self._head, self._answer = Deferred(), None
        self._sending, self._whole = None, False
        if head.length == 0:
            self.transport.write(request_bytes(head))
            self._await_answer()
        else:
            self._sending = Deferred.fromCoroutine(self._send_body(head, body))
            self._sending.addErrback(self._body_failed)
        return await self._head

    async def read(self) -> bytes:
        while not self._pieces:
            if self._end is not None and not isinstance(self._fault, UpstreamMalformed):
                return b""
            if self._fault is not None:
                raise self._fault
            self.transport.resumeProducing()
            if self._sent:
                self._within(self._limits.silence, "The target fell silent.")
            self._arrival = Deferred()
            await self._arrival
        piece = self._pieces.popleft()
        self._waiting -= len(piece)
        return piece

    async def write(self, data: bytes) -> None:
        if not self._alive:
            raise self._fault or UpstreamUnreachable(f"{self._host} closed the connection early.")
        self.transport.write(data)
        if self._room is not None:
            self._within(self._limits.silence, "The target takes no more of what is said.")
            await self._room
            self._deadline.clear()
            if self._fault is not None:
                raise self._fault

    def trailers(self) -> Headers:
        return self._end.trailers if self._end is not None else ()

    def release(self) -> None:
        end, self._reader, self._end = self._end, None, None
        self._deadline.clear()
        whole = end is not None and end.reusable and not self._pieces
        if whole and self._alive and self._sent:
            self.transport.resumeProducing()
            self._rest(self)
            return
        if self._sending is not None:
            self._sending.cancel()
        self.abort()

    def abort(self) -> None:
        """End the connection at once, unless it has ended."""
        self._alive = False
        if not self._lost:
            self.transport.abortConnection()

    # --- inside

    @property
    def _sent(self) -> bool:
        """Whether it is the target that is waited for; after a 101 either side may be silent."""
        return self._whole and self._fault is None and not self._switched

    async def _send_body(self, head: RequestHead, body: IRequest) -> None:
        """Pass head and body on as they come, no faster than the target takes them.

        HTTP/2 may say only behind the head that there is no body: a GET with an empty one is
        refused by some.
        """
        first = None
        if head.length is None and head.method not in WITH_BODY:
            first = await body.read()
            head = head if first else head._replace(length=0)
        if not self._alive:
            return
        self.transport.write(request_bytes(head))
        while piece := await body.read() if first is None else first:
            first = None
            if not self._alive:
                return
            self.transport.write(chunk_bytes(piece) if head.length is None else piece)
            if self._room is not None:
                self._within(self._limits.silence, "The target takes no more of the request.")
                await self._room
                self._deadline.clear()  # it is the agent that is waited for
        if head.length is None:
            self.transport.write(last_chunk_bytes())
        self._await_answer()

    def _await_answer(self) -> None:
        """All is sent: from now on the target is waited for, unless it has answered already."""
        self._whole = True
        if self._end is None and self._fault is None:
            self._within(self._limits.silence, "The target did not answer.")

    def _ended_by(self, fault: PeerFault) -> PeerFault:
        """Nothing had come of the answer: another connection may fare better."""
        gone = type(fault) is UpstreamUnreachable and not self._heard
        return UpstreamGone(f"{fault}") if gone else fault

    def _body_failed(self, failure: Failure) -> None:
        """The agent's request will never be whole: neither will the target's view of it be."""
        error = failure.value
        self._fail(error if isinstance(error, JitgateError) else _broken(failure))
        self.abort()

    def _take(self, events: Iterable[Event]) -> None:
        for event in events:
            if isinstance(event, Data):
                self._pieces.append(event.data)
                self._waiting += len(event.data)
            elif isinstance(event, Response):
                if not event.interim:
                    self._answer = event.head
                    if event.head.status == SWITCHED:
                        self._switched = True
                        self._deadline.clear()
            elif isinstance(event, End):
                self._end = event
                self._deadline.clear()
            elif isinstance(event, JitgateError):
                self._fail(event)
                self.abort()

    def _fail(self, fault: JitgateError) -> None:
        """Tell whoever waits for this exchange; the first fault is the reason."""
        self._fault = self._fault or fault
        self.resumeProducing()
        self._wake()

    def _wake(self) -> None:
        """Tell whoever waits what has come, when all of it is in place: to wait again is dear."""
        if self._head is not None and not self._head.called:
            if self._answer is not None:
                self._head.callback(self._answer)
            elif self._fault is not None:
                self._head.errback(self._fault)
        arrival = self._arrival
        if arrival is not None and (self._pieces or self._end or self._fault):
            self._arrival = None
            arrival.callback(None)

    def _within(self, seconds: float, complaint: str) -> None:
        """Replace the one deadline of this connection."""
        if not self._lost:
            self._complaint = complaint
            self._deadline.set(seconds, self._late)

    def _late(self) -> None:
        self._fail(UpstreamUnreachable(f"{self._complaint} ({self._host})"))
        self.abort()


def _broken(failure: Failure) -> JitgateError:
    fault = UpstreamUnreachable("The request could not be passed on.")
    fault.__cause__ = failure.value
    return fault
