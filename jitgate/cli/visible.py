"""Showing what others wrote: on a terminal every byte is shown and none is obeyed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

_PIECE = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')
_INDENT = "  "


def visible(text: str) -> str:
    """The text with control, format and bidi characters, and odd spaces, as their escapes."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def body_lines(data: bytes) -> list[str]:
    """A body for the eye: JSON laid out, other text line by line, all of it `visible`."""
    text = data.decode("utf-8", "backslashreplace")
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        lines = text.splitlines()
    else:
        lines = list(laid_out(text))
    return [visible(line) for line in lines]


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
