"""Templates of which a call can be of two, though neither is the narrower one.

``/a/{x}/c`` and ``/{y}/b/c`` both match ``/a/b/c``. The gateway takes the one whose fixed segment
comes first; whether the target does so too, no description tells.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from jitgate.catalogs.table import shape
from jitgate.core.catalog import CatalogRow

_Segments = tuple[str | None, ...]


class _Place(NamedTuple):
    """Where segments lead, and the rows that end there."""

    next: dict[str | None, _Place]
    rows: list[tuple[CatalogRow, _Segments]]


def crossing(rows: Iterable[CatalogRow]) -> Iterator[str]:
    """Each such pair, as a sentence names it; once."""
    roots: dict[str, _Place] = {}
    for row in rows:
        method, segments = shape(row)
        for other, theirs in _both(roots.get(method), segments):
            if _neither_is_narrower(segments, theirs):
                yield f"{method} {other.template} and {row.template}"
        place = roots.setdefault(method, _Place({}, []))
        for segment in segments:
            place = place.next.setdefault(segment, _Place({}, []))
        place.rows.append((row, segments))


def _both(root: _Place | None, segments: _Segments) -> Iterator[tuple[CatalogRow, _Segments]]:
    """The rows so far that share a call with these segments."""
    places: Sequence[_Place] = [] if root is None else [root]
    for segment in segments:
        places = [
            follows
            for place in places
            for follows in (
                place.next.values()
                if segment is None
                else filter(None, (place.next.get(segment), place.next.get(None)))
            )
        ]
    for place in places:
        yield from place.rows


def _neither_is_narrower(one: _Segments, other: _Segments) -> bool:
    pairs = list(zip(one, other, strict=True))
    return any(a is None and b is not None for a, b in pairs) and any(
        a is not None and b is None for a, b in pairs
    )
