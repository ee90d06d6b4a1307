"""Reads a value in a header field: where it ends, and what is coded in it stands for.

It goes up to what surely ends it, for what is behind its end is shown.
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from jitgate.core.forms import decoded, encoded

_QUOTED = re.compile(r'"(?>[^"\\]|\\.)*+"?+')
_LISTED = re.compile(r"[\s,;]|\Z")
_IN_URL = re.compile(r"[^&#\s]*+")
_BARE = re.compile(r"(?>[^;\s]|;(?!\s))*+")
"""What is a value."""

_CLOSED = {mark: re.compile(rf"{mark}(?=[\s,;>)\]}}]|\Z)") for mark in '">'}
"""What ends a value too, where it stands in such marks."""

_JSON = json.JSONDecoder()

_EXTENDED = re.compile("(?i:utf-8|iso-8859-1)'[A-Za-z-]{0,35}'")
"""What an extended value begins with: its charset and its language (RFC 8187, section 3.2)."""


class Around:
    """What a place in a text stands in: an open quote, an open angle bracket."""

    def __init__(self) -> None:
        self._at, self._open = 0, {'"': False, ">": False}

    def reach(self, text: str, at: int) -> None:
        """Go on to a place further on."""
        if text.count('"', self._at, at) % 2:
            self._open['"'] = not self._open['"']
        opened, closed = text.rfind("<", self._at, at), text.rfind(">", self._at, at)
        if opened != closed:
            self._open[">"] = opened > closed
        self._at = at

    def end(self, text: str, begin: int, end: int) -> int:
        """Where what is open ends before an end, if it does."""
        for mark, is_open in self._open.items():
            found = _CLOSED[mark].search(text, begin, end) if is_open else None
            end = end if found is None else found.start()
        return end


class Value(NamedTuple):
    """A value as it is written, with what stands around its inside, and what that stands for."""

    as_it_was: str
    before: str
    after: str
    plain: str
    is_coded: bool
    has_plus: bool
    """Whether a plus stands in it that is a space to some and a plus to others."""

    @classmethod
    def of(cls, written: str, *, is_extended: bool, in_url: bool) -> Value:
        """What is written there; ``is_extended``: it may begin with its charset."""
        before, inside, after = "", written, ""
        if written.startswith('"'):
            before, inside, after = '"', written.strip('"'), '"'
        elif is_extended and (found := _EXTENDED.match(written)):
            before, inside = found[0], written[found.end() :]
        spaced = in_url and "+" in inside
        plain = decoded(in_bytes(inside)) if spaced or "%" in inside else inside
        same = {inside} if in_url else {inside, inside.replace("+", " ")}
        return cls(written, before, after, plain, plain not in same, spaced)

    def written(self, instead: str) -> str:
        """Another text, coded as a value that stands in the place of this one."""
        return f"{self.before}{encoded(instead).decode('ascii')}{self.after}"


def in_bytes(text: str) -> bytes:
    """What is coded in a field is read as UTF-8 (`decoded`), and so is what stands beside that."""
    return text.encode("utf-8", "surrogateescape")


def end_of(text: str, begin: int, end: int, around: Around, *, in_url: bool) -> int:
    """Where a value ends that begins there, and goes on at least to ``end``."""
    if end == begin and (quoted := _QUOTED.match(text, begin)):
        end = quoted.end()
    if end > begin and not in_url and _LISTED.match(text, end):
        return end
    token = (_IN_URL if in_url else _BARE).match(text, end)
    return end if token is None else around.end(text, end, token.end())


def end_of_json(text: str, begin: int) -> int:
    """Where the JSON ends that begins there; there, if none does."""
    if not text.startswith(("{", "[", '"'), begin):
        return begin
    try:
        return _JSON.raw_decode(text, begin)[1]
    except (ValueError, RecursionError):
        return begin
