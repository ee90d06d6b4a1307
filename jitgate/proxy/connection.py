"""The agent's side of a tunnel: HTTP/1.1 requests in, one after the other, their responses out.

This protocol runs inside the tunnel's TLS. It moves bytes and keeps order; what may pass is the
gateway's to say, exchange by exchange, through the two stream ports at the end of this module.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import NoReturn

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHandshakeListener, IPushProducer, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from jitgate.core.http1_reading import Data, End, Event, Request, RequestReader, absolute_form
from jitgate.core.limits import Limits
from jitgate.errors import AgentGone, MalformedRequest, PeerFault
from jitgate.flow.admission import Tunnel
from jitgate.flow.deadlines import Deadline
from jitgate.flow.gateway import Gateway
from jitgate.proxy.streams import AgentRequest, AgentResponse
from jitgate.tls import TlsPump
from jitgate.values import RequestHead

EXPIRING = 60.0
"""Seconds before its token ends from which on a tunnel is closed after the exchange at hand: the
agent opens another, with a fresh token if it has one, instead of being refused on this one."""

AHEAD = 64 * 1024
"""Bytes of a body, or of requests to come, that are read before somebody asks for them."""

EVENTS_AHEAD = 128
"""Parts of requests to come that are kept; each may carry a head of up to 64 KiB."""

GOODBYE = 1.0
"""Seconds that an agent has to answer the end of its tunnel when the gateway stops. All it is owed
has been handed to the kernel, which delivers it even after the gateway has ended."""

DRAIN = 256 * 1024
"""Bytes of a body that are thrown away so that its sender gets to read why; then it is cut off."""

_NO_HEAD = RequestHead("", "", ())


@implementer(IPushProducer, IHandshakeListener)
class AgentConnection(Protocol):
    """One tunnel's requests. ``closed`` fires when the connection has ended."""

    _log = Logger()
    transport: TlsPump

    def __init__(
        self,
        gateway: Gateway,
        tunnel: Tunnel,
        clock: IReactorTime,
        limits: Limits,
        deadline: Deadline,
    ) -> None:
        self._gateway = gateway
        self._tunnel = tunnel
        self._clock = clock
        self._limits = limits
        self._deadline = deadline
        self._reader = RequestReader(limits.head_bytes, limits.head_fields)
        self._events: deque[Event] = deque()
        self._pumping = False
        self._request: AgentRequest | None = None
        self._response: AgentResponse | None = None
        self._discarded: int | None = None
        self._listening = False
        self._unheard: int | None = None
        self._last = False
        self._in_head = False
        self._ending = False
        self._out = False
        self._linger = limits.closing
        self._hosts_before: tuple[bytes | None, tuple[str, ...]] | None = None
        self.closed: Deferred[None] = Deferred()

    # --- from the transport

    def connectionMade(self) -> None:
        self.transport.registerProducer(self, True)
        self._within(self._limits.handshake, self.abort)

    def handshakeCompleted(self) -> None:
        self._within(self._limits.idle, self.end)

    def dataReceived(self, data: bytes) -> None:
        if self._unheard is not None:
            self._unheard += len(data)
            if self._unheard > DRAIN:
                self.abort()
            return
        if self._last and self._request is None and self._discarded is None:
            return
        self._events.extend(self._reader.feed(data))
        self._pump()
        self._time_head()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._deadline.stop()
        self._last = True
        self._events.clear()
        gone = AgentGone("The agent hung up.")
        if self._request is not None and self._response is not None:
            self._request.fail(gone)
            self._response.fail(gone)
        self.closed.callback(None)

    # --- from the transport as a consumer of responses (IPushProducer)

    def pauseProducing(self) -> None:
        if self._response is not None:
            self._response.pause()

    def resumeProducing(self) -> None:
        if self._response is not None:
            self._response.resume()

    def stopProducing(self) -> None:
        """The transport is ending; `connectionLost` says so to whoever waits."""

    # --- how it ends

    def end(self) -> None:
        """Take no more requests; close when the one at hand has been answered."""
        self._last = True
        if self._request is None and not self._ending and not self.closed.called:
            self._ending = True
            self._events.clear()
            self._within(self._limits.closing, self.abort)
            self.transport.unregisterProducer()
            self.transport.loseConnection()
            self.transport.when_sent(self._sent)

    def stop(self) -> None:
        """`end`, without waiting long for the agent to answer that."""
        self._linger = GOODBYE
        if self._out:
            self._within(GOODBYE, self.transport.hang_up)
        self.end()

    def _sent(self) -> None:
        """All is in the kernel's hands. The connection is kept open for the agent's answer only.

        Closed at once, it would answer what the agent still sends with a reset, upon which some
        systems throw away what the agent has not read yet (RFC 9112, section 9.6).
        """
        self._out = True
        self._within(self._linger, self.transport.hang_up)

    def abort(self) -> None:
        """Close without the orderly end that would make a cut body look whole."""
        self._last = True
        if not self.closed.called:
            self.transport.abortConnection()

    def _within(self, seconds: float, act: Callable[[], None]) -> None:
        """Replace the one deadline of this connection."""
        if not self.closed.called:
            self._deadline.set(seconds, act)

    # --- one exchange after the other

    def _pump(self) -> None:
        """Hand events to the exchange at hand; what belongs to the next one waits its turn."""
        if self._pumping:
            return
        self._pumping = True
        # An exchange whose request is whole still waits for its response.
        while self._events and (self._request is None or not self._request.ended):
            self._take(self._events.popleft())
        self._pumping = False
        self._pace()

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
        self._serve(AgentRequest(self, _NO_HEAD, (), fault or nested), 1)

    def _serve(self, request: AgentRequest, minor: int) -> None:
        self._deadline.clear()
        self._in_head = False
        self._request = request
        self._response = AgentResponse(self, request, minor)
        Deferred.fromCoroutine(self._exchange(request, self._response))

    async def _exchange(self, request: AgentRequest, response: AgentResponse) -> None:
        try:
            await self._gateway.serve(self._tunnel, request, response)
        except GeneratorExit:  # the process ends, and nobody waits for it any more
            raise
        except BaseException:  # noqa: BLE001 (whatever it is, nothing more may pass here)
            self._log.failure("An exchange failed outside the gateway's story")
            self.abort()
        self._served(request)

    def _served(self, request: AgentRequest) -> None:
        self._request = self._response = None
        if self.closed.called:
            return
        unasked = request.head.expects_continue and not request.asked
        if not request.ended and not unasked:
            self._discarded = 0
            self._within(self._limits.closing, self.end)
        elif not self.keeps or not request.ended:
            self.end()
        else:  # a tunnel that lies idle is closed before its token ends
            self._within(min(self._limits.idle, max(0.0, self._left - EXPIRING)), self.end)
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
        if not self._events and (self._request is None or not self._request.waiting):
            return
        ahead = sum(len(event.data) for event in self._events if isinstance(event, Data))
        waiting = 0 if self._request is None else self._request.waiting
        if ahead + waiting <= AHEAD and len(self._events) <= EVENTS_AHEAD:
            return
        if self._listening and self._request is not None and self._request.ended:
            # A hang-up is behind what was sent ahead: none of that is served, so that it is seen.
            self._last, self._unheard = True, ahead
            self._events.clear()
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

    async def in_time(self, act: Deferred[None]) -> None:
        """Wait for the agent to go on with its part. Raises `AgentGone` if it does not."""
        await act.addTimeout(self._limits.stalled, self._clock, onTimeoutCancel=_stalled)

    def write(self, data: bytes) -> None:
        """Send bytes to the agent."""
        self.transport.write(data)

    @property
    def keeps(self) -> bool:
        """Whether the connection may stay open after the exchange at hand."""
        busy = self._tunnel.refusal is not None and self._tunnel.refusal.manner == "busy"
        return not self._last and not busy and self._left > EXPIRING

    @property
    def _left(self) -> float:
        """Seconds until the tunnel's token ends; without end for one that is refused anyway."""
        subject = self._tunnel.subject
        return math.inf if subject is None else subject.expires_at - self._clock.seconds()

    def _named(self, request: Request) -> tuple[RequestHead, tuple[str, ...]]:
        """The head with its target as a path, and every host that the agent named."""
        head, hosts = request.head, self._hosts(request)
        absolute = absolute_form(head.target)
        if absolute is None:
            return head, hosts
        # RFC 9112, section 3.2.2: to be accepted; the host in it is one more that must be the same.
        authority, path = absolute
        nothing = "*" if head.method == "OPTIONS" else "/"  # RFC 9112, section 3.2.4
        return head._replace(target=path or nothing), (_with_port(authority), *hosts)

    def _hosts(self, request: Request) -> tuple[str, ...]:
        """Every host the agent named: Host, and the handshake's server name if there was one.

        On one tunnel the handshake's stays what it is, and Host is mostly that of the one before.
        """
        if self._hosts_before is None or self._hosts_before[0] != request.host:
            self._hosts_before = request.host, self._all_named(request.host)
        return self._hosts_before[1]

    def _all_named(self, host: bytes | None) -> tuple[str, ...]:
        port = self._tunnel.authority.rpartition(":")[2]
        named = [] if host is None else [_with_port(host.decode("ascii"))]
        sni = self.transport.getHandle().get_servername()
        if sni:
            named.append(f"{sni.decode('ascii', 'replace').lower()}:{port}")
        return tuple(named)


def _stalled(_: object, __: float) -> NoReturn:
    raise AgentGone("The agent did not go on with the exchange in time.")


def _with_port(host: str) -> str:
    """The authority with its port: https means 443 where none is written (RFC 9110, 4.2.2)."""
    return host if host.rpartition("]")[2].count(":") else f"{host}:443"
