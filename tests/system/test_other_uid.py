"""The agent is not its own approver: what a process under its uid gets of the gateway on its machine.

Three users, none of them root: the agent, with a good token; an approver; and a stranger. What they
do runs in processes of their own. Their interpreter may be where only root can read it, so it
starts as root, imports all that it will need, and gives root up for good before it does anything.
"""

from __future__ import annotations

import base64
import errno
import http.client
import inspect
import json
import os
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
from support.approver import APPROVER, REVIEWED
from support.counterparts import TestCA
from support.gateway import GatewayProcess, settings, target
from support.tokens import Tokens
from support.wire import Origin, answering

pytestmark = [pytest.mark.needs_root, pytest.mark.timeout(180)]

ALICE, AGENT, NOBODY = 4001, 4002, 65534

PATIENCE = 60.0

AS_UID = """
import base64, json, os, signal, socket, ssl, struct, sys
import email.feedparser, encodings.idna, http.client
from functools import partial
from pathlib import Path
uid, arguments = int(sys.argv[1]), json.loads(sys.argv[2])
os.setgroups([])
os.setgid(uid)
os.setuid(uid)
{deed}
print(json.dumps({name}(*arguments)), flush=True)
"""

COMMAND_AS_UID = """
import argparse, os, sys
from jitgate.cli import answering, approving, calling
parser = argparse.ArgumentParser()
approving.register(parser.add_subparsers())
uid, options = int(sys.argv[1]), parser.parse_args(sys.argv[2:])
os.setgroups([])
os.setgid(uid)
os.setuid(uid)
sys.exit(options.handler(options))
"""


class Deed:
    """A function of this module, in a process of its own under ``uid``, apart from the others."""

    def __init__(self, uid: int, function, *arguments: Any) -> None:
        sources = inspect.getsource(failure) + inspect.getsource(function)
        source = AS_UID.format(deed=sources, name=function.__name__)
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", source, str(uid), json.dumps(arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
            env={},
        )
        self.pid = self.process.pid

    def result(self) -> Any:
        """What it returned."""
        out, err = self.process.communicate(timeout=PATIENCE)
        assert self.process.returncode == 0, err
        return json.loads(out)


@contextmanager
def going_on(uid: int, function, *arguments: Any) -> Iterator[Deed]:
    """A deed that waits for the end of its standard input."""
    deed = Deed(uid, function, *arguments)
    try:
        yield deed
    finally:
        deed.process.kill()
        deed.process.communicate()


def did(uid: int, function, *arguments: Any) -> Any:
    return Deed(uid, function, *arguments).result()


# --- what is done under another uid


def called(proxy, ca, token, path):
    """The answer to a call that changes something."""
    basic = base64.b64encode(f"run:{token}".encode()).decode()
    raw = socket.create_connection(proxy, 60)
    raw.sendall(
        f"CONNECT api.example:443 HTTP/1.1\r\nHost: api.example:443\r\n"
        f"Proxy-Authorization: Basic {basic}\r\n\r\n".encode()
    )
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += raw.recv(1)
    tls = ssl.create_default_context(cafile=ca).wrap_socket(raw, server_hostname="api.example")
    tls.sendall(f"POST {path} HTTP/1.1\r\nHost: api.example\r\n\r\n".encode())
    response = http.client.HTTPResponse(tls)
    response.begin()
    return [response.status, response.read().decode()]


def asked_at(path, lines):
    """The answer to each line, sent on a connection of its own; to a half line, its end."""
    answers = []
    for line in lines:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(60)
        connection.connect(path)
        try:
            connection.sendall(line.encode())
        except BrokenPipeError:
            pass
        answer = b""
        try:
            while more := connection.recv(65536):
                answer += more
        except ConnectionResetError:
            pass
        answers.append(answer.decode())
    return answers


