"""What the record costs to write and to verify. ``python -m tests.bench.evidence``.

Everything runs on one processor. Entries are the gateway's own: a decision and an outcome with its
body for each exchange. Verifying is measured by processor time; durable writing by the clock, and
so with the disk's syncs in it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from itertools import count
from pathlib import Path
from statistics import median

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from jitgate.core.note import Signer
from jitgate.flow.recorder import Kept, Recorder
from jitgate.service import Worker, suit_interpreter
from jitgate.stores.findings import Finding, Report
from jitgate.stores.recordings import RecordFiles
from jitgate.stores.verifying import verify
from jitgate.values import Body, Entry

from . import machine
from .figures import US, Goal, Row, rows
from .report import table

KEY = Ed25519PrivateKey.from_private_bytes(b"a test's key, never to be used!!")
SITE = "jitgate/bench"

WAITING = 256
"""Exchanges at once, each of which waits until its entries are durable."""

BODY = b'{"profile":' + b'{"login":"jane@example.com","name":"Jane","id":"00u1"},' * 20 + b"0}"
"""1 KiB of JSON, as the requests of the other rows."""

LARGE = 1024 * 1024
"""Bytes of a body where the speed of bodies is measured."""


def exchange(number: int, body: bytes = BODY) -> tuple[Entry, Entry]:
    """A decision and an outcome, about as long as the gateway's."""
    common = {"exchange": f"x-{number:016x}", "session": "s-4f1dd0b1c34b4a4e"}
    subject = {"issuer": "https://idp.example", "id": "bot-7", "groups": ["it-agents"]}
    url = f"https://api.example/things/{number}"
    decision = {
        **common,
        "subject": {**subject, "humans": ()},
        "operation": {"target": "things", "action": "things.get", "method": "GET", "url": url},
        "request": {"method": "GET", "target": f"/things/{number}"},
        "effect": "permit",
        "rule": "reads",
        "reason": "Reading is fine.",
        "policy": "9d1f6b1d",
    }
    outcome = {
        **common,
        "status": 200,
        "outcome": "completed",
        "masks": {},
        "request": {"bytes": 0},
        "released": {"bytes": len(body), "hmac": "0" * 64},
        "seconds": 0.01,
        "response": {"headers": [["Content-Type", "application/json"], ["Date", "x" * 29]]},
    }
    bodies = {"response": Body(body, len(body), complete=True)}
    now = time.time()
    return Entry("decision", now, decision), Entry("outcome", now, outcome, bodies)


def records(folder: Path) -> RecordFiles:
    """Files to write to, which sign with a key of the bench's."""
    return RecordFiles(folder, site=SITE, key=KEY, now=time.time, writer="bench", run={})


class Writing:
    """Exchanges through the gateway's recorder on a real reactor, so many at once, for a while."""

    def __init__(self, folder: Path, seconds: float, waiting: int) -> None:
        from twisted.internet import reactor  # noqa: PLC0415 (one is made where it is imported)

        self._reactor = reactor
        self._worker = Worker(reactor, "recorder")
        self._recorder = Recorder(records(folder), clock=reactor, in_thread=self._worker)
        self._seconds, self._waiting, self._numbers = seconds, waiting, count()
        self._open = 0
        self.entries = 0
        self.took = self.used = 0.0
        self.waits: dict[str, list[float]] = {"decision": [], "outcome": []}

    def run(self) -> None:
        """Write, and stop in order."""
        from twisted.internet.defer import Deferred  # noqa: PLC0415 (for the same reason)

        suit_interpreter()  # as the gateway does
        self._worker.start()
        self._reactor.callWhenRunning(lambda: Deferred.fromCoroutine(self._all()))
        self._reactor.run()
        self._worker.stop()

    async def _all(self) -> None:
        await self._recorder.start()
        self._begun, self._end = time.thread_time(), time.monotonic() + self._seconds
        self._began = time.monotonic()
        for _ in range(self._waiting):
            self._open += 1
            self._next(None)

    def _next(self, _result: object) -> None:
        """The next exchange: its decision, and once that is durable its outcome."""
        if time.monotonic() >= self._end:
            self._open -= 1
            if not self._open:
                self.took = time.monotonic() - self._began
                self.used = time.thread_time() - self._begun
                self._stop()
            return
        decision, outcome = exchange(next(self._numbers))

        def decided(_result: object) -> None:
            self._kept(outcome).addCallback(self._next)

        self._kept(decision).addCallback(decided)

    def _kept(self, entry: Entry) -> Kept:
        """The entry's fate; how long it took is noted."""
        self.entries += 1
        asked, waits = time.monotonic(), self.waits[entry.type]
        kept = self._recorder.append(entry)
        kept.addCallback(lambda _result: waits.append(time.monotonic() - asked))
        return kept

    def _stop(self) -> None:
        from twisted.internet.defer import Deferred  # noqa: PLC0415 (for the same reason)

        stopped = Deferred.fromCoroutine(self._recorder.stop())
        stopped.addBoth(lambda _result: self._reactor.stop())


