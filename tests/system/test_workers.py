"""One gateway of several processes: what one does the others know, and what dies takes nothing along.

The tests of a module-wide gateway come first; those that kill processes come last, in their order.
"""

from __future__ import annotations

import argparse
import http.client
import os
import resource
import signal
import socket
import ssl
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import orjson
import pytest
from support.approver import REVIEWED, people
from support.counterparts import TestCA
from support.crashing import verified
from support.gateway import GatewayProcess, health, settings, target, wait_for
from support.tokens import Tokens
from support.wire import Origin, Tunnel, answering

from jitgate.cli.calling import Gateway
from jitgate.stores.reading import Recording

ATTEMPTS = int(os.environ.get("JITGATE_ATTEMPTS", "60"))
"""Calls at once on one grant; a thousand in ``.ci/run --long``."""

STORES = os.environ.get("JITGATE_STORES", "sqlite").split()
"""What keeps access requests; ``sqlite postgres`` in ``.ci/run --long``."""

HELD = "Content-Type: application/json\r\n"
LATER = HELD + "Prefer: respond-async\r\n"
BODY = b'{"name":"Ada"}'
PATIENCE = 60.0


class Site:
    """One gateway with two workers, the origin behind it, and whoever comes to it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.tokens = folder, Tokens(folder)
        self.ca = TestCA.create(folder, name="origin")
        self.front = TestCA.create(folder, name="front")
        leaf = self.front.leaf("localhost")
        for made, name in ((leaf.key, "front.key"), (leaf.cert, "front.pem")):
            made.rename(folder / name)
        self.handler = answering(b"{}")
        self.origin = Origin(self.ca.leaf("api.example"), lambda *each: self.handler(*each))
        self.gateway: GatewayProcess
        self.more: dict[str, Any] = {}

    def policy(self, *rules: dict[str, Any]) -> None:
        reads = {"name": "reads", "reason": "A test.", "match": {"methods": ["GET"]}}
        every = [*rules, {**REVIEWED, "grant": {"life": "10m"}}, reads | {"effect": "permit"}]
        (self.folder / "policy.yaml").write_bytes(orjson.dumps(every))

    def configured(self) -> dict[str, Any]:
        self.policy()
        far = target(self.origin.port, self.ca.pem)
        asked = people(hold="60s", expire="10m", per_agent=2 * ATTEMPTS)
        made = settings(self.folder, self.tokens.jwks, [far], workers=2) | asked | self.more
        reverse = {"cert": "./front.pem", "key": "file:./front.key"}
        reverse |= {"address": "127.0.0.1:0", "hosts": {"localhost": "api.example"}}
        made["listen"]["reverse"] = reverse
        return made

    @property
    def people(self) -> Gateway:
        place = self.folder / "state" / "control.sock"
        return Gateway(argparse.Namespace(socket=place, config=None))

    def workers(self) -> list[int]:
        """The processes that carry exchanges, in no order."""
        task = Path(f"/proc/{self.gateway.process.pid}/task/{self.gateway.process.pid}/children")
        return [int(each) for each in task.read_text().split()]

    def well(self) -> bool:
        status, shown = health(self.gateway)
        return status == 200 and shown["workers"]["state"] == "ok"

    def tunnel(self, token: str | None = None) -> Tunnel:
        tunnel = Tunnel(self.gateway.proxy, self.gateway.ca, token or self.tokens.token())
        tunnel.tls.settimeout(PATIENCE)
        return tunnel

    def next(self) -> dict[str, Any]:
        return wait_for(lambda: [each["request"] for each in self.people.all("requests")])[0]

    def granted(self, path: str) -> str:
        """The grant for a call whose agent is away."""
        with self.tunnel() as tunnel:
            reply = tunnel.ask("POST", path, BODY, LATER)
            assert reply.status == 202, reply.body
            waiting = orjson.loads(reply.body)["task"]["id"]
        self.people.one("approve", waiting, reason="Seen")
        return self.people.one("request", waiting)["request"]["grant"]

    def settled(self, grant: str) -> list[str]:
        """What has become of each use of a grant, once that is on record."""
        told = wait_for(
            lambda: [e for e in self.gateway.entries("grant.settled") if e["grant"] == grant]
        )
        return [each["state"] for each in told]

    def changes(self) -> list[str]:
        lines = [each.line.split(" ") for each in self.origin.received]
        return [line[1] for line in lines if line[0] == "POST"]

    def by_log(self, kind: str) -> Counter[str]:
        """How many entries of a type each log has now."""
        recording = Recording(self.gateway.recordings)
        return Counter(kept.log for kept in recording.every_entry() if kept.type == kind)


@pytest.fixture(autouse=True)
def plain_answers():
    """A site begins with them."""


@pytest.fixture(autouse=True)
def no_unforeseen_fault():
    """The site looks for one at its end."""


@pytest.fixture(scope="module")
def enough_files():
    """A descriptor for each end of each connection, here and in the workers."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(soft, min(4 * ATTEMPTS + 1_000, hard))
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(scope="module", params=STORES)
def running(request, tmp_path_factory, enough_files):
    site = Site(tmp_path_factory.mktemp("workers"))
    if request.param == "postgres":
        server = request.getfixturevalue("postgres")
        place = {"socket": f"{server.folder}", "port": server.port}
        site.more = {"store": {"type": "postgres", **place, "tables": server.server().schema}}
    with site.origin, GatewayProcess(site.folder, site.configured()) as site.gateway:
        yield site
        site.gateway.stop()
    signs = "Traceback", "critical]", "told nobody"
    faults = [each for each in site.gateway.output if any(sign in each for sign in signs)]
    assert not faults, "".join(site.gateway.output)


