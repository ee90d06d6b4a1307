"""A way to somewhere that a test shuts: what comes waits in it, and nothing is lost."""

from __future__ import annotations

import contextlib
import socket
import threading


class Dam:
    """Passes bytes on to a port of loopback, both ways, while it is open."""

    def __init__(self, onward: int) -> None:
        self._onward = onward
        self._open = threading.Event()
        self._open.set()

    def __enter__(self) -> Dam:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.open()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def shut(self) -> None:
        """Pass on nothing that comes from now on."""
        self._open.clear()

    def open(self) -> None:
        """Pass on all that has come, unless who sent it has gone."""
        self._open.set()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._onward))
                for source, sink in ((near, far), (far, near)):
                    source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    threading.Thread(target=self._pass, args=(source, sink), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError), sink:
            while data := source.recv(65536):
                self._open.wait()
                sink.sendall(data)
            self._open.wait()
            sink.shutdown(socket.SHUT_WR)
