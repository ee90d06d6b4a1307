"""Spans of time as people write them: `500ms`, `55s`, `2m`, `1h`, `7d`."""

from __future__ import annotations

import re
from typing import Final

_WRITTEN: Final = re.compile(r"([0-9]{1,9})(ms|s|m|h|d)\Z")
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

WANTED: Final = "a duration with its unit was expected, such as 500ms, 55s, 2m, 1h"


def duration(text: str) -> float | None:
    """Its seconds; None where it is none."""
    matched = _WRITTEN.match(text)
    return None if matched is None else round(int(matched[1]) * _UNITS[matched[2]], 3)


def written(seconds: float) -> str:
    """A span of whole milliseconds as `duration` reads it, in its largest whole unit."""
    count = round(seconds * 1000)
    for unit, length in reversed(_UNITS.items()):
        if count % round(length * 1000) == 0:
            return f"{count // round(length * 1000)}{unit}"
    raise AssertionError("a millisecond is the smallest unit")
