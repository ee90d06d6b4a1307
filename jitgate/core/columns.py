"""Text in columns of letters of one width, as terminals and boxes of code have them."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

NARROWEST = 20
"""Columns that are taken even where there are fewer."""


def wrapped(text: str, columns: int) -> Iterator[str]:
    """The text in pieces of at most so many columns, broken behind a space if there is one."""
    columns, begin = max(columns, NARROWEST), 0
    while (end := _fitting(text, begin, columns)) < len(text):
        space = text.rfind(" ", begin + (end - begin) // 2, end)
        end = end if space < 0 else space + 1
        yield text[begin:end]
        begin = end
    yield text[begin:]


def columns_of(text: str) -> int:
    """The columns that a text takes: Chinese, Japanese and emoji take two a character."""
    if text.isascii():
        return len(text)
    return sum(1 + (unicodedata.east_asian_width(char) in "WF") for char in text)


def _fitting(text: str, begin: int, columns: int) -> int:
    """Where the characters end that fit."""
    piece = text[begin : begin + columns + 1]
    if piece.isascii():
        return min(begin + columns, len(text))
    used = 0
    for number, char in enumerate(piece):
        used += columns_of(char)
        if used > columns:
            return begin + max(number, 1)
    return begin + len(piece)
