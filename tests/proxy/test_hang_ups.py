"""An agent that hangs up within its request, of which the exchange makes an end at once."""

from __future__ import annotations

from contextlib import suppress

import pytest
from support.http2 import asking, block, frame
from support.ports import AUTHORITY
from support.transports import Wire
from twisted.internet.task import Clock

from jitgate.core.http2_frames import PREFACE, Kind
from jitgate.core.limits import LIMITS
from jitgate.errors import AgentGone
from jitgate.flow.admission import Tunnel
from jitgate.flow.deadlines import Deadline
from jitgate.proxy.connection import AgentConnection
from jitgate.proxy.http2_connection import Http2Connection


class Reading:
    """What an exchange is while nothing can be recorded: it ends without a turn of the reactor."""

    def __init__(self):
        self.served = 0

    async def serve(self, tunnel, request, response):
        with suppress(AgentGone):
            while await request.read():
                pass
        self.served += 1


POST = block(*asking(b"POST", b"/things", (b"content-length", b"5")))


@pytest.mark.parametrize("expects", [b"", b"Expect: 100-continue\r\n"])
@pytest.mark.parametrize("body", [b"", b"abc"])
def test_in_http1_it_ends_once_and_leaves_nothing(expects, body):
    head = b"POST /things HTTP/1.1\r\nHost: api.example\r\nContent-Length: 5\r\n" + expects
    assert hung_up(AgentConnection, head + b"\r\n" + body) == (1, [])


def test_in_http2_it_ends_once_and_leaves_nothing():
    said = PREFACE + frame(Kind.SETTINGS, 0, 0, b"") + frame(Kind.HEADERS, 4, 1, POST)
    assert hung_up(Http2Connection, said + frame(Kind.DATA, 0, 1, b"abc")) == (1, [])


def hung_up(kind, said):
    """How many exchanges ended, and what is still to happen."""
    gateway, clock = Reading(), Clock()
    tunnel = Tunnel(AUTHORITY, "problem", "s-1", None)
    connection = kind(gateway, tunnel, clock, LIMITS, Deadline(clock))
    connection.makeConnection(Wire())
    connection.handshakeCompleted()
    connection.dataReceived(said)
    assert gateway.served == 0
    connection.connectionLost()
    assert connection.closed.called
    return gateway.served, clock.getDelayedCalls()
