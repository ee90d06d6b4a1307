"""What the record must hold of a measured run: for each request a decision and an outcome.

A gateway that is fast because it leaves out the record would win every row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from jitgate.stores.reading import Kept, Recording


def lacking(folder: Path, requests: int, masks: Mapping[str, int]) -> str | None:
    """What is missing from the recording in ``folder`` of so many requests, None if nothing is.

    ``masks`` is what each outcome must say was hidden.
    """
    return compared(Recording(folder).every_entry(), requests, masks)


def compared(entries: Iterable[Kept], requests: int, masks: Mapping[str, int]) -> str | None:
    """The same, of entries."""
    found = Counter[str]()
    decided, completed = set[str](), set[str]()
    for entry in entries:
        exchange = entry.text("exchange") or ""
        if entry.type == "decision":
            found["decisions"] += 1
            if entry.text("effect") == "permit" and entry.text("rule"):
                decided.add(exchange)
        if entry.type == "outcome":
            found["outcomes"] += 1
            if entry.text("outcome") == "completed" and entry.content.get("status") == 200:
                completed.add(exchange)
            found["masked"] += entry.part("masks") == masks
    wanted = {
        "decisions": requests,
        "outcomes": requests,
        "masked": requests,
    }
    short = [f"{found[name]} {name}" for name in wanted if found[name] != requests]
    if decided != completed:
        short.append(f"{len(decided ^ completed)} without the other entry")
    elif len(decided) != requests:
        short.append(f"{len(decided)} permitted and completed")
    return f"of {requests} requests the record has {', '.join(short)}" if short else None