@pytest.fixture
def site(running):
    running.handler = answering(b"{}")
    running.origin.received.clear()
    wait_for(running.well)
    return running


def request(path: str, fields: str = HELD) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: api.example\r\n{fields}Content-Length: {len(BODY)}\r\n"
    return head.encode() + b"\r\n" + BODY


def silent(over: threading.Event):
    """An origin that takes a call and does not answer it before the test is over."""

    def handle(_, tls):
        over.wait(PATIENCE)
        return False

    return handle


# --- what they share


def test_each_has_some_of_the_connections_and_a_log_of_its_own(site):
    before = site.by_log("decision")
    with ExitStack() as open_now:

        def carried() -> Counter[str]:
            tunnel = open_now.enter_context(site.tunnel())
            assert tunnel.ask("GET", "/things").status == 200
            return site.by_log("decision") - before

        # One that has just begun may be busy, and is left to that: the other takes them all.
        wait_for(lambda: len(carried()) == 2)
    assert all("." in log for log in site.by_log("decision"))


def test_hosts_of_the_gateways_own_are_at_both_too(site):
    before = site.by_log("decision")
    context = ssl.create_default_context(cafile=str(site.front.pem))
    fields = {"Authorization": f"Bearer {site.tokens.token()}"}
    with ExitStack() as open_now:

        def carried() -> Counter[str]:
            own = http.client.HTTPSConnection(
                "localhost", site.gateway.ports["reverse"], timeout=PATIENCE, context=context
            )
            open_now.callback(own.close)
            own.request("GET", "/things", headers=fields)
            assert own.getresponse().read() == b"{}"
            return site.by_log("decision") - before

        wait_for(lambda: len(carried()) == 2)


def test_what_is_held_at_one_goes_on_as_soon_as_it_was_answered_at_the_control_process(site):
    took = []
    for turn in range(2):
        with ExitStack() as open_now:
            for number in range(2):
                tunnel = open_now.enter_context(site.tunnel())
                tunnel.send(request(f"/held/{turn}/{number}"))
                waiting = site.next()["id"]
                site.people.one("approve", waiting, reason="Seen")
                answered = time.monotonic()
                assert tunnel.reply().status == 200
                took.append(time.monotonic() - answered)
    assert len(set(site.changes())) == 4
    assert min(took) < 0.25  # a busy machine has no say in what is best
    assert not any("." in log for log in site.by_log("access.answered"))


