"""The real gateway's log, in the form and from the level that was chosen, of every process."""

from __future__ import annotations

import json

import pytest
from support.counterparts import TestCA
from support.gateway import GatewayProcess, settings, target
from support.tokens import Tokens


@pytest.fixture(autouse=True)
def plain_answers():
    """There is no scene."""


@pytest.fixture(autouse=True)
def no_unforeseen_fault():
    """There is no scene."""


def test_each_line_of_it_is_an_object_and_workers_say_so_too(tmp_path):
    ca = TestCA.create(tmp_path, name="origin")
    made = settings(tmp_path, Tokens(tmp_path).jwks, [target(1, ca.pem)], workers=2)
    with GatewayProcess(tmp_path, made | {"log": {"lines": "json"}}) as gateway:
        assert gateway.stop() == 0
        told = [json.loads(line) for line in gateway.output]
    assert {"time", "level", "logger", "message", "pid"} == set().union(*told)
    assert len({each["pid"] for each in told}) == 3
    assert any(" serves: " in each["message"] for each in told)
