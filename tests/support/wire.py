"""Both ends of the wire, by hand: an agent that writes bytes, an origin that answers with bytes.

They use the standard library's sockets and TLS alone, so that no HTTP library of any kind smooths
over what the gateway does.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import io
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from support.counterparts import Leaf

PATIENCE = 15.0
"""Seconds after which a silent peer fails a test instead of hanging it."""


@dataclass
class Reply:
    """A response as read by the standard library's client."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """The first field of that name."""
        return next((v for k, v in self.headers if k.lower() == name.lower()), None)


class Within(io.RawIOBase):
    """TLS inside of TLS, which the standard library's sockets do not do by themselves."""

    def __init__(self, outer: ssl.SSLSocket, context: ssl.SSLContext, name: str | None) -> None:
        self._outer = outer
        self._read, self._written = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._read, self._written, server_hostname=name)
        self._do(self._tls.do_handshake)

    def sendall(self, data: bytes) -> None:
        self._do(self._tls.write, data)

    def recv(self, size: int) -> bytes:
        try:
            return bytes(self._do(self._tls.read, size))
        except ssl.SSLZeroReturnError:
            return b""

    def settimeout(self, seconds: float) -> None:
        self._outer.settimeout(seconds)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def close(self) -> None:
        """What reads a response closes its file; the connection is the tunnel's to close."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self.recv(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _do(self, act: Callable[..., Any], *args: object) -> Any:
        while True:
            try:
                done = act(*args)
            except ssl.SSLWantReadError:
                self._outer.sendall(self._written.read())
                data = self._outer.recv(65536)
                if data:
                    self._read.write(data)
                else:
                    self._read.write_eof()
            else:
                self._outer.sendall(self._written.read())
                return done


@dataclass(frozen=True)
class ProxyTls:
    """How an agent checks the gateway before it says anything."""

    ca: Path
    name: str = "localhost"
    alpn: tuple[str, ...] = ()

    def wrap(self, raw: socket.socket) -> ssl.SSLSocket:
        context = ssl.create_default_context(cafile=str(self.ca))
        if self.alpn:
            context.set_alpn_protocols(list(self.alpn))
        return context.wrap_socket(raw, server_hostname=self.name, suppress_ragged_eofs=False)


class Tunnel:
    """An agent's tunnel: CONNECT by hand, then TLS that trusts the gateway's CA alone."""

    def __init__(
        self,
        proxy: tuple[str, int],
        ca: Path,
        token: str | None,
        authority: str = "api.example:443",
        sni: str | None = "api.example",
        name: str = "run",
        over: ProxyTls | None = None,
        scheme: str = "Basic",
        alpn: tuple[str, ...] = (),
        shakes: bool = True,
    ) -> None:
        self.raw = socket.create_connection(proxy, PATIENCE)
        self.raw.settimeout(PATIENCE)
        if over is not None:
            self.raw = over.wrap(self.raw)
        lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
        if token is not None:
            basic = base64.b64encode(f"{name}:{token}".encode()).decode()
            value = basic if scheme == "Basic" else token
            lines.append(f"Proxy-Authorization: {scheme} {value}")
        self.raw.sendall("\r\n".join([*lines, "", ""]).encode())
        self.answer = self._head()
        self.tls: Any = None
        if shakes and self.answer.startswith(b"HTTP/1.1 200"):
            context = ssl.create_default_context(cafile=str(ca))
            context.check_hostname = sni is not None
            if alpn:
                context.set_alpn_protocols(list(alpn))
            if isinstance(self.raw, ssl.SSLSocket):
                self.tls = Within(self.raw, context, sni)
                return
            self.tls = context.wrap_socket(
                self.raw, server_hostname=sni, suppress_ragged_eofs=False
            )

    @property
    def status(self) -> int:
        """What CONNECT was answered with."""
        return int(self.answer.split(b" ", 2)[1])

    def send(self, data: bytes) -> None:
        """Write bytes as they are."""
        assert self.tls is not None
        self.tls.sendall(data)

    def reply(self, method: str = "GET") -> Reply:
        """Read one response."""
        assert self.tls is not None
        response = http.client.HTTPResponse(self.tls, method=method)
        response.begin()
        return Reply(response.status, response.getheaders(), response.read())

    def ask(self, method: str, path: str, body: bytes = b"", headers: str = "") -> Reply:
        """Send a plain request and read its response."""
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        head = f"{method} {path} HTTP/1.1\r\nHost: api.example\r\n{headers}{length}\r\n"
        self.send(head.encode() + body)
        return self.reply(method)

    def close(self) -> None:
        """Hang up."""
        (self.tls or self.raw).close()
        self.raw.close()

    def __enter__(self) -> Tunnel:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _head(self) -> bytes:
        data = b""
        while b"\r\n\r\n" not in data and (more := self.raw.recv(1)):
            data += more
        return data


@dataclass
class Received:
    """A request as an origin got it, its head verbatim."""

    head: bytes
    body: bytes

    @property
    def line(self) -> str:
        return self.head.split(b"\r\n", 1)[0].decode()

    def header(self, name: str) -> str | None:
        """The value of the first field of that name."""
        for each in self.head.decode("latin-1").split("\r\n")[1:]:
            key, _, value = each.partition(":")
            if key.lower() == name.lower():
                return value.strip()
        return None


Handler = Callable[[Received, ssl.SSLSocket], bool | None]
"""Answers a request on the socket; True to keep the connection."""


def read_whole(stream: io.BufferedIOBase, size: int) -> bytes:
    """So many bytes. Raises `OSError` where there are fewer: an early reset looks like an end."""
    data = bytearray()
    while len(data) < size:
        piece = stream.read(min(size - len(data), 1 << 20))
        if not piece:
            raise OSError("the body broke off")
        data += piece
    return bytes(data)


@dataclass
class Origin:
    """A TLS server on the loopback address that keeps what it got and answers as told."""

    leaf: Leaf
    handler: Handler
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    ended: int = 0
    """Connections that are over."""
    take_body: Callable[[io.BufferedIOBase, int], bytes] = read_whole
    """Reads a body whose length was announced."""

    def __enter__(self) -> Origin:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(self.leaf.cert, self.leaf.key)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # it would go on accepting, closed or not
        self._socket.close()
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
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as servers do
            self.connections += 1
            threading.Thread(target=self._serve, args=(raw,), daemon=True).start()

    def _serve(self, raw: socket.socket) -> None:
        raw.settimeout(PATIENCE)
        try:
            with self._context.wrap_socket(raw, server_side=True) as tls:
                self._open.append(tls)
                stream = tls.makefile("rb")
                while (request := self._request(stream)) is not None:
                    self.received.append(request)
                    if not self.handler(request, tls):
                        return
        except (OSError, ValueError):
            return
        finally:
            self.ended += 1

    def _request(self, stream: io.BufferedIOBase) -> Received | None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = stream.readline()
            if not line:
                return None
            head += line
        request = Received(head, b"")
        if request.header("Transfer-Encoding"):
            while size := int(stream.readline().split(b";")[0], 16):
                request.body += stream.read(size)
                stream.readline()
            while stream.readline().strip():
                pass
        elif length := request.header("Content-Length"):
            request.body = self.take_body(stream, int(length))
        return request


def answering(body: bytes, kind: str = "application/json", status: int = 200) -> Handler:
    """A handler that answers every request with the same body."""
    head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"

    def handle(request: Received, tls: ssl.SSLSocket) -> bool:
        tls.sendall(head.encode() + (b"" if request.line.startswith("HEAD") else body))
        return True

    return handle
