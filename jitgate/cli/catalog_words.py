"""What an import came to, in words and for a program."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from jitgate.catalogs.description import Said
from jitgate.catalogs.openapi import Imported
from jitgate.catalogs.revision import Revision
from jitgate.core.catalog import CatalogRow
from jitgate.values import Risk

NOTED = 10
"""Places of one note that are named; --json names all."""


def summary(made: Imported, revision: Revision) -> Iterator[str]:
    """The lines of the summary."""
    risks = Counter(row.risk for row in revision.rows)
    counts = ", ".join(f"{risks[risk]} {risk.value}" for risk in Risk if risks[risk])
    yield f"{_so_many(len(revision.rows), 'operation')}{': ' if counts else ''}{counts}."
    yield (
        f"{len(revision.added)} new, {len(revision.removed)} removed, "
        f"{len(revision.changed)} changed, the rest as before."
    )
    for row in revision.removed:
        yield f"  removed: {_where(row)} ({row.action})"
    rated = [after for before, after in revision.changed if before.risk is not after.risk]
    for row in rated:
        yield f"  had no risk: {_where(row)} ({row.action}): {_risk(row.risk)}"
    if made.skipped:
        yield f"Left out, so that its calls are denied: {_so_many(len(made.skipped), 'operation')}."
        yield from _grouped(made.skipped, len(made.skipped))
    if made.notes:
        yield "To be known:"
        yield from _grouped(made.notes, NOTED)
    yield from _differing(revision)
    if revision.added or rated:
        yield "Risks, parameters and secret fields are proposed: look through each line."


def _differing(revision: Revision) -> Iterator[str]:
    if not revision.differing:
        return
    count = _so_many(len(revision.differing), "reviewed operation")
    yield f"As they were reviewed stay {count} that would be proposed otherwise:"
    for each in revision.differing:
        said = [] if each.risk is None else [f"{_risk(each.row.risk)}, not {_risk(each.risk)}"]
        said += [f"without the parameter {name}" for name in each.parameters]
        yield f"  {_where(each.row)} ({each.row.action}): {'; '.join(said)}"


def _grouped(said: Iterable[Said], most: int) -> Iterator[str]:
    """The places by what is said of them."""
    places: dict[str, list[str]] = {}
    for each in said:
        places.setdefault(each.what, []).append(each.where)
    for what, found in places.items():
        yield f"  {what}:"
        for place in found[:most]:
            yield f"    {place}"
        if len(found) > most:
            yield f"    and {len(found) - most} more (--json names all)"


def as_json(made: Imported, revision: Revision) -> dict[str, Any]:
    """All of it for a program."""
    risks = Counter(row.risk for row in revision.rows)
    return {
        "operations": len(revision.rows),
        "risks": {risk.value: risks[risk] for risk in Risk},
        "added": [_where(row) for row in revision.added],
        "removed": [_where(row) for row in revision.removed],
        "changed": [_where(after) for _, after in revision.changed],
        "skipped": [each._asdict() for each in made.skipped],
        "notes": [each._asdict() for each in made.notes],
        "differing": [
            {
                "operation": each.row.action,
                "risk": _risk(each.row.risk),
                "proposed_risk": _risk(each.risk or each.row.risk),
                "parameters": list(each.parameters),
            }
            for each in revision.differing
        ],
    }


def _where(row: CatalogRow) -> str:
    return f"{row.method} {row.template}"


def _risk(risk: Risk | None) -> str:
    return "none" if risk is None else risk.value


def _so_many(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"
