"""The order of disk and wire around a grant, as the kernel saw it (invariant 3).

A log of the gateway's system calls says what was synced before what left, and what had been written
into what was synced.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest
from support.approver import REVIEWED, Approver, people
from support.counterparts import TestCA
from support.gateway import GatewayProcess, settings, target
from support.tokens import Tokens
from support.wire import Origin, Tunnel, answering

pytestmark = [pytest.mark.needs_debian("strace"), pytest.mark.timeout(180)]

SYNCS = {"fsync", "fdatasync"}
WRITES = {"write", "writev", "pwrite64", "sendto", "sendmsg"}

APPLICATION_DATA = r' "\27\3\3'
"""How a TLS record with a request begins. What ends a handshake has a change of the cipher before
it (RFC 8446, appendix D.4), so it does not begin so."""

FIELDS = "Content-Type: application/json\r\nPrefer: respond-async\r\n"


@dataclass(frozen=True)
class Call:
    """One system call that succeeded, at the moment it returned; of a write, at which it began."""

    name: str
    on: str
    """What the descriptor is: a path, or what strace says of a socket."""
    data: str
    """What it was given, as strace writes it."""

    @property
    def syncs_database(self) -> bool:
        return self.name in SYNCS and self.on.endswith("/access.sqlite-wal")

    @property
    def syncs_record(self) -> bool:
        return self.name in SYNCS and self.on.endswith(".jsonl") and "/logs/" in self.on

    def puts(self, text: str, where: str) -> bool:
        """Whether it writes the text into a file whose path has ``where``."""
        return self.name in WRITES and where in self.on and text in self.data

    def says(self, text: str) -> bool:
        """Whether it answers so at the control socket."""
        return self.name in WRITES and "control.sock" in self.on and text in self.data


@dataclass
class Journey:
    """What happened from the first call on: the log, who was asked, and what was granted."""

    calls: list[Call]
    origin: int
    request: str
    grant: str
    use: str

    def first(self, wanted: Callable[[Call], bool], after: int = -1) -> int:
        """The position of the first such call behind another."""
        return next(
            number for number, call in enumerate(self.calls) if number > after and wanted(call)
        )

    def greets(self, call: Call) -> bool:
        """Whether it sends anything to the origin."""
        return call.name in WRITES and call.on.endswith(f"->127.0.0.1:{self.origin}]")

    def leaves(self, call: Call) -> bool:
        """Whether it sends bytes of a request to the origin."""
        return self.greets(call) and call.data.startswith(APPLICATION_DATA)


def read(log: Path) -> list[Call]:
    """The calls in the order of the log.

    A sync counts from its return, a write or a send from its beginning: so no order that is found
    is owed to when the tracer looked.
    """
    found, begun = [], {}
    for line in log.read_text(errors="replace").splitlines():
        thread, _, rest = line.partition(" ")
        rest = rest.strip()
        started = re.match(r"(\w+)\(\d+<(.*?)>[,) ](.*)", rest)
        if started:
            call = Call(*started.groups())
            if call.name in WRITES or re.search(r"= \d+$", rest):
                found.append(call)
            else:
                begun[thread] = call
        elif "resumed>" in rest and thread in begun and re.search(r"= \d+$", rest):
            found.append(begun.pop(thread))
    return found


@pytest.fixture(scope="module")
def journey(tmp_path_factory):
    """A call that is told to come back, is approved, and is sent again: a use with its own id."""
    folder = tmp_path_factory.mktemp("order")
    ca, tokens, log = TestCA.create(folder, name="origin"), Tokens(folder), folder / "calls"
    (folder / "policy.yaml").write_bytes(orjson.dumps([REVIEWED]))
    traced = f"trace={','.join(sorted(SYNCS | WRITES))}"
    command = (shutil.which("strace"), "-f", "-yy", "-s", "16384", "-e", traced, "-o", str(log))
    with Origin(ca.leaf("api.example"), answering(b"{}")) as origin:
        far = target(origin.port, ca.pem)
        configuration = settings(folder, tokens.jwks, [far]) | people()
        with GatewayProcess(folder, configuration, command) as gateway:
            approver = Approver(gateway.config)
            with Tunnel(gateway.proxy, gateway.ca, tokens.token()) as tunnel:
                tunnel.tls.settimeout(60)
                waiting = orjson.loads(tunnel.ask("POST", "/things", b"{}", FIELDS).body)["task"]
                approver.approve(waiting["id"])
                assert tunnel.ask("POST", "/things", b"{}", FIELDS).status == 200
            (spent,) = gateway.entries("grant.spent")
        port = origin.port
    return Journey(read(log), port, waiting["id"], spent["grant"], spent["use"])


def test_a_request_leaves_after_its_spend_was_synced_in_the_store_and_then_in_the_record(journey):
    kept = journey.first(lambda call: call.puts(journey.use, "/access.sqlite-wal"))
    kept_for_good = journey.first(lambda call: call.syncs_database, kept)
    told = journey.first(lambda call: call.puts(r"\"type\":\"grant.spent\"", ".jsonl"))
    told_for_good = journey.first(lambda call: call.syncs_record, told)
    greets, leaves = journey.first(journey.greets), journey.first(journey.leaves)
    assert journey.use in journey.calls[told].data
    assert greets < kept < kept_for_good < told < told_for_good < leaves


def test_an_approver_is_told_yes_after_the_grant_was_synced_in_the_store_and_in_the_record(journey):
    kept = journey.first(lambda call: call.puts(journey.grant, "/access.sqlite-wal"))
    kept_for_good = journey.first(lambda call: call.syncs_database, kept)
    told = journey.first(lambda call: call.puts(r"\"type\":\"grant.made\"", ".jsonl"))
    told_for_good = journey.first(lambda call: call.syncs_record, told)
    answered = journey.first(lambda call: call.says(journey.grant))
    assert kept < kept_for_good < told < told_for_good < answered
    assert journey.first(lambda call: call.says(journey.request)) == answered
