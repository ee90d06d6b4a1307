"""The gateway killed with -9 at random under load: what was answered is on record, and verifies."""

from __future__ import annotations

import os
import random

import pytest
from support.counterparts import TestCA
from support.crashing import Load, Recorded, answering, lacking, pause, verified
from support.gateway import GatewayProcess, settings, target
from support.tokens import Tokens
from support.wire import Origin

ROUNDS = int(os.environ.get("JITGATE_CRASHES", "40"))
"""So many times it is killed; a thousand in ``.ci/run --long``."""

IN_ONE = 20
"""So many runs in one recording: to verify it takes longer with each."""

LONGEST = 0.4
"""Seconds of load at most before it is killed: dozens of batches."""


# What the folder's conftest makes for its other modules is not needed here.
@pytest.fixture(autouse=True)
def plain_answers():
    """Each recording has an origin of its own."""


@pytest.fixture(autouse=True)
def no_unforeseen_fault():
    """A test looks after its own gateways."""


@pytest.mark.timeout(60 + 6 * IN_ONE)
@pytest.mark.parametrize("number", range(-(-ROUNDS // IN_ONE)))
def test_killed_under_load_it_has_on_record_whatever_was_answered(tmp_path, number):
    chance = random.Random(number)
    ca, tokens = TestCA.create(tmp_path, name="origin"), Tokens(tmp_path)
    key, answered, notes = tmp_path / "state" / "site.vkey", {}, []
    with Origin(ca.leaf("api.example"), answering()) as origin:
        configuration = settings(tmp_path, tokens.jwks, [target(origin.port, ca.pem)])
        for turn in range(IN_ONE):
            with GatewayProcess(tmp_path, configuration) as gateway:
                load = Load(gateway, tokens.token(), f"{turn}")
                load.until(pause(chance.uniform(0.01, LONGEST)))
                assert "Traceback" not in "".join(gateway.output)
            answered |= load.answered
            notes.append(max((gateway.recordings / "checkpoints").iterdir()).read_bytes())
            verified(gateway.recordings, key)
        # The last one takes stock of what the others left, and ends in order.
        with GatewayProcess(tmp_path, configuration) as gateway:
            assert gateway.stop() == 0
    assert len(answered) > IN_ONE
    assert lacking(Recorded.of(gateway.recordings), answered, origin.received) == []
    newest = max((gateway.recordings / "checkpoints").iterdir()).read_bytes()
    assert verified(gateway.recordings, key, newest).all_witnessed
    for note in notes[:: IN_ONE // 4]:
        verified(gateway.recordings, key, note)
