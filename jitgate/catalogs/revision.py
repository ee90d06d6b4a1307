"""Brings a catalog up to a new description without undoing what people have reviewed in it.

Facts come from the description: that an operation is there, its name, its scopes, whether its body
is JSON. What people decide stays as they left it: risk, the parameters that count, and which fields
hold no secret. A field that either marks as secret is one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from jitgate.catalogs.table import parameters_of, shape
from jitgate.core.catalog import CatalogRow
from jitgate.values import Risk


class Differs(NamedTuple):
    """A reviewed row that would be proposed otherwise, which changes nothing."""

    row: CatalogRow
    risk: Risk | None
    """The proposed one, where it is another."""
    parameters: tuple[str, ...]
    """Those proposed that the row does not have."""


class Revision(NamedTuple):
    """What a description makes of a catalog."""

    rows: tuple[CatalogRow, ...]
    added: tuple[CatalogRow, ...]
    removed: tuple[CatalogRow, ...]
    changed: tuple[tuple[CatalogRow, CatalogRow], ...]
    """Rows for the same calls, before and after."""
    differing: tuple[Differs, ...]


def revised(present: Iterable[CatalogRow], proposed: Iterable[CatalogRow]) -> Revision:
    """The catalog as it would be. Rows for the same calls are the same row."""
    before = {shape(row): row for row in present}
    rows, added, changed, differing = [], [], [], []
    for row in proposed:
        reviewed = before.pop(shape(row), None)
        if reviewed is None:
            rows.append(row)
            added.append(row)
            continue
        kept = _kept(reviewed, row)
        rows.append(kept)
        if kept != reviewed:
            changed.append((reviewed, kept))
        another = row.risk if row.risk is not kept.risk else None
        missing = tuple(sorted(set(parameters_of(row)) - set(parameters_of(kept))))
        if another is not None or missing:
            differing.append(Differs(kept, another, missing))
    removed = tuple(before.values())
    return Revision(tuple(rows), tuple(added), removed, tuple(changed), tuple(differing))


def _kept(reviewed: CatalogRow, row: CatalogRow) -> CatalogRow:
    """The facts of the one with the decisions of the other."""
    return replace(
        row,
        risk=reviewed.risk or row.risk,
        parameters=reviewed.parameters,
        in_body=reviewed.in_body,
        json=row.json or bool(reviewed.in_body),
        secrets=(row.secrets | reviewed.secrets) - reviewed.cleared,
        cleared=reviewed.cleared,
    )
