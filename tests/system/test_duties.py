"""Budgets and what policy approves itself, through a real gateway and its own database."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from support.approver import REVIEWED, Approver, people
from support.counterparts import TestCA
from support.gateway import GatewayProcess, settings, target
from support.tokens import Tokens
from support.wire import Origin, answering
from system.conftest import Scene

AT_ONCE = 20
"""Calls that race for five places."""

BUDGET = {"uses": 5, "within": "1h"}
COUNTED = {"name": "few-changes", "reason": "A few an hour.", "match": {"methods": ["POST"]}}
COUNTED |= {"effect": "permit", "budget": BUDGET}
READS = {"name": "reads", "reason": "They may look.", "match": {"methods": ["GET"]}}
READS |= {"effect": "permit"}


class Desk(Scene):
    """One gateway after another on the same state, and the origin behind them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = TestCA.create(folder, name="origin")
        self.tokens = Tokens(folder)
        self.handler = answering(b'{"name":"Ada"}')
        self.origin = Origin(self.ca.leaf("api.example"), self.handle)

    @contextmanager
    def serving(self, *rules: Any) -> Iterator[GatewayProcess]:
        """The gateway by these rules; what it did not foresee fails the test."""
        (self.folder / "policy.yaml").write_bytes(orjson.dumps(list(rules)))
        far = target(self.origin.port, self.ca.pem)
        configuration = settings(self.folder, self.tokens.jwks, [far]) | people(hold="20s")
        with GatewayProcess(self.folder, configuration) as self.gateway:
            yield self.gateway
        faults = [each for each in self.gateway.output if "Traceback" in each or "critical" in each]
        assert not faults, "".join(self.gateway.output)

    def forwarded(self) -> int:
        return sum(each.line.startswith("POST") for each in self.origin.received)

    def race(self) -> list[int]:
        """Many calls at once, each on a tunnel of its own; their statuses."""
        ready = threading.Barrier(AT_ONCE)

        def call(number: int) -> int:
            with self.tunnel() as tunnel:
                ready.wait()
                return int(tunnel.ask("POST", f"/things/{number}", b"{}").status)

        with ThreadPoolExecutor(AT_ONCE) as pool:
            return sorted(pool.map(call, range(AT_ONCE)))


@pytest.fixture
def desk(tmp_path):
    made = Desk(tmp_path)
    with made.origin:
        yield made


@pytest.fixture(autouse=True)
def plain_answers():
    """Every desk begins with plain answers."""


@pytest.fixture(autouse=True)
def no_unforeseen_fault():
    """Every desk looks after its own gateway."""


def test_the_sixth_call_of_an_hour_is_refused_also_by_the_next_gateway_on_that_state(desk):
    with desk.serving(COUNTED, READS), desk.tunnel() as one, desk.tunnel() as other:
        for tunnel in (one, other, one):
            assert tunnel.ask("POST", "/things/1", b"{}").status == 200
    larger = COUNTED | {"reason": "Reworded.", "budget": [BUDGET, {"uses": 50, "within": "24h"}]}
    with desk.serving(larger, READS), desk.tunnel() as tunnel:
        for status in (200, 200, 403, 403):
            reply = tunnel.ask("POST", "/things/2", b"{}")
            assert reply.status == status
        problem = orjson.loads(reply.body)
        assert problem["type"].endswith("/budget-spent")
        assert problem["rule"] == "few-changes"
        assert problem["detail"].startswith("At most 5 calls in 1 h for this subject; room again")
        assert reply.header("Retry-After") is None
        assert tunnel.ask("GET", "/things/2").status == 200
        with desk.tunnel(token=desk.tokens.token(subject="bot-8")) as another:
            assert another.ask("POST", "/things/3", b"{}").status == 200
        outcomes = [each["outcome"] for each in desk.gateway.entries("outcome")]
        assert outcomes.count("denied") == 2
    assert desk.forwarded() == 6


def test_of_twenty_calls_at_once_exactly_five_go(desk):
    with desk.serving(COUNTED):
        assert desk.race() == [200] * 5 + [403] * 15
    assert desk.forwarded() == 5


def test_of_twenty_calls_at_once_that_policy_approves_itself_exactly_five_go(desk):
    itself = {name: value for name, value in REVIEWED.items() if name != "approvers"}
    with desk.serving(itself | {"auto": True, "budget": BUDGET}):
        assert desk.race() == [200] * 5 + [403] * 15
        spent = desk.gateway.entries("grant.spent")
        assert [each["approved_by"] for each in spent] == [["policy:people-look"]] * 5
        assert {each["channel"] for each in desk.gateway.entries("access.answered")} == {"policy"}
        assert Approver(desk.gateway.config).waiting() == []
    assert desk.forwarded() == 5
