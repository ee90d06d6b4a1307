"""What a gateway does that is told to stop: it ends what it can, says why of the rest, and seals."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import pytest
from support.approver import REVIEWED, people
from support.counterparts import TestCA
from support.gateway import GatewayProcess, settings, target
from support.tokens import Tokens
from support.wire import Origin, Tunnel, answering

STOP = 4
"""Seconds that the gateway is given."""

LONG = {"stop": "60s"}
"""For what must not take it up."""

SPARE = 2.0
"""Seconds more that a process takes to end on a busy machine."""

GET = b"GET /things HTTP/1.1\r\nHost: api.example\r\n\r\n"
POST = b"POST /things HTTP/1.1\r\nHost: api.example\r\nContent-Length: 2\r\n\r\n{}"


@dataclass
class Site:
    """A gateway of a test's own, before an origin that it tells how to answer."""

    folder: Path
    ca: TestCA
    tokens: Tokens
    handler: object = field(default_factory=lambda: answering(b'{"name":"Ada"}'))

    def serving(self, origin, **more):
        configuration = settings(self.folder, self.tokens.jwks, [target(origin.port, self.ca.pem)])
        return GatewayProcess(self.folder, configuration | {"limits": {"stop": f"{STOP}s"}} | more)

    def origin(self):
        return Origin(self.ca.leaf("api.example"), lambda *asked: self.handler(*asked))


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path, TestCA.create(tmp_path, name="origin"), Tokens(tmp_path))


def opened(gateway, site):
    return Tunnel(gateway.proxy, gateway.ca, site.tokens.token())


def stopped(gateway) -> float:
    """The seconds it took to stop, orderly, with a record that is sealed."""
    begun = time.monotonic()
    assert gateway.stop() == 0, "".join(gateway.output)
    took = time.monotonic() - begun
    assert took < STOP + SPARE
    assert not [line for line in gateway.output if "Traceback" in line], "".join(gateway.output)
    verified = subprocess.run(
        [sys.executable, "-m", "jitgate", "verify", "--json", "--config", str(gateway.config)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert verified.returncode == 0, verified.stdout + verified.stderr
    (told,) = orjson.loads(verified.stdout)
    assert told["unwitnessed"]["entries"] == 0  # the log was closed and signed
    return took


def test_idle_tunnels_whose_agents_never_answer_do_not_keep_it(site):
    with site.origin() as origin, site.serving(origin, limits=LONG) as gateway:
        tunnels = [opened(gateway, site) for _ in range(20)]
        for tunnel in tunnels[:10]:
            assert tunnel.ask("GET", "/things").status == 200
        assert stopped(gateway) < STOP
        for tunnel in tunnels:
            assert tunnel.tls.recv(1) == b""  # an end, and no reset
            tunnel.close()


def test_an_answer_that_has_just_been_given_is_not_lost(site):
    big = b"x" * 100_000
    site.handler = answering(big, "text/plain")
    with site.origin() as origin, site.serving(origin) as gateway:
        tunnel = opened(gateway, site)
        tunnel.send(GET)
        while not gateway.entries("outcome"):
            time.sleep(0.01)
        tunnel.send(GET)  # what it sends then must not cost it the answer before
        stopping = threading.Thread(target=stopped, args=(gateway,))
        stopping.start()
        time.sleep(0.5)
        assert tunnel.reply().body == big
        stopping.join()
        tunnel.close()


def test_an_exchange_whose_target_hangs_is_refused_in_time(site):
    over = threading.Event()
    site.handler = lambda *_: over.wait(30) and False
    with site.origin() as origin, site.serving(origin) as gateway:
        with opened(gateway, site) as tunnel:
            tunnel.send(GET)
            while not origin.received:
                time.sleep(0.01)
            assert stopped(gateway) > STOP / 2
            reply = tunnel.reply()
        over.set()
        assert reply.status == 502
        assert b"cut-short" in reply.body
        assert b"The gateway is stopping." in reply.body
        (outcome,) = gateway.entries("outcome")
        assert (outcome["outcome"], outcome["denial"]) == ("failed", "cut-short")


def test_a_held_request_is_told_to_come_back(site):
    (site.folder / "policy.yaml").write_bytes(orjson.dumps([REVIEWED]))
    with site.origin() as origin, site.serving(origin, **people(), limits=LONG) as gateway:
        with opened(gateway, site) as tunnel:
            tunnel.send(POST)
            while not gateway.entries("access.opened"):
                time.sleep(0.01)
            assert stopped(gateway) < STOP
            reply = tunnel.reply()
        assert (reply.status, reply.header("Retry-After")) == (403, "5")
        assert b"approval-pending" in reply.body
        assert gateway.entries("outcome")[0]["outcome"] == "pending"


def test_a_download_that_does_not_end_in_time_is_truncated_and_the_record_says_why(site):
    def give(request, tls):
        tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        for _ in range(1000):
            tls.sendall(b"x" * 100_000)
        return True

    site.handler = give
    with site.origin() as origin, site.serving(origin) as gateway:
        with opened(gateway, site) as tunnel:
            tunnel.send(GET)
            stream = tunnel.tls.makefile("rb")
            while stream.readline().strip():
                pass
            reading = threading.Thread(target=slowly, args=(stream,))
            reading.start()
            stopped(gateway)
            reading.join()
        (outcome,) = gateway.entries("outcome")
        assert (outcome["outcome"], outcome["denial"]) == ("truncated", "cut-short")
        assert outcome["why"] == "The gateway is stopping."
        assert 0 < outcome["released"]["bytes"] < 100_000_000


def slowly(stream):
    try:
        while stream.read(100_000):
            time.sleep(0.02)
    except OSError:
        pass


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_word_to_stop_changes_nothing(site, second):
    over = threading.Event()
    site.handler = lambda *_: over.wait(30) and False
    with site.origin() as origin, site.serving(origin) as gateway:
        with opened(gateway, site) as tunnel:
            tunnel.send(GET)
            while not origin.received:
                time.sleep(0.01)
            gateway.process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            gateway.process.send_signal(second)
            time.sleep(0.3)
            stopped(gateway)
            assert tunnel.reply().status == 502
        over.set()
        assert gateway.entries("outcome")[0]["denial"] == "cut-short"


def test_it_accepts_nothing_more_once_it_is_stopping(site):
    over = threading.Event()
    site.handler = lambda *_: over.wait(30) and False
    with site.origin() as origin, site.serving(origin) as gateway:
        with opened(gateway, site) as tunnel:
            tunnel.send(GET)
            while not origin.received:
                time.sleep(0.01)
            gateway.process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            with pytest.raises(ConnectionError):
                opened(gateway, site)
        over.set()
        stopped(gateway)
