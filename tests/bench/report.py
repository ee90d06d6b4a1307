"""How results are shown: a table for people, the same in Markdown, a chart."""

from __future__ import annotations

from collections.abc import Sequence

from .figures import Row


def table(found: Sequence[Row]) -> str:
    """The rows as aligned text."""
    lines = [_HEADINGS, *(_cells(row) for row in found)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADINGS))]
    aligned = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    return "\n".join(
        [*aligned, *(f"{row.name} fails: {row.failed}" for row in found if row.failed)]
    )


_HEADINGS = ("row", "jitgate", "", "beside", "", "ratio", "goal", "met")


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.name,
        _with_spread(row.value, row.spread),
        row.unit,
        row.peer or "",
        "" if row.peer_value is None else _with_spread(row.peer_value, row.peer_spread),
        "" if row.ratio is None else _with_spread(row.ratio, row.ratio_spread),
        row.goal or "",
        "" if row.met is None else ("yes" if row.met else "NO"),
    )


def _with_spread(value: float, spread: tuple[float, float] | None) -> str:
    low, high = spread or (value, value)
    return f"{number(value)} ({number(low)} to {number(high)})"


def number(value: float) -> str:
    """A figure with three digits that count."""
    digits = max(0, 2 - len(str(int(abs(value)))) + (abs(value) < 1) + 1)
    return f"{value:,.{digits}f}"