def made() -> float:
    """Seconds that making the two entries of an exchange takes, which is not the recorder's."""
    begun = time.thread_time()
    for number in range(2000):
        exchange(number)
    return (time.thread_time() - begun) / 2000


def written(folder: Path, seconds: float) -> dict[str, float]:
    """In a process of its own, for a reactor runs once: what writing costs."""
    child = os.fork
    found = {}
    for name, waiting in (("many", WAITING), ("one", 1)):
        reading, writing_end = os.pipe()
        if (pid := child()) == 0:
            run = Writing(folder / name, seconds, waiting)
            run.run()
            told = {
                "rate": run.entries / run.took,
                "reactor": 1e6 * (run.used / run.entries - made() / 2),
                **{kind: 1e6 * median(waits) for kind, waits in run.waits.items()},
            }
            os.write(writing_end, json.dumps(told).encode())
            os._exit(0)
        os.close(writing_end)
        with os.fdopen(reading, encoding="ascii") as pipe:
            told = json.loads(pipe.read())
        os.waitpid(pid, 0)
        found |= {f"{name} {key}": value for key, value in told.items()}
    return found


def synced(folder: Path) -> float:
    """Microseconds that a write of a line and its sync take here: the disk's own share."""
    times = []
    with (folder / "sync").open("wb", buffering=0) as file:
        for _ in range(300):
            begun = time.monotonic()
            file.write(b"x" * 600)
            os.fdatasync(file.fileno())
            times.append(time.monotonic() - begun)
    return 1e6 * median(times)


def kept(folder: Path, exchanges: int, body: Callable[[int], bytes] | None) -> int:
    """Write a recording to verify; its bytes of lines, or of what its bodies hold."""
    files = records(folder)
    files.open()
    for first in range(0, exchanges, 100):
        batch = []
        for number in range(first, min(first + 100, exchanges)):
            decision, outcome = exchange(number, body(number) if body else b"")
            batch += [decision, outcome if body else outcome._replace(bodies={})]
        files.append(batch)
    files.close()
    if body is not None:
        return sum(len(body(number)) for number in range(exchanges))
    return sum(file.stat().st_size for file in folder.rglob("*.jsonl"))


def verified(folder: Path, size: int) -> float:
    """Megabytes that are verified in a second of processor."""
    begun = time.process_time()
    *steps, report = verify(folder, Signer(SITE, KEY).verifier)
    used = time.process_time() - begun
    wrong = [step for step in steps if isinstance(step, Finding)]
    if wrong or not (isinstance(report, Report) and report.all_witnessed):
        raise RuntimeError(f"the recording is not in order: {wrong}")
    return size / used / 1e6


def measured(folder: Path, rounds: int, seconds: float, exchanges: int) -> list[Row]:
    """All rows."""
    lines = kept(folder / "lines", exchanges, None)
    piece = os.urandom(LARGE // 2)
    large = kept(
        folder / "bodies", -(-exchanges // 400), lambda number: (piece + BODY * 512)[number:]
    )
    found: dict[str, list[float]] = {}
    for number in range(rounds):
        told = written(folder / f"round-{number}", seconds)
        told["sync"] = synced(folder)
        told["entries"] = verified(folder / "lines", lines)
        told["bodies"] = verified(folder / "bodies", large)
        for name, value in told.items():
            found.setdefault(name, []).append(value)
    alone = {
        kind: {US: found[f"one {kind}"], "one sync": found["sync"]}
        for kind in ("decision", "outcome")
    }
    return [
        *rows("durable", "entries/s", {US: found["many rate"]}, Goal(5000, least=True)),
        *rows("the reactor's time", "µs/entry", {US: found["many reactor"]}, Goal(10)),
        *rows("a lone decision's wait", "µs", alone["decision"], None),
        *rows("a lone outcome's wait", "µs", alone["outcome"], None),
        *rows("verify, bodies", "MB/s", {US: found["bodies"]}, Goal(300, least=True)),
        *rows("verify, entries", "MB/s", {US: found["entries"]}, Goal(50, least=True)),
    ]


def main(arguments: list[str]) -> int:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.evidence", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="of writing in each round")
    parser.add_argument("--exchanges", type=int, default=40_000, help="to verify")
    parser.add_argument("--disk", type=Path, help="a folder on the disk that is written to")
    parser.add_argument("--json", action="store_true", help="answer for a program")
    asked = parser.parse_args(arguments)
    with suppress(AttributeError):  # where a process cannot choose, all of them are used
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory(dir=asked.disk) as folder:
        found = measured(Path(folder), asked.rounds, asked.seconds, asked.exchanges)
    if asked.json:
        print(json.dumps({"machine": machine.described(), "rows": [asdict(row) for row in found]}))
    else:
        print(table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
