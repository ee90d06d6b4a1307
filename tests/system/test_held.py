"""Held calls and their grants through kills, restored folders, and counterparts that fail.

Each gateway is a process that can be killed: what it has kept is all that the next one finds. An
agent that wants its answer at once says so (``Prefer: respond-async``) and sends its call again.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from support.approver import REVIEWED, Approver, people
from support.counterparts import TestCA
from support.gateway import GatewayProcess, health, settings, target, wait_for
from support.tokens import Tokens
from support.wire import Origin, Tunnel, answering
from system.conftest import Scene

PATIENCE = 60.0
"""Seconds that an agent waits for an answer on a busy machine."""

THINGS = "/things/1"
BODY = b'{"name":"Ada"}'
LATER = "Content-Type: application/json\r\nPrefer: respond-async\r\n"
HELD = "Content-Type: application/json\r\n"

ATTEMPTS = 1_000
MIB = 1024 * 1024

NUMBERS = 5_000
"""Files to make for one that gets the number of a file that was removed."""


class Stage(Scene):
    """A scene whose gateway ends and begins again, on the same folder, as a test wants it."""

    def __init__(self, folder: Path, origin_ca: TestCA) -> None:
        self.folder = folder
        self.ca = origin_ca
        self.tokens = Tokens(folder)
        self.origin = Origin(origin_ca.leaf("api.example"), self.handle)
        self.handler = answering(b"{}")
        rule = {**REVIEWED, "grant": {"life": "10m"}}
        (folder / "policy.yaml").write_bytes(orjson.dumps([rule]))

    def configured(self, **approvals: Any) -> None:
        """A target where every change needs people, who have time enough on a busy machine."""
        approvals = {"hold": "60s", "expire": "10m", **approvals}
        far = target(self.origin.port, self.ca.pem)
        self.settings = settings(self.folder, self.tokens.jwks, [far]) | people(**approvals)

    @contextmanager
    def serving(self) -> Iterator[GatewayProcess]:
        """A gateway on the folder, which must come to nothing that it did not foresee."""
        with GatewayProcess(self.folder, self.settings) as self.gateway:
            yield self.gateway
        faults = [
            line for line in self.gateway.output if "Traceback" in line or "critical]" in line
        ]
        assert not faults, "".join(self.gateway.output)

    def kill(self) -> None:
        """As a power cut would, but for what the kernel has not written yet."""
        os.kill(self.gateway.process.pid, signal.SIGKILL)
        self.gateway.process.wait(30)

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def approver(self) -> Approver:
        return Approver(self.gateway.config)

    def calling(self, path: str = THINGS, body: bytes = BODY, fields: str = HELD) -> Tunnel:
        """The tunnel of an agent that has sent a call and not read its answer."""
        tunnel = self.tunnel()
        tunnel.tls.settimeout(PATIENCE)
        tunnel.send(request(path, body, fields))
        return tunnel

    def call(self, path: str = THINGS, fields: str = LATER):
        """The answer to a call that does not wait for people."""
        with self.calling(path, fields=fields) as tunnel:
            return tunnel.reply()

    def granted(self, path: str = THINGS) -> str:
        """The grant for a call whose agent is away."""
        reply = self.call(path)
        assert reply.status == 202
        waiting = orjson.loads(reply.body)["task"]["id"]
        self.approver.approve(waiting)
        return self.approver.shown(waiting)["grant"]

    def usable(self) -> list[str]:
        """The grants of which something is left."""
        return [each["id"] for each in self.approver.grants() if each["left"]]

    def last(self, kind: str) -> dict[str, Any]:
        return self.gateway.entries(kind)[-1]

    def paths(self) -> list[str]:
        """What the origin got, in order."""
        return [each.line.split(" ")[1] for each in self.origin.received]

    def verify(self) -> None:
        """Nothing was tampered with."""
        self.gateway.stop()
        command = ["verify", "--allow-unwitnessed", "--config", str(self.gateway.config)]
        done = subprocess.run(
            [sys.executable, "-m", "jitgate", *command],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(autouse=True)
def plain_answers():
    """A stage begins with them."""


@pytest.fixture(autouse=True)
def no_unforeseen_fault():
    """`Stage.serving` looks for one, gateway by gateway."""


@pytest.fixture
def scene(tmp_path):
    made = Stage(tmp_path, TestCA.create(tmp_path, name="origin"))
    with made.origin:
        made.configured()
        yield made


def request(path: str, body: bytes, fields: str) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: api.example\r\n{fields}Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def silent(over: threading.Event):
    """An origin that takes a call and does not answer it before the test is over."""

    def handle(_, tls):
        over.wait(PATIENCE)
        return False

    return handle


# --- killed


def test_killed_while_a_call_is_held_it_keeps_the_request_for_the_agent_that_comes_back(scene):
    with scene.serving(), scene.calling():
        waiting = scene.approver.next()
        assert waiting["presence"] == "attached"
        scene.kill()
    with scene.serving():
        (kept,) = scene.approver.waiting()
        assert kept["id"] == waiting["id"]
        assert (kept["state"], kept["presence"]) == ("pending", "detached")
        scene.approver.approve(kept["id"])
        assert len(scene.usable()) == 1
        assert scene.origin.received == []
        assert scene.call(fields=HELD).status == 200
        assert scene.paths() == [THINGS]
        assert scene.approver.grants() == []
        scene.verify()


def test_killed_while_a_call_is_out_it_never_sends_that_again(scene):
    over = threading.Event()
    scene.handler = silent(over)
    with scene.serving():
        grant = scene.granted()
        with scene.calling(fields=LATER):
            wait_for(lambda: scene.paths() == [THINGS])
            scene.kill()
    over.set()
    scene.handler = answering(b"{}")
    with scene.serving():
        settled = scene.last("grant.settled")
        assert (settled["grant"], settled["state"]) == (grant, "unknown")
        assert scene.approver.grants() == []
        reply = scene.call()
        assert reply.status == 202
        assert [each["id"] for each in scene.approver.waiting()] == [
            orjson.loads(reply.body)["task"]["id"]
        ]
        assert scene.paths() == [THINGS]
        scene.verify()


def test_killed_before_the_agent_comes_back_it_keeps_the_grant_for_one_use(scene):
    with scene.serving():
        grant = scene.granted()
        scene.kill()
    with scene.serving():
        assert scene.usable() == [grant]
        assert scene.call().status == 200
        assert scene.last("grant.spent")["grant"] == grant
        assert scene.call().status == 202
        assert scene.paths() == [THINGS]
        scene.verify()


def test_told_to_stop_it_tells_held_agents_to_come_back_and_keeps_what_they_wait_for(scene):
    with scene.serving() as gateway:
        with scene.calling() as tunnel:
            waiting = scene.approver.next()
            begun = time.monotonic()
            gateway.process.terminate()
            reply = tunnel.reply()
        assert gateway.process.wait(PATIENCE) == 0
        assert time.monotonic() - begun < 8
        assert reply.status == 403
        assert int(reply.header("Retry-After")) > 0
        assert orjson.loads(reply.body)["access_request"]["id"] == waiting["id"]
    with scene.serving():
        (kept,) = scene.approver.waiting()
        assert (kept["id"], kept["presence"]) == (waiting["id"], "recalled")
        scene.approver.approve(kept["id"])
        assert scene.call(fields=HELD).status == 200


# --- a state folder that is not the one last written


def stopped(scene: Stage) -> None:
    assert scene.gateway.stop() == 0


def put_back(scene: Stage, copy: Path) -> None:
    """As from a backup."""
    shutil.rmtree(scene.state)
    shutil.copytree(copy, scene.state)


def put_back_in_its_place(scene: Stage, copy: Path) -> None:
    """The same where the database, another file, gets the number that the old one had.

    File systems give a number again once it is free; ext4 takes the lowest.
    """
    database = scene.state / "access.sqlite"
    number, made = database.stat().st_ino, []
    database.unlink()
    while not made or (made[-1].stat().st_ino != number and len(made) < NUMBERS):
        made.append(scene.state / f"{len(made)}")
        made[-1].touch(mode=0o600)
    made[-1].write_bytes((copy / database.name).read_bytes())
    made.pop().rename(database)
    for each in made:
        each.unlink()
    shutil.copy(copy / "site.signed", scene.state)
    shutil.rmtree(scene.gateway.recordings)
    shutil.copytree(copy / "recordings", scene.gateway.recordings)


def ends(scene: Stage) -> dict[str, tuple[str, str]]:
    """By grant: what was left of it has come to, and why."""
    entries = scene.gateway.entries("grant.ended")
    return {each["grant"]: (each["state"], each["why"]) for each in entries}


def test_a_restored_state_folder_gives_nothing(scene):
    copy = scene.folder / "backup"
    with scene.serving():
        grant = scene.granted()
        stopped(scene)
    shutil.copytree(scene.state, copy)
    put_back(scene, copy)
    with scene.serving():
        assert scene.approver.grants() == []
        state, why = ends(scene)[grant]
        assert state == "revoked"
        assert "moved or restored" in why
        assert scene.call().status == 202
        assert scene.paths() == []
        scene.verify()


@pytest.mark.parametrize("restore", [put_back, put_back_in_its_place])
def test_a_backup_from_before_a_call_does_not_let_it_out_again(scene, restore):
    copy = scene.folder / "backup"
    with scene.serving():
        grant = scene.granted()
        stopped(scene)
    shutil.copytree(scene.state, copy)
    with scene.serving():
        assert scene.call().status == 200
        stopped(scene)
    restore(scene, copy)
    with scene.serving():
        assert scene.approver.grants() == []
        assert ends(scene)[grant][0] == "revoked"
        assert scene.call().status == 202
        assert scene.paths() == [THINGS]


def test_a_database_that_is_older_than_the_record_gives_nothing(scene):
    with scene.serving():
        used, left = scene.granted(THINGS), scene.granted("/things/2")
        stopped(scene)
    database = scene.state / "access.sqlite"
    older, place = database.read_bytes(), database.stat().st_ino
    with scene.serving():
        assert scene.call(THINGS).status == 200
        stopped(scene)
    put_in_place(database, older)
    assert database.stat().st_ino == place
    with scene.serving():
        assert scene.approver.grants() == []
        state, why = ends(scene)[left]
        assert state == "revoked"
        assert "older than the recording" in why
        assert used not in ends(scene)
        assert scene.call(THINGS).status == scene.call("/things/2").status == 202
        assert scene.paths() == [THINGS]
        scene.verify()


def answered(scene: Stage, token: str) -> int:
    with scene.tunnel(token=token) as tunnel:
        return tunnel.ask("POST", THINGS, BODY, LATER).status


def test_who_was_revoked_stays_so_whatever_older_database_is_put_in_place(scene):
    """Nothing is granted: what tells is the record of runs and of who was revoked."""
    scene.settings["control"] = {"operators": {os.getuid(): "root"}}
    database = scene.state / "access.sqlite"
    beside = database.with_name("access.sqlite-wal")
    bot, other = scene.tokens.token("bot-7"), scene.tokens.token("bot-8")
    with scene.serving():
        stopped(scene)
    before = database.read_bytes()
    with scene.serving():
        assert answered(scene, other) == 202
        within = database.read_bytes(), beside.read_bytes()
        assert scene.approver.run("subjects", "revoke", "bot-7").returncode == 0
        assert answered(scene, bot) == 401
        scene.kill()
    with scene.serving():  # what a restart finds as it was left, nobody has forgotten anything of
        assert (answered(scene, bot), answered(scene, other)) == (401, 202)
        stopped(scene)
    with scene.serving():
        assert (answered(scene, bot), answered(scene, other)) == (401, 202)
        after = scene.tokens.token("bot-8", iat=int(time.time()) + 20)
        stopped(scene)
    for content in (before, within[0]):
        put_in_place(database, content)
        if content is within[0]:
            beside.touch(mode=0o600)
            beside.write_bytes(within[1])
        with scene.serving():
            assert (answered(scene, bot), answered(scene, other)) == (401, 401)
            assert answered(scene, after) == 202
            stopped(scene)


@pytest.mark.timeout(400)
@pytest.mark.needs_debian("strace")
def test_killed_anywhere_in_its_start_it_does_not_trust_what_was_put_back_the_next_time(scene):
    with scene.serving():
        scene.granted(THINGS)
        scene.granted("/things/2")
        stopped(scene)
    database = scene.state / "access.sqlite"
    older = database.read_bytes()
    with scene.serving():
        assert scene.call(THINGS).status == 200
        stopped(scene)
    for number in range(1, 20):
        put_in_place(database, older)
        if not killed_at_commit(scene, number):
            break
        with scene.serving():
            assert scene.approver.grants() == []
            assert scene.call(THINGS).status == scene.call("/things/2").status == 202
            stopped(scene)
    assert number > 2
    assert scene.paths() == [THINGS]


def put_in_place(database: Path, data: bytes) -> None:
    """Other content in the same file, and nothing beside it."""
    database.write_bytes(data)
    for suffix in ("-wal", "-shm"):
        database.with_name(database.name + suffix).unlink(missing_ok=True)


def killed_at_commit(scene: Stage, number: int) -> bool:
    """A gateway that is killed as it syncs its database for so many times; False if it serves."""
    sync = "fsync,fdatasync"
    strace = ("strace", "-f", "-qq", "-o", "/dev/null", "-P", f"{scene.state}/access.sqlite-wal")
    inject = ("-e", f"trace={sync}", "-e", f"inject={sync}:signal=SIGKILL:when={number}")
    try:
        with GatewayProcess(scene.folder, scene.settings, (*strace, *inject)):
            return False
    except RuntimeError:
        return True


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_without_its_database_it_gives_nothing(scene, how):
    """What SQLite keeps beside the file after a kill is no database by itself."""
    with scene.serving():
        scene.granted()
        stopped(scene) if how == "stopped" else scene.kill()
    (scene.state / "access.sqlite").unlink()
    with scene.serving():
        assert scene.approver.grants() == []
        assert scene.call().status == 202
        assert scene.paths() == []
        scene.verify()


# --- what fails before the call goes out costs no grant

ORG = "acme.okta.example"
DEACTIVATE = "/api/v1/users/00u1/lifecycle/deactivate"
TOKEN = orjson.dumps(
    {
        "token_type": "Bearer",
        "access_token": "a-token-of-the-org",
        "expires_in": 3600,
        "scope": "okta.users.manage",
    }
)


class Org(Stage):
    """A scene whose target is an Okta org with a token endpoint."""

    def __init__(self, folder: Path, origin_ca: TestCA) -> None:
        super().__init__(folder, origin_ca)
        self.origin = Origin(origin_ca.leaf(ORG), self.handle)
        self.token = answering(TOKEN)

    def configured(self) -> None:
        key = self.folder / "client.pem"
        key.touch(mode=0o600)
        key.write_bytes(
            ec.generate_private_key(ec.SECP256R1()).private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        credential = {
            "type": "okta",
            "org": f"https://{ORG}",
            "client_id": "0oa1",
            "key_id": "k1",
            "private_key": f"file:{key}",
            "dpop": False,
        }
        far = target(self.origin.port, self.ca.pem, name="okta", hosts=[ORG], catalog="okta")
        far["credential"] = credential
        self.settings = settings(self.folder, self.tokens.jwks, [far]) | people(expire="10m")

    def handle(self, received, tls):
        endpoint = "/oauth2/" in received.line
        return (self.token if endpoint else self.handler)(received, tls)

    def calling(self, path: str = DEACTIVATE, body: bytes = b"", fields: str = LATER) -> Tunnel:
        tunnel = self.tunnel(authority=f"{ORG}:443", sni=ORG)
        tunnel.tls.settimeout(PATIENCE)
        tunnel.send(request(path, body, fields).replace(b"api.example", ORG.encode()))
        return tunnel

    def call(self, path: str = DEACTIVATE, fields: str = LATER):
        return super().call(path, fields)

    def granted(self, path: str = DEACTIVATE) -> str:
        return super().granted(path)

    def arrived(self) -> list[str]:
        """The calls that the API got, without those to the token endpoint."""
        return [path for path in self.paths() if path == DEACTIVATE]

    def close(self) -> None:
        """Refuse connections from now on."""
        self.port = self.origin.port
        self.origin._socket.shutdown(socket.SHUT_RDWR)
        self.origin._socket.close()

    def open(self) -> None:
        """Accept them again."""
        self.origin._socket = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self.origin._accept, daemon=True).start()


@pytest.fixture
def org(tmp_path):
    made = Org(tmp_path, TestCA.create(tmp_path, name="org"))
    with made.origin:
        made.configured()
        yield made


BROKEN = {
    "answers 500": answering(b'{"error":"server_error"}', status=500),
    "hangs up": lambda _, tls: False,
    "gives other scopes": answering(TOKEN.replace(b"users.manage", b"users.read")),
    "refuses connections": None,
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_a_token_endpoint_that_fails_costs_no_grant(org, broken):
    well = org.token
    with org.serving():
        grant = org.granted()
        if broken is None:
            org.close()
        else:
            org.token = broken
        reply = org.call()
        assert reply.status == 502
        assert b"credential-unavailable" in reply.body
        assert org.usable() == [grant]
        assert org.arrived() == []
        if broken is None:
            org.open()
        org.token = well
        assert org.call().status == 200
        assert org.last("outcome")["grant"] == grant
        assert org.arrived() == [DEACTIVATE]
        assert org.approver.grants() == []
        assert len(org.gateway.entries("grant.spent")) == 1


def wrong_authority(scene: Stage):
    (scene.folder / "other").mkdir()
    return TestCA.create(scene.folder / "other", name="other").leaf("api.example")


def wrong_name(scene: Stage):
    return scene.ca.leaf("other.example")


@pytest.mark.parametrize("wrong", [wrong_authority, wrong_name])
def test_a_certificate_that_is_not_trusted_costs_no_grant(scene, wrong):
    leaf, well = wrong(scene), scene.origin.leaf
    with scene.serving():
        grant = scene.granted()
        scene.origin._context.load_cert_chain(leaf.cert, leaf.key)
        reply = scene.call()
        assert reply.status == 502
        assert b"upstream-untrusted" in reply.body
        assert scene.usable() == [grant]
        assert scene.gateway.entries("grant.spent") == []
        scene.origin._context.load_cert_chain(well.cert, well.key)
        assert scene.call().status == 200
        assert scene.last("outcome")["grant"] == grant
        assert scene.paths() == [THINGS]
        assert scene.approver.grants() == []


# --- one use is one forward


@pytest.fixture
def enough_files():
    """A descriptor for each end of each connection, here and in the gateway."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * ATTEMPTS + 1_000
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(wanted, hard)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.timeout(300)
def test_a_thousand_attempts_at_once_on_one_grant_are_one_forward(scene, enough_files):
    scene.configured(per_agent=2 * ATTEMPTS)
    token = scene.tokens.token()
    with scene.serving():
        scene.granted()
        tunnels = [scene.tunnel(token=token) for _ in range(ATTEMPTS)]
        data = request(THINGS, BODY, LATER)
        for tunnel in tunnels:
            tunnel.tls.settimeout(PATIENCE)
            tunnel.send(data)
        replies = [tunnel.reply() for tunnel in tunnels]
        for tunnel in tunnels:
            tunnel.close()
        statuses = Counter(reply.status for reply in replies)
        assert statuses[200] == 1
        assert statuses.keys() <= {200, 202, 403}
        assert statuses[202] + statuses[403] == ATTEMPTS - 1
        assert scene.paths() == [THINGS]
        assert len(scene.gateway.entries("grant.spent")) == 1
        assert len(scene.gateway.entries("access.opened")) <= 2


