"""How long others wait at most while 100 KiB of what is looked at slowly are masked.

Rows of `tests.bench.masking`: processor time between two turns of the reactor.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from jitgate.core.hiding import Hand
from jitgate.core.literals import LiteralMasker
from jitgate.core.masking import Maskers
from jitgate.core.media import EVENTS, FORM, JSON, TEXT, masker_of
from jitgate.flow.slices import Share, Slices
from jitgate.interfaces import IMasker

from .figures import US, Goal, Row, rows

SIZE = 100 * 1024
PIECE = 64 * 1024
"""Bytes that come at a time."""

_USER = {"id": "00u1", "status": "ACTIVE", "profile": {"login": "x", "city": "Z"}}
_TIMES = {"created": 1700000000123, "seen": 1700000000456}


def _filled(entry: str) -> bytes:
    return (entry * (SIZE // len(entry))).encode()


def _users(**more: object) -> bytes:
    entry = json.dumps(_USER | more)
    return b"[%b]" % ", ".join([entry] * (SIZE // len(entry))).encode()


BODIES = {
    "users with times in ms": (JSON, _users(**_TIMES)),
    "users with escapes": (JSON, _users(name="J\u00fcrg \u65e5\u672c")),
    "users with JSON in a text": (JSON, _users(raw=json.dumps({"a": 1}))),
    "events": (EVENTS, _filled(f"data: {json.dumps(_USER)}\n\n")),
    "a form": (FORM, _filled("id=1&status=ACTIVE&")),
    "text": (TEXT, _filled("a line of a log that says nothing at all\n")),
    "a text with JSON in it": (JSON, json.dumps({"raw": _users(**_TIMES).decode()}).encode()),
    "one event": (EVENTS, _filled("data: 12:00 INFO a user has logged in\n") + b"\n"),
    "one value of a form": (FORM, b"a=" + _filled("b=c;")),
    "one line of pairs of digits": (TEXT, _filled("41 11 ")),
}
"""What holds nothing that is hidden, and takes long to look at."""


@dataclass(frozen=True)
class Wait:
    """One row: the longest that others wait."""

    name: str
    kind: str
    body: bytes
    maskers: Sequence[IMasker]

    def run(self, rounds: int, runs: int) -> list[Row]:
        found = [1e6 * min(self._longest() for _ in range(runs)) for _ in range(rounds)]
        return rows(self.name, "µs", {US: found}, Goal(2000))

    def _longest(self) -> float:
        """Seconds."""
        headers = ((b"Content-Type", self.kind.encode()),)
        transform = masker_of(headers, Maskers(self.maskers, Hand()), LiteralMasker(()))
        times = [time.thread_time()]

        async def turn() -> None:
            times.append(time.thread_time())

        async def all_of_it() -> None:
            slices = Slices(transform, Share(turn), lambda: None)
            for at in range(0, len(self.body), PIECE):
                await slices.feed(self.body[at : at + PIECE])
            await slices.finish()
            await turn()

        try:
            all_of_it().send(None)
        except StopIteration:
            return max(end - begin for begin, end in pairwise(times))
        raise RuntimeError("a step waits that has nothing to wait for")


def waits(maskers: Sequence[IMasker]) -> list[Wait]:
    """A row for each of the bodies."""
    return [
        Wait(f"others wait, 100 KiB, {name}", kind, body, maskers)
        for name, (kind, body) in BODIES.items()
    ]
