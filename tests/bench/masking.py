"""What masking costs, beside `json.loads` of the same bytes. ``python -m tests.bench.masking``.

Processor time of one thread; in each round the best of several runs of both, in turn. The ratio is
the result, for machines differ, and so does one from minute to minute.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from jitgate.core.hiding import Hand
from jitgate.core.json_body import masked
from jitgate.core.json_masking import JsonMasker
from jitgate.core.masking import Chain, Maskers, Transformer
from jitgate.core.media import JSON, NDJSON, masker_of
from jitgate.interfaces import IMasker
from jitgate.maskers.detectors import DetectorMasker
from jitgate.maskers.kinds import SECRETS
from jitgate.maskers.names import NameMasker
from jitgate.maskers.paths import PathMasker
from jitgate.service import COLLECT

from . import machine, users
from .conf import mitmproxy_addon
from .figures import US, Goal, Row, rows
from .masking_waits import waits
from .report import markdown, marked, table

LOADS = "json.loads"
MACHINE = "json.loads of 10 MiB"
"""Its speed there, for as many bytes: how fast the machine is. What fits the processor's cache it
reads twice as fast, and so the goals for short bodies are not beside that."""

NAIVE = "naive"
"""What a proxy's addon would do at first: parse, replace by name, write again."""

KIB, MIB = 1024, 1024 * 1024
PIECE = 64 * KIB
"""Bytes of a stream that come at a time."""

LONG_ENOUGH = 0.02
"""Seconds of processor that a run takes at least, over which the clock is exact."""

NAMES = (
    *("*secret", "password", "tempPassword", "privateKey", "private_key", "apiKey", "api_key"),
    *("accessToken", "refreshToken", "sessionToken", "stateToken", "recoveryToken"),
    *("sharedSecret", "answer"),
)
PATHS = ("$[*].credentials.password", "$[*].profile.pin", "$..nextPassCode")

_SECRETS = (NameMasker("bench", NAMES), DetectorMasker("bench", SECRETS))
_PEOPLE = (NameMasker("bench", NAMES), DetectorMasker("bench", [*SECRETS, "e-mail"]))
_CARDS = (NameMasker("bench", NAMES), DetectorMasker("bench", [*SECRETS, "payment-card"]))
_GLOBS = (NameMasker("bench", ("*secret*", "*password*", "*token", "*key", "answer")),)
_PATHS = (PathMasker("bench", PATHS),)


@dataclass(frozen=True)
class Measure:
    """One row: a body, how it is masked, and how much faster than `json.loads` that is to be."""

    name: str
    body: Callable[[], bytes]
    mask: Callable[[bytes], bytes]
    unit: str = "MB/s"
    goal: Goal | None = None
    hides: str | None = None
    """What the body holds and is to be hidden; None: nothing."""

    def run(self, rounds: int, runs: int) -> list[Row]:
        body = self.body()
        failed = self._wrong(body)
        read, naive = (_each_line, _naive_lines) if body.endswith(b"\n") else (json.loads, _naive)
        ways = {US: self.mask, LOADS: read, NAIVE: naive}
        found: dict[str, list[float]] = {name: [] for name in ways}
        if self.goal is not None and self.goal.peer == MACHINE:
            found[MACHINE] = []
        for _ in range(rounds):
            seconds = _best({name: partial(way, body) for name, way in ways.items()}, runs)
            if MACHINE in found:
                seconds[MACHINE] = len(body) / _machine(runs)
            for name, each in seconds.items():
                found[name].append(1e6 * each if self.unit == "µs" else len(body) / each / 1e6)
        return rows(self.name, self.unit, found, self.goal, failed)

    def _wrong(self, body: bytes) -> str | None:
        """Why the figure would say nothing: it did not mask, or changed more."""
        out = self.mask(body)
        if self.hides is None:
            return None if out == body else "what holds no secret was changed"
        hush = self.hides.encode()
        if hush not in body:
            return "there is no secret in it"
        return "a secret is in what came out" if hush in out else None


def _machine(runs: int) -> float:
    """Bytes that `json.loads` reads in a second of a body that is longer than any cache."""
    body = _LARGE()
    return len(body) / _best({LOADS: partial(json.loads, body)}, runs)[LOADS]


def _best(ways: dict[str, Callable[[], object]], runs: int) -> dict[str, float]:
    """Seconds of processor of one call of each, in the best of several runs, which take turns."""
    numbers = {}
    for name, way in ways.items():
        took, number = 0.0, 1
        while (took := _timed(way, number)) < LONG_ENOUGH:
            number = max(number + 1, int(number * LONG_ENOUGH / max(took, 1e-6)))
        numbers[name] = number
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(runs):
        for name, way in ways.items():
            best[name] = min(best[name], _timed(way, numbers[name]) / numbers[name])
    return best


def _timed(way: Callable[[], object], number: int) -> float:
    """Seconds of processor of that many calls."""
    gc.collect()
    begun = time.process_time()
    for _ in range(number):
        way()
    return time.process_time() - begun


# --- ways


def _whole(maskers: Sequence[IMasker]) -> Callable[[bytes], bytes]:
    """A body that is at hand whole, as the gateway has most of them."""
    return lambda body: masked(body, maskers, Hand())


