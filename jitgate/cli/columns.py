"""Text in the columns of a terminal, so that what others wrote keeps to the place it is given.

A terminal that wraps a line itself begins the next one at the left edge, where only this program's
own words stand: there, a part of an agent's text could pass for one of them.
"""

from __future__ import annotations

import shutil
import sys
import unicodedata
from collections.abc import Iterator, Sequence

UNBOUNDED = 1 << 30
"""The width of what is no terminal: a file, or a program that reads."""

_NARROWEST = 20
"""Columns for a value that are taken even if the terminal has fewer."""

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


def wrapped(text: str, columns: int) -> Iterator[str]:
    """The text in pieces of at most so many columns, broken behind a space if there is one."""
    columns = max(columns, _NARROWEST)
    while (end := _fitting(text, columns)) < len(text):
        space = text.rfind(" ", end // 2, end)
        end = end if space < 0 else space + 1
        yield text[:end]
        text = text[end:]
    yield text


def table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows under each other; the last cell of each is not filled up."""
    widths = [max(map(_columns, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (
            cell + " " * (widest - _columns(cell)) for cell, widest in zip(row, widths, strict=True)
        )
        yield "  ".join(cells).rstrip()


def _fitting(text: str, columns: int) -> int:
    """How many characters fit."""
    if len(text) <= columns and text.isascii():
        return len(text)
    used = 0
    for number, char in enumerate(text):
        used += _columns(char)
        if used > columns:
            return max(number, 1)
    return len(text)


def _columns(text: str) -> int:
    """The columns that a text takes: Chinese, Japanese and emoji take two a character."""
    if text.isascii():
        return len(text)
    return sum(1 + (unicodedata.east_asian_width(char) in "WF") for char in text)
