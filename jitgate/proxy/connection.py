"""The agent's side of a tunnel: HTTP/1.1 requests in, one after the other, their responses out.

This protocol runs inside the tunnel's TLS. It moves bytes and keeps order; what may pass is the
gateway's to say, exchange by exchange, through the two stream ports of `streams`.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from jitgate.core.http1_reading import Data, End, Event, Request, RequestReader, absolute_form
from jitgate.core.limits import Limits
from jitgate.errors import AgentGone, MalformedRequest, PeerFault
from jitgate.flow.admission import Tunnel
from jitgate.flow.deadlines import Deadline
from jitgate.flow.gateway import Gateway
from jitgate.proxy.inside import Inside, with_port
from jitgate.proxy.streams import AgentRequest, AgentResponse
from jitgate.values import RequestHead

AHEAD = 64 * 1024
"""Bytes of a body, or of requests to come, that are read before somebody asks for them."""

DRAIN = 256 * 1024
"""Bytes of a body that are thrown away so that its sender gets to read why; then it is cut off."""


class AgentConnection(Inside):
    """One tunnel's requests in HTTP/1.1."""

    def __init__(
        self,
        gateway: Gateway,
        tunnel: Tunnel,
        clock: IReactorTime,
        limits: Limits,
        deadline: Deadline,
    ) -> None:
        super().__init__(gateway, tunnel, clock, limits, deadline)
        self._reader = RequestReader(
            limits.head_bytes,
            limits.head_fields,
            websockets=tunnel.websockets,
            one_by_one=True,
        )
        self._events: list[Event] = []  # few at a time, and an empty deque has 0.7 KiB
        self._ahead = b""
        """Bytes behind the request at hand, as they came: read when its answer is out."""
        self._pumping = False
        self._request: AgentRequest | None = None
        self._response: AgentResponse | None = None
        self._discarded: int | None = None
        self._listening = False
        self._unheard: int | None = None
        self._in_head = False

    # --- from the transport

    def dataReceived(self, data: bytes) -> None:
        if self._unheard is not None:
            self._unheard += len(data)
            if self._unheard > DRAIN:
                self.abort()
            return
        if self._last and not self._reads_on:
            return
        self._ahead = self._ahead + data if self._ahead else data
        self._pump()
        self._time_head()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._last = True
        self._forget()
        gone = AgentGone("The agent hung up.")
        request, response = self._request, self._response
        if request is not None and response is not None:
            request.fail(gone)  # upon which the exchange may have ended, and be forgotten
            response.fail(gone)
        self._deadline.stop()
        self.closed.callback(None)

    # --- from the transport as a consumer of responses (IPushProducer)

    def pauseProducing(self) -> None:
        if self._response is not None:
            self._response.pause()

    def resumeProducing(self) -> None:
        if self._response is not None:
            self._response.resume()

    # --- how it ends

    def end(self) -> None:
        """Take no more requests; close when the one at hand has been answered."""
        self._last = True
        if self._request is None:
            self._forget()
            self._close()

    # --- one exchange after the other

    def _pump(self) -> None:
        """Hand events to the exchange at hand; what belongs to the next one waits its turn."""
        if self._pumping:
            return
        self._pumping = True
        while self._reads_on and self._brings_more():
            self._take(self._events.pop(0))
        self._pumping = False
        self._pace()

    @property
    def _reads_on(self) -> bool:
        """Whether what comes next is looked at. It waits for the response to a whole request."""
        if self._request is not None:
            return not self._request.ended
        return not self._last or self._discarded is not None

    def _brings_more(self) -> bool:
        """Read on in what has come; whether that brings an event."""
        while not self._events and (self._ahead or self._reader.held):
            ahead, self._ahead = self._ahead, b""
            self._events.extend(self._reader.feed(ahead))
        return bool(self._events)

    def _forget(self) -> None:
        """Serve nothing more of what has come."""
        self._events.clear()
        self._ahead = b""

    def _take(self, event: Event) -> None:
        if self._discarded is not None:
            self._drain(event, self._discarded)
        elif self._request is None:
            self._begin(event)
        elif isinstance(event, Data):
            self._request.add(event.data)
        elif isinstance(event, End):
            self._request.end()
        else:
            self._last = True
            fault = event if isinstance(event, PeerFault) else None
            self._request.fail(fault or MalformedRequest("Another message began inside this one."))

    def _begin(self, event: Event) -> None:
        """Begin an exchange; also with what cannot be one, so that it is refused and recorded."""
        if self._last:
            return
        if isinstance(event, Request):
            self._last = not event.keep_alive
            most = self._limits.body_bytes
            self._serve(AgentRequest(self, *self._named(event), most=most), event.minor)
            return
        self._last = True
        fault = event if isinstance(event, PeerFault) else None
        nested = MalformedRequest("CONNECT is not offered inside a tunnel.")
        self._serve(AgentRequest(self, self._reader.begun, (), fault or nested), 1)

    def _serve(self, request: AgentRequest, minor: int) -> None:
        self._deadline.clear()
        self._in_head = False
        self._request = request
        self._response = AgentResponse(self, request, minor)
        Deferred.fromCoroutine(self._exchange(request, self._response))

    async def _exchange(self, request: AgentRequest, response: AgentResponse) -> None:
        await self._carry(request, response)
        self._served(request)

    def _served(self, request: AgentRequest) -> None:
        self._request = self._response = None
        if self.closed.called:
            return
        unasked = request.head.expects_continue and not request.asked
        unasked = unasked or request.head.websocket  # what follows is no body
        if not request.ended and not unasked:
            self._discarded = 0
            self._within(self._limits.closing, self.end)
        elif not self.keeps or not request.ended:
            self.end()
        else:
            self._rest()
        self.transport.resumeProducing()
        self._pump()
        self._time_head()

    def _time_head(self) -> None:
        """A head that has begun must be whole in time, however its bytes trickle in."""
        idle = self._request is None and self._discarded is None and not self._last
        if idle and self._reader.in_head and not self._in_head:
            self._in_head = True
            self._within(self._limits.head, self.end)

    def _drain(self, event: Event, discarded: int) -> None:
        """Throw away what is left of a body nobody wanted, so that its sender reads why."""
        if isinstance(event, Data) and discarded + len(event.data) <= DRAIN:
            self._discarded = discarded + len(event.data)
            return
        self._discarded = None
        if self._last or not isinstance(event, End):
            self.end()

    def _pace(self) -> None:
        """Read no further ahead than `AHEAD`."""
        waiting = 0 if self._request is None else self._request.waiting
        ahead = len(self._ahead) + self._reader.held
        if ahead + waiting <= AHEAD:
            return
        if self._listening and self._request is not None and self._request.ended:
            # A hang-up is behind what was sent ahead: none of that is served, so that it is seen.
            self._last, self._unheard = True, ahead
            self._forget()
        else:
            self.transport.pauseProducing()

    def listen(self, to_hang_ups: bool) -> None:
        """See to it that a hang-up is noticed, whatever else the agent sends, or no longer."""
        self._listening = to_hang_ups
        if to_hang_ups and not self.closed.called:
            self._pace()
            self.transport.resumeProducing()

    def wanted(self) -> None:
        """The exchange at hand asks for more of its body."""
        if not self.closed.called:
            self.transport.resumeProducing()

    def go_on(self) -> None:
        """The exchange at hand gives leave to send its body."""
        self.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def write(self, data: bytes) -> None:
        """Send bytes to the agent."""
        self.transport.write(data)

    def _named(self, request: Request) -> tuple[RequestHead, tuple[str, ...]]:
        """The head with its target as a path, and every host that the agent named."""
        head, hosts = request.head, self._hosts(request.host)
        absolute = absolute_form(head.target)
        if absolute is None:
            return head, hosts
        # RFC 9112, section 3.2.2: to be accepted; the host in it is one more that must be the same.
        authority, path = absolute
        nothing = "*" if head.method == "OPTIONS" else "/"  # RFC 9112, section 3.2.4
        return head._replace(target=path or nothing), (with_port(authority), *hosts)