def test_attempts_at_once_over_both_on_one_grant_are_one_forward(site):
    grant = site.granted("/once")
    token = site.tokens.token()
    with ExitStack() as open_now:
        tunnels = [open_now.enter_context(site.tunnel(token)) for _ in range(ATTEMPTS)]
        for tunnel in tunnels:
            tunnel.send(request("/once", LATER))
        statuses = Counter(tunnel.reply().status for tunnel in tunnels)
    assert statuses[200] == 1
    assert statuses.keys() <= {200, 202, 403}
    assert site.changes() == ["/once"]
    spent = [each for each in site.gateway.entries("grant.spent") if each["grant"] == grant]
    assert len(spent) == 1
    for each in site.people.all("requests"):
        site.people.one("deny", each["request"]["id"], reason="That was all")


def test_revoking_ends_what_is_under_way_in_a_worker_within_a_second(site):
    over = threading.Event()
    site.handler = silent(over)
    grant = site.granted("/slow")
    with site.tunnel() as tunnel:
        tunnel.send(request("/slow", LATER))
        wait_for(lambda: site.changes() == ["/slow"])
        site.people.one("revoke", grant, reason="Not that one")
        revoked = time.monotonic()
        reply = tunnel.reply()
        took = time.monotonic() - revoked
    over.set()
    assert took < 1
    assert (reply.status, b"grant-revoked" in reply.body) == (403, True)
    assert site.settled(grant) == ["revoked in flight"]


def test_keys_of_the_gateways_own_tokens_are_the_same_in_both(site):
    keys = []
    with ExitStack() as open_now:
        for _ in range(2):
            tunnel = Tunnel(
                site.gateway.proxy,
                site.gateway.ca,
                site.tokens.token(),
                authority="jitgate.internal:443",
                sni="jitgate.internal",
            )
            open_now.enter_context(tunnel)
            tunnel.send(b"GET /jwks.json HTTP/1.1\r\nHost: jitgate.internal\r\n\r\n")
            keys.append(tunnel.reply().body)
    assert keys[0] == keys[1]
    assert orjson.loads(keys[0])["keys"]


# --- another configuration


def reload(site: Site, code: int) -> str:
    """By the signal, which needs no power; what the log says of it."""
    before = len(site.gateway.output)
    site.gateway.process.send_signal(signal.SIGHUP)
    word = "Reloaded " if code == 0 else "Not reloaded"
    return wait_for(lambda: [each for each in site.gateway.output[before:] if word in each])[0]


def refused_by(site: Site) -> set[bool]:
    """Whether each worker denies what the rule of the test is about."""
    with ExitStack() as open_now:
        tunnels = [open_now.enter_context(site.tunnel()) for _ in range(6)]
        return {tunnel.ask("GET", "/secret").status == 403 for tunnel in tunnels}


def test_a_reload_reaches_both_or_neither(site):
    hidden = {"name": "hidden", "reason": "A test.", "match": {"paths": ["/secret"]}}
    assert refused_by(site) == {False}
    site.policy(hidden | {"effect": "denied"})
    reload(site, 1)
    assert refused_by(site) == {False}
    site.policy(hidden | {"effect": "deny"})
    reload(site, 0)
    assert refused_by(site) == {True}
    site.policy()
    reload(site, 0)
    assert refused_by(site) == {False}


# --- what dies


