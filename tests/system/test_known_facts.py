"""Plugins in a gateway that runs: what they know from outside, and what becomes of slow ones."""

from __future__ import annotations

import orjson
import pytest
from support.gateway import health, wait_for
from support.wire import answering
from system.test_reload import PERMIT, Desk

KNOWS = """\
import pathlib
from twisted.internet import reactor
from twisted.internet.task import deferLater
from zope.interface import implementer
from jitgate.interfaces import IFacts, IInformedRule
from jitgate.values import Effect, Undecided, Verdict

FILE = pathlib.Path(__file__).with_name("ticket")


@implementer(IFacts)
class Tickets:
    name, version, deadline, max_age = "ticket", "1", 0.3, 0

    def key(self, operation, subject):
        return operation.path

    async def gather(self, operation, subject):
        says = FILE.read_text()
        if says == "late":
            await deferLater(reactor, 20, lambda: None)
        if says == "raises":
            raise RuntimeError("secret-internals")
        return ["nonsense"] if says == "nonsense" else {"open": says == "open"}


@implementer(IInformedRule)
class OnlyWithATicket:
    name, version, facts = "only-with-a-ticket", "1", frozenset({"ticket"})

    def judge(self, inquiry):
        if "ticket" not in inquiry.facts:
            return Undecided("The ticket is not known.")
        if inquiry.facts["ticket"]["open"]:
            return Verdict(Effect.PERMIT, "The ticket is open.")
        return None


def plugin(options):
    return [Tickets(), OnlyWithATicket()]
"""

SLOW = """\
import time
from zope.interface import implementer
from jitgate.interfaces import IRule


@implementer(IRule)
class Sleeps:
    name, version = "sleeps", "1"

    def judge(self, inquiry):
        if inquiry.operation.path == "/slow":
            time.sleep({seconds})
        return None


def plugin(options):
    return Sleeps()
"""

NOBODY = {**PERMIT, "match": {"groups": ["nobody"]}}


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


# What the folder's conftest makes for its other modules is not needed here.
@pytest.fixture(autouse=True)
def plain_answers():
    """Every desk begins with plain answers."""


@pytest.fixture(autouse=True)
def no_unforeseen_fault():
    """Every desk looks after its own gateway."""


def plugged(desk, text):
    file = desk.folder / "plugin.py"
    file.write_text(text)
    return {"plugins": [{"file": str(file)}]}


def test_a_call_is_permitted_while_the_facts_say_so_and_they_stand_in_the_record(desk):
    ticket = desk.folder / "ticket"
    desk.policy(NOBODY)
    expected = {
        "open": {"known": {"open": True}},
        "closed": {"known": {"open": False}},
        "late": {"missing": "late"},
        "raises": {"missing": "failed"},
        "nonsense": {"missing": "failed"},
    }
    with desk.serving(**plugged(desk, KNOWS)), desk.tunnel() as tunnel:
        for says, recorded in expected.items():
            ticket.write_text(says)
            reply = tunnel.ask("GET", "/")
            assert reply.status == (200 if says == "open" else 403), says
            if "missing" in recorded:
                assert "The ticket is not known." in orjson.loads(reply.body)["detail"]
            entry = desk.gateway.entries("decision")[-1]
            told = entry["facts"]["ticket"]
            assert told.pop("seconds", 0.0) < 20
            assert told == recorded
        assert len(desk.origin.received) == 1
        output = "".join(desk.gateway.output)
        assert output.count("Facts 'ticket' are not known") == 1
        assert "secret-internals" not in output
        ticket.write_text("open")
        assert tunnel.ask("GET", "/").status == 200
        there = {"authority": "jitgate.internal:443", "sni": "jitgate.internal"}
        with desk.tunnel(**there) as own:
            own.send(b"GET /manifest HTTP/1.1\r\nHost: jitgate.internal\r\n\r\n")
            assert own.reply().status == 200


def test_a_rule_that_sleeps_is_switched_off_and_named_everywhere_until_a_reload(desk):
    """It may take a call or two more: where another thread was at work it is not counted at once."""
    with (
        desk.serving(**plugged(desk, SLOW.format(seconds=0.006))) as gateway,
        desk.tunnel() as tunnel,
    ):
        assert [tunnel.ask("GET", "/").status for _ in range(3)] == [200] * 3
        assert health(gateway)[1]["plugins"] == {"state": "ok", "switched_off": []}
        statuses = [tunnel.ask("GET", "/slow").status]
        while statuses[-1] == 200 and len(statuses) < 10:
            statuses.append(tunnel.ask("GET", "/slow").status)
        assert statuses[:2] == [200, 200]
        assert statuses[-1] == 403
        reply = tunnel.ask("GET", "/")
        problem = orjson.loads(reply.body)
        assert (reply.status, problem["rule"]) == (403, "sleeps")
        assert "Rule sleeps was switched off: it took " in problem["detail"]
        entry = gateway.entries("decision")[-1]
        assert (entry["effect"], entry["rule"], entry["reason"]) == (
            "deny",
            "sleeps",
            problem["detail"],
        )
        said = [line for line in gateway.output if "was switched off" in line]
        assert len(said) == 1
        status, told = health(gateway)
        assert (status, told["plugins"]["switched_off"]) == (200, [problem["detail"]])
        plugged(desk, SLOW.format(seconds=0))
        desk.reload()
        assert tunnel.ask("GET", "/slow").status == 200
        assert health(gateway)[1]["plugins"]["state"] == "ok"
        wait_for(lambda: any("Reloaded" in line for line in gateway.output))
        gateway.output[:] = [each for each in gateway.output if "critical" not in each]


MASKER = """\
import time
from zope.interface import implementer
from jitgate.interfaces import IMasker


@implementer(IMasker)
class Sleeps:
    name, version, looks_at_values = "sleeps", "1", True

    def hides(self, field):
        return False

    def mask(self, field, value):
        if value == "broken":
            raise ValueError("secret-internals")
        if value in ("a", "b"):  # and none of a field, which it is shown as well
            time.sleep(0.006)


def plugin(options):
    return Sleeps()
"""


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'["a","b"]', "Masker sleeps was switched off: it took "),
        (b'["broken"]', "masker 'sleeps' failed on a value"),
    ],
)
def test_a_masker_that_is_slow_or_raises_is_named_and_lets_no_answer_pass(desk, body, said):
    desk.handler = answering(body)
    profile = {"profile": "slow", "maskers": ["sleeps"]}
    (desk.folder / "masking.yaml").write_bytes(orjson.dumps([profile]))
    desk.policy({**PERMIT, "mask": "slow"})
    more = {"masking": ["./masking.yaml"], **plugged(desk, MASKER)}
    with desk.serving(**more) as gateway, desk.tunnel() as tunnel:
        for _ in range(10):
            reply = tunnel.ask("GET", "/")
            if reply.status == 502:
                break
        problem = orjson.loads(reply.body)
        assert problem["type"].endswith("/response-withheld")
        assert problem["detail"].startswith(said)
        assert wait_for(lambda: gateway.entries("outcome"))[-1]["why"] == problem["detail"]
        sent = len(desk.origin.received)
        assert tunnel.ask("GET", "/").status == 502
        assert len(desk.origin.received) - sent == (body == b'["broken"]')
        assert "secret-internals" not in "".join(gateway.output)
        gateway.output[:] = [each for each in gateway.output if "critical" not in each]