def forged_at(path, line, pid, uid):
    """What comes of sending credentials, and a file, along with a line."""
    answers = []
    told = (socket.SOL_SOCKET, socket.SCM_CREDENTIALS, struct.pack("iII", pid, uid, uid))
    given = (socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", 2))
    for ancillary in (told, given):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(60)
        connection.connect(path)
        try:
            connection.sendmsg([line.encode()], [ancillary])
        except OSError as error:
            answers.append(error.errno)
            connection.close()
            continue
        answer = b""
        try:
            while more := connection.recv(65536):
                answer += more
        except ConnectionResetError:
            pass
        answers.append(answer.decode())
    return answers


def crowded(path, line, count):
    """Many connections at once, each with half a line, for as long as standard input is open."""
    connections = []
    for _ in range(count):
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(path)
        try:
            connection.send(line[: len(line) // 2].encode())
        except BrokenPipeError:  # it was turned away before it had said anything
            pass
        connections.append(connection)
    sys.stdout.write("crowded\n")
    sys.stdout.flush()
    sys.stdin.read()


def looked_for(port, requests):
    """The status of each request to a TCP port."""
    statuses = []
    for method, path in requests:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request(method, path, body='{"id": "all"}' if method == "POST" else None)
        statuses.append(connection.getresponse().status)
        connection.close()
    return statuses


def knocked(proxy, token, heads):
    """The status of each CONNECT, or other request, to the proxy's port."""
    statuses = []
    for head in heads:
        raw = socket.create_connection(proxy, 60)
        raw.sendall(f"{head}\r\nProxy-Authorization: Bearer {token}\r\n\r\n".encode())
        answer = raw.makefile("rb").readline().decode()
        statuses.append(int(answer.split(" ")[1]))
        raw.close()
    return statuses


def handled(folder, files, own):
    """What each thing that could be done with the files of a folder fails with; None: it did not."""
    attempts = {
        "list": partial(os.scandir, folder),
        "make": Path(folder, "mine").touch,
        "make a folder": Path(folder, "mine").mkdir,
    }
    for name in files:
        path = Path(folder, name)
        attempts |= {
            f"read {name}": path.read_bytes,
            f"write {name}": partial(path.write_bytes, b""),
            f"change {name}": partial(path.chmod, 0o666),
            f"take {name}": partial(os.chown, path, os.getuid(), os.getgid()),
            f"cut {name}": partial(os.truncate, path, 0),
            f"list {name}": partial(os.scandir, path),
            f"remove {name}": path.unlink,
            f"move {name}": partial(path.rename, f"{path}.old"),
            f"replace {name}": partial(Path(own).rename, path),
            f"link {name}": partial(Path(f"{own}.link").hardlink_to, path),
            f"bind {name}": partial(socket.socket(socket.AF_UNIX).bind, str(path)),
        }
    return {what: failure(attempt) for what, attempt in attempts.items()}


def laid_hands_on(pid):
    """What each thing that could be done to a process fails with; None: it did not."""
    there = Path(f"/proc/{pid}")
    attempts = {
        "end": partial(os.kill, pid, signal.SIGTERM),
        "reload": partial(os.kill, pid, signal.SIGHUP),
        "memory": (there / "mem").read_bytes,
        "environment": (there / "environ").read_bytes,
        "files": partial(os.scandir, there / "fd"),
        "folder": partial(os.scandir, there / "cwd"),
    }
    return {what: failure(attempt) for what, attempt in attempts.items()}


def failure(attempt):
    """The error number that an attempt ends with, or None."""
    try:
        attempt()
    except OSError as error:
        return error.errno
    return None


# --- where


class Machine:
    """A gateway, run by root, on a machine whose other users can reach what they may."""

    def __init__(self, folder: Path, gateway: GatewayProcess, origin: Origin, tokens: Tokens):
        self.folder, self.gateway, self.origin, self.tokens = folder, gateway, origin, tokens
        self.state = folder / "state"
        self.socket = str(self.state / "control.sock")

    @contextmanager
    def held(self, path: str = "/things/1", subject: str = "bot-7") -> Iterator[tuple[str, Deed]]:
        """The agent's call that waits, and the id of its access request."""
        token = self.tokens.token(subject)
        before = len(self.gateway.entries("access.opened"))
        with going_on(AGENT, called, self.gateway.proxy, str(self.gateway.ca), token, path) as deed:
            deadline = time.monotonic() + PATIENCE
            while len(opened := self.gateway.entries("access.opened")) == before:
                assert time.monotonic() < deadline
                assert deed.process.poll() is None
                time.sleep(0.05)
            yield opened[-1]["access_request"], deed

    def command(self, uid: int, *arguments: str) -> subprocess.CompletedProcess[str]:
        """One of the approver's commands, as that uid."""
        return subprocess.run(
            [sys.executable, "-c", COMMAND_AS_UID, str(uid), *arguments, "--socket", self.socket],
            cwd="/",
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def pending(self) -> list[str]:
        """What waits, as alice sees it."""
        done = self.command(ALICE, "requests", "--json")
        assert done.returncode == 0, done.stderr
        return [each["id"] for each in json.loads(done.stdout)]

    def refused(self) -> list[dict[str, Any]]:
        return self.gateway.entries("control.refused")


@pytest.fixture(autouse=True)
def plain_answers():
    """A machine begins with them."""


@pytest.fixture(autouse=True)
def no_unforeseen_fault():
    """The machine's gateway looks for one itself."""


@pytest.fixture
def machine():
    """Nobody but root can make anything in the folder; everybody can pass through it."""
    folder = Path(tempfile.mkdtemp(prefix="jitgate-uids-"))
    folder.chmod(0o755)
    try:
        ca, tokens = TestCA.create(folder, name="origin"), Tokens(folder)
        (folder / "policy.yaml").write_bytes(orjson.dumps([REVIEWED]))
        with Origin(ca.leaf("api.example"), answering(b'{"name":"Ada"}')) as origin:
            made = settings(folder, tokens.jwks, [target(origin.port, ca.pem)])
            made["identity"]["issuers"][0]["owners"] = {"bot-of-alice": APPROVER}
            made["control"] = {"approvers": {ALICE: APPROVER}}
            made["approvals"] = {"hold": "60s", "groups": {"it-leads": [APPROVER]}}
            with GatewayProcess(folder, made) as gateway:
                yield Machine(folder, gateway, origin, tokens)
            assert "Traceback" not in "".join(gateway.output)
    finally:
        shutil.rmtree(folder)


def line(command: str, **more: Any) -> str:
    return json.dumps({"command": command, **more}) + "\n"


# --- the agent


def test_under_the_agents_uid_nothing_is_done_at_the_socket_and_all_of_it_is_on_record(machine):
    with machine.held() as (key, call):
        attempts = [
            line("approve", id=key),
            line("approve", id=key, reason="It is urgent"),
            line("approve", id=key, uid=str(ALICE), person=APPROVER, power="approver"),
            line("approve", id=key, uid=0),
            line("approve", id="*"),
            line("requests"),
            line("follow"),
            line("request", id=key),
            line("grants"),
            line("deny", id=key),
            line("revoke", id="g-0123456789abcdef"),
            line("reload"),
            f"{line('requests')}{line('approve', id=key)}",
            f"POST /approve/{key} HTTP/1.1\r\nHost: localhost\r\n\r\n",
            "approve\n",
            "\x00\n",
            "[" * 4000 + "\n",
            "a" * 20_000,
            line("approve", id=key)[:-10],
        ]
        deed = Deed(AGENT, asked_at, machine.socket, attempts)
        for number, answer in enumerate(deed.result()):
            assert answer.count("\n") <= 1, attempts[number]
            assert answer == "" or json.loads(answer)["ok"] is False, attempts[number]
            assert key not in answer
            assert APPROVER not in answer
        forging = Deed(AGENT, forged_at, machine.socket, line("approve", id=key), call.pid, ALICE)
        forged, with_a_file = forging.result()
        assert forged == errno.EPERM
        assert with_a_file == "" or json.loads(with_a_file)["ok"] is False

        assert call.process.poll() is None
        assert machine.pending() == [key]
        assert machine.gateway.entries("access.answered") == []
        assert machine.origin.received == []
        first = machine.refused()[0]
        assert (first["uid"], first["pid"], first["person"]) == (AGENT, deed.pid, None)
        assert (first["command"], first["access_request"]) == ("approve", key)
        assert machine.gateway.stop() == 0
    refused = machine.refused()
    assert {each["uid"] for each in refused} == {AGENT}
    assert {each["pid"] for each in refused} <= {deed.pid, forging.pid, None}
    one_by_one = sum(each["pid"] is not None for each in refused)
    assert one_by_one + sum(each.get("left_out", 0) for each in refused) == len(attempts) + 2


def test_a_crowd_of_the_agents_connections_keeps_no_approver_out(machine):
    with machine.held() as (key, call):
        half = line("approve", id=key)
        with going_on(AGENT, crowded, machine.socket, half, 100) as crowd:
            assert crowd.process.stdout.readline() == "crowded\n"
            assert machine.pending() == [key]
            done = machine.command(ALICE, "approve", key)
            assert done.returncode == 0, done.stderr
        assert call.result()[0] == 200
    (answered,) = machine.gateway.entries("access.answered")
    assert (answered["approver"], answered["approves"]) == (APPROVER, True)
    assert {each["uid"] for each in machine.refused()} == {AGENT}


def test_the_admin_port_tells_health_and_nothing_else_and_puts_on_record_who_looks(machine):
    port = machine.gateway.ports["admin"]
    with machine.held() as (key, _):
        tried = [
            ("GET", "/requests"),
            ("GET", f"/requests/{key}"),
            ("POST", f"/approve/{key}"),
            ("POST", "/approve"),
            ("DELETE", f"/requests/{key}"),
            ("PUT", f"/access-requests/{key}"),
            ("GET", "/grants"),
            ("POST", "/reload"),
            ("GET", "/"),
            ("GET", "/../state/site.key"),
        ]
        assert did(AGENT, looked_for, port, [("GET", "/healthz")]) == [200]
        assert machine.gateway.entries("admin.refused") == []
        assert set(did(AGENT, looked_for, port, tried)) == {404}
        assert did(AGENT, looked_for, port, [("POST", "/healthz")]) == [405]
        assert machine.pending() == [key]
        machine.gateway.stop()
    noted = machine.gateway.entries("admin.refused")
    assert [(each["method"], each["path"]) for each in noted] == tried
    assert all("127.0.0.1" in each["peer"] for each in noted)
    assert machine.gateway.entries("access.answered") == []


def test_the_admin_port_and_the_socket_are_not_reached_through_the_proxy(machine):
    port, path = machine.gateway.ports["admin"], machine.socket
    hosts = [
        *("127.0.0.1", "localhost", "[::1]", "0.0.0.0", "127.1", "2130706433", "0x7f.1"),
        *("[::ffff:127.0.0.1]", "localhost.", "LOCALHOST", "127.0.0.1.nip.io"),
    ]
    authorities = [f"{host}:{port}" for host in hosts]
    authorities += [path, f"{path}:443", f"unix:{path}:443", f"api.example:443@127.0.0.1:{port}"]
    knocks = [f"CONNECT {each} HTTP/1.1\r\nHost: {each}" for each in authorities]
    knocks += [
        f"GET http://127.0.0.1:{port}/healthz HTTP/1.1\r\nHost: 127.0.0.1:{port}",
        f"GET http://localhost:{port}/healthz HTTP/1.1\r\nHost: localhost:{port}",
        f"POST http://127.0.0.1:{port}/approve HTTP/1.1\r\nHost: 127.0.0.1:{port}",
        f"CONNECT api.example:{port} HTTP/1.1\r\nHost: 127.0.0.1:{port}",
    ]
    token = machine.tokens.token()
    statuses = did(AGENT, knocked, machine.gateway.proxy, token, knocks)
    assert all(400 <= status < 500 for status in statuses), list(zip(knocks, statuses, strict=True))
    machine.gateway.stop()
    refused = machine.gateway.entries("refused")
    assert len(refused) == len(knocks)
    on_record = [each["authority"] for each in refused]
    assert on_record[:2] == authorities[:2]
    assert machine.gateway.entries("tunnel") == []
    assert machine.gateway.entries("admin.refused") == []


FILES = [
    *("access.sqlite", "access.sqlite-wal", "access.sqlite-shm", "ca.key", "lock", "site.key"),
    *(
        "site-hmac.key",
        "site.name",
        "site.recording",
        "recordings",
        "control.sock",
        "ca.pem",
        "site.vkey",
    ),
]
PUBLIC = {"read ca.pem", "read site.vkey"}


@pytest.fixture
def belongings():
    """A folder of the agent's own, with a file in it."""
    own = Path(tempfile.mkdtemp(prefix="jitgate-agent-"))
    (own / "mine").touch()
    for each in (own, own / "mine"):
        os.chown(each, AGENT, AGENT)
    yield own
    shutil.rmtree(own)


def test_the_files_of_the_state_are_closed_to_the_agent(machine, belongings):
    def seen():
        return {name: identity(machine.state / name) for name in FILES}

    before = seen()
    failed = did(AGENT, handled, str(machine.state), FILES, str(belongings / "mine"))
    assert {what for what, why in failed.items() if why is None} == PUBLIC
    for name in ("access.sqlite", "access.sqlite-wal", "ca.key", "site.key", "site-hmac.key"):
        assert failed[f"read {name}"] == failed[f"write {name}"] == errno.EACCES
    for name in ("control.sock", "ca.pem"):
        assert failed[f"remove {name}"] == failed[f"replace {name}"] == errno.EACCES
    assert failed["list"] == failed["make"] == failed["list recordings"] == errno.EACCES
    assert seen() == before
    assert machine.pending() == []


def test_the_recordings_are_closed_to_the_agent(machine, belongings):
    with machine.held():
        files = [file for file in machine.gateway.recordings.rglob("*") if file.is_file()]
        within = [str(file.relative_to(machine.state)) for file in files]
        assert any(name.endswith(".jsonl") for name in within)
        failed = did(AGENT, handled, str(machine.state), within, str(belongings / "mine"))
    assert set(failed.values()) <= {errno.EACCES, errno.EPERM}


def identity(file: Path) -> tuple[int, int, int]:
    status = file.stat()
    return status.st_ino, status.st_mode, status.st_uid


def test_the_gateways_process_is_closed_to_the_agent(machine):
    failed = did(AGENT, laid_hands_on, machine.gateway.process.pid)
    assert set(failed.values()) == {errno.EPERM, errno.EACCES}
    assert failed["end"] == failed["reload"] == errno.EPERM
    assert machine.pending() == []


# --- the others


def test_an_approver_answers_under_a_uid_of_her_own(machine):
    with machine.held() as (key, call):
        assert machine.pending() == [key]
        done = machine.command(ALICE, "approve", key, "--reason", "Seen")
        assert done.returncode == 0, done.stderr
        assert call.result() == [200, '{"name":"Ada"}']
    (answered,) = machine.gateway.entries("access.answered")
    assert (answered["approver"], answered["reason"]) == (APPROVER, "Seen")
    assert len(machine.origin.received) == 1
    assert machine.refused() == []


def test_an_approver_does_not_answer_for_an_agent_of_her_own(machine):
    with machine.held(subject="bot-of-alice") as (key, call):
        done = machine.command(ALICE, "approve", key)
        assert done.returncode == 1
        assert "an agent of theirs" in done.stderr
        assert call.process.poll() is None
        assert machine.pending() == [key]
    (refused,) = machine.refused()
    assert (refused["uid"], refused["person"]) == (ALICE, APPROVER)
    assert refused["access_request"] == key


@pytest.mark.parametrize("uid", [NOBODY, AGENT, 0])
def test_a_uid_that_is_not_named_gets_nothing(machine, uid):
    """Not even root's, which could do without: it has no power here that was not given to it."""
    with machine.held() as (key, _):
        tries = [("approve", key), ("requests",), ("grants",), ("requests", key), ("deny", key)]
        for arguments in tries:
            done = machine.command(uid, *arguments)
            assert done.returncode == 1
            assert f"uid {uid} has no power here" in done.stderr
            assert done.stdout == ""
        assert machine.pending() == [key]
    assert [each["uid"] for each in machine.refused()] == [uid] * len(tries)
    assert machine.gateway.entries("access.answered") == []
    assert machine.origin.received == []
