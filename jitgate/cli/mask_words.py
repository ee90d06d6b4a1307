"""What was hidden in a response: for people, and for programs; never a hidden value."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from jitgate.app.offline_masking import Masking, Seen
from jitgate.cli.columns import table
from jitgate.core.visible import visible

ROWS = 50
"""Rows of a table for people; the rest is for --json."""

CELL_CHARS = 100
"""Characters of a path for people: others wrote its names, as long as they liked."""

_NUMBERED = re.compile(r"'(?:[^'\\]|\\.)*'|(?<=\[)[0-9]+(?=\])|^(?:text|event) [0-9]+")


def masked_rows(masking: Masking, seen: Seen) -> Iterator[str]:
    """A table of what was hidden; values of lists that are alike are one row."""
    found = Counter((_alike(hit.path), hit.rule) for hit in seen.hand.hits)
    single = {(_alike(hit.path), hit.rule): hit for hit in seen.hand.hits}
    rows = [("VALUES", "RULE", "HOW", "PATH")]
    for (path, rule), count in list(found.items())[:ROWS]:
        hit = single[path, rule]
        told = visible(hit.path if count == 1 else path)
        cut = told if len(told) <= CELL_CHARS else f"{told[:CELL_CHARS]}…"
        rows.append((f"{count}", visible(rule), masking.how(rule), cut))
    if found:
        yield from table(rows)
    if len(found) > ROWS:
        yield f"… and {len(found) - ROWS} more rows; --json tells them."


def counted(seen: Seen) -> str:
    """How much was hidden, in a line."""
    counts = seen.hand.counts
    if not counts:
        return "Nothing is hidden."
    parts = ", ".join(f"{count} by {visible(rule)}" for rule, count in sorted(counts.items()))
    whole, told = sum(counts.values()), len(seen.hand.hits)
    rest = f" The paths of the first {told} are told." if told < whole else ""
    return f"{whole} {'value is' if whole == 1 else 'values are'} hidden: {parts}.{rest}"


def seen_json(masking: Masking, seen: Seen, *, digests: bool) -> dict[str, Any]:
    """What became of a response, for a program."""
    return {
        "withheld": seen.head is None,
        "truncated": seen.head is not None and seen.why is not None,
        "why": seen.why,
        "status": None if seen.head is None else seen.head.status,
        "headers": [
            [name.decode("latin-1"), value.decode("latin-1")]
            for name, value in (seen.head.headers if seen.head else ())
        ],
        "bytes": seen.released,
        "counts": dict(seen.hand.counts),
        "masked": [
            {
                "path": hit.path,
                "rule": hit.rule,
                "how": masking.how(hit.rule),
                **({"hmac": hit.digest} if digests else {}),
            }
            for hit in seen.hand.hits
        ],
    }


def _alike(path: str) -> str:
    """A path in which a star stands for every number of an element, a text or an event."""
    return _NUMBERED.sub(lambda found: _star(found[0]), path)


def _star(found: str) -> str:
    if found.startswith("'"):
        return found
    return "*" if found.isdigit() else f"{found.partition(' ')[0]} *"