# --- revoked


def test_revoking_a_grant_ends_the_exchange_that_is_under_way(scene):
    over = threading.Event()
    scene.handler = silent(over)
    with scene.serving():
        grant = scene.granted()
        with scene.calling(fields=LATER) as tunnel:
            wait_for(lambda: scene.paths() == [THINGS])
            done = scene.approver.run("revoke", grant, "--reason", "Not that one")
            revoked = time.monotonic()
            reply = tunnel.reply()
            took = time.monotonic() - revoked
        over.set()
        assert done.returncode == 0, done.stderr
        assert took < 1
        assert reply.status == 403
        assert b"grant-revoked" in reply.body
        assert reply.header("Retry-After") is None
        settled = scene.last("grant.settled")
        assert (settled["grant"], settled["state"]) == (grant, "revoked in flight")
        outcome = scene.last("outcome")
        assert (outcome["denial"], outcome["outcome"]) == ("grant-revoked", "failed")
        assert scene.approver.grants() == []
        assert scene.call().status == 202
        assert scene.paths() == [THINGS]
        scene.verify()


def test_revoking_a_grant_cuts_an_answer_that_has_begun(scene):
    over = threading.Event()
    half = 200_000

    def begin(_, tls):
        tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (2 * half) + b"a" * half)
        over.wait(PATIENCE)
        return False

    scene.handler = begin
    with scene.serving():
        grant = scene.granted()
        with scene.calling(fields=LATER) as tunnel:
            data = tunnel.tls.recv(65536)
            assert data.startswith(b"HTTP/1.1 200 ")
            done = scene.approver.run("revoke", grant)
            assert done.returncode == 0, done.stderr
            revoked = time.monotonic()
            with pytest.raises(OSError):  # noqa: PT012 (it may come anywhere)
                while more := tunnel.tls.recv(65536):
                    data += more
                raise AssertionError("the connection was ended as if all had come")
            took = time.monotonic() - revoked
        over.set()
        assert took < 1
        assert len(data) < 2 * half
        assert scene.last("grant.settled")["state"] == "revoked in flight"
        wait_for(lambda: scene.last("outcome").get("denial") == "grant-revoked")
        assert scene.last("outcome")["outcome"] == "truncated"


