"""One entry as one line of bytes, and back: the form that the leaf hashes stand on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from math import modf
from typing import Any

import orjson

from jitgate.errors import JitgateError
from jitgate.stores.fitting import shortened, spelled
from jitgate.values import Entry

FORMAT = "jitgate-recording/1"
"""What the first entry of every log says it is written in; docs/recording-format.md."""

LINE_BYTES = 4 * 1024 * 1024
"""The longest line. A head of the largest size, every byte escaped, takes a tenth of it."""

RESERVED = frozenset({"seq", "time", "type", "bodies"})
"""Keys that the store gives; an entry's own fields have others."""

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)


class LineInvalid(JitgateError):
    """A line is not an entry; the message says what is wrong with it."""


def timestamp(seconds: float) -> str:
    """Seconds since the epoch as RFC 3339 in UTC; all have one width, so text order is time's."""
    fraction, whole = modf(seconds)
    carry, micros = divmod(round(fraction * 1_000_000), 1_000_000)
    return f"{_to_the_second(int(whole) + carry)}.{micros:06}Z"


@lru_cache(maxsize=2)
def _to_the_second(seconds: int) -> str:
    """A batch's entries are of the same second, or of two: what is alike is written once."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:-6]


def moment(text: str) -> datetime:
    """A line's time; raises `ValueError` for one of the right form that no calendar has."""
    return datetime.fromisoformat(text)


def write_line(seq: int, time: str, entry: Entry, bodies: Mapping[str, object]) -> bytes:
    """The line, LF included; what is too much for one is left out of it, and it says so.

    Raises `ValueError` for an entry with a field that has the name of one that every line has.
    """
    if not entry.fields.keys().isdisjoint(RESERVED):
        raise ValueError(f"an entry {entry.type} has a field of a reserved name")
    frame = {"seq": seq, "time": time, "type": entry.type}
    last = {"bodies": bodies} if bodies else {}
    try:
        line = _dumped({**frame, **entry.fields, **last})
    except TypeError:
        line = _dumped({**frame, **spelled(entry.fields), **last})
    if len(line) > LINE_BYTES:
        line = _dumped({**frame, **shortened(spelled(entry.fields)), **last})
    return line


def _dumped(content: Mapping[str, object]) -> bytes:
    return orjson.dumps(content, default=_plain, option=orjson.OPT_APPEND_NEWLINE)


def read_line(line: bytes) -> dict[str, Any]:
    """The content of a line, its frame checked (seq, time, type); raises `LineInvalid`."""
    if not line.endswith(b"\n"):
        raise LineInvalid("the line does not end, or is too long")
    try:
        content = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise LineInvalid("the line is not JSON") from None
    if not isinstance(content, dict):
        raise LineInvalid("the line is not a JSON object")
    if type(content.get("seq")) is not int or type(content.get("type")) is not str:
        raise LineInvalid("the line has no seq or no type")
    time = content.get("time")
    if type(time) is not str or not _TIME.fullmatch(time):
        raise LineInvalid("the line has no time of the form 2026-01-31T00:00:00.000000Z")
    return content


def seq_of(line: bytes) -> int | None:
    """The number that a line has; None if it is no JSON, or has none."""
    try:
        content = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    seq = content.get("seq") if isinstance(content, dict) else None
    return seq if type(seq) is int else None


def _plain(value: object) -> object:
    """What frozen values hold that JSON has no form for."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, frozenset | set):
        return sorted(value)
    raise TypeError
