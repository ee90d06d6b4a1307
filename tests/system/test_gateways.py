"""Two gateways over one PostgreSQL database, which may go away, come back, or come back older.

Each is a process with a state folder, keys and a recording of its own; what they share is the
database, and the site key by which they know the same call.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import signal
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import orjson
import pytest
from support.approver import REVIEWED, people
from support.counterparts import TestCA
from support.gateway import GatewayProcess, health, settings, target, wait_for
from support.postgres import Postgres, running
from support.tokens import Tokens
from support.wire import Origin, Tunnel, answering

from jitgate.cli.calling import Gateway, NotTold

PATIENCE = 60.0
"""Seconds that an agent waits for an answer on a busy machine."""

THINGS = "/things/1"
BODY = b'{"name":"Ada"}'
LATER = "Content-Type: application/json\r\nPrefer: respond-async\r\n"
HELD = "Content-Type: application/json\r\n"
GET = b"GET /things/2 HTTP/1.1\r\nHost: api.example\r\n\r\n"
ATTEMPTS = 1_000


class Node:
    """One gateway: a folder, and the process that serves it now."""

    def __init__(self, folder: Path, configuration: dict[str, Any], site_key: bytes) -> None:
        self.folder, self.settings = folder, configuration
        state = folder / "state"
        state.mkdir(mode=0o700)
        (state / "site-hmac.key").touch(mode=0o600)
        (state / "site-hmac.key").write_bytes(site_key)
        self.gateway: GatewayProcess

    @contextmanager
    def serving(self):
        """Must come to nothing that it did not foresee."""
        with GatewayProcess(self.folder, self.settings) as self.gateway:
            yield self
        faults = [
            line for line in self.gateway.output if "Traceback" in line or "critical]" in line
        ]
        assert not faults, "".join(self.gateway.output)

    def kill(self) -> None:
        os.kill(self.gateway.process.pid, signal.SIGKILL)
        self.gateway.process.wait(30)

    @property
    def people(self) -> Gateway:
        """What the approver's commands ask."""
        socket = self.folder / "state" / "control.sock"
        return Gateway(argparse.Namespace(socket=socket, config=None))

    def waiting(self) -> list[dict[str, Any]]:
        return [line["request"] for line in self.people.all("requests")]

    def next(self) -> dict[str, Any]:
        """The first request that waits, once there is one."""
        return wait_for(self.waiting)[0]

    def answers(self) -> bool:
        """Whether it can tell what waits."""
        try:
            self.waiting()
        except NotTold:
            return False
        return True

    def grants(self) -> list[dict[str, Any]]:
        return [line["grant"] for line in self.people.all("grants")]

    def last(self, kind: str) -> dict[str, Any]:
        return self.gateway.entries(kind)[-1]


class Site:
    """Two gateways, the origin behind them, and the agent that comes to either."""

    def __init__(self, folder: Path, server: Postgres) -> None:
        self.server = server
        self.tokens = Tokens(folder)
        ca = TestCA.create(folder, name="origin")
        self.handler = answering(b"{}")
        self.origin = Origin(ca.leaf("api.example"), lambda *each: self.handler(*each))
        rule = {**REVIEWED, "grant": {"life": "10m"}}
        reads = {"name": "reads", "reason": "A test.", "match": {"methods": ["GET"]}}
        (folder / "policy.yaml").write_bytes(orjson.dumps([rule, reads | {"effect": "permit"}]))
        self.folder, self.ca, self.nodes = folder, ca, []

    def configured(self) -> None:
        """Once the origin stands."""
        folder, server = self.folder, self.server
        store = {
            "type": "postgres",
            "socket": f"{server.folder}",
            "port": server.port,
            "tables": server.server().schema,
        }
        site_key = os.urandom(32)
        approvals = people(hold="60s", expire="10m", per_agent=2 * ATTEMPTS)
        for name in "ab":
            place = folder / name
            place.mkdir()
            shutil.copy(folder / "policy.yaml", place)
            far = target(self.origin.port, self.ca.pem)
            each = settings(place, self.tokens.jwks, [far], store=store) | approvals
            self.nodes.append(Node(place, each, site_key))

    @contextmanager
    def serving(self):
        with ExitStack() as both:
            for node in self.nodes:
                both.enter_context(node.serving())
            yield self.nodes

    def tunnel(self, node: Node, token: str | None = None) -> Tunnel:
        token = token or self.tokens.token()
        tunnel = Tunnel(node.gateway.proxy, node.gateway.ca, token)
        tunnel.tls.settimeout(PATIENCE)
        return tunnel

    def calling(self, node: Node, path: str = THINGS, fields: str = HELD) -> Tunnel:
        """The tunnel of an agent that has sent a call and not read its answer."""
        tunnel = self.tunnel(node)
        tunnel.send(request(path, fields))
        return tunnel

    def call(self, node: Node, path: str = THINGS, fields: str = LATER):
        with self.calling(node, path, fields) as tunnel:
            return tunnel.reply()

    def get(self, node: Node, token: str | None = None):
        with self.tunnel(node, token) as tunnel:
            tunnel.send(GET)
            return tunnel.reply()

    def granted(self, node: Node, path: str = THINGS) -> str:
        """The grant for a call whose agent is away."""
        reply = self.call(node, path)
        assert reply.status == 202, reply.body
        waiting = orjson.loads(reply.body)["task"]["id"]
        node.people.one("approve", waiting, reason="Seen")
        return node.people.one("request", waiting)["request"]["grant"]

    def changes(self) -> list[str]:
        """What the origin got, in order, but for what only reads."""
        lines = [each.line.split(" ") for each in self.origin.received]
        return [line[1] for line in lines if line[0] == "POST"]


