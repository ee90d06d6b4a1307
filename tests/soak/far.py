"""What the gateway speaks with: a target that does as the path says, and a keeper of checkpoints."""

from __future__ import annotations

import hashlib
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from support.wire import Received
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection as Accept
from wsproto.events import CloseConnection, Message, Ping, Request

SECRET = "hunter2"
"""Begins every value that no agent may see."""

BODY = 256 * 1024
EVENTS, PAUSE = 5, 0.2
"""Events of a stream, and the seconds between them."""

SILENCE = 4
"""Seconds after which the gateway gives a silent target up, here."""


def origin_of(note: Callable[[str], None]) -> Callable[[Received, ssl.SSLSocket], bool]:
    """A handler that does as its path says, and notes what changes something."""

    def handle(request: Received, tls: ssl.SSLSocket) -> bool:
        method, path, _ = request.line.split(" ")
        if method != "GET":
            note(path)
        return _DOES.get(path.split("/")[1], _json)(request, tls)

    return handle


def answer(tls: ssl.SSLSocket, body: bytes, kind: str = "application/json") -> bool:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    tls.sendall(head.encode() + body)
    return True


def shown(path: str) -> bytes:
    """What the target answers with; the password is not for agents."""
    password = f"{SECRET}-{path.rpartition('/')[2]}"
    return json.dumps({"path": path, "name": "Ada", "password": password}).encode()


def _json(request: Received, tls: ssl.SSLSocket) -> bool:
    return answer(tls, shown(request.line.split(" ")[1]))


def _body(request: Received, tls: ssl.SSLSocket) -> bool:
    return answer(tls, bytes(BODY), "application/octet-stream")


def _up(request: Received, tls: ssl.SSLSocket) -> bool:
    return answer(tls, json.dumps({"sha256": hashlib.sha256(request.body).hexdigest()}).encode())


def _events(request: Received, tls: ssl.SSLSocket) -> bool:
    tls.sendall(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    for number in range(EVENTS):
        event = b'data: {"n":%d,"password":"%s-%d"}\n\n' % (number, SECRET.encode(), number)
        tls.sendall(b"%x\r\n%s\r\n" % (len(event), event))
        time.sleep(PAUSE)
    tls.sendall(b"0\r\n\r\n")
    return True


def _reset(_: Received, tls: ssl.SSLSocket) -> bool:
    tls.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


def _cut(_: Received, tls: ssl.SSLSocket) -> bool:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
    tls.sendall(head + b"Content-Length: 300000\r\n\r\n" + bytes(200_000))
    return False


MALFORMED = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 no HTTP at all\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
)


def _malformed(request: Received, tls: ssl.SSLSocket) -> bool:
    number = int(request.line.split(" ")[1].rpartition("/")[2])
    tls.sendall(MALFORMED[number % len(MALFORMED)])
    return False


def _stall(_: Received, tls: ssl.SSLSocket) -> bool:
    """Says nothing until the gateway has given it up."""
    tls.settimeout(10 * SILENCE)
    tls.recv(1)
    return False


def _ws(request: Received, tls: ssl.SSLSocket) -> bool:
    connection = WSConnection(ConnectionType.SERVER)
    connection.receive_data(request.head)
    while data := _told(connection, tls):
        connection.receive_data(data)
    return False


def _told(connection: WSConnection, tls: ssl.SSLSocket) -> bytes:
    """Answer what has come, and read what comes next; nothing once it is over."""
    for event in connection.events():
        match event:
            case Request():
                tls.sendall(connection.send(Accept()))
            case Message():
                tls.sendall(connection.send(Message(data=event.data)))
            case Ping():
                tls.sendall(connection.send(event.response()))
            case CloseConnection():
                tls.sendall(connection.send(event.response()))
                return b""
    return tls.recv(65536)


_DOES = {
    "body": _body,
    "slowly": _body,
    "up": _up,
    "events": _events,
    "reset": _reset,
    "cut": _cut,
    "malformed": _malformed,
    "stall": _stall,
    "flight": _stall,
    "ws": _ws,
}


# --- the keeper of checkpoints


class Keeper:
    """Takes checkpoints, while it is up."""

    def __init__(self) -> None:
        self.up, self.taken = True, 0
        keeper = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                keeper.taken += keeper.up
                self.send_response(204 if keeper.up else 503)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nobody reads it."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/"

    def __enter__(self) -> Keeper:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
