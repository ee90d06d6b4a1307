"""Calls the running gateway over its control socket: plain and blocking, so that it starts fast."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import socket
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from jitgate.cli.configured import configuration
from jitgate.errors import JitgateError

VARIABLE = "JITGATE_CONTROL"
"""The environment variable that says where the socket is: approvers often may not read the
configuration."""

WAIT = 30.0
"""Seconds for the next line of an answer: before some, the gateway's disk has to write."""

Content = dict[str, Any]


class NotTold(JitgateError):
    """The gateway could not be asked, or could not tell."""


class SaidNo(JitgateError):
    """The gateway says no; the message is its reason."""


class Gateway:
    """The gateway that a command's arguments, or else the environment, name."""

    def __init__(
        self, arguments: argparse.Namespace, where: Callable[[Path], Path] | None = None
    ) -> None:
        """``where`` finds the socket of a configuration; by default, of one without errors."""
        self._path: Path
        self.options = ""
        """What to add to another command for the same gateway."""
        if arguments.socket is not None:
            self._path = arguments.socket
            self.options = f" --socket {shlex.quote(str(self._path))}"
        elif arguments.config is not None:
            self._path = (where or _socket_of)(arguments.config)
            self.options = f" --config {shlex.quote(str(arguments.config))}"
        elif os.environ.get(VARIABLE):
            self._path = Path(os.environ[VARIABLE])
        else:
            raise NotTold(
                "Say where the gateway is: its control socket with --socket PATH or in the "
                f"environment variable {VARIABLE}, or its configuration with --config FILE."
            )

    def one(self, command: str, key: str, **given: str | None) -> Content:
        """The answer to a command about one thing. Raises `SaidNo`, `NotTold`."""
        said = {name: text for name, text in given.items() if text is not None}
        for line in self._lines({"command": command, "id": key, **said}, WAIT):
            return line
        raise NotTold(_CUT_SHORT.format(path=self._path))

    def all(self, command: str, **given: str) -> Iterator[Content]:
        """The answer of many lines, up to the one that ends it. Raises `SaidNo`, `NotTold`."""
        for line in self._lines({"command": command, **given}, WAIT):
            if "end" in line:
                return
            yield line
        raise NotTold(_CUT_SHORT.format(path=self._path))

    def told(self, command: str) -> Iterator[Content]:
        """The answer of lines of which the last is the end. Raises `SaidNo`, `NotTold`."""
        yield from self._lines({"command": command}, WAIT)

    def follow(self) -> Iterator[Content]:
        """What is pending, a line that ends it, and what happens, until the gateway stops."""
        return self._lines({"command": "follow"}, None)

    def _lines(self, asked: Mapping[str, str], wait: float | None) -> Iterator[Content]:
        with _connected(self._path) as connection:
            connection.settimeout(wait)
            with contextlib.suppress(BrokenPipeError):  # it was refused before, and reads why
                connection.sendall(json.dumps(asked).encode() + b"\n")
            for line in _read(connection, self._path):
                if not line["ok"]:
                    raise (SaidNo if line["refused"] else NotTold)(line["error"])
                yield line


def _socket_of(file: Path) -> Path:
    found: Path = configuration(file).control_socket
    return found


_CUT_SHORT = (
    "The gateway at {path} ended the connection before it had answered. Whether anything was done "
    "can be seen with jitgate requests."
)


def _connected(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(WAIT)
    try:
        connection.connect(os.fsencode(path))
    except OSError as error:
        connection.close()
        raise NotTold(_unreachable(path, error)) from None
    return connection


def _read(connection: socket.socket, path: Path) -> Iterator[Content]:
    try:
        with connection.makefile("rb") as lines:
            for line in lines:
                if line.endswith(b"\n"):
                    yield json.loads(line)
    except ConnectionResetError:
        return
    except TimeoutError:
        raise NotTold(
            f"The gateway at {path} has not answered within {WAIT:.0f} seconds. Its log and its "
            "health page say why."
        ) from None


def _unreachable(path: Path, error: OSError) -> str:
    """Why there is no connection, and what to do."""
    if isinstance(error, FileNotFoundError):
        return (
            f"There is no control socket at {path}: the gateway is not running, or its "
            "control.socket is elsewhere. Start it with jitgate run, or say where with --socket."
        )
    if isinstance(error, PermissionError):
        return (
            f"{path} cannot be reached as uid {os.getuid()}: a folder on the way is closed. "
            "Whoever runs the gateway can set a control.socket in a folder that you may enter."
        )
    if isinstance(error, ConnectionRefusedError) and _is_socket(path):
        return (
            f"Nobody answers at {path}: the gateway has ended without removing it. Start it with "
            "jitgate run."
        )
    if isinstance(error, ConnectionRefusedError):
        return f"{path} is no socket. Say where the gateway's is with --socket."
    if isinstance(error, BlockingIOError):
        return f"The gateway at {path} has no time for another connection. Try again."
    return f"{path} cannot be reached: {error.strerror or error}."


def _is_socket(path: Path) -> bool:
    try:
        return stat.S_ISSOCK(path.stat().st_mode)
    except OSError:
        return False
