"""Fuzzes what an agent may send in HTTP/2 by coverage, with atheris: frames, heads, and the engine.

Run from tests/: ``python -m fuzz.http2 SECONDS``. It begins with whole conversations and ends with 0
once the time is over. What broke a promise is left in the working folder as crash-*.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["jitgate.core", "jitgate.proxy.http2_engine", "hpack"]):
    from jitgate.core.http1_reading import Request, RequestReader
    from jitgate.core.http1_writing import request_bytes
    from jitgate.core.http2_frames import PREFACE, FrameReader, Kind
    from jitgate.core.http2_heads import Asked, check_trailers, request_of
    from jitgate.proxy.http2_engine import Engine

from h2 import events as h2
from h2.config import H2Configuration
from h2.connection import H2Connection
from support.http2 import asking, block, frame

from jitgate.core.limits import LIMITS
from jitgate.errors import PeerFault

LONGEST = 4096
"""Bytes of an input: more than that only finds the bounds, which have tests of their own."""

BEGUN = PREFACE + frame(Kind.SETTINGS)
HEADS = {"most_bytes": LIMITS.head_bytes, "most_fields": LIMITS.head_fields}

GET, POST = block(*asking()), block(*asking(b"POST", b"/things", (b"content-length", b"5")))
SEEDS = (
    frame(Kind.HEADERS, 5, 1, GET) + frame(Kind.PING, 0, 0, b"12345678"),
    frame(Kind.HEADERS, 1, 1, GET[:7]) + frame(Kind.CONTINUATION, 4, 1, GET[7:]),
    frame(Kind.HEADERS, 4, 1, POST) + frame(Kind.DATA, 1, 1, b"hello"),
    frame(Kind.HEADERS, 12, 1, b"\3" + POST + b"\0\0\0") + frame(Kind.DATA, 9, 1, b"\2hel\0\0"),
    frame(Kind.HEADERS, 4, 1, POST) + frame(Kind.HEADERS, 5, 1, block((b"x-sum", b"1"))),
    frame(Kind.HEADERS, 0x25, 1, b"\x80\0\0\0\x10" + GET) + frame(3, 0, 1, b"\0\0\0\x08"),
    frame(Kind.SETTINGS, 0, 0, b"\0\x01\0\0\x10\0\0\x04\0\0\xff\xff") + frame(Kind.SETTINGS, 1),
    frame(Kind.WINDOW_UPDATE, 0, 0, b"\0\0\x10\0") + frame(Kind.GOAWAY, 0, 0, bytes(8)),
    frame(Kind.HEADERS, 5, 1, b"\x3f\xe1\x1f\x82\x87\x84\x41\x0bapi.example\x90"),
)
WORDS = (
    *(b":method", b":path", b":scheme", b":authority", b":protocol", b"https", b"GET", b"CONNECT"),
    *(b"transfer-encoding", b"chunked", b"content-length", b"host", b"connection", b"te", b"\r\n"),
    *(bytes(3) + bytes([kind]) for kind in Kind),
)


def said(pieces: list[bytes]) -> list[object]:
    """What comes of the bytes, as the connection would take it; it ends with the first fault."""
    frames, engine, found = FrameReader(LIMITS), Engine(LIMITS), list[object]()
    try:
        for piece in pieces:
            for each in frames.feed(piece, 0.0):
                if isinstance(each, PeerFault):
                    raise each
                if each.kind == Kind.GOAWAY and each.stream == 0 and len(each.data) >= 17:
                    continue
                for event in engine.receive(each.data):
                    found += _of(event, engine)
    except PeerFault as fault:
        found.append((type(fault).__name__, f"{fault}"))
    else:
        is_understood(engine.taken())
    return found


def _of(event: h2.Event, engine: Engine) -> list[object]:
    if isinstance(event, h2.RequestReceived):
        return [asked_in(engine, ended=event.stream_ended is not None)]
    if isinstance(event, h2.TrailersReceived):
        try:
            check_trailers(engine.fields, **HEADS)
        except PeerFault as fault:
            return [f"{fault}"]
        return [("trailers", tuple(map(tuple, engine.fields)))]
    if isinstance(event, h2.DataReceived):
        engine.let_in(event.flow_controlled_length)
        return [(event.stream_id, event.data)]
    return [type(event).__name__]


def asked_in(engine: Engine, *, ended: bool) -> object:
    """A request, or why it is none. HTTP/1.1's reader takes it from its bytes, and reads the same."""
    try:
        asked = request_of(engine.fields, ended=ended, **HEADS)
    except PeerFault as fault:
        return f"{fault}"
    assert read_again(asked) == (asked.head[:2], asked.head.length, asked.hosts[0])
    return asked


def read_again(asked: Asked) -> object:
    """What HTTP/1.1's reader makes of the same request."""
    fields = tuple(pair for pair in asked.head.headers if pair[0] != b"host")
    written = asked.head._replace(headers=((b"Host", asked.hosts[0]), *fields))
    request, *_ = RequestReader().feed(request_bytes(written))
    assert isinstance(request, Request), request
    return request.head[:2], request.head.length, request.host


def is_understood(answers: bytes) -> None:
    """A client that has said nothing yet takes what the engine says, as far as it may be to it."""
    client = H2Connection(H2Configuration(client_side=True, header_encoding=None))
    client.initiate_connection()
    first = 9 + int.from_bytes(answers[:3])
    client.receive_data(answers[:first])
    assert answers[3] == Kind.SETTINGS


def look(data: bytes) -> None:
    """Nothing but a peer's fault comes of it, and cuts change nothing."""
    whole = BEGUN + data
    size = 1 + (data[-1] & 15 if data else 0)
    pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
    assert said(pieces) == said([whole])


def main(seconds: int) -> None:
    """Fuzz it for so long."""
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        for number, seed in enumerate(SEEDS):
            (corpus / f"{number}").write_bytes(seed)
        words = Path(folder) / "words"
        escaped = ("".join(f"\\x{byte:02x}" for byte in word) for word in WORDS)
        words.write_text("".join(f'"{each}"\n' for each in escaped), "ascii")
        options = [f"-max_total_time={seconds}", f"-max_len={LONGEST}", f"-dict={words}"]
        options.append("-len_control=0")  # several requests, from the beginning
        atheris.Setup([sys.argv[0], *options, str(corpus)], look)
        atheris.Fuzz()


if __name__ == "__main__":
    main(int(sys.argv[1]))