def request(path: str, fields: str) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: api.example\r\n{fields}Content-Length: {len(BODY)}\r\n\r\n"
    )
    return head.encode() + BODY


def silent(over: threading.Event):
    """An origin that takes a call and does not answer it before the test is over."""

    def handle(_, tls):
        over.wait(PATIENCE)
        return False

    return handle


def endless(began: threading.Event, ended: threading.Event):
    """An origin whose answer goes on until its connection ends."""

    def handle(_, tls):
        tls.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        with suppress(OSError):
            while not ended.wait(0.01):
                tls.sendall(b"1\r\nx\r\n")
                began.set()
        ended.set()
        return False

    return handle


@pytest.fixture(autouse=True)
def plain_answers():
    """A site begins with them."""


@pytest.fixture(autouse=True)
def no_unforeseen_fault():
    """`Node.serving` looks for one, gateway by gateway."""


@pytest.fixture(scope="module")
def pair(tmp_path_factory, postgres):
    """A site whose gateways serve for the whole module."""
    site = Site(tmp_path_factory.mktemp("pair"), postgres)
    with site.origin:
        site.configured()
        with site.serving():
            yield site


@pytest.fixture
def both(pair):
    pair.handler = answering(b"{}")
    pair.origin.received.clear()
    return pair


@pytest.fixture
def site(tmp_path):
    """A site whose gateways, and whose server, a test may end."""
    with running() as server:
        made = Site(tmp_path, server)
        with made.origin:
            made.configured()
            yield made


# --- what one does, the other knows


def test_a_call_that_is_held_at_one_is_answered_at_the_other(both):
    one, other = both.nodes
    with both.calling(one) as tunnel:
        other.people.one("approve", other.next()["id"], reason="Seen")
        assert tunnel.reply().status == 200
    with both.calling(one, "/things/3") as tunnel:
        other.people.one("deny", other.next()["id"], reason="Not today")
        reply = tunnel.reply()
    assert reply.status == 403
    assert b"Not today" in reply.body
    assert both.changes() == [THINGS]


def test_what_was_denied_at_one_is_not_asked_for_again_at_the_other(both):
    one, other = both.nodes
    assert both.call(one, "/things/4").status == 202
    one.people.one("deny", one.next()["id"], reason="Not that")
    before = [len(node.gateway.entries("access.opened")) for node in both.nodes]
    reply = both.call(other, "/things/4")
    assert reply.status == 403
    assert b"not asked for it again" in reply.body
    assert [len(node.gateway.entries("access.opened")) for node in both.nodes] == before


def test_a_call_that_is_sent_to_both_is_one_request_that_tells_how_often(both):
    one, other = both.nodes
    with both.calling(one, "/things/5") as first:
        waiting = other.next()["id"]
        with both.calling(other, "/things/5") as second:
            wait_for(lambda: one.next()["asked"] == 2)
            assert [each["id"] for each in one.waiting()] == [waiting]
            one.people.one("approve", waiting, reason="Seen")
            assert sorted(each.reply().status for each in (first, second)) == [200, 403]
    assert both.changes() == ["/things/5"]


def test_a_grant_that_was_given_at_one_is_good_once_at_either(both):
    one, other = both.nodes
    grant = both.granted(one, "/things/6")
    assert both.call(other, "/things/6").status == 200
    assert other.last("grant.spent")["grant"] == grant
    wait_for(lambda: one.grants() == other.grants() == [])
    assert both.call(one, "/things/6").status == 202
    assert both.changes() == ["/things/6"]
    one.people.one("deny", one.next()["id"], reason="That was all")


def test_revoking_at_one_ends_what_is_under_way_at_the_other(both):
    one, other = both.nodes
    over = threading.Event()
    both.handler = silent(over)
    grant = both.granted(one)
    with both.calling(one, fields=LATER) as tunnel:
        wait_for(lambda: both.changes() == [THINGS])
        other.people.one("revoke", grant, reason="Not that one")
        revoked = time.monotonic()
        reply = tunnel.reply()
        took = time.monotonic() - revoked
    over.set()
    assert took < 1
    assert reply.status == 403
    assert b"grant-revoked" in reply.body
    settled = wait_for(lambda: other.gateway.entries("grant.settled"))[-1]
    assert (settled["grant"], settled["state"]) == (grant, "revoked in flight")


