"""Two connections joined: bytes go both ways, as fast as the slower of them takes them.

Nothing is kept here beyond what the transports hold. An orderly end is passed on as one, and a cut
as a cut.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure

CLOSING = 60.0
"""Seconds that one connection has to take the last bytes after the other has ended; the gateway
waits as long for an agent that takes nothing."""


class Side:
    """One of two connections. Its protocol tells it what it hears from its transport.

    One that is ``mute`` is not listened to: what it sends, its end included, is thrown away.
    """

    def __init__(self, transport: Any, clock: IReactorTime) -> None:
        self.transport = transport
        """ITCPTransport and IConsumer."""
        self.other: Side | None = None
        self.mute = False
        self.gone = False
        self._clock = clock
        self._said_all = False
        self._told_all = False
        self._timer: IDelayedCall | None = None

    def join(self, gateway: Side, *, both_ways: bool) -> None:
        """Join the agent's side with the gateway's; unless ``both_ways``, the agent is mute."""
        self.mute = not both_ways
        self.other, gateway.other = gateway, self
        self.transport.registerProducer(gateway.transport, True)
        gateway.transport.registerProducer(self.transport, True)
        if self._said_all and both_ways:
            gateway.finish()

    # --- from its protocol

    def received(self, data: bytes) -> None:
        """It sent bytes."""
        if self.other is not None and not self.mute:
            self.other.transport.write(data)

    def said_all(self) -> None:
        """It ended its direction, and may still listen."""
        self._said_all = True
        if self.other is not None and not self.mute:
            self.other.finish()
        self._close_if_over()

    def told_all(self) -> None:
        """The direction to it has ended, every byte gone out."""
        self._told_all = True
        self._close_if_over()

    def lost(self, reason: Failure) -> None:
        """It is gone, both directions."""
        self.gone = True
        self._within(None)
        other, self.other = self.other, None
        # Many servers end TLS without saying so, which looks like a cut; a real one would lose the
        # last bytes here. The TLS inside the tunnel shows the agent what it did not get.
        orderly = reason.check(ConnectionDone) or isinstance(self.transport, TLSMemoryBIOProtocol)
        if other is not None and not other.gone:
            other.end(orderly=bool(orderly))

    # --- from the other side

    def finish(self) -> None:
        """Tell it that no more comes, once it has what it was sent."""
        self.transport.unregisterProducer()
        if isinstance(self.transport, TLSMemoryBIOProtocol):
            # Twisted's TLS has no half-close; the gateway's would end the tunnel at one anyway.
            self.transport.loseConnection()
            self._within(CLOSING)
            return
        self.transport.loseWriteConnection()
        if self.mute:
            self._within(CLOSING)

    def end(self, *, orderly: bool) -> None:
        """Close it, once it has what it was sent; at once if the other one was cut."""
        self.other = None
        self.transport.unregisterProducer()
        if orderly:
            self._within(CLOSING)
            self.transport.loseConnection()
        else:
            self.transport.abortConnection()

    def _close_if_over(self) -> None:
        if self._said_all and self._told_all and not self.gone:
            self.transport.loseConnection()

    def _within(self, seconds: float | None) -> None:
        """Replace the one deadline, after which the connection is cut."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        if seconds is not None and not self.gone:
            self._timer = self._clock.callLater(seconds, self.transport.abortConnection)