# --- what is not on record


def test_an_approval_that_could_not_be_put_on_record_lets_nothing_out(scene):
    with scene.serving() as gateway:
        waiting = orjson.loads(scene.call().body)["task"]["id"]
        (log,) = gateway.recordings.glob("logs/*/*.jsonl")
        away = log.rename(log.with_suffix(".away"))
        assert scene.approver.run("approve", waiting).returncode == 2
        away.rename(log)
        wait_for(lambda: health(gateway)[0] == 200)
        assert gateway.entries("access.answered") == []
        scene.call()
        assert scene.paths() == []


# --- agents that go away


def test_a_request_whose_agent_stays_away_is_withdrawn_and_denied_by_nobody(scene):
    scene.configured(linger="1s")
    with scene.serving() as gateway:
        with scene.calling():
            waiting = scene.approver.next()
        wait_for(lambda: gateway.entries("access.ended"))
        assert scene.approver.waiting() == []
        (ended,) = gateway.entries("access.ended")
        assert (ended["access_request"], ended["state"]) == (waiting["id"], "withdrawn")
        assert gateway.entries("access.answered") == []
        assert scene.approver.shown(waiting["id"])["state"] == "withdrawn"
        assert b"denied" not in orjson.dumps(ended).lower()
        assert scene.origin.received == []


