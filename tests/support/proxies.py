"""A proxy that does as a test tells it, and the ones that people use."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
START = 20.0
"""Seconds that a proxy has to start."""


class Relay:
    """Answers each CONNECT with these pieces; if it ``opens``, passes bytes on to ``onward``."""

    def __init__(self, onward: tuple[str, int], *answer: bytes, opens: bool = True) -> None:
        self.onward = onward
        self.answer = answer or (ESTABLISHED,)
        self.opens = opens
        self.heads: list[bytes] = []
        self.after = b""
        """What came behind a CONNECT that did not open a tunnel."""

    def __enter__(self) -> Relay:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._socket.getsockname()
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._socket.accept()
                near.settimeout(START)
                threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        with near, contextlib.suppress(OSError):
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += near.recv(1)
            self.heads.append(head)
            near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for piece in self.answer:
                near.sendall(piece)
            if not self.opens:
                self.after += near.recv(4096)  # and it hangs up, so that nobody waits for more
                return
            with socket.create_connection(self.onward) as far:
                threading.Thread(target=_copy, args=(far, near), daemon=True).start()
                _copy(near, far)


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def squid(hosts: dict[str, str]) -> Iterator[tuple[str, int]]:
    """Squid, for which these hosts have these addresses."""
    port = _free_port()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # it is not root who reads the file of hosts
        names = folder / "hosts"
        names.write_text("".join(f"{address} {host}\n" for host, address in hosts.items()))
        configuration = folder / "squid.conf"
        configuration.write_text(
            f"http_port 127.0.0.1:{port}\n"
            f"hosts_file {names}\n"
            "http_access allow all\n"
            "cache deny all\n"
            "access_log none\n"
            "cache_log /dev/null\n"
            "pid_filename none\n"
            "pinger_enable off\n"
            "shutdown_lifetime 0 seconds\n"
        )
        with _running(["squid", "-N", "-f", str(configuration)], port) as address:
            yield address


@contextlib.contextmanager
def proxy_py(password: str) -> Iterator[tuple[str, int]]:
    """proxy.py, which lets in only whom it knows."""
    port = _free_port()
    options = ["--hostname", "127.0.0.1", "--port", str(port), "--num-workers", "1"]
    command = [sys.executable, "-m", "proxy", *options, "--basic-auth", password]
    with _running(command, port) as address:
        yield address


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@contextlib.contextmanager
def _running(command: list[str], port: int) -> Iterator[tuple[str, int]]:
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        _await_listening(process, port)
        yield "127.0.0.1", port
    finally:
        # Asked to end, some of them turn in circles for ten seconds.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(START)


def _await_listening(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)
    raise RuntimeError(f"{process.args!r} did not start")