def _streamed(kind: str, maskers: Sequence[IMasker]) -> Callable[[bytes], bytes]:
    """A body that goes on as it comes, through what the gateway takes for its kind."""
    headers = ((b"Content-Type", kind.encode()),)
    return lambda body: _through(masker_of(headers, Maskers(maskers), Chain(())), body)


def _lexical(maskers: Sequence[IMasker]) -> Callable[[bytes], bytes]:
    """A body that is read step by step, as what cannot be cut between elements is."""
    return lambda body: _through(JsonMasker(maskers, Hand()), body)


def _through(transformer: Transformer, body: bytes) -> bytes:
    pieces = [transformer.feed(body[at : at + PIECE]) for at in range(0, len(body), PIECE)]
    return b"".join([*pieces, transformer.finish()])


def _each_line(body: bytes) -> list[object]:
    return [json.loads(line) for line in body.splitlines()]


def _naive(body: bytes) -> bytes:
    return mitmproxy_addon.masked(body.decode(), NAMES).encode()


def _naive_lines(body: bytes) -> bytes:
    return b"\n".join(map(_naive, body.splitlines()))


# --- rows


def _least(ratio: float) -> Goal:
    return Goal(ratio, LOADS, least=True)


_TINY = partial(users.array, 100 * KIB)
_LARGE = partial(users.array, 10 * MIB)
_LINES = partial(users.lines, 10 * MIB)
_HITS = {"hits": True}

MEASURES = (
    Measure(
        "whole, 1 KiB, clean", users.one, _whole(_SECRETS), unit="µs", goal=Goal(0.58, MACHINE)
    ),
    Measure(
        "whole, 1 KiB, hits",
        partial(users.one, **_HITS),
        _whole(_SECRETS),
        unit="µs",
        goal=Goal(1.16, MACHINE),
        hides=users.HUSH,
    ),
    Measure("whole, 100 KiB, clean", _TINY, _whole(_SECRETS), goal=Goal(3.4, MACHINE, least=True)),
    Measure(
        "whole, 100 KiB, hits",
        partial(_TINY, **_HITS),
        _whole(_SECRETS),
        goal=Goal(1.26, MACHINE, least=True),
        hides=users.HUSH,
    ),
    Measure(
        "whole, 100 KiB, hits: no longer than 2 ms",
        partial(_TINY, **_HITS),
        _whole(_SECRETS),
        unit="µs",
        goal=Goal(2000),
        hides=users.HUSH,
    ),
    Measure("whole, 10 MiB, clean", _LARGE, _whole(_SECRETS), goal=_least(3.4)),
    Measure(
        "whole, 10 MiB, hits",
        partial(_LARGE, **_HITS),
        _whole(_SECRETS),
        goal=_least(1.26),
        hides=users.HUSH,
    ),
    Measure("whole, 100 KiB, 2 e-mail addresses each", _TINY, _whole(_PEOPLE), hides="@example"),
    Measure("array in pieces, clean", _LARGE, _streamed(JSON, _SECRETS), goal=_least(1.7)),
    Measure(
        "array in pieces, hits",
        partial(_LARGE, **_HITS),
        _streamed(JSON, _SECRETS),
        goal=_least(0.84),
        hides=users.HUSH,
    ),
    Measure("NDJSON in pieces, clean", _LINES, _streamed(NDJSON, _SECRETS), goal=_least(1.7)),
    Measure(
        "NDJSON in pieces, hits",
        partial(_LINES, **_HITS),
        _streamed(NDJSON, _SECRETS),
        goal=_least(0.84),
        hides=users.HUSH,
    ),
    Measure(
        "step by step, hits and globs",
        partial(_LARGE, **_HITS),
        _lexical(_GLOBS),
        goal=_least(0.17),
        hides=users.HUSH,
    ),
    Measure(
        "step by step, paths",
        partial(_LARGE, **_HITS),
        _lexical(_PATHS),
        goal=_least(0.10),
        hides=users.HUSH,
    ),
)
"""A secret in each user, or none. The goals are the project's for a machine on which `json.loads`
read 119 MB/s, divided by that."""


def main() -> int:
    """Measure; 1 if a goal is missed and --require was given."""
    asked = _parser().parse_args()
    gc.freeze()
    gc.set_threshold(*COLLECT)  # as in the gateway: what makes much of it pays for it
    found = list[Row]()
    for each in (*MEASURES, *waits(_CARDS)):
        if any(part in each.name for part in asked.row):
            found += each.run(asked.rounds, asked.runs)
            print(f"{each.name}: done", file=sys.stderr, flush=True)
    where = machine.described()
    print(table(found))
    if asked.json:
        result = {"machine": where, "rows": [asdict(row) for row in found]}
        asked.json.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    if asked.markdown:
        text = asked.markdown.read_text()
        asked.markdown.write_text(marked(text, "masking", markdown(found, where)))
    missed = any(row.met is False or row.failed for row in found)
    return 1 if missed and asked.require else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.masking", description=__doc__)
    parser.add_argument("--row", nargs="+", default=[""], metavar="TEXT", help="rows with it only")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=5, help="of which a round has the best")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="rewrite its table")
    parser.add_argument("--require", action="store_true", help="fail if a goal is missed")
    return parser


if __name__ == "__main__":
    sys.exit(main())
