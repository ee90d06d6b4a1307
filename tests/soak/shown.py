"""What was found, for people: lines of text, and a picture of what grew or did not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

from .judging import MIB, Look, Window

BARS = "▁▂▃▄▅▆▇█"
PICTURED: Mapping[str, float] = {
    "memory": MIB,
    "descriptors": 1,
    "deferreds": 1,
    "coroutines": 1,
    "objects": 1000,
}
"""What is drawn, and by what it is divided."""

TITLES: Mapping[str, str] = {
    "memory": "memory of its own, MiB",
    "descriptors": "open descriptors",
    "deferreds": "Deferreds",
    "coroutines": "coroutines and generators",
    "objects": "objects, thousands",
}

WIDTH, HEIGHT, LEFT, GAP = 760, 110, 70, 40


def sparkline(values: Sequence[float], width: int = 60) -> str:
    """The values as a line of bars, from 0 up."""
    if not values:
        return ""
    step = max(1, -(-len(values) // width))
    shown = [max(values[at : at + step]) for at in range(0, len(values), step)]
    top = max(shown) or 1
    return "".join(BARS[min(7, int(7.99 * each / top))] for each in shown)


def text(looks: Sequence[Look], names: Mapping[int, str]) -> list[str]:
    """A line for each quantity of each process that was seen more than twice."""
    lines = []
    for quantity, unit in PICTURED.items():
        lines.append(TITLES[quantity])
        for pid, name in names.items():
            values = [look.what[quantity] / unit for look in looks if look.pid == pid]
            if len(values) > 2:
                ends = f"{values[0]:,.1f} to {values[-1]:,.1f}, at most {max(values):,.1f}"
                lines.append(f"  {name:16} {sparkline(values)}  {ends}")
    return lines


def picture(looks: Sequence[Look], names: Mapping[int, str], windows: Sequence[Window]) -> str:
    """The same as an SVG, over time, with the moments of faults below."""
    whole = max((look.at for look in looks), default=1.0) or 1.0
    rows = []
    top = 30
    for quantity, unit in PICTURED.items():
        rows.append(_row(looks, names, quantity, unit, top, whole))
        top += HEIGHT + GAP
    rows += _faults(windows, top, whole)
    height = top + 20 * len({window.fault for window in windows}) + 20
    size = f'width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
    style = (
        "text{font:12px system-ui,sans-serif;fill:#24292f}polyline{fill:none;stroke-width:1.5}"
        "rect{fill:#d1242f;opacity:.5}path{stroke:#d0d7de}"
        "@media(prefers-color-scheme:dark){text{fill:#e6edf3}path{stroke:#30363d}}"
    )
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}><style>{style}</style>' + (
        "\n".join([*rows, "</svg>\n"])
    )


COLOURS = ("#0969da", "#1a7f37", "#9a6700", "#8250df", "#bc4c00", "#57606a")


def _row(
    looks: Sequence[Look],
    names: Mapping[int, str],
    quantity: str,
    unit: float,
    top: int,
    whole: float,
) -> str:
    seen = {
        name: [(look.at, look.what[quantity] / unit) for look in looks if look.pid == pid]
        for pid, name in names.items()
    }
    most = max((value for each in seen.values() for _, value in each), default=1) or 1
    lines = [
        f'<text x="0" y="{top - 8}">{escape(TITLES[quantity])}</text>',
        f'<text x="0" y="{top + 10}">{most:,.0f}</text><text x="0" y="{top + HEIGHT}">0</text>',
        f'<path d="M{LEFT} {top}V{top + HEIGHT}H{WIDTH}" fill="none"/>',
    ]
    for number, (name, points) in enumerate(seen.items()):
        if points:
            at = " ".join(
                f"{LEFT + (WIDTH - LEFT) * when / whole:.1f},"
                f"{top + HEIGHT - HEIGHT * value / most:.1f}"
                for when, value in points
            )
            colour = COLOURS[number % len(COLOURS)]
            lines.append(
                f'<polyline points="{at}" stroke="{colour}"><title>{escape(name)}</title>'
                "</polyline>"
            )
    return "\n".join(lines)


def _faults(windows: Sequence[Window], top: int, whole: float) -> list[str]:
    lines = []
    for number, name in enumerate(dict.fromkeys(window.fault for window in windows)):
        y = top + 20 * number
        lines.append(f'<text x="0" y="{y + 10}" font-size="10">{escape(name)}</text>')
        for window in windows:
            if window.fault == name:
                x = LEFT + (WIDTH - LEFT) * window.begun / whole
                wide = (WIDTH - LEFT) * (min(window.ended, whole) - window.begun) / whole
                lines.append(f'<rect x="{x:.1f}" y="{y}" width="{max(wide, 2):.1f}" height="12"/>')
    return lines
