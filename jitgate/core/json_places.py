"""Says where in a JSON text values stand, as normalized paths (RFC 9535, section 2.7)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence

LONGEST = 1000
"""Characters of a path as it is told; what goes on beyond is cut, with a mark."""

_TEXT = r'"[^"\\]*+(?>\\.[^"\\]*+)*+"'
_SPACE = r"[ \t\n\r]*+"
_STEP = re.compile(
    rf"""(?>[^"\[\]{{}},]++|{_TEXT}(?!{_SPACE}:))*+
    (?:(?>,{_SPACE})?+({_TEXT}){_SPACE}:|([\[\]{{}},])|\Z)""",
    re.DOTALL | re.VERBOSE,
)
"""A name, or what begins, parts or ends values, or the end, behind all that leads nowhere else.

It fits wherever the one before it ended, so that what it passes over is read once.
"""

Key = str | int


def written(keys: Iterable[Key]) -> str:
    """The path of these names and indices, from the root."""
    path = "$" + "".join(f"[{key}]" if isinstance(key, int) else f"[{_name(key)}]" for key in keys)
    return path if len(path) <= LONGEST else f"{path[:LONGEST]}…"


def _name(name: str) -> str:
    """A name in single quotes, with the escapes of the RFC's normal form."""
    inside = json.dumps(name, ensure_ascii=False)[1:-1].replace('\\"', '"').replace("'", "\\'")
    return f"'{inside}'"


def places(text: str, begins: Sequence[int]) -> list[tuple[Key, ...]]:
    """The names and indices that lead to each value that begins there, in order, in valid JSON."""
    found, wanted = list[tuple[Key, ...]](), iter(begins)
    trail, inside = list[Key](), list[bool]()
    begin = next(wanted, None)
    for step in _STEP.finditer(text):
        name, mark = step.groups()
        if name is None and mark is None:
            break
        at = step.start(step.lastindex or 0)
        while begin is not None and begin <= at:
            found.append(_decoded(trail))
            begin = next(wanted, None)
        if begin is None:
            return found
        if mark is None:
            trail[-1] = name
        elif mark in "{[":
            inside.append(mark == "{")
            trail.append('""' if mark == "{" else 0)
        elif mark in "}]":
            inside.pop()
            trail.pop()
        elif not inside[-1]:
            trail[-1] = int(trail[-1]) + 1
    found += [_decoded(trail)] * (len(begins) - len(found))
    return found


def _decoded(trail: Sequence[Key]) -> tuple[Key, ...]:
    """What leads there, of names that are as they were written."""
    return tuple([json.loads(key) if isinstance(key, str) else key for key in trail])
