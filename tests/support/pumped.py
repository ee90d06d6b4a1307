"""`TlsPump` on real sockets, step by step: a reactor that turns when a test says so.

The peer is another pump, or TLS by somebody else's hand: the standard library's, or records that
are encrypted here one by one, for what no library sends.
"""

from __future__ import annotations

import contextlib
import hmac
import socket
import ssl
import struct
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from OpenSSL import SSL
from twisted.internet.interfaces import IHandshakeListener, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure
from zope.interface import implementer

from jitgate.reactor import Reactor
from jitgate.tls import TlsPump

TURNS = 20_000
"""Turns after which what a test waits for will not come."""

AES_128_GCM = b"ECDHE-ECDSA-AES128-GCM-SHA256"


class Turns(Reactor):
    """A reactor that is never run: `iterate` is one turn of it."""

    def until(self, seen: Callable[[], Any]) -> None:
        """Turn until something holds."""
        for _ in range(TURNS):
            if seen():
                return
            self.iterate(0.0005)
        raise AssertionError("it never came about")

    def rest(self) -> None:
        """Turn until nothing that was under way is left."""
        for _ in range(8):
            self.iterate(0)

    def close(self) -> None:
        """Give its files back."""
        for each in self._internalReaders:
            each.connectionLost(connectionDone)
        self._poller.close()


@implementer(IHandshakeListener, IPushProducer)
class Inner(Protocol):
    """What is inside: it notes what it hears, and does what a test wants at each word."""

    def __init__(self, produces: bool = True) -> None:
        self.heard: list[str] = []
        self.data = b""
        self.reason: BaseException | None = None
        self.produces = produces
        self.at: dict[str, Callable[[], object]] = {}

    def hears(self, word: str) -> None:
        """Note a word, and do what was asked for."""
        self.heard.append(word)
        self.at.get(word, lambda: None)()

    def connectionMade(self) -> None:
        if self.produces:
            self.transport.registerProducer(self, True)  # type: ignore[union-attr]
        self.hears("made")

    def handshakeCompleted(self) -> None:
        self.hears("shaken")

    def dataReceived(self, data: bytes) -> None:
        self.data += data
        self.hears("data")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.reason = reason.value
        self.hears("lost")

    def pauseProducing(self) -> None:
        self.hears("pause")

    def resumeProducing(self) -> None:
        self.hears("resume")

    def stopProducing(self) -> None:
        self.hears("stop")


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """Two ends of a real TCP connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = socket.create_connection(server.getsockname())
        two, _ = server.accept()
    return one, two


def on_socket(
    reactor: Turns,
    end: socket.socket,
    pump: TlsPump,
    reads: int = 65536,
    writes: int = 131072,
) -> TlsPump:
    """Set a pump on a socket, of which it gets so many bytes a turn, and gives so many."""
    transport = Connection(end, pump, reactor)
    transport.bufferSize, transport.SEND_LIMIT = reads, writes
    transport.connected = 1
    transport.startReading()
    pump.makeConnection(transport)
    return pump


class Peer:
    """The far end by the standard library: TLS in memory, and a socket that a test reads and cuts.

    ``pump`` moves what there is both ways.
    """

    def __init__(self, raw: socket.socket, context: ssl.SSLContext, server: bool = False) -> None:
        raw.setblocking(False)
        self.raw = raw
        self.into, self.out = ssl.MemoryBIO(), ssl.MemoryBIO()
        name = None if server else "api.example"
        self.tls = context.wrap_bio(self.into, self.out, server_side=server, server_hostname=name)
        self.data = b""
        self.shaken = False
        self.ended: str | None = None
        self.unsent = b""

    def pump(self, cut: int = 65536) -> None:
        """Move bytes both ways, ``cut`` of them at once; note what came and how it ended."""
        self.take(cut)
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
            self.shaken = True
        self.read()
        self.give(cut)

    def take(self, cut: int = 65536) -> None:
        """Read from the socket."""
        try:
            data = self.raw.recv(cut)
        except BlockingIOError:
            return
        except ConnectionResetError:
            self.ended = self.ended or "reset"
            return
        if data:
            self.into.write(data)
        else:
            self.ended = self.ended or "cut"

    def read(self) -> None:
        """Decrypt what came."""
        try:
            while more := self.tls.read(65536):
                self.data += more
        except ssl.SSLWantReadError:
            return
        except ssl.SSLZeroReturnError:
            pass
        self.ended = self.ended or "close_notify"

    def give(self, cut: int = 65536) -> None:
        """Write to the socket."""
        self.unsent += self.out.read()
        with contextlib.suppress(BlockingIOError, ConnectionError):
            self.unsent = self.unsent[self.raw.send(self.unsent[:cut]) :]

    def say_end(self) -> None:
        """Queue close_notify."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.unwrap()


class Records:
    """Records of one's own making, behind a handshake that pyOpenSSL made (AES-128-GCM).

    ``tls`` must have sent nothing since its Finished; ``secret`` is a TLS 1.3 traffic secret.
    """

    def __init__(self, tls: SSL.Connection, secret: bytes | None = None) -> None:
        self._secret = secret
        self._count = 1 if secret is None else 0
        if secret is None:
            self._key, self._iv = _keys_of_1_2(tls)
        else:
            self._key, self._iv = _keys_of_1_3(secret)

    def record(self, kind: int, body: bytes) -> bytes:
        """One record."""
        number = struct.pack(">Q", self._count)
        self._count += 1
        if self._secret is None:
            about = number + struct.pack(">BHH", kind, 0x0303, len(body))
            sealed = number + AESGCM(self._key).encrypt(self._iv + number, body, about)
            return struct.pack(">BHH", kind, 0x0303, len(sealed)) + sealed
        head = struct.pack(">BHH", 23, 0x0303, len(body) + 17)
        nonce = bytes(a ^ b for a, b in zip(self._iv, bytes(4) + number, strict=True))
        return head + AESGCM(self._key).encrypt(nonce, body + bytes([kind]), head)

    def key_update(self, asked: bool) -> bytes:
        """Say that the keys change (RFC 8446, section 4.6.3), and change them."""
        assert self._secret is not None
        said = self.record(22, b"\x18\x00\x00\x01" + bytes([asked]))
        self._secret = _labelled(self._secret, b"traffic upd", 32)
        self._key, self._iv = _keys_of_1_3(self._secret)
        self._count = 0
        return said


def _keys_of_1_2(tls: SSL.Connection) -> tuple[bytes, bytes]:
    """The client's key and nonce (RFC 5246, sections 5 and 6.3)."""
    server, client = tls.server_random(), tls.client_random()
    assert server is not None
    assert client is not None
    seed = b"key expansion" + server + client
    master, block, link = tls.master_key() or b"", b"", seed
    while len(block) < 40:
        link = hmac.digest(master, link, "sha256")
        block += hmac.digest(master, link + seed, "sha256")
    return block[:16], block[32:36]


def _keys_of_1_3(secret: bytes) -> tuple[bytes, bytes]:
    return _labelled(secret, b"key", 16), _labelled(secret, b"iv", 12)


def _labelled(secret: bytes, label: bytes, size: int) -> bytes:
    """HKDF-Expand-Label (RFC 8446, section 7.1)."""
    label = b"tls13 " + label
    info = struct.pack(">HB", size, len(label)) + label + b"\0"
    return HKDFExpand(hashes.SHA256(), size, info).derive(secret)
