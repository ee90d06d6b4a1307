"""Hundreds of agents that are slow on purpose, in every phase: each is ended, and others served."""

from __future__ import annotations

import base64
import contextlib
import selectors
import socket
import ssl
import threading
import time
from pathlib import Path

import pytest
from support.counterparts import TestCA
from support.gateway import GatewayProcess, settings, target
from support.tokens import Tokens
from support.wire import Origin, Tunnel, answering

SLOW = 300
"""Slow connections in each phase."""

DEADLINE = 3
"""Seconds of each deadline."""

ALLOWED = 96 * 1024**2
"""Bytes of memory that so many may cost, their buffers included."""

REQUEST = b"GET /things HTTP/1.1\r\nHost: api.example\r\n\r\n"
UPLOAD = b"POST /things HTTP/1.1\r\nHost: api.example\r\nTransfer-Encoding: chunked\r\n\r\n"
PIECE, PIECES = b"x" * 65_536, 200


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A gateway with short deadlines, the origin's answers, and a token."""
    folder = tmp_path_factory.mktemp("slow")
    ca, tokens = TestCA.create(folder, name="origin"), Tokens(folder)
    limits = {
        "connect": f"{DEADLINE}s",
        "handshake": f"{DEADLINE}s",
        "head": f"{DEADLINE}s",
        "idle": "60s",
        "stalled": f"{DEADLINE}s",
        "total": f"{2 * DEADLINE}s",
        "closing": "1s",
    }

    def handle(request, tls):
        if "large" not in request.line:
            return answering(b"{}")(request, tls)
        tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (PIECES * len(PIECE)))
        for _ in range(PIECES):
            tls.sendall(PIECE)
        return True

    with Origin(ca.leaf("api.example"), handle) as origin:
        made = settings(folder, tokens.jwks, [target(origin.port, ca.pem)])
        with GatewayProcess(folder, made | {"limits": limits}) as gateway:
            yield gateway, tokens.token()


def connect(gateway, token) -> bytes:
    basic = base64.b64encode(b"run:" + token.encode()).decode()
    lines = ["CONNECT api.example:443 HTTP/1.1", "Host: api.example:443"]
    return "\r\n".join([*lines, f"Proxy-Authorization: Basic {basic}", "", ""]).encode()


# Each phase: a connection that has got as far as it, and what it sends from then on, byte by byte.


def raw(gateway):
    """A connection whose kernel holds little that has not been read."""
    peer = socket.socket()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    peer.settimeout(10)
    peer.connect(gateway.proxy)
    return peer


def tunnel(gateway, token, context):
    peer = raw(gateway)
    peer.sendall(connect(gateway, token))
    assert peer.recv(4096).startswith(b"HTTP/1.1 200 ")
    return context.wrap_socket(peer, server_hostname="api.example")


def slow_connect(gateway, token, context):
    return raw(gateway), connect(gateway, token)


def slow_handshake(gateway, token, context):
    peer, hello = raw(gateway), ssl.MemoryBIO()
    peer.sendall(connect(gateway, token))
    peer.recv(4096)
    client = context.wrap_bio(ssl.MemoryBIO(), hello, server_hostname="api.example")
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return peer, hello.read()


def slow_head(gateway, token, context):
    return tunnel(gateway, token, context), REQUEST


def slow_body(gateway, token, context):
    tls = tunnel(gateway, token, context)
    tls.sendall(UPLOAD)
    return tls, b"1\r\nx\r\n" * 100


def slow_reading(gateway, token, context):
    tls = tunnel(gateway, token, context)
    tls.sendall(REQUEST.replace(b"/things", b"/large"))
    return tls, b""


PHASES = {
    "connect": slow_connect,
    "handshake": slow_handshake,
    "head": slow_head,
    "body": slow_body,
    "reading": slow_reading,
}


@pytest.mark.timeout(180)
@pytest.mark.parametrize("phase", PHASES)
def test_slow_agents_are_ended_and_an_honest_one_is_served_meanwhile(served, phase):
    gateway, token = served
    honest = Tunnel(gateway.proxy, gateway.ca, token)
    before = resident(gateway)
    context = ssl.create_default_context(cafile=str(gateway.ca))
    slow = [PHASES[phase](gateway, token, context) for _ in range(SLOW)]
    over, took = threading.Event(), []
    trickling = threading.Thread(target=trickle, args=(slow, over))
    trickling.start()
    try:
        for _ in range(10):
            begun = time.monotonic()
            assert honest.ask("GET", "/things").status == 200
            with Tunnel(gateway.proxy, gateway.ca, token) as another:
                assert another.ask("GET", "/things").status == 200
            took.append(time.monotonic() - begun)
            time.sleep(0.1)
        assert ended([peer for peer, _ in slow], 2 * DEADLINE + 10) == SLOW
    finally:
        over.set()
        trickling.join()
        for peer, _ in slow:
            peer.close()
        honest.close()
    assert sorted(took)[len(took) // 2] < 1.0  # an honest agent is not slow
    assert resident(gateway) - before < ALLOWED
    assert not [line for line in gateway.output if "Traceback" in line], "".join(gateway.output)


def trickle(slow, over):
    """A byte now and then on every connection, for as long as it is taken."""
    at = 0
    while not over.wait(0.5):
        for peer, data in slow:
            with contextlib.suppress(OSError, ValueError):
                peer.send(data[at : at + 1])
        at += 1


def ended(peers, seconds) -> int:
    """How many connections the gateway has ended, once all are or the time is over."""
    gone, until = set(), time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        for peer in peers:
            selector.register(peer.fileno(), selectors.EVENT_READ, peer)
        while len(gone) < len(peers) and time.monotonic() < until:
            for peer in peers:
                if peer not in gone and hung_up(peer):
                    gone.add(peer)
            selector.select(0.2)
            time.sleep(0.2)
    return len(gone)


def hung_up(peer) -> bool:
    """Whether the kernel has the end of it, whatever lies unread before that."""
    info = peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
    return info[0] != 1  # TCP_ESTABLISHED (tcp_states.h)


def resident(gateway) -> int:
    pid = gateway.process.pid
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("the gateway has ended")


def test_what_slow_readers_were_sent_is_little_and_on_record(served):
    gateway, _ = served
    outcomes = [each for each in gateway.entries("outcome") if each["outcome"] == "truncated"]
    assert len(outcomes) == SLOW
    assert {each["denial"] for each in outcomes} <= {"agent-gone", "cut-short"}
    assert max(each["released"]["bytes"] for each in outcomes) < 1024**2
