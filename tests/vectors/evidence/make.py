"""Writes this vector again: `python tests/vectors/evidence/make.py NEW_FOLDER`.

Three runs under three keys: a write fails, a run crashes, a segment is deleted, the key is rotated
while the gateway runs and at a start. Keys and clock are fixed. The keys are a test's, worth
nothing.
"""

from __future__ import annotations

import errno
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from jitgate.cli.verdicts import report_content
from jitgate.core.note import Signer, VerifierKey, unsigned_checkpoint
from jitgate.stores.findings import Finding, Report
from jitgate.stores.layout import CHECKPOINTS, log_folder, note_name
from jitgate.stores.proving import Prover
from jitgate.stores.recordings import RecordFiles
from jitgate.stores.retention import Retention
from jitgate.stores.sealing import Sealer
from jitgate.stores.segment import Disk
from jitgate.stores.verifying import verify
from jitgate.values import Body, Entry

SITE = "jitgate/test-vector"
KEYS = tuple(Ed25519PrivateKey.from_private_bytes(each * 32) for each in (b"1", b"2", b"3"))
VERIFIERS: tuple[VerifierKey, ...] = tuple(Signer(SITE, each).verifier for each in KEYS)
START = 1_795_485_960.0
RUNS = ("20261124T020600Z-11111111", "20261124T030600Z-22222222", "20261124T040600Z-33333333")
DELETED = 0
"""The segment of the first run's log that is deleted, by its first entry."""


class Failing(Disk):
    """A disk that takes half of what is written, once it is told to."""

    fails = False

    def write(self, descriptor: int, data: bytes) -> int:
        if self.fails:
            super().write(descriptor, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "no room")
        return super().write(descriptor, data)


class Hand:
    """In the place of the sealer: its owner deletes by hand what has expired."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def ask(self, line: str) -> None:
        word, log, file = line.split(" ")
        if word == "delete":
            (log_folder(self._folder, log) / file).unlink()

    def hang_up(self) -> None:
        """Nothing is open."""


def clock(start: float) -> Iterator[float]:
    while True:
        yield start
        start += 0.001


def asked(number: int) -> list[Entry]:
    """A call, and what came of it, in a body that takes some room."""
    time, known = START + number, {"exchange": f"ex-{number}", "session": "run-1"}
    body = json.dumps({"number": number, "name": "Ada", "weight": 1.10}).encode()
    request = {"method": "GET", "target": f"/things/{number}"}
    decision = {**known, "effect": "permit", "rule": "readers", "reason": "Reading is fine"}
    outcome = {**known, "status": 200, "outcome": "completed", "seconds": 0.2}
    parts = {"credential": 0.01, "connect": 0.02, "answer": 0.1, "body": 0.05}
    more = {"timings": parts, "response": {"headers": [], "trailers": [["X-Sum", "1"]]}}
    return [
        Entry("decision", time, {**decision, "request": request}),
        Entry(
            "outcome",
            time + 0.2,
            {**outcome, **more},
            {"response": Body(body, len(body), complete=True)},
        ),
    ]


def store(
    folder: Path,
    run: int,
    times: Iterator[float],
    disk: Disk | None = None,
    before: int | None = None,
) -> RecordFiles:
    key = run if before is not None else max(run - 1, 0)
    return RecordFiles(
        folder,
        site=SITE,
        key=KEYS[key],
        key_before=None if before is None else KEYS[before],
        now=lambda: next(times),
        writer=RUNS[run],
        run={"jitgate": "0.1.0", "pid": 1, "policy": "0" * 64, "plugins": []},
        segment_bytes=1200,
        disk=disk,
    )


def make(folder: Path) -> None:
    """Write all of it below ``folder``."""
    recordings, disk = folder / "recordings", Failing()
    first = store(recordings, 0, clock(START), disk)
    first.open()
    for number in range(1, 6):
        first.append(asked(number))
    disk.fails = True
    try:
        first.append(asked(6))
    except OSError:
        disk.fails = False
    first.recover()
    for number in range(7, 9):
        first.append(asked(number))
    first.checkpoint()
    (folder / "kept.note").write_bytes(newest(recordings))
    first.append(asked(9))
    first._release()  # as a killed process leaves it
    tear(recordings / "logs" / RUNS[0])

    second = store(recordings, 1, clock(START + 3600))
    second.open()
    delete(recordings, second)
    second.append(asked(3601))
    second.rotate(KEYS[1], {"by": "bob@example.com", "why": "every spring"})
    second.append(asked(3602))
    second.checkpoint()
    second.append(asked(3603))
    second.close()

    third = store(recordings, 2, clock(START + 7200), before=1)
    third.open()
    third.append(asked(7201))
    third.close()

    for number, key in enumerate(VERIFIERS, 1):
        (folder / f"{number}.vkey").write_text(key.text + "\n")
    (folder / "newest.note").write_bytes(newest(recordings))
    prove(folder)
    (folder / "verified.json").write_text(json.dumps(verified(folder), indent=2) + "\n")


def tear(log: Path) -> None:
    """Leave what a crash between two writes leaves: a body without an entry, half a line."""
    for name, piece in (("bodies", b"half a frame"), ("jsonl", b'{"seq":99,"time":"2026-11-')):
        path = max(log.glob(f"*.{name}"))
        path.chmod(0o600)
        with path.open("ab") as file:
            file.write(piece)


def delete(recordings: Path, records: RecordFiles) -> None:
    """The first segment of the first run has expired."""
    kept = Retention(
        recordings,
        records,
        cast(Sealer, Hand(recordings)),
        -(2.0**40),  # whenever this is run, it has expired
        now=lambda: START + 3600.5,
        may_go=lambda file: file.startswith(f"logs/{RUNS[0]}/{DELETED:012d}."),
    )
    kept.delete_expired("root")


def prove(folder: Path) -> None:
    """Proofs for who has no recording, over the rotations and before them."""
    recordings, kept = folder / "recordings", (folder / "kept.note").read_bytes()
    handovers = [
        recordings / CHECKPOINTS / note_name(each["seq"] + 1)
        for path in sorted((recordings / "site").glob("*.jsonl"))
        for each in map(json.loads, path.read_bytes().splitlines())
        if each["type"] == "key.rotated"
    ]
    by_both = handovers[0].read_bytes()
    latest = Prover(recordings, VERIFIERS[2])
    under = Prover(recordings, VERIFIERS[0], by_both)
    proofs = {
        "grown-under-the-first-key.proof": under.consistency(kept),
        "grown-over-rotations.proof": latest.consistency(kept),
        "entry.proof": latest.inclusion(RUNS[1], 2),
        "rotation.proof": under.inclusion("site", unsigned_checkpoint(by_both).size - 1),
    }
    for name, proof in proofs.items():
        (folder / name).write_bytes(proof.text)


def verified(folder: Path) -> dict[str, object]:
    """What `jitgate verify --json` says by the newest key, but for the path."""
    note = (folder / "newest.note").read_bytes()
    found, report = [], Report()
    for step in verify(folder / "recordings", VERIFIERS[2], note):
        if isinstance(step, Finding):
            found.append(step)
        elif isinstance(step, Report):
            report = step
    content = report_content(folder, report, found)
    del content["path"]
    return content


def newest(recordings: Path) -> bytes:
    return max((recordings / CHECKPOINTS).iterdir()).read_bytes()


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True)
    make(target)
