"""Writes this vector again: `python tests/vectors/recording/make.py NEW_FOLDER`.

Two runs: the first crashes with a torn line and a torn body behind what counts, the second finds
that, adds to it, and ends in order. Key and clock are fixed. The key is a test's, worth nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from jitgate.core.note import Signer
from jitgate.stores.recordings import RecordFiles
from jitgate.values import Body, Entry

SITE = "jitgate/test-vector"
KEY = Ed25519PrivateKey.from_private_bytes(b"a test's key, never to be used!!")
START = 1_795_485_960.0
FIRST, SECOND = "20261124T020600Z-11111111", "20261124T030600Z-22222222"

SUBJECT = {
    "issuer": "https://issuer.example",
    "id": "bot-7",
    "groups": ["it-agents"],
    "humans": ["alice@example.com"],
}
USERS = b'[{"id":"00u1","profile":{"login":"bob@example.com","weight":1.10},"secret":"[masked]"}]'


def tunnel(time: float, result: str = "admitted", **more: object) -> Entry:
    who = SUBJECT if result == "admitted" else None
    fields = {"session": "run-1", "subject": who, "authority": "org.example:443", "result": result}
    return Entry("tunnel", time, fields | more)


def decision(time: float, exchange: str, action: str, call: str, effect: str) -> Entry:
    method, path = call.split(" ")
    url = f"https://org.example{path}"
    operation = {
        "target": "okta",
        "action": action,
        "resource": {},
        "method": method,
        "url": url,
    }
    fields = {
        "exchange": exchange,
        "session": "run-1",
        "subject": SUBJECT,
        "operation": operation,
        "request": {"method": method, "target": path},
        "effect": effect,
        "rule": "readers" if effect == "permit" else "no-admin-grants",
        "reason": "Reading is fine" if effect == "permit" else "Roles are granted by people",
        "policy": "0" * 64,
    }
    return Entry("decision", time, fields)


def outcome(time: float, exchange: str, status: int, word: str, body: bytes) -> Entry:
    fields: dict[str, object] = {
        "exchange": exchange,
        "session": "run-1",
        "status": status,
        "outcome": word,
        "masks": {"names": 1} if word == "completed" else {},
        "request": {"bytes": 0, "hmac": "1" * 64},
        "released": {"bytes": len(body), "sha256": "2" * 64},
        "seconds": 0.125,
        "response": {"headers": [["Content-Type", "application/json"]]},
    }
    if word == "denied":
        fields |= {"denial": "denied-by-policy", "why": "Roles are granted by people"}
    return Entry("outcome", time, fields, {"response": Body(body, len(body), complete=True)})


def store(folder: Path, writer: str, times: Iterator[float], **more: object) -> RecordFiles:
    return RecordFiles(
        folder,
        site=SITE,
        key=KEY,
        now=lambda: next(times),
        writer=writer,
        run={"version": "0.1.0", "host": "test"},
        **more,  # type: ignore[arg-type]
    )


def clock(start: float) -> Iterator[float]:
    while True:
        yield start
        start += 0.001


def make(folder: Path) -> None:
    """Write the recording, its public key and its last checkpoint below ``folder``."""
    recordings = folder / "recordings"
    first = store(recordings, FIRST, clock(START))
    first.open()
    first.append([tunnel(START + 1)])
    first.append([decision(START + 1.1, "ex-1", "listUsers", "GET /api/v1/users", "permit")])
    first.append([outcome(START + 1.3, "ex-1", 200, "completed", USERS)])
    first.checkpoint()
    first.append([decision(START + 2, "ex-2", "listGroups", "GET /api/v1/groups", "permit")])
    crash(first)
    tear(recordings / "logs" / FIRST)

    second = store(recordings, SECOND, clock(START + 3600))
    second.open()
    second.append([tunnel(START + 3601), tunnel(START + 3601.5, "refused", denial="token-refused")])
    path = "/api/v1/users/00u1/roles"
    second.append([decision(START + 3602, "ex-3", "assignRoleToUser", f"POST {path}", "deny")])
    second.append([outcome(START + 3602.1, "ex-3", 403, "denied", b'{"errorCode":"E0000006"}')])
    second.append(
        [
            Entry(
                "refused",
                START + 3603,
                {"denial": "malformed-request", "detail": "Two Host fields", "status": 400},
            )
        ]
    )
    second.close()

    (folder / "site.vkey").write_text(Signer(SITE, KEY).verifier.text + "\n")
    newest = max((recordings / "checkpoints").iterdir())
    (folder / "checkpoint.note").write_bytes(newest.read_bytes())


def crash(records: RecordFiles) -> None:
    """End a run as a killed process ends it: files closed by the system, nothing said."""
    records._release()


def tear(log: Path) -> None:
    """Leave what a crash between two writes leaves: a body without an entry, half a line."""
    for name, piece in (("bodies", b"half a frame"), ("jsonl", b'{"seq":5,"time":"2026-11-')):
        path = log / f"000000000000.{name}"
        path.chmod(0o600)
        with path.open("ab") as file:
            file.write(piece)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True)
    make(target)
