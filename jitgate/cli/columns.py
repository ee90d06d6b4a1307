"""Text in the columns of a terminal, so that what others wrote keeps to the place it is given.

A terminal that wraps a line itself begins the next one at the left edge, where only this program's
own words stand: there, a part of an agent's text could pass for one of them.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence

from jitgate.core.columns import NARROWEST, columns_of, wrapped

UNBOUNDED = 1 << 30
"""The width of what is no terminal: a file, or a program that reads."""

_LABEL = 15
_INDENT = "  "


def width() -> int:
    """The columns of standard output."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else UNBOUNDED


def labelled(label: str, value: str, columns: int) -> Iterator[str]:
    """A value behind its label; what does not fit the line goes on below, under the value."""
    head = f"{_INDENT}{label:<{_LABEL - len(_INDENT)}}"
    for line in wrapped(value, columns - _LABEL):
        yield f"{head}{line}".rstrip()
        head = " " * _LABEL


def quoted(line: str, columns: int) -> Iterator[str]:
    """A line that somebody else wrote, behind a mark on each line that it takes."""
    mark = f"{_INDENT}| "
    for part in wrapped(line, columns - len(mark)):
        yield f"{mark}{part}"


def hung(head: str, text: str, columns: int) -> Iterator[str]:
    """A text behind a head; what does not fit the line goes on below it, a little further in.

    Of the head so much is kept as leaves room for the text.
    """
    head = head[: max(min(columns // 2, columns - NARROWEST - len(_INDENT)), 0)]
    margin = " " * len(head) + _INDENT
    for part in wrapped(text, columns - len(margin)):
        yield f"{head}{part}".rstrip()
        head = margin


def table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows under each other; the last cell of each is not filled up."""
    widths = [max(map(columns_of, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (
            cell + " " * (widest - columns_of(cell))
            for cell, widest in zip(row, widths, strict=True)
        )
        yield "  ".join(cells).rstrip()
