"""TLS over a transport, for both sides of the gateway: one engine, pumped between two buffers.

OpenSSL reads and writes memory; this module moves the bytes between it and a transport, and no
others. It says when the peer is known, and whether the peer ended what it had to say: everything
else (contexts, certificates, names) is whoever's makes the `OpenSSL.SSL.Connection`.

Long, because it is one machine that is a protocol on one side and a transport on the other: how
either side ends depends on what the other one has been told.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from typing import Any

from OpenSSL import SSL
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IAddress,
    IHandshakeListener,
    IProtocol,
    IPushProducer,
    ITransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure
from zope.interface import implementer

HEADER = 5
"""Bytes before each record: its type, its version, its length."""

RECORD = 16 * 1024
"""Bytes that go into OpenSSL at once: a record's largest plain text (RFC 8446, section 5.1). It
keeps for good the memory that it needed once; with larger pieces an idle connection kept twice."""

SEALED = RECORD + 1024
"""Bytes that are taken from OpenSSL at once: more than such a record, encrypted. Asking for many
more costs a third of the throughput, in memory that is mapped and given back each time."""

ANSWERS = 32
"""Times that a peer may make OpenSSL answer by itself: a key update or a renegotiation asked for.
One that asks without end and reads no answer would fill the memory; in earnest it is once in 2^24
records."""

UNANSWERED = 64 * 1024
"""Bytes received after which is looked for such an answer, though data came with them."""

_NOBODY = Protocol()


@implementer(IPushProducer)
class _Queue:
    """Hears from a transport whether what it was handed lies there or has gone."""

    __slots__ = ("_pump",)

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
    has agreed with it; what it wrote before leaves then, and first. It hears `connectionLost` with
    `ConnectionDone` only if the peer ended with close_notify or ``inner`` had ended: else what came
    may be cut short (RFC 8446, section 6.1). After `pauseProducing` the rest of one read may come.

    The transport must have sent all that it was handed before: what is written goes past its queue.
    ``before`` is said in the clear first. With ``serves`` this is the server's side. A
    renegotiation, which ``verify`` would not see, is refused on both sides.
    """

    transport: Any

    def __init__(
        self,
        tls: SSL.Connection,
        inner: IProtocol,
        verify: Callable[[SSL.Connection], None] = lambda _: None,
        before: bytes = b"",
        *,
        serves: bool = False,
    ) -> None:
        tls.set_options(SSL.OP_NO_RENEGOTIATION)
        if serves:
            tls.set_accept_state()
        else:
            tls.set_connect_state()
        self._tls = tls
        self._verify = verify
        self._before = before
        self._serves = serves
        self._established = False
        self._ending = False
        self._reason: Failure | None = None
        self._early: list[bytes] = []
        self._producer: IPushProducer | None = None
        self._queued = False
        self._paused = False
        self._when_sent: list[Callable[[], None]] = []
        self._socket: socket.socket | None = None
        self._answers = 0
        self._unanswered = 0
        self._header = b""
        self._outstanding = 0
        self.inner = inner

    # --- a protocol: from the transport

    def makeConnection(self, transport: ITransport) -> None:
        self.transport = transport
        self.connected = 1
        # Nothing but a bare socket: what wraps one (TLS again) passes its method on, past itself.
        if isinstance(transport, Connection) and not transport.TLS:
            self._socket = transport.getHandle()
        else:
            self.transport.registerProducer(_Queue(self), True)
        if self._before:
            self._hand_on(self._before)
        self.inner.makeConnection(self)
        if self._reason is None and not self._serves:
            self._shake_hands()

    def dataReceived(self, data: bytes) -> None:
        if self._reason is not None:
            return
        self._unanswered += len(data)
        records = self._follow(data)
        if not self._established:
            self._tls.bio_write(data)
            data, records = b"", None
            self._shake_hands()
        if self._established and self._reason is None:
            self._deliver(data, records)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        reason, self._reason = self._reason or self._why(reason), connectionDone
        inner, self.inner = self.inner, _NOBODY  # the two hold each other, and OpenSSL's memory
        producer, self._producer = self._producer, None
        self._when_sent.clear()
        self.connected = 0
        if producer is not None:
            producer.stopProducing()
        inner.connectionLost(reason)

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
            if self._socket is not None:
                self.transport.unregisterProducer()
            if self._ending:
                self._end_below()
            sent, self._when_sent = self._when_sent, []
            for call in sent:
                call()
            if self._producer is not None:
                self._producer.resumeProducing()

    # --- a transport: from what is inside

    def write(self, data: bytes) -> None:
        if self._ending or self._reason is not None or not data:
            return
        if not self._established:
            self._early.append(data)
            return
        try:
            self._encrypt(data)
        except SSL.Error as error:
            self._fail(error)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """Say that nothing more will come; what the peer still sends is read and thrown away.

        The connection ends when the peer ends as well. How long to wait for that is up to whoever
        is inside: `hang_up` and `abortConnection` do not, nor does this inside the handshake.
        """
        if self._ending or self._reason is not None:
            return
        self._ending = True
        if not self._established:
            self._over(Failure(ConnectionDone()))
            return
        self._say_end()
        self.resumeProducing()  # the peer's end is to be heard
        if not self._queued:  # else once it is drained
            self._end_below()

    def when_sent(self, call: Callable[[], None]) -> None:
        """Call back once all that was written is in the kernel's hands, at once if it is."""
        if self._queued:
            self._when_sent.append(call)
        else:
            call()

    def hang_up(self) -> None:
        """Close without waiting for the peer to end; what was handed on is still delivered."""
        self._ending = True
        self._reason = self._reason or Failure(ConnectionDone())
        self._unregister()
        if isinstance(self.transport, TlsPump):
            self.transport.hang_up()
        else:
            self.transport.loseConnection()

    def abortConnection(self) -> None:
        """End at once, without the orderly end that would make a cut message look whole."""
        self._reason = self._reason or Failure(ConnectionAborted())
        self.transport.abortConnection()

    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None:
        if not streaming:
            raise ValueError("Only a producer that pushes can be registered.")
        if self._reason is not None:
            producer.stopProducing()
            return
        self._producer = producer
        if self._queued:
            producer.pauseProducing()

    def unregisterProducer(self) -> None:
        self._producer = None

    def pauseProducing(self) -> None:
        if not self._ending:
            self._paused = True
            self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        if self._paused:
            self._paused = False
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
            if not self._only_tickets_left:
                self._send()
            self._established = True
            early, self._early = self._early, []
            self.write(b"".join(early))
            if self._reason is None and IHandshakeListener.providedBy(self.inner):
                self.inner.handshakeCompleted()

    @property
    def _only_tickets_left(self) -> bool:
        """Whether nothing that OpenSSL has to say after the handshake is needed by the peer.

        Under TLS 1.3 a server has said its part before (RFC 8446, section 4.6.1). Its tickets leave
        with what is written next: by themselves they would cost as much as the answer.
        """
        return self._serves and self._tls.get_protocol_version() >= SSL.TLS1_3_VERSION

    def _deliver(self, data: bytes, records: int | None) -> None:
        """Hand on all that the peer's records hold, in one piece: records may hold a byte each."""
        pieces, end = self._read(data, records)
        if end is None and (not pieces or self._unanswered > UNANSWERED):
            self._answer()
        if pieces and not self._ending and self._reason is None:
            self.inner.dataReceived(b"".join(pieces))
        if end is None or self._reason is not None:
            return
        if isinstance(end, SSL.ZeroReturnError):
            self._peer_ended()
        else:
            self._fail(end)

    def _read(self, data: bytes, records: int | None) -> tuple[list[bytes], SSL.Error | None]:
        """What can be decrypted now, and what ended it if it has ended.

        OpenSSL gives a record's text at once. If each of ``records`` has given its own there is no
        more, and to ask for it once more would cost as much as to read it.
        """
        pieces: list[bytes] = []
        for start in range(0, len(data) or 1, RECORD):
            try:
                if data:
                    self._tls.bio_write(data[start : start + RECORD])
                while len(pieces) != records:
                    pieces.append(self._tls.recv(RECORD))
            except SSL.WantReadError:
                continue
            except SSL.Error as error:
                return pieces, error.with_traceback(None)  # its frames would hold all of this
        return pieces, None

    def _answer(self) -> None:
        """Send what OpenSSL has to say by itself, unless it was made to too often."""
        self._unanswered = 0
        if self._send():
            self._answers += 1
            if self._answers > ANSWERS:
                self._fail(SSL.Error("The peer asks for new keys without end."))

    def _encrypt(self, data: bytes) -> None:
        """Send it, record by record: into memory OpenSSL always can write one."""
        taken, sealed = 0, []
        while taken < len(data):
            taken += self._tls.send(data[taken : taken + RECORD])
            sealed.append(self._tls.bio_read(SEALED))
        self._hand_on(b"".join(sealed))
        if len(sealed[-1]) == SEALED:  # answers of OpenSSL's own lay before it
            self._send()

    def _send(self) -> bool:
        """Hand on what OpenSSL has to say; False if that is nothing."""
        said = 0
        while said % SEALED == 0:
            try:
                data = self._tls.bio_read(SEALED)
            except SSL.WantReadError:
                break
            said += len(data)
            self._hand_on(data)
        return said > 0

    def _hand_on(self, data: bytes) -> None:
        if self._socket is None or self._queued:
            self.transport.write(data)
            return
        try:
            taken = self._socket.send(data)
        except OSError:
            taken = 0  # it is full; or the connection is lost, which shows by itself
        if taken < len(data):
            self.transport.registerProducer(_Queue(self), False)
            self.transport.write(data[taken:])
            self.waiting()

    def _follow(self, data: bytes) -> int | None:
        """Keep in mind how far the last record has come (RFC 8446, section 5.1).

        How many records have become whole, or None if a part of one has come behind them.
        """
        data, at = self._header + data, self._outstanding
        size, records = len(data), 1 if at else 0
        while at + HEADER <= size:
            at += HEADER + (data[at + 3] << 8) + data[at + 4]
            records += 1
        self._header = data[at:]
        self._outstanding = max(0, at - size)
        return records if at == size else None

    @property
    def mid_record(self) -> bool:
        """Whether a part of a record has come, of which nobody has heard yet."""
        return bool(self._header or self._outstanding)

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
        if not self._ending:  # else it has been said
            self._say_end()
        self._over(Failure(ConnectionDone()))

    def _fail(self, error: Exception) -> None:
        """Nothing more can be believed; an alert may tell the peer why."""
        self._send()
        self._over(Failure(error.with_traceback(None)))  # its frames would hold all of this

    def _over(self, reason: Failure) -> None:
        """Close, with what lies there if ``inner`` ended first: else nobody would wait for it."""
        self._reason = reason
        if self._queued and not self._ending:
            self.transport.abortConnection()
        else:
            self._unregister()
            self.transport.loseConnection()

    def _end_below(self) -> None:
        """Nothing lies there any more: half close a socket; what wraps one ends by itself."""
        if self._socket is not None:
            self.transport.loseWriteConnection()
        else:
            self._unregister()
            self.transport.loseConnection()

    def _unregister(self) -> None:
        """A transport that has a producer asks it for more instead of ending."""
        if self._queued or self._socket is None:
            self.transport.unregisterProducer()
