"""Rows that were made each by itself, told apart: by their calls, and by their names."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from jitgate.catalogs.description import Said
from jitgate.catalogs.table import Shape, shape
from jitgate.core.catalog import CatalogRow
from jitgate.core.wording import words

_NAMED = 3
"""How many rows for the same calls as another one's are named beside it."""

_Naming = Callable[[CatalogRow], str]


def told_apart(
    rows: Sequence[CatalogRow], present: Collection[tuple[str, str]]
) -> tuple[list[CatalogRow], list[Said]]:
    """Those whose calls are no other's, and what is said of the rest.

    Nobody could say which of two rows a call is. One that is ``present`` already, by method and
    template, and has no other beside it that is, was chosen by people.
    """
    alike: dict[Shape, list[CatalogRow]] = {}
    for row in rows:
        alike.setdefault(shape(row), []).append(row)
    kept, skipped = [], []
    for group in alike.values():
        chosen = group if len(group) == 1 else [row for row in group if call(row) in present]
        stays = chosen if len(chosen) == 1 else []
        kept += stays
        for row in group:
            if row not in stays:
                first = [each for each in group[: _NAMED + 1] if each is not row][:_NAMED]
                others = ", ".join(each.template for each in first)
                skipped.append(Said(f"its calls could be taken for those of {others}", _where(row)))
    return kept, skipped


def named_apart(rows: Sequence[CatalogRow]) -> tuple[list[CatalogRow], list[Said]]:
    """Each by a name of its own, which does not depend on the order of the rows."""
    made = _with_names(rows, lambda row: f"{row.action}.{made_name(row.method, row.template)}")
    made = _with_names(made, lambda row: f"{row.action}.{_digest(row)}")
    return made, [
        Said("named otherwise: others have its id too", _where(row))
        for row, another in zip(rows, made, strict=True)
        if row.action != another.action
    ]


def made_name(method: str, path: str) -> str:
    """A name for what has none: ``get_things_id``."""
    return "_".join([method.lower(), *(each for part in path.split("/") for each in words(part))])


def call(row: CatalogRow) -> tuple[str, str]:
    """What a row is for, as it is written."""
    return row.method, row.template


def _with_names(rows: Sequence[CatalogRow], another: _Naming) -> list[CatalogRow]:
    """The rows, each that shares its name with others by another one."""
    count = Counter(row.action for row in rows)
    return [replace(row, action=another(row)) if count[row.action] > 1 else row for row in rows]


def _digest(row: CatalogRow) -> str:
    return hashlib.sha256(_where(row).encode()).hexdigest()[:8]


def _where(row: CatalogRow) -> str:
    return f"{row.method} {row.template}"
