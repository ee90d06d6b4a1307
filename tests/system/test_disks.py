"""A disk that fails under the gateway: nothing passes without its record, and it goes on after."""

from __future__ import annotations

import http.client
import json
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from support.counterparts import TestCA
from support.crashing import Recorded, answering, lacking, verified
from support.gateway import GatewayProcess, health, settings, target, wait_for
from support.pages import block
from support.preloaded import compiled
from support.tokens import Tokens
from support.wire import Origin, Tunnel

STOPS = 0.5
"""Seconds in which traffic stops once the disk fails."""

SPARE = 1.5
"""Seconds more on a busy machine."""


PAGE = "docs/operating.md"


def plain(text):
    return YAML(typ="safe", pure=True).load(text)


def ready(gateway):
    """What /readyz says of a gateway that is not."""
    with pytest.raises(urllib.error.HTTPError) as told:
        urllib.request.urlopen(f"http://127.0.0.1:{gateway.ports['admin']}/readyz", timeout=10)
    with told.value as error:
        assert error.code == 503
        return json.loads(error.read())


# What the folder's conftest makes for its other modules is not needed here.
@pytest.fixture(autouse=True)
def plain_answers():
    """Each gateway has an origin of its own."""


@pytest.fixture(autouse=True)
def no_unforeseen_fault():
    """What it meets is foreseen."""


@dataclass
class Agent:
    """Asks on a tunnel for each call, and remembers what it was answered."""

    gateway: GatewayProcess
    token: str
    answered: dict[str, bytes] = field(default_factory=dict)
    count: int = 0

    def ask(self):
        """The status of one more call; 0 if its answer broke off."""
        self.count += 1
        path = f"/{self.count}"
        with Tunnel(self.gateway.proxy, self.gateway.ca, self.token) as tunnel:
            if tunnel.status != 200:
                return tunnel.status
            try:
                reply = tunnel.ask("POST", path, b'{"a":1}')
            except (OSError, http.client.HTTPException):
                return 0
        if reply.status == 200:
            self.answered[path] = reply.body
        return reply.status


@dataclass
class Scene:
    """A gateway whose recording is on a disk of its own, with an agent."""

    gateway: GatewayProcess
    agent: Agent
    origin: Origin
    disk: Path

    def stops_and_goes_on(self, fail, mend, meanwhile=lambda: None):
        """Traffic stops while the disk fails, and goes on once it is mended."""
        assert [self.agent.ask() for _ in range(3)] == [200] * 3
        fail()
        begun = time.monotonic()
        while self.agent.ask() == 200:
            assert time.monotonic() < begun + STOPS + SPARE
        assert time.monotonic() < begun + STOPS + SPARE
        sent = len(self.origin.received)
        for _ in range(20):
            assert self.agent.ask() != 200
        assert len(self.origin.received) == sent
        assert health(self.gateway)[0] == 503
        meanwhile()
        mend()
        wait_for(lambda: health(self.gateway)[0] == 200)
        assert [self.agent.ask() for _ in range(3)] == [200] * 3

    def is_whole(self):
        """Once it has stopped in order, everything is on record, and verifies."""
        assert self.gateway.stop() == 0
        assert "Traceback" not in "".join(self.gateway.output)
        newest = max((self.disk / "recordings" / "checkpoints").iterdir()).read_bytes()
        key = self.gateway.folder / "state" / "site.vkey"
        assert verified(self.disk / "recordings", key, newest).all_witnessed
        recorded = Recorded.of(self.disk / "recordings")
        assert lacking(recorded, self.agent.answered, self.origin.received) == []


@contextmanager
def serving(folder, disk, env=None, **more):
    ca, tokens = TestCA.create(folder, name="origin"), Tokens(folder)
    where = {"recording": {"directory": str(disk / "recordings")}, **more}
    with Origin(ca.leaf("api.example"), answering()) as origin:
        configuration = settings(folder, tokens.jwks, [target(origin.port, ca.pem)], **where)
        with GatewayProcess(folder, configuration, env=env) as gateway:
            yield Scene(gateway, Agent(gateway, tokens.token()), origin, disk)


@dataclass
class Faults:
    """A disk that fails as it is told, and tells what was done to its files."""

    folder: Path
    disk: Path

    @property
    def env(self):
        return {
            "LD_PRELOAD": str(compiled("failing", self.folder)),
            "JITGATE_FAULT": str(self.folder / "fault"),
            "JITGATE_FAULTY": str(self.disk),
            "JITGATE_JOURNAL": str(self.folder / "journal"),
        }

    def begin(self, fault):
        (self.folder / "fault.new").write_text(fault)
        (self.folder / "fault.new").replace(self.folder / "fault")

    def end(self):
        (self.folder / "fault").unlink()

    def touched_again(self):
        """What was done to a file behind a failure of it."""
        lines = (self.folder / "journal").read_text().splitlines()
        failed, found = set(), []
        for what, how, key in map(str.split, lines):
            if key in failed:
                found.append(f"{what} {key}")
            elif how == "failed":
                failed.add(key)
        assert failed
        return found


@pytest.fixture
def faults(tmp_path):
    (tmp_path / "disk").mkdir()
    return Faults(tmp_path, tmp_path / "disk")


@pytest.mark.needs_debian("gcc")
@pytest.mark.parametrize("fault", ["write-eio", "short", "sync-eio", "read-only"])
def test_traffic_stops_while_the_disk_fails_and_no_failed_file_is_touched_again(
    tmp_path, faults, fault
):
    with serving(tmp_path, faults.disk, faults.env) as scene:
        scene.stops_and_goes_on(lambda: faults.begin(fault), faults.end)
        scene.is_whole()
    assert faults.touched_again() == []


@pytest.mark.needs_root
def test_traffic_stops_while_the_disk_is_full_and_goes_on_with_room(tmp_path):
    """What is said meanwhile is what docs/operating.md shows."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", disk], check=True)
    try:
        with serving(tmp_path, disk, **plain(block(PAGE, "log:"))) as scene:

            def fill():
                with (disk / "ballast").open("wb", buffering=0) as file, suppress(OSError):
                    while file.write(bytes(4096)):
                        pass

            def says_so():
                # The first write that fails may have found room for a part of it.
                shown = json.loads(block(PAGE, '{"ready"'))
                wait_for(lambda: ready(scene.gateway) == shown)

            scene.stops_and_goes_on(fill, lambda: (disk / "ballast").unlink(), says_so)
            scene.is_whole()
        shown = json.loads(block(PAGE, '{"time"'))
        begins = shown["message"].partition("(")[0]
        logged = [json.loads(line) for line in scene.gateway.output if line.startswith("{")]
        (first, *_) = [each for each in logged if each["message"].startswith(begins)]
        assert list(first) == list(shown)
        assert (first["level"], first["logger"]) == (shown["level"], shown["logger"])
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


@pytest.mark.needs_debian("gcc")
def test_a_slow_disk_makes_calls_slow_and_loses_none(tmp_path, faults):
    with serving(tmp_path, faults.disk, faults.env) as scene:
        assert scene.agent.ask() == 200
        faults.begin("slow")
        begun = time.monotonic()
        assert scene.agent.ask() == 200
        assert time.monotonic() - begun >= 4  # its decision, and then its outcome
        faults.end()
        assert scene.agent.ask() == 200
        scene.is_whole()
