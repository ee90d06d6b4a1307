"""TLS over a transport, for both sides of the gateway: one engine, pumped between two buffers.

OpenSSL reads and writes memory; this module moves the bytes between it and a transport, and no
others. It says when the peer is known, and whether the peer ended what it had to say: everything
else (contexts, certificates, names) is whoever's makes the `OpenSSL.SSL.Connection`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from OpenSSL import SSL
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IAddress,
    IHandshakeListener,
    IProtocol,
    IPushProducer,
    ITCPTransport,
    ITransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

RECORD = 16 * 1024
"""Bytes of the largest plain text in one record (RFC 8446, section 5.1)."""

OUTGOING = 128 * 1024
"""Bytes that are taken from OpenSSL at once: what a socket is handed in one call."""


@implementer(IPushProducer)
class _Queue:
    """Hears from a transport whether what it was handed lies there or has gone."""

    def __init__(self, pump: TlsPump) -> None:
        self._pump = pump

    def pauseProducing(self) -> None:
        self._pump.waiting()

    def resumeProducing(self) -> None:
        self._pump.drained()

    def stopProducing(self) -> None:
        """The transport is ending; `TlsPump.connectionLost` hears so."""


@implementer(ITransport, IPushProducer)
class TlsPump(Protocol):
    """A protocol towards its transport, a transport towards ``inner``.

    ``inner`` hears `handshakeCompleted` once the handshake is over and ``verify``, which may raise,
    has agreed with it; nothing that it wrote before leaves earlier. It hears `connectionLost` with
    `ConnectionDone` only if the peer ended with close_notify: without it what came may be cut short
    (RFC 8446, section 6.1), and the reason is another.

    The transport must have sent all that it was handed before: what is written goes past its queue.
    ``before`` is said in the clear first.
    """

    transport: Any

    def __init__(
        self,
        tls: SSL.Connection,
        inner: IProtocol,
        verify: Callable[[SSL.Connection], None] = lambda _: None,
        before: bytes = b"",
    ) -> None:
        self._tls = tls
        self._verify = verify
        self._before = before
        self._established = False
        self._ending = False
        self._reason: Failure | None = None
        self._early: list[bytes] = []
        self._producer: IPushProducer | None = None
        self._queue = _Queue(self)
        self._queued = False
        self._when_sent: list[Callable[[], None]] = []
        self._at_once: Callable[[bytes], int | BaseException] | None = None
        self.inner = inner

    # --- a protocol: from the transport

    def makeConnection(self, transport: ITransport) -> None:
        self.transport = transport
        self.connected = 1
        if ITCPTransport.providedBy(transport):
            self._at_once = getattr(transport, "writeSomeData", None)
        if self._at_once is None:
            self.transport.registerProducer(self._queue, True)
        if self._before:
            self._hand_on(self._before)
        self.inner.makeConnection(self)
        self._shake_hands()

    def dataReceived(self, data: bytes) -> None:
        if self._reason is not None:
            return
        self._tls.bio_write(data)
        if not self._established:
            self._shake_hands()
        if self._established:
            self._deliver()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._reason = self._reason or self._why(reason)
        self._producer = None
        self.connected = 0
        self.inner.connectionLost(self._reason)

    def waiting(self) -> None:
        """The transport holds back what it was handed: no more should come."""
        if not self._queued:
            self._queued = True
            if self._producer is not None:
                self._producer.pauseProducing()

    def drained(self) -> None:
        """The transport has sent what it was handed."""
        if self._queued:
            self._queued = False
            if self._at_once is not None:
                self.transport.unregisterProducer()
                if self._ending:
                    self.transport.loseWriteConnection()
            sent, self._when_sent = self._when_sent, []
            for call in sent:
                call()
            if self._producer is not None:
                self._producer.resumeProducing()

    # --- a transport: from what is inside

    def write(self, data: bytes) -> None:
        if self._ending or self._reason is not None:
            return
        if not self._established:
            self._early.append(data)
            return
        try:
            self._encrypt(data)
        except SSL.Error as error:
            self._fail(error)
        else:
            self._send()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """Say that nothing more will come; what the peer still sends is read and thrown away.

        The connection ends when the peer ends as well. How long to wait for that is up to whoever
        is inside: `hang_up` and `abortConnection` do not wait.
        """
        if self._ending or self._reason is not None:
            return
        self._ending = True
        if not self._established:
            self.transport.loseConnection()
            return
        self._say_end()
        if self._at_once is None:
            self.transport.loseConnection()
            return
        if not self._queued:  # else once it is drained
            self.transport.loseWriteConnection()

    def when_sent(self, call: Callable[[], None]) -> None:
        """Call back once all that was written is in the kernel's hands, at once if it is."""
        if self._queued:
            self._when_sent.append(call)
        else:
            call()

    def abortConnection(self) -> None:
        """End at once, without the orderly end that would make a cut message look whole."""
        self._ending = True
        self.transport.abortConnection()

    def hang_up(self) -> None:
        """Close without waiting for the peer to end; what was handed on is still delivered."""
        self._ending = True
        if isinstance(self.transport, TlsPump):
            self.transport.hang_up()
        else:
            self.transport.loseConnection()

    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None:
        self._producer = producer
        if self._queued:
            producer.pauseProducing()

    def unregisterProducer(self) -> None:
        self._producer = None

    def pauseProducing(self) -> None:
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        self.transport.resumeProducing()

    def stopProducing(self) -> None:
        self.loseConnection()

    def getHandle(self) -> SSL.Connection:
        """OpenSSL's connection: what was negotiated can be read from it."""
        return self._tls

    def getPeer(self) -> IAddress:
        return self.transport.getPeer()  # type: ignore[no-any-return]

    def getHost(self) -> IAddress:
        return self.transport.getHost()  # type: ignore[no-any-return]

    def setTcpNoDelay(self, enabled: bool) -> None:
        """As `ITCPTransport.setTcpNoDelay`."""
        self.transport.setTcpNoDelay(enabled)

    # --- the pump

    def _shake_hands(self) -> None:
        try:
            self._tls.do_handshake()
            self._verify(self._tls)
        except SSL.WantReadError:
            self._send()
        except Exception as error:  # noqa: BLE001 (whatever ``verify`` raises: nothing may pass)
            self._fail(error)
        else:
            self._send()
            self._established = True
            early, self._early = self._early, []
            if IHandshakeListener.providedBy(self.inner):
                self.inner.handshakeCompleted()
            for data in early:
                self.write(data)

    def _deliver(self) -> None:
        """Hand on, as one piece, all that the peer's records hold; then see to how they end."""
        pieces: list[bytes] = []
        end = self._taken(pieces)
        if pieces and not self._ending:
            self.inner.dataReceived(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        if end is not None and self._reason is None:
            end()

    def _taken(self, pieces: list[bytes]) -> Callable[[], None] | None:
        """Take what can be taken; what must be done after it, if it was the last."""
        while True:
            try:
                pieces.append(self._tls.recv(RECORD))
            except SSL.WantReadError:
                return None
            except SSL.ZeroReturnError:
                return self._peer_ended
            except SSL.Error as error:
                return partial(self._fail, error)

    def _encrypt(self, data: bytes) -> None:
        """OpenSSL takes a record at a time, and into memory it always can."""
        taken = self._tls.send(data)
        if taken < len(data):
            rest = memoryview(data)
            while taken < len(data):
                taken += self._tls.send(rest[taken:])

    def _send(self) -> None:
        """Hand on what OpenSSL has to say: to the socket at once, as far as it takes it."""
        full = OUTGOING
        while full == OUTGOING:
            try:
                data = self._tls.bio_read(OUTGOING)
            except SSL.WantReadError:
                return
            full = len(data)
            self._hand_on(data)

    def _hand_on(self, data: bytes) -> None:
        if self._at_once is not None and not self._queued:
            sent = self._at_once(data)
            taken = sent if isinstance(sent, int) else 0  # a lost connection shows by itself
            if taken == len(data):
                return
            data = data[taken:]
            self.transport.registerProducer(self._queue, False)
            self.waiting()
        self.transport.write(data)

    # --- how it ends

    def _why(self, reason: Failure) -> Failure:
        """What the end of the transport means to what is inside."""
        if self._ending:
            return reason
        if not self._established:
            return Failure(SSL.Error("The peer ended inside the handshake."))
        if reason.check(ConnectionDone):
            return Failure(ConnectionLost("The peer ended without close_notify."))
        return reason

    def _say_end(self) -> None:
        """Send close_notify; where that cannot be, an alert may be waiting that can."""
        try:
            self._tls.shutdown()
        except SSL.Error:
            self._tls.set_shutdown(SSL.SENT_SHUTDOWN)
        self._send()

    def _peer_ended(self) -> None:
        """The peer has said that it ends, and takes no more (RFC 5246, section 7.2.1)."""
        self._say_end()
        self._over(Failure(ConnectionDone()))

    def _fail(self, error: Exception) -> None:
        """Nothing more can be believed; an alert may tell the peer why."""
        self._send()
        self._over(Failure(error))

    def _over(self, reason: Failure) -> None:
        self._reason, self._ending = reason, True
        if self._queued:
            self.transport.abortConnection()
        else:
            self.transport.loseConnection()
