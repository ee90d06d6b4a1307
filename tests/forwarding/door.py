"""Counterparts by hand for the forwarder: a gateway's port, and an agent that writes bytes."""

from __future__ import annotations

import base64
import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable

PATIENCE = 15.0
"""Seconds after which a silent peer fails a test instead of hanging it."""

OK = b"HTTP/1.1 200 Connection established\r\n\r\n"

Handler = Callable[[socket.socket], None]


class Door:
    """A gateway's port: keeps the head of each request, and does with each what it was told."""

    def __init__(self, handler: Handler, context: ssl.SSLContext | None = None) -> None:
        self.handler = handler
        self.context = context
        self.heads: list[bytes] = []
        self.connections = 0
        self.faults: list[Exception] = []
        self.over = threading.Event()
        """Set each time a handler has ended."""

    def __enter__(self) -> Door:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for each in self._threads:
            each.join(PATIENCE)
        for each in self._open:
            each.close()

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    def _accept(self) -> None:
        while True:
            try:
                raw, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(raw)
            thread = threading.Thread(target=self._serve, args=(raw,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, raw: socket.socket) -> None:
        raw.settimeout(PATIENCE)
        try:
            if self.context is None:
                self._handle(raw)
            else:
                with self.context.wrap_socket(
                    raw, server_side=True, suppress_ragged_eofs=False
                ) as tls:
                    self._open.append(tls)
                    self._handle(tls)
        except (OSError, ValueError) as error:
            self.faults.append(error)
        raw.close()
        self.over.set()

    def _handle(self, stream: socket.socket) -> None:
        self.heads.append(head_of(stream))
        self.handler(stream)


def head_of(stream: socket.socket) -> bytes:
    """The bytes up to the end of a head, read one by one so that no byte after it is taken."""
    data = b""
    while not data.endswith(b"\r\n\r\n") and (more := stream.recv(1)):
        data += more
    return data


def all_of(stream: socket.socket) -> bytes:
    """Every byte until the other side ends its direction."""
    pieces = []
    while piece := stream.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


def basic(name: str, password: str) -> str:
    """The field that a client makes of a proxy's address."""
    pair = base64.b64encode(f"{name}:{password}".encode()).decode()
    return f"Proxy-Authorization: Basic {pair}\r\n"


def connect_bytes(authorization: str = "", target: str = "api.example:443") -> bytes:
    return f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{authorization}\r\n".encode()


def dialled(port: int, data: bytes = b"") -> socket.socket:
    """A connection to a port of the loopback, and what is said there first."""
    stream = socket.create_connection(("127.0.0.1", port), PATIENCE)
    stream.settimeout(PATIENCE)
    stream.sendall(data)
    return stream


def cut(stream: socket.socket) -> None:
    """Close with a reset."""
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.close()
