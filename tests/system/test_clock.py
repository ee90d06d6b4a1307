"""A clock that is set while the gateway runs: what had ended by it must not begin to count again."""

from __future__ import annotations

import time

import pytest
from support.counterparts import TestCA
from support.gateway import GatewayProcess, health, settings, target
from support.preloaded import compiled
from support.tokens import Tokens
from support.wire import Origin, Tunnel, answering

HOUR = 3600


# What the folder's conftest makes for its other modules is not needed here.
@pytest.fixture(autouse=True)
def plain_answers():
    """The gateway has an origin of its own."""


@pytest.fixture(autouse=True)
def no_unforeseen_fault():
    """What it meets is foreseen."""


@pytest.mark.needs_debian("gcc")
def test_a_clock_that_was_set_back_lets_nothing_pass(tmp_path):
    clock, ca, tokens = tmp_path / "clock", TestCA.create(tmp_path, name="origin"), Tokens(tmp_path)
    ended = int(time.time()) - HOUR // 2
    old, good = tokens.token(iat=ended - HOUR, exp=ended), tokens.token(iat=ended - HOUR)
    env = {"LD_PRELOAD": str(compiled("clock", tmp_path)), "JITGATE_CLOCK": str(clock)}

    def asked(token):
        with Tunnel(gateway.proxy, gateway.ca, token) as tunnel:
            return tunnel.ask("GET", "/").status

    with Origin(ca.leaf("api.example"), answering(b"{}")) as origin:
        configuration = settings(tmp_path, tokens.jwks, [target(origin.port, ca.pem)])
        with GatewayProcess(tmp_path, configuration, env=env) as gateway:
            assert (asked(good), asked(old)) == (200, 401)
            clock.write_text(f"{-HOUR}")
            assert (asked(good), asked(old)) == (502, 502)
            status, told = health(gateway)
            reason = "The machine's clock was set back by 3600 s."
            assert (status, told["recorder"]["reason"]) == (503, reason)
            clock.write_text("0")
            assert (asked(good), asked(old)) == (200, 401)
            assert len(origin.received) == 2
