"""A body of any size passes through a bounded window of memory."""

from __future__ import annotations

import hashlib
import re
import time
from pathlib import Path

import pytest

GIB = 1024**3
PIECE = bytes(range(256)) * 1024
ALLOWED = 64 * 1024**2
DAWDLE = 2.0
"""Seconds that the agent takes no bytes: what the origin sends then must wait at the origin."""


def resident(scene) -> int:
    """The most memory that the gateway has had resident so far, in bytes."""
    status = Path(f"/proc/{scene.gateway.process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024


@pytest.mark.timeout(300)
def test_a_gibibyte_each_way_adds_at_most_64_mebibytes(scene):
    digest = hashlib.sha256()

    def give(request, tls):
        tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % GIB)
        for _ in range(GIB // len(PIECE)):
            tls.sendall(PIECE)
        return True

    with scene.tunnel() as tunnel:
        tunnel.ask("GET", "/warm")
        before = resident(scene)
        scene.handler = give
        tunnel.send(b"GET /big HTTP/1.1\r\nHost: api.example\r\n\r\n")
        stream = tunnel.tls.makefile("rb")
        while stream.readline().strip():
            pass
        time.sleep(DAWDLE)
        for _ in range(GIB // len(PIECE)):
            digest.update(stream.read(len(PIECE)))
    downloaded = resident(scene)
    assert digest.hexdigest() == whole()
    assert downloaded - before <= ALLOWED

    seen = {}

    def take(stream, length):
        received = hashlib.sha256()
        left = length
        while left:
            piece = stream.read(min(left, len(PIECE)))
            received.update(piece)
            left -= len(piece)
        seen["digest"] = received.hexdigest()
        return b""

    scene.origin.take_body = take
    scene.handler = lambda _, tls: tls.sendall(b"HTTP/1.1 204 No\r\n\r\n") or True
    with scene.tunnel() as tunnel:
        tunnel.send(b"POST /big HTTP/1.1\r\nHost: api.example\r\nContent-Length: %d\r\n\r\n" % GIB)
        for _ in range(GIB // len(PIECE)):
            tunnel.send(PIECE)
        assert tunnel.reply().status == 204
    assert seen["digest"] == whole()
    assert resident(scene) - before <= ALLOWED


def whole() -> str:
    digest = hashlib.sha256()
    for _ in range(GIB // len(PIECE)):
        digest.update(PIECE)
    return digest.hexdigest()
