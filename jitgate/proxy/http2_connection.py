"""The agent's side of a tunnel in HTTP/2: many exchanges at once, each on a stream of its own.

Like the one for HTTP/1.1 it moves bytes and keeps order; what may pass is the gateway's to say,
exchange by exchange. A fault of a request is its stream's, and is refused on it; a fault of the
connection is on record as a request that was refused, and ends all of it.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from h2 import events as h2
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from jitgate.core.http2_frames import (
    Allowance,
    Broken,
    Calm,
    Code,
    Frame,
    FrameReader,
    Kind,
    joined,
)
from jitgate.core.http2_heads import begun, check_trailers, request_of
from jitgate.core.limits import Limits
from jitgate.errors import HeadTooLarge, PeerFault
from jitgate.flow.admission import Tunnel
from jitgate.flow.deadlines import Deadline
from jitgate.flow.gateway import Gateway
from jitgate.proxy.http2_engine import Engine, goaway
from jitgate.proxy.http2_streams import Stream
from jitgate.proxy.inside import Inside, with_port

UNREAD = 1024 * 1024
"""Bytes of answers to frames that wait for an agent that reads nothing; then it is cut off."""

AT_ONCE = 32
"""Frames that are taken in one turn of the reactor: a read may hold hundreds, of which each may
begin an exchange, and others must not wait for all of them."""

_GOAWAY = 17
"""Bytes of a GOAWAY that says nothing beside what it must."""


class Http2Connection(Inside):
    """One tunnel's requests in HTTP/2."""

    def __init__(
        self,
        gateway: Gateway,
        tunnel: Tunnel,
        clock: IReactorTime,
        limits: Limits,
        deadline: Deadline,
    ) -> None:
        super().__init__(gateway, tunnel, clock, limits, deadline)
        self.engine = Engine(limits)
        self.paused = False
        self._frames = FrameReader(limits)
        self._waiting: deque[Frame | PeerFault] = deque()
        """Frames that have come, and have not been taken."""
        self._later: IDelayedCall | None = None
        self._given_up = Allowance(limits.http2_resets)
        self._streams: dict[int, Stream] = {}
        self._unread = 0
        self._over = False
        self._said = False
        self._in_head = False
        self._heads: dict[str, Any] = {
            "most_bytes": limits.head_bytes,
            "most_fields": limits.head_fields,
        }

    # --- from the transport

    def handshakeCompleted(self) -> None:
        super().handshakeCompleted()
        self.flush()

    def dataReceived(self, data: bytes) -> None:
        if self._over:
            return
        self._waiting += joined(self._frames.feed(data, self._clock.seconds()))
        if self._later is None:
            self._take_some()

    def _take_some(self) -> None:
        """Take some of the frames that have come; the others once others have had their turn."""
        try:
            for _ in range(min(AT_ONCE, len(self._waiting))):
                frame = self._waiting.popleft()
                if isinstance(frame, PeerFault):
                    raise frame
                self._take(frame)
        except PeerFault as fault:
            self._waiting.clear()
            self._break(fault)
        self.flush()
        self._time_head()
        if self._waiting and not self.closed.called:
            self.transport.pauseProducing()
            self._later = self._clock.callLater(0, self._take_more)

    def _take_more(self) -> None:
        self._later = None
        self._take_some()
        if self._later is None and not self.closed.called:
            self.transport.resumeProducing()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._waiting.clear()
        if self._later is not None:
            self._later.cancel()
        self._deadline.stop()
        self._last = self._over = True
        self._give_up("The agent hung up.")
        self.closed.callback(None)

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False
        self._unread = 0
        self._resume()

    def flush(self, size: int = 0) -> None:
        """Send what is to be sent; so many bytes of it are of bodies."""
        data = self.engine.taken()
        if not data or self.closed.called:
            return
        if size:
            self._frames.sent(size)
        if self.paused:
            self._unread += len(data)
            if self._unread > UNREAD:
                self.abort()
                return
        self.transport.write(data)

    # --- how it ends

    def end(self) -> None:
        """Take no more requests; close when those at hand have been answered."""
        self._last = True
        if not self.closed.called:
            self._say_goodbye(Code.NO_ERROR)
            if not self._streams:
                self._close()

    def _say_goodbye(self, code: int) -> None:
        if (code or not self._said) and not self._ending:
            self._said = True
            self.flush()
            self.transport.write(goaway(self.engine.last_stream, code))

    def _break(self, fault: PeerFault) -> None:
        """End all of it for what cannot be read on from. It is refused, and recorded, as one."""
        self._say_goodbye(fault.code if isinstance(fault, Broken) else Code.ENHANCE_YOUR_CALM)
        self._last = self._over = True
        self._give_up("The connection was ended for what came on it.")
        unheard = Stream(self, 0, fault=fault, most=self._limits.body_bytes)
        unheard.gone("There is no stream to answer on.")
        Deferred.fromCoroutine(self._carry(unheard.request, unheard.response))
        self._close()

    def _give_up(self, why: str) -> None:
        for stream in list(self._streams.values()):
            stream.gone(why)

    def _time_head(self) -> None:
        """A head that has begun must be whole in time, however its bytes trickle in."""
        if self._over or self._frames.in_head is self._in_head:
            return
        self._in_head = self._frames.in_head
        if self._in_head:
            self._within(self._limits.head, self._late)
        elif self._streams:
            self._deadline.clear()
        elif not self._last:
            self._rest()

    def _late(self) -> None:
        self._break(Calm("A head was not whole in time."))

    # --- frames

    def _take(self, frame: Frame) -> None:
        """Have a frame looked at. Raises what ends the connection."""
        if frame.kind == Kind.GOAWAY and frame.stream == 0 and len(frame.data) >= _GOAWAY:
            self.end()  # what it has asked is still answered
            return
        if frame.kind == Kind.RST_STREAM:
            if frame.stream > self.engine.last_stream:
                raise Broken("A stream is given up that was never opened.")
            stream = self._streams.get(frame.stream)
            if stream is not None and not stream.response.finished:
                self._charge()
        for event in self.engine.receive(frame.data):
            self._hear(event)

    def _hear(self, event: h2.Event) -> None:
        if isinstance(event, h2.RequestReceived):
            self._begin(event.stream_id, ended=event.stream_ended is not None)
        elif isinstance(event, h2.RemoteSettingsChanged):
            self._resume()
        else:
            self._tell(event, getattr(event, "stream_id", 0))

    def _tell(self, event: h2.Event, number: int) -> None:
        """What is about one stream, or about windows."""
        stream = self._streams.get(number)
        if isinstance(event, h2.DataReceived):
            self.engine.let_in(event.flow_controlled_length)
        if number == 0:
            self._resume()
        elif stream is not None:
            self._pass_on(stream, event)

    def _pass_on(self, stream: Stream, event: h2.Event) -> None:
        if isinstance(event, h2.DataReceived):
            stream.receive(event.data, event.flow_controlled_length)
        elif isinstance(event, h2.StreamEnded):
            stream.whole()
        elif isinstance(event, h2.TrailersReceived):
            self._check_trailers(stream)
        elif isinstance(event, h2.StreamReset):
            stream.gone("The agent gave the call up.")
        elif isinstance(event, h2.WindowUpdated):
            stream.response.resume()

    def _check_trailers(self, stream: Stream) -> None:
        try:
            check_trailers(self.engine.fields, **self._heads)
        except PeerFault as fault:
            stream.break_off(f"{fault}")
            self._charge()
            if isinstance(fault, HeadTooLarge):
                self.end()

    def _resume(self) -> None:
        for stream in list(self._streams.values()):
            stream.response.resume()

    def _charge(self) -> None:
        """A request costs the gateway more than an agent that does not wait for the answer."""
        if not self._given_up.take(1, self._clock.seconds()):
            raise Calm("Too many requests are given up, or are none that can be served.")

    # --- one exchange on each stream

    def _begin(self, number: int, *, ended: bool) -> None:
        """Begin an exchange; also with what cannot be one, so that it is refused and recorded."""
        if self._last or len(self._streams) >= self._limits.http2_streams:
            self.engine.reset(number, Code.REFUSED_STREAM)
            self._charge()
            return
        stream = self._opened(number, ended=ended)
        self._streams[number] = stream
        if ended:
            stream.whole()  # before anybody waits for that
        self._deadline.clear()
        self._in_head = False
        if isinstance(stream.request.fault, HeadTooLarge):
            self.end()  # to decode such heads costs more than to send them
        Deferred.fromCoroutine(self._exchange(stream))

    def _opened(self, number: int, *, ended: bool) -> Stream:
        """The stream of a request, or of what is none."""
        most = self._limits.body_bytes
        try:
            asked = request_of(self.engine.fields, ended=ended, **self._heads)
        except PeerFault as fault:
            self._charge()
            head = begun(self.engine.fields)
            return Stream(self, number, head=head, fault=fault, most=most)
        first, *others = asked.hosts
        hosts = (*self._hosts(first), *[with_port(each.decode("ascii")) for each in others])
        return Stream(self, number, head=asked.head, hosts=hosts, most=most)

    async def _exchange(self, stream: Stream) -> None:
        await self._carry(stream.request, stream.response)
        await stream.settle(self._clock, self._limits.closing)
        del self._streams[stream.number]
        if self._over or self.closed.called:
            return
        if self._last or not self.keeps:
            self.end()
        elif not self._streams and not self._in_head:
            self._rest()
