"""Tells that bytes are JSON that is looked at, many times faster than they could be read."""

from __future__ import annotations

from typing import Final

import msgspec

from jitgate.core import json_grammar as grammar

_SHORT: Final = 4096
"""Bytes of a text that mostly has so few brackets that to count them says enough."""

_BRACKETS = bytes(sorted(set(range(256)) - set(b"{}[]")))
_STRUCTURE = bytes(sorted(set(range(256)) - set(b'{}[]"')))
_ALIKE = bytes.maketrans(b"{}", b"[]")
_BACKSLASH = ord("\\")

_check = msgspec.json.Decoder(msgspec.Raw).decode


def is_json(data: bytes) -> bool:
    """Whether it is JSON that is looked at, but for the lengths of its numbers."""
    try:
        if not data.isascii():
            data.decode()
        _check(data)
    except (ValueError, msgspec.DecodeError, RecursionError):
        return False
    return _is_flat(data)


def are_lines(data: bytes) -> bool:
    """Whether each line that is not blank is such JSON by itself."""
    try:
        if not data.isascii():
            data.decode()
        for line in data.split(b"\n"):
            if line.strip(b" \t\r"):
                _check(line)
    except (ValueError, msgspec.DecodeError, RecursionError):
        return False
    return _is_flat(data)


def _is_flat(data: bytes) -> bool:
    """Whether no more containers are within each other than are looked at."""
    if len(data) <= 2 * grammar.DEEPEST:
        return True
    if len(data) <= _SHORT or _BACKSLASH in data:
        if len(data.translate(None, _BRACKETS)) <= grammar.DEEPEST:
            return True
        if _BACKSLASH in data:
            return False  # a quote within a text would be taken for its end
    # Of texts without brackets both quotes stand together now. If one holds any, a quote is left.
    left = data.translate(_ALIKE, _STRUCTURE).replace(b'""', b"")
    for depth in range(grammar.DEEPEST):
        if depth + len(left) <= grammar.DEEPEST:
            return True
        left = left.replace(b"[]", b"")  # those of one depth, for nothing is removed twice
    return not left
