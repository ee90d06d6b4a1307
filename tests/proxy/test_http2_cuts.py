"""A connection says the same to the same bytes, wherever they are cut: in memory, on no socket."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from support.http2 import asking, block, frame
from support.ports import AUTHORITY, Stand
from support.transports import Wire
from twisted.internet.task import Clock

from jitgate.core.http2_frames import PREFACE, Kind
from jitgate.core.limits import LIMITS
from jitgate.flow.admission import Tunnel
from jitgate.flow.deadlines import Deadline
from jitgate.proxy.http2_connection import Http2Connection


def said(pieces):
    """What the gateway says, what reached the target, and what is on record."""
    stand, clock, wire = Stand(pieces=(b'{"name":"Ada"} ',)), Clock(), Wire()
    tunnel = Tunnel(
        AUTHORITY,
        "problem",
        "s-1",
        stand.subject,
        token="t",
        proved_by=stand.gateway._identity,
    )
    connection = Http2Connection(stand.gateway, tunnel, clock, LIMITS, Deadline(clock))
    connection.makeConnection(wire)
    connection.handshakeCompleted()
    for piece in pieces:
        connection.dataReceived(piece)
    outcomes = [(each["outcome"], each.get("denial")) for each in stand.entries("outcome")]
    sent = [(head.method, head.target, body) for head, body in stand.sent]
    before = wire.data, wire.ended, sent, outcomes
    connection.connectionLost()
    return before


GET, POST = block(*asking()), block(*asking(b"POST", b"/things", (b"content-length", b"5")))
STEPS = {
    "get": lambda n: frame(Kind.HEADERS, 5, n, GET),
    "get in pieces": lambda n: (
        frame(Kind.HEADERS, 1, n, GET[:7])
        + frame(Kind.CONTINUATION, 0, n, GET[7:9])
        + frame(Kind.CONTINUATION, 4, n, GET[9:])
    ),
    "post": lambda n: frame(Kind.HEADERS, 4, n, POST) + frame(Kind.DATA, 1, n, b"hello"),
    "padded": lambda n: (
        frame(Kind.HEADERS, 12, n, b"\3" + POST + b"\0\0\0")
        + frame(Kind.DATA, 8, n, b"\2hel\0\0")
        + frame(Kind.DATA, 1, n, b"lo")
    ),
    "post with trailers": lambda n: (
        frame(Kind.HEADERS, 4, n, POST)
        + frame(Kind.DATA, 0, n, b"hello")
        + frame(Kind.HEADERS, 5, n, block((b"x-sum", b"1")))
    ),
    "too short": lambda n: frame(Kind.HEADERS, 4, n, POST) + frame(Kind.DATA, 1, n, b"hell"),
    "too long": lambda n: frame(Kind.HEADERS, 4, n, POST) + frame(Kind.DATA, 0, n, b"hello!"),
    "malformed": lambda n: frame(Kind.HEADERS, 5, n, block(*asking(b"GET", b"x"))),
    "given up": lambda n: frame(Kind.HEADERS, 4, n, POST) + frame(3, 0, n, b"\0\0\0\x08"),
    "ping": lambda _: frame(Kind.PING, 0, 0, b"12345678"),
    "unknown": lambda _: frame(0x77, 0, 0, b"xyz"),
    "broken": lambda _: frame(Kind.DATA, 0, 0, b"x"),
    "goaway": lambda _: frame(Kind.GOAWAY, 0, 0, b"\0" * 8),
}


@settings(max_examples=60)
@given(st.lists(st.sampled_from(sorted(STEPS)), max_size=6), st.lists(st.integers(1, 400)))
def test_what_is_said_does_not_depend_on_how_bytes_are_cut(steps, cuts):
    script = [PREFACE, frame(Kind.SETTINGS)]
    script += [STEPS[each](2 * at + 1) for at, each in enumerate(steps)]
    data = b"".join(script)
    whole = said([data])
    ends = sorted({cut % len(data) for cut in cuts} | {0, len(data)})
    assert said([data[a:b] for a, b in zip(ends, ends[1:], strict=False)]) == whole
    assert said([data[at : at + 1] for at in range(len(data))]) == whole
    *_, sent, outcomes = whole
    good = ("get", "get in pieces", "post", "padded", "post with trailers")
    if not {"broken", "goaway"} & set(steps):
        assert len(sent) == sum(each in good for each in steps)
        assert len(outcomes) == sum(each not in {"ping", "unknown"} for each in steps)