# --- bodies that people must see


def chunked(body: bytes) -> bytes:
    head = (
        f"POST {THINGS} HTTP/1.1\r\nHost: api.example\r\n{HELD}Transfer-Encoding: chunked\r\n\r\n"
    )
    return head.encode() + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


def expecting(size: int) -> bytes:
    return (
        f"POST {THINGS} HTTP/1.1\r\nHost: api.example\r\n{HELD}Expect: 100-continue\r\n"
        f"Content-Length: {size}\r\n\r\n"
    ).encode()


TOO_LARGE = {
    "announced": request(THINGS, b"a" * (MIB + 1), HELD),
    "chunked": chunked(b"a" * (MIB + 1)),
    "announced, with leave to be asked for": expecting(MIB + 1),
}


@pytest.mark.parametrize("data", TOO_LARGE.values(), ids=TOO_LARGE)
def test_a_body_that_nobody_could_look_at_is_refused_and_nobody_is_asked(scene, data):
    with scene.serving() as gateway:
        with scene.tunnel() as tunnel:
            tunnel.send(data)
            reply = tunnel.reply()
        assert reply.status == 413
        assert b"body-too-large" in reply.body
        assert scene.approver.waiting() == []
        assert gateway.entries("access.opened") == []
        assert scene.last("outcome")["denial"] == "body-too-large"
        assert scene.origin.received == []