def test_a_worker_that_is_killed_under_load_takes_nothing_with_it(site):
    over, ended = threading.Event(), threading.Event()
    grant = site.granted("/lost")
    site.handler = silent(over)
    answered: dict[str, int] = {}

    def ask(tunnel: Tunnel, number: int) -> None:
        with suppress(OSError, http.client.HTTPException, ValueError):
            for turn in takewhile(lambda _: not ended.is_set(), count()):
                path = f"/load/{number}/{turn}"
                answered[path] = tunnel.ask("GET", path).status

    def plain(received, tls):
        return (
            silent(over)(received, tls) if received.line.startswith("POST") else fast(received, tls)
        )

    fast = answering(b"{}")
    site.handler = plain
    before = site.workers()
    with ExitStack() as open_now, ThreadPoolExecutor(4) as pool:
        out = open_now.enter_context(site.tunnel())
        out.send(request("/lost", LATER))
        wait_for(lambda: "/lost" in site.changes())
        (log,) = [each["log"] for each in spent_in(site, grant)]
        victim = pid_of(site, log)
        tunnels = [open_now.enter_context(site.tunnel()) for _ in range(4)]
        loads = [pool.submit(ask, tunnel, number) for number, tunnel in enumerate(tunnels)]
        time.sleep(0.3)
        os.kill(victim, signal.SIGKILL)
        with pytest.raises((OSError, http.client.HTTPException)):
            out.reply()  # what it was carrying fails
        wait_for(lambda: health(site.gateway)[1]["workers"]["state"] == "down")
        assert health(site.gateway)[0] == 200  # the other one serves
        assert site.settled(grant) == ["unknown"]
        ended.set()
        for load in loads:
            load.result()
    over.set()
    assert sum(status == 200 for status in answered.values()) > 4
    wait_for(site.well)
    after = site.workers()
    assert len(after) == 2
    assert victim in before
    assert victim not in after
    closed = [each for each in site_log(site) if each["type"] == "log.closed"]
    assert [(each["log"], each["clean"]) for each in closed] == [(log, False)]
    assert (
        site.gateway.recordings / "logs" / log / "000000000000.jsonl"
    ).stat().st_mode & 0o222 == 0
    verified(site.gateway.recordings, site.folder / "state" / "site.vkey")
    site.handler = fast
    with ExitStack() as open_now:
        tunnels = [open_now.enter_context(site.tunnel()) for _ in range(2)]
        assert {tunnel.ask("GET", "/again").status for tunnel in tunnels} == {200}
    recorded = {
        kept.part("request")["target"]
        for kept in Recording(site.gateway.recordings).every_entry()
        if kept.type == "decision"
    }
    assert answered.keys() <= recorded


def site_log(site: Site) -> list[dict[str, Any]]:
    return [
        orjson.loads(line)
        for file in sorted((site.gateway.recordings / "site").glob("*.jsonl"))
        for line in file.read_bytes().splitlines()
    ]


def spent_in(site: Site, grant: str) -> list[dict[str, str]]:
    """Which log tells that a grant was spent."""
    every = Recording(site.gateway.recordings).every_entry()
    found = [kept for kept in every if kept.type == "grant.spent"]
    return [{"log": kept.log} for kept in found if kept.text("grant") == grant]


def pid_of(site: Site, log: str) -> int:
    """Which process writes a log."""
    opened = next(iter(Recording(site.gateway.recordings).entries(log)))
    return int(opened.content["run"]["pid"])


def test_without_the_control_process_nobody_serves(site):
    with site.tunnel() as tunnel:
        assert tunnel.ask("GET", "/things").status == 200
        os.kill(site.gateway.process.pid, signal.SIGKILL)
        site.gateway.process.wait(30)
        killed = time.monotonic()  # and the signal is on its way to the workers

        def is_over() -> bool:
            try:
                tunnel.ask("GET", "/things")
            except (OSError, http.client.HTTPException):
                return True
            return False

        wait_for(is_over)
        wait_for(lambda: not listens(site))
    assert time.monotonic() - killed < 5


def listens(site: Site) -> bool:
    try:
        socket.create_connection(site.gateway.proxy, 5).close()
    except OSError:
        return False
    return True


def test_the_next_start_takes_up_what_is_left_and_ends_in_time_with_all_in_order(running):
    with GatewayProcess(running.folder, running.configured()) as running.gateway:
        wait_for(running.well)
        with running.tunnel() as held:
            held.send(request("/waits"))
            running.next()
            began = time.monotonic()
            assert running.gateway.stop() == 0
            assert time.monotonic() - began < 10
            assert held.reply().status in {202, 403, 503}
    report = verified(running.gateway.recordings, running.folder / "state" / "site.vkey")
    assert report.all_witnessed
    assert site_log(running)[-1]["type"] == "site.close"
