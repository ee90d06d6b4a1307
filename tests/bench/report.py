"""How results are shown: a table for people, the same in Markdown, a chart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

from .figures import US, Row

HEADINGS = ("row", "jitgate", "", "beside", "", "ratio", "goal", "met")


def table(found: Sequence[Row]) -> str:
    """The rows as aligned text."""
    lines = [HEADINGS, *(_cells(row) for row in found)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    aligned = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    return "\n".join([*aligned, *_failures(found)])


def markdown(found: Sequence[Row], machine: Mapping[str, str]) -> list[str]:
    """The rows as a table in Markdown, with what they were taken on."""
    where = ", ".join(f"{name}: {value}" for name, value in machine.items())
    lines = [f"| {' | '.join(cells)} |" for cells in (HEADINGS, *map(_cells, found))]
    lines.insert(1, "|" + "---|" * len(HEADINGS))
    return [f"Taken on {where}.", "", *lines, *_failures(found)]


def marked(text: str, name: str, lines: Sequence[str]) -> str:
    """``text`` with what stands between the two comments of that name replaced."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, _, rest = text.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"there is no place for it: {begin} and {end} are missing")
    return "\n".join([before + begin, *lines, end + after])


def number(value: float) -> str:
    """A figure with three digits that count."""
    digits = next((n for n, least in enumerate((100, 10, 1)) if abs(value) >= least), 3)
    return f"{value:,.{digits}f}"


# --- the chart

WIDTH, LEFT, RIGHT, BAR, GAP, TOP = 720, 110, 110, 26, 12, 44

_STYLE = """
text { font: 14px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600 }
rect { fill: #8c959f }
.own { fill: #0969da }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  rect { fill: #6e7681 }
  .own { fill: #4493f8 }
}
"""


def chart(title: str, unit: str, values: Mapping[str, float]) -> str:
    """Bars as an SVG for light and dark pages, the shortest first; ours stands out."""
    scale = (WIDTH - LEFT - RIGHT) / max(values.values())
    height = TOP + len(values) * (BAR + GAP)
    bars = [
        _bar(TOP + place * (BAR + GAP), name, value, unit, scale)
        for place, (name, value) in enumerate(sorted(values.items(), key=lambda each: each[1]))
    ]
    size = f'width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
            f"<title>{escape(title)}</title>",
            f"<style>{_STYLE}</style>",
            f'<text class="title" x="0" y="20">{escape(title)}</text>',
            *bars,
            "</svg>",
            "",
        ]
    )


def values(found: Sequence[Row], name: str) -> dict[str, float]:
    """One row's value for jitgate and for each peer."""
    chosen = [row for row in found if row.name == name]
    theirs = {row.peer: row.peer_value for row in chosen if row.peer and row.peer_value}
    return {US: chosen[0].value, **theirs} if chosen else {}


def _bar(top: int, name: str, value: float, unit: str, scale: float) -> str:
    length, middle = max(1.0, value * scale), top + BAR - 8
    kind = ' class="own"' if name == US else ""
    return (
        f'<text x="{LEFT - 10}" y="{middle}" text-anchor="end">{escape(name)}</text>'
        f'<rect{kind} x="{LEFT}" y="{top}" width="{length:.1f}" height="{BAR}" rx="2"/>'
        f'<text x="{LEFT + length + 8:.1f}" y="{middle}">{number(value)} {escape(unit)}</text>'
    )


# --- cells


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.name,
        _with_spread(row.value, row.spread),
        row.unit,
        row.peer or "",
        "" if row.peer_value is None else _with_spread(row.peer_value, row.peer_spread),
        "" if row.ratio is None else _with_spread(row.ratio, row.ratio_spread),
        row.goal or "",
        {None: "not measured", True: "yes", False: "NO"}[row.met] if row.goal else "",
    )


def _failures(found: Sequence[Row]) -> list[str]:
    """What a reader must know before the figures of a row."""
    told = {row.name: f"{row.name} FAILS: {row.failed}" for row in found if row.failed}
    return ["", *told.values()] if told else []


def _with_spread(value: float, spread: Sequence[float] | None) -> str:
    low, high = spread or (value, value)
    return f"{number(value)} ({number(low)} to {number(high)})" if low != high else number(value)