@pytest.fixture
def enough_files():
    """A descriptor for each end of each connection, here and in the gateways."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * ATTEMPTS + 1_000
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(wanted, hard)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.timeout(300)
def test_a_thousand_attempts_at_once_over_both_on_one_grant_are_one_forward(both, enough_files):
    token, nodes = both.tokens.token(), both.nodes
    before = [len(node.gateway.entries("grant.spent")) for node in nodes]
    both.granted(nodes[0])
    tunnels = [both.tunnel(nodes[number % 2], token) for number in range(ATTEMPTS)]
    data = request(THINGS, LATER)
    for tunnel in tunnels:
        tunnel.send(data)
    replies = [tunnel.reply() for tunnel in tunnels]
    for tunnel in tunnels:
        tunnel.close()
    statuses = Counter(reply.status for reply in replies)
    assert statuses[200] == 1
    assert statuses.keys() <= {200, 202, 403}
    assert both.changes() == [THINGS]
    assert sum(len(node.gateway.entries("grant.spent")) for node in nodes) == sum(before) + 1


# --- one of them ends


def test_what_one_leaves_behind_is_its_own_to_tell_of_and_its_restart_takes_nothing(site):
    over = threading.Event()
    site.handler = silent(over)
    one, other = site.nodes
    with other.serving():
        with one.serving():
            left, used = site.granted(one, "/things/2"), site.granted(one)
            with site.calling(one, fields=LATER):
                wait_for(lambda: site.changes() == [THINGS])
                one.kill()
        assert other.gateway.stop() == 0
    with other.serving():  # another's start says nothing of it
        assert {each["id"]: each["left"] for each in other.grants()} == {used: 0, left: 1}
        assert other.gateway.entries("grant.settled") == []
        with site.calling(other, "/things/3") as tunnel:
            waiting = other.next()
            with one.serving():
                settled = one.last("grant.settled")
                assert (settled["grant"], settled["state"]) == (used, "unknown")
                assert [each["id"] for each in other.grants()] == [left]
                assert [(each["id"], each["presence"]) for each in one.waiting()] == [
                    (waiting["id"], "attached")
                ]
                over.set()
                site.handler = answering(b"{}")
                one.people.one("approve", waiting["id"], reason="Seen")
                assert tunnel.reply().status == 200
        assert site.call(other, "/things/2").status == 200
        assert site.changes() == [THINGS, "/things/3", "/things/2"]


# --- the database goes away


def test_while_it_is_gone_what_is_held_stays_held_and_what_is_new_is_denied(site):
    with site.serving() as (one, other), site.calling(one) as tunnel:
        waiting = one.next()
        site.server.stop(signal.SIGQUIT)
        reply = site.call(other, "/things/2", HELD)
        assert reply.status == 502
        assert b"store-down" in reply.body
        assert site.get(other).status == 200
        status, shown = health(other.gateway)
        assert (status, shown["store"]["state"]) == (200, "down")
        site.server.start()
        wait_for(other.answers)
        other.people.one("approve", waiting["id"], reason="Seen")
        assert tunnel.reply().status == 200
        assert site.changes() == [THINGS]
        # It has two connections, each back when it asks again: health is well once it hears, too.
        whole = {"state": "ok", "reason": None}
        wait_for(lambda: health(other.gateway)[1]["store"] == whole)


@pytest.mark.parametrize("how", [signal.SIGQUIT, signal.SIGSTOP], ids=["gone", "silent"])
def test_what_is_revoked_meanwhile_ends_and_whoever_revoked_is_told_that_it_is_not_kept(site, how):
    began, ended = threading.Event(), threading.Event()
    site.handler = endless(began, ended)
    with site.serving() as (one, _):
        grant = site.granted(one)
        with site.calling(one, fields=LATER), ThreadPoolExecutor(1) as pool:
            assert began.wait(PATIENCE)
            site.server.stop(how) if how is signal.SIGQUIT else site.server.signal(how)
            revoking = pool.submit(one.people.one, "revoke", grant, reason="Not that one")
            assert ended.wait(1.0)
            with pytest.raises(NotTold):
                revoking.result()
        if how is signal.SIGSTOP:
            site.server.signal(signal.SIGCONT)


def test_a_database_that_was_put_back_gives_nothing_to_anybody(site, tmp_path):
    one, other = site.nodes
    copy = tmp_path / "backup"
    with site.serving():
        used, left = site.granted(one), site.granted(one, "/things/2")
        site.server.stop()
        site.server.put_aside(copy)
        site.server.start()
        wait_for(one.answers)
        assert site.call(one).status == 200
        site.server.stop()
        site.server.put_back(copy)
        site.server.start()
        # The one that knows better gives nothing until it is started again.
        assert site.call(one, "/things/2", HELD).status == 502
        assert one.gateway.stop() == 0
        with one.serving():
            ends = {each["grant"]: each["why"] for each in one.gateway.entries("grant.ended")}
            assert "older than the recording" in ends[left]
            assert used not in ends
            wait_for(other.answers)
            assert other.grants() == one.grants() == []
            assert site.call(other).status == site.call(other, "/things/2").status == 202
            assert site.changes() == [THINGS]