def test_an_agent_that_asks_for_leave_to_send_its_body_waits_like_any_other(scene):
    scene.handler = lambda received, tls: answering(received.body)(received, tls)
    with scene.serving():
        with scene.tunnel() as tunnel:
            tunnel.tls.settimeout(PATIENCE)
            tunnel.send(expecting(len(BODY)))
            assert tunnel.tls.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
            tunnel.send(BODY)
            waiting = scene.approver.next()
            assert waiting["body"] == BODY.decode()
            scene.approver.approve(waiting["id"])
            reply = tunnel.reply()
        assert (reply.status, reply.body) == (200, BODY)


def curl(scene: Stage, size: int) -> subprocess.Popen[str]:
    """curl with a large body, for which it asks for leave by itself."""
    file = scene.folder / "body"
    half = (size - 7) // 2
    file.write_bytes(b'["' + b"a" * half + b'","' + b"a" * (size - 7 - half) + b'"]')
    host, port = scene.gateway.proxy
    return subprocess.Popen(
        [
            *("curl", "--silent", "--show-error", "--verbose", "--max-time", f"{PATIENCE:.0f}"),
            *("--write-out", "%{http_code}", "--json", f"@{file}", f"https://api.example{THINGS}"),
        ],
        env={
            "PATH": os.environ["PATH"],
            "HTTPS_PROXY": f"http://run:{scene.tokens.token()}@{host}:{port}",
            "CURL_CA_BUNDLE": str(scene.gateway.ca),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.needs_debian("curl")
def test_curl_with_a_large_body_asks_for_leave_and_waits(scene):
    scene.configured(review_body=2 * MIB)
    with scene.serving():
        process = curl(scene, MIB + MIB // 2)
        waiting = scene.approver.next()
        assert waiting["body_bytes"] == MIB + MIB // 2
        scene.approver.approve(waiting["id"])
        out, trace = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, trace
        assert out.endswith("200")
        assert "Expect: 100-continue" in trace
        assert "HTTP/1.1 100 Continue" in trace
        (received,) = scene.origin.received
        assert len(received.body) == MIB + MIB // 2


@pytest.mark.needs_debian("curl")
def test_curl_with_a_body_beyond_the_limit_is_told_so(scene):
    with scene.serving() as gateway:
        process = curl(scene, MIB + MIB // 2)
        out, trace = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, trace
        assert out.endswith("413")
        assert "HTTP/1.1 100 Continue" not in trace
        assert gateway.entries("access.opened") == []


def test_a_hang_up_behind_what_was_sent_ahead_is_seen(scene):
    """The transport is not paused while a call is held: its end would not be read."""
    with scene.serving() as gateway:
        tunnel = scene.calling()
        tunnel.send((b"GET /more HTTP/1.1\r\nHost: api.example\r\n\r\n" * 4000)[: 150 * 1024])
        waiting = scene.approver.next()
        tunnel.close()
        wait_for(lambda: scene.approver.shown(waiting["id"])["presence"] == "detached")
        scene.approver.approve(waiting["id"])
        assert scene.origin.received == []
        assert gateway.entries("grant.spent") == []
