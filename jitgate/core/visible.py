"""Showing what others wrote: every character of it is seen, and none is obeyed."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from typing import Final

_PIECE = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')
_INDENT = "  "

_UNSEEN: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U0001d159"
    "\U000e0000-\U000e0fff]"
)
"""What Python calls printable and nobody sees: of Unicode's Default_Ignorable_Code_Point
(DerivedCoreProperties.txt) what is a letter or a mark, and the blanks of Braille and of music."""

_MARKS: Final = 2
"""How many marks may stand on one letter: Vietnamese and Thai have two. More of them are piled up
over the lines above and below."""

_TIMES_LAID_OUT: Final = 8
"""How many times its own size JSON may take when it is laid out. Deep nesting takes a thousand."""

_LAID_OUT: Final = 65_536
"""Characters that it may take in any case."""


def visible(text: str) -> str:
    """The text with escapes for what is not seen as what it is.

    Control, format and bidi characters, odd spaces, letters and marks that are blank, piles of
    marks.
    """
    if not text.isascii():
        text = _NOT_ASCII.sub(_seen, text)
    return text if text.isprintable() else text.translate(_CONTROLS)


_NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]+")
_CONTROLS: Final = {code: chr(code).encode("unicode_escape").decode() for code in (*range(32), 127)}


def _seen(run: re.Match[str]) -> str:
    """A run of other characters; marks at the begin of a text would stand on whatever is before."""
    marks, seen = 0 if run.start() else _MARKS, []
    for char in run[0]:
        marks = marks + 1 if unicodedata.category(char)[0] == "M" else 0
        is_seen = char.isprintable() and not _UNSEEN.match(char) and marks <= _MARKS
        seen.append(char if is_seen else _escape(char))
    return "".join(seen)


def body_lines(data: bytes) -> list[str]:
    """A body for the eye: JSON laid out, other text line by line, all of it `visible`."""
    text = data.decode("utf-8", "backslashreplace")
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        lines = _lines(text)
    else:
        lines = _laid_out_lines(text)
    return [visible(line) for line in lines]


def _lines(text: str) -> list[str]:
    """Line by line, as a line feed ends them: anything else that might is shown."""
    return text.removesuffix("\n").split("\n") if text else []


def _laid_out_lines(text: str) -> list[str]:
    """The lines of a JSON text laid out; as it is where that would take many times its size."""
    lines, left = [], max(_TIMES_LAID_OUT * len(text), _LAID_OUT)
    for line in laid_out(text):
        lines.append(line)
        left -= len(line)
        if left < 0:
            return _lines(text)
    return lines


def laid_out(text: str) -> Iterator[str]:
    """The lines of a JSON text, indented. Every value stays as it was written: `1.10` is `1.10`."""
    line, depth, opened = "", 0, False
    for piece in _PIECE.findall(text):
        if piece in "}]":
            depth -= 1
            if not opened:
                yield line
                line = _INDENT * depth
        elif opened:
            yield line
            line = _INDENT * depth
        opened = piece in "{["
        depth += opened
        line += ": " if piece == ":" else piece
        if piece == ",":
            yield line
            line = _INDENT * depth
    yield line


def size(count: int) -> str:
    """A number of bytes for people."""
    if count < 1024:
        return f"{count} byte{'s' * (count != 1)}"
    amount, unit = count / 1024, "KiB"
    for larger in ("MiB", "GiB", "TiB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{amount:.1f} {unit}"


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode()
