"""The power cut under load: whatever was not synced is gone, and nothing that counts is missing."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys

import orjson
import pytest
from support.counterparts import TestCA
from support.crashing import Load, Recorded, answering, lacking, pause, verified
from support.gateway import GatewayProcess, settings, target, wait_for
from support.power import Power
from support.tokens import Tokens
from support.wire import Origin

pytestmark = pytest.mark.needs_debian("gcc")

ROUNDS = 5
"""Power cuts in one recording."""


STARTS = int(os.environ.get("JITGATE_STARTS", "8"))
"""So many of them are cut short."""

FIRST = (
    *("state", "state/ca.key", "state/site.key", "state/site.name", "state/site.recording"),
    *("state/site.vkey", "state/access.sqlite", "state/recordings"),
)
LATER = (
    *("state/recordings/site/*", "state/recordings/logs/*"),
    *("state/recordings/logs/*/*", "state/recordings/checkpoints/*"),
)
"""What is made as it starts, the first time and each time."""


# What the folder's conftest makes for its other modules is not needed here.
@pytest.fixture(autouse=True)
def plain_answers():
    """Each recording has an origin of its own."""


@pytest.fixture(autouse=True)
def no_unforeseen_fault():
    """A test looks after its own gateways."""


@pytest.mark.timeout(120)
@pytest.mark.parametrize("more", [False, True], ids=["what was synced", "and some of the rest"])
def test_after_a_power_cut_it_has_on_record_whatever_was_answered(tmp_path, more):
    chance = random.Random(4)
    ca, tokens = TestCA.create(tmp_path, name="origin"), Tokens(tmp_path)
    folder = tmp_path / "site"
    folder.mkdir()
    answered, key, notes = {}, folder / "state" / "site.vkey", []
    with Origin(ca.leaf("api.example"), answering()) as origin:
        configuration = settings(tmp_path, tokens.jwks, [target(origin.port, ca.pem)])
        power = Power.of(folder, tmp_path)
        for turn in range(ROUNDS):
            with GatewayProcess(folder, configuration, env=power.env) as gateway:
                load = Load(gateway, tokens.token(), f"{turn}")
                load.until(pause(chance.uniform(0.01, 0.3)))
                assert "Traceback" not in "".join(gateway.output)
            answered |= load.answered
            notes.append(max((gateway.recordings / "checkpoints").iterdir()).read_bytes())
            keys = key.read_bytes(), gateway.ca.read_bytes()
            power.cut(chance if more else None)
            assert (key.read_bytes(), gateway.ca.read_bytes()) == keys
            verified(gateway.recordings, key, notes[-1])
            missing = lacking(Recorded.of(gateway.recordings), answered, origin.received)
            assert missing == []
        with GatewayProcess(folder, configuration, env=power.env) as gateway:
            assert gateway.stop() == 0
        power.cut()
    assert len(answered) > ROUNDS
    newest = max((gateway.recordings / "checkpoints").iterdir()).read_bytes()
    assert verified(gateway.recordings, key, newest).all_witnessed
    assert verified(gateway.recordings, key, notes[0]).logs == 1


MAKE_KEYS = """
import sys
from pathlib import Path
from jitgate.stores.state import StateFolder

state = StateFolder(Path(sys.argv[1]))
print(state.site_key().hex(), state.signing_keys().site)
"""


def test_keys_that_were_made_are_there_after_a_power_cut(tmp_path):
    """Before anything is signed with them, and whatever else is synced beside them."""
    (tmp_path / "site").mkdir()
    power = Power.of(tmp_path / "site", tmp_path)

    def made():
        command = [sys.executable, "-c", MAKE_KEYS, tmp_path / "site" / "state"]
        env = {**os.environ, **power.env}
        return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout

    before = made()
    power.cut()
    assert made() == before


@pytest.mark.timeout(60 + 4 * STARTS)
def test_a_power_cut_while_it_starts_keeps_it_from_nothing(tmp_path):
    """Neither the first start nor a later one leaves anything that the next cannot go on from."""
    chance = random.Random(9)
    ca, tokens = TestCA.create(tmp_path, name="origin"), Tokens(tmp_path)
    folder = tmp_path / "site"
    folder.mkdir()
    power = Power.of(folder, tmp_path)
    with Origin(ca.leaf("api.example"), answering()) as origin:
        configuration = settings(tmp_path, tokens.jwks, [target(origin.port, ca.pem)])
        for turn in range(STARTS):
            if turn % 4 == 0:  # one of them is a first start
                shutil.rmtree(folder / "state", ignore_errors=True)
            (folder / "jitgate.yaml").write_bytes(orjson.dumps(configuration))
            power.settle()
            moment = chance.choice(LATER if turn % 4 else (*FIRST, *LATER))
            command = [sys.executable, "-m", "jitgate", "run", "--config", folder / "jitgate.yaml"]
            said = _killed_at(command, {**os.environ, **power.env}, folder, moment)
            assert said is None, (turn, moment, said)
            power.cut(chance)
        with GatewayProcess(folder, configuration, env=power.env) as gateway:
            assert gateway.stop() == 0
    key = folder / "state" / "site.vkey"
    newest = max((gateway.recordings / "checkpoints").iterdir()).read_bytes()
    assert verified(gateway.recordings, key, newest).all_witnessed


def _killed_at(command, env, folder, moment):
    """Start it and kill it once there is something new; what it said if it ended by itself."""
    before = {*folder.glob(moment)}
    with subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as starting:
        wait_for(lambda: starting.poll() is not None or {*folder.glob(moment)} - before)
        if starting.poll() is not None:
            return starting.stdout.read()
        starting.kill()
    return None
