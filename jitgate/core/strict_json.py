"""JSON that has one reading (RFC 8259), wherever who wrote it is not believed yet."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection
from typing import Any

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
"""The escape of half a surrogate pair, or what looks like one."""

_LARGE = re.compile(r"[eE][+-]?[0-9]{3}|[0-9]{200}")
"""What a number must hold to be beyond what a float can be (1.8e308)."""


def json_object(data: bytes) -> dict[str, Any] | None:
    """The one JSON object (RFC 8259) that ``data`` is in UTF-8, or None if it has other readings.

    Duplicate members, NaN and Infinity, numbers too large to be one, and halves of surrogate pairs
    are refused at any depth.
    """
    try:
        text = data.decode("utf-8")
        value = json.loads(
            text,
            object_pairs_hook=_members,
            parse_constant=_no_constant,
            parse_float=_finite if _LARGE.search(text) else None,
        )
        if _SURROGATE.search(text):  # In UTF-8 itself there are none.
            json.dumps(value, ensure_ascii=False).encode("utf-8")  # Fails on half a pair.
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _members(pairs: Collection[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member stands twice")
    return members


def _no_constant(_name: str) -> None:
    raise ValueError("not a number of JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number
