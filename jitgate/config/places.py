"""Where in a YAML file the characters of a text stand, so that errors can point at them."""

from __future__ import annotations

import re
from typing import NamedTuple

_BEFORE = re.compile(r"(?:[&!][^ \n]*[ \n]+)+")
"""An anchor and a tag (YAML 1.2, section 6.9)."""

_HEADER = re.compile(r"[|>][^\n]*\n")
"""The first line of a block (YAML 1.2, section 8.1), with its comment."""

_ESCAPE = re.compile(r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|\n[ \t]*|.)", re.DOTALL)
"""An escape in double quotes (YAML 1.2, section 5.7)."""


class Scalar(NamedTuple):
    """A text as it stands in a file.

    White space is the only thing that YAML changes without a sign: the visible characters of the
    text are those of the file, in the same order.
    """

    file: str
    source: str
    line: int
    """From 0, as the column."""
    column: int

    def place(self, text: str, at: int) -> str:
        """``FILE:LINE:COLUMN`` of a character of the text, or of its end."""
        seen = sum(not each.isspace() for each in text[:at])
        offset = self._offset(seen, after=at >= len(text.rstrip()) and seen > 0)
        line = self.source.count("\n", 0, offset)
        column = offset - (self.source.rfind("\n", 0, offset) + 1)
        return f"{self.file}:{line + 1}:{column + 1}"

    def _offset(self, seen: int, *, after: bool) -> int:
        """Where the visible character stands before which so many do, or the end of the last."""
        at, quote = self._begin()
        skip = seen - after
        while at < len(self.source):
            length = self._length(at, quote)
            visible = length > 0
            if visible and skip == 0:
                return at + length if after else at
            skip -= visible
            at += abs(length)
        return at

    def _begin(self) -> tuple[int, str]:
        """Where the text itself begins, and its quotation mark, if any."""
        at = sum(len(each) + 1 for each in self.source.split("\n")[: self.line]) + self.column
        if (before := _BEFORE.match(self.source, at)) is not None:
            at = before.end()
        if (header := _HEADER.match(self.source, at)) is not None:
            return header.end(), ""
        quote = self.source[at : at + 1]
        return (at + 1, quote) if quote in {"'", '"'} else (at, "")

    def _length(self, at: int, quote: str) -> int:
        """How many characters of the file stand for the next one; negative: for none to be seen."""
        character = self.source[at]
        if character.isspace():
            return -1
        if quote == "'" and self.source.startswith("''", at):
            return 2
        if quote == '"' and (escape := _ESCAPE.match(self.source, at)) is not None:
            length = escape.end() - at
            return -length if _is_blank(escape[0]) else length
        return 1


def _is_blank(escape: str) -> bool:
    """Whether it stands for white space, or for nothing, as one at a line's end."""
    if escape[1] in "xuU":
        return chr(int(f"0x{escape[2:]}", 0)).isspace()
    return escape[1] in "\n\t nrtvfLPN_"
