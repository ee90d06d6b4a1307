"""How much memory masking takes for a body that never ends. ``python -m tests.bench.masking_memory``.

1 GiB goes through `jitgate mask`, which masks as the gateway does: as lines, and as one array, with
a secret in every user and with one now and then, which is what notes of where it stood cost most for.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from . import users

MIB = 1024 * 1024
MOST = 64
"""MiB by which a process may grow that masks a body of any length."""

SEED = 2 * MIB
"""Bytes after which what is always there is there: modules, patterns, the notes' beginning."""

KINDS = ("application/x-ndjson", "application/json")
OFTEN, RARELY = 1, 70
"""Of how many users one has a secret: of all, or of those of a piece that is read at a time."""

_PROFILE = {"profile": "bench", "names": ["*secret", "password"], "detectors": ["jwt", "bearer"]}
_RULE = {"name": "a", "reason": "A.", "match": {"targets": ["t"]}, "effect": "permit"}
_ISSUER = {"name": "i", "issuer": "https://i.example", "audience": "a", "jwks": "./none.json"}
_TARGET = {
    "name": "t",
    "hosts": ["t.example"],
    "catalog": "none",
    "credential": {"type": "static", "header": "X-Key", "value": "file:./none"},
}
_SETTINGS = {
    "state": "./state",
    "identity": {"issuers": [{**_ISSUER, "type": "oidc"}]},
    "targets": [_TARGET],
    "policy": ["rules.yaml"],
    "masking": ["masking.yaml"],
}


def grown(kind: str, size: int, every: int) -> float:
    """MiB by which `jitgate mask` grows, at most, over so many bytes; raises `RuntimeError`."""
    with tempfile.TemporaryDirectory() as name:
        config = _configured(Path(name))
        command = [sys.executable, "-m", "jitgate", "mask", "--profile", "bench"]
        command += ["--config", str(config), "--content-type", kind, "--report", f"{name}/report"]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        ) as process:
            assert process.stdin is not None
            before, written = 0.0, 0
            for piece in _body(kind, size, every):
                process.stdin.write(piece)
                written += len(piece)
                if written >= SEED and not before:
                    before = _peak(process.pid)
            after = _peak(process.pid)
            _, said = process.communicate()
        hidden = json.loads(Path(name, "report").read_text())["counts"].get("bench", 0)
        if process.returncode or hidden < size / 2000 / every:
            raise RuntimeError(f"{hidden} hidden: {said.decode()}")
    return after - before


def _configured(folder: Path) -> Path:
    for name, content in (
        ("jitgate.yaml", _SETTINGS),
        ("rules.yaml", [_RULE]),
        ("masking.yaml", [_PROFILE]),
    ):
        (folder / name).write_text(json.dumps(content))
    return folder / "jitgate.yaml"


def _body(kind: str, size: int, every: int) -> Iterator[bytes]:
    """About so many bytes of users, in pieces of many."""
    first, between, last = (b"", b"\n", b"\n") if kind == KINDS[0] else (b"[", b",", b"]")
    clean, hits = users.users(), users.users(hits=True)
    made = [next(hits if number % every == 0 else clean) for number in range(every * 2)]
    piece = between.join(user.encode() for user in made) + between
    piece *= max(1, MIB // len(piece))
    yield first
    yield from islice(iter(lambda: piece, None), max(1, size // len(piece)))
    yield next(clean).encode() + last


def _peak(pid: int) -> float:
    """MiB that a process has had in memory at most."""
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(each for each in status.splitlines() if each.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def main() -> int:
    """Try all; 1 if one grew too much."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.masking_memory")
    parser.add_argument("--size", type=int, default=1024, metavar="MIB", help="of each body")
    size = parser.parse_args().size
    most = 0.0
    for kind in KINDS:
        for every, word in ((OFTEN, "every user"), (RARELY, f"one user in {RARELY}")):
            found = grown(kind, size * MIB, every)
            most = max(most, found)
            print(f"{size} MiB of {kind}, a secret in {word}: {found:.1f} MiB more", flush=True)
    return int(most >= MOST)


if __name__ == "__main__":
    sys.exit(main())
