"""Sends checkpoints to a syslog server (RFC 5424), over TLS (RFC 5425) or plain TCP (RFC 6587)."""

from __future__ import annotations

import json
import os
import re
import socket
from datetime import UTC, datetime
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IReactorTime,
    ISSLTransport,
    IStreamClientEndpoint,
    ITCPTransport,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from jitgate.errors import CheckpointNotKept, JitgateError
from jitgate.interfaces import IKeeper

_PRIORITY: Final = 13 * 8 + 6
"""Facility "log audit", severity "informational" (RFC 5424, section 6.2.1)."""

_HOST_CHARS: Final = 255

TIMEOUT: Final = 20.0
"""Seconds for all of it."""


@implementer(IKeeper)
class SyslogKeeper:
    """One server, reached by ``endpoint``.

    Syslog acknowledges nothing. Each checkpoint has a connection of its own, and counts as kept
    once the server has ended it as well: over TLS after it has read to its end, over plain TCP
    whenever it likes, so that a balancer without a server is believed too.
    """

    every = 0.0

    def __init__(self, name: str, endpoint: IStreamClientEndpoint, clock: IReactorTime) -> None:
        self.name = name
        self._endpoint = endpoint
        self._clock = clock

    async def keep(self, note: bytes) -> None:
        message = _message(note, self._clock.seconds())
        sending = Deferred.fromCoroutine(self._sent(b"%d %b" % (len(message), message)))
        sending.addTimeout(TIMEOUT, self._clock, onTimeoutCancel=self._late)
        await sending

    async def stop(self) -> None:
        pass  # nothing is kept open

    async def _sent(self, frame: bytes) -> None:
        ended = _Ended(frame)
        try:
            await self._endpoint.connect(Factory.forProtocol(lambda: ended))
            await ended.outcome
        except Exception as error:
            why = f"{error}" if isinstance(error, JitgateError) else type(error).__name__
            raise CheckpointNotKept(f"The keeper {self.name} cannot be reached: {why}.") from error
        finally:
            ended.give_up()

    def _late(self, _: object, seconds: float) -> None:
        raise CheckpointNotKept(f"The keeper {self.name} has not ended within {seconds:g} seconds.")


class _Ended(Protocol):
    """Says one thing and no more, and hears how the connection ends."""

    transport: ITCPTransport

    def __init__(self, frame: bytes) -> None:
        self.outcome: Deferred[None] = Deferred()
        self._frame = frame

    def connectionMade(self) -> None:
        self.transport.write(self._frame)
        if ISSLTransport.providedBy(self.transport):
            self.transport.loseConnection()  # which says so, and waits for the server's end
        else:
            self.transport.loseWriteConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        outcome, self.outcome = self.outcome, Deferred()
        if reason.check(ConnectionDone):
            outcome.callback(None)
        else:
            outcome.errback(reason)

    def give_up(self) -> None:
        """End it, if it has not ended."""
        if self.connected:
            self.transport.abortConnection()


def _message(note: bytes, now: float) -> bytes:
    """The note as JSON in one line, in the clear: whoever searches the log finds it."""
    when = datetime.fromtimestamp(int(now), UTC).isoformat()[:-6] + "Z"
    host = re.sub("[^!-~]", "", socket.gethostname())[:_HOST_CHARS] or "-"
    head = f"<{_PRIORITY}>1 {when} {host} jitgate {os.getpid()} checkpoint - "
    return head.encode() + json.dumps({"note": note.decode()}).encode()
