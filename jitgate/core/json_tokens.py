"""Places in JSON as written: of characters in bytes, and of what of a string is replaced."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

from jitgate.core.hiding import STARS
from jitgate.core.parts import Part
from jitgate.core.pausing import paused

_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|.)"
)
"""What stands for one character: two halves of a surrogate pair do together."""

_CONTINUED = bytes(range(0x80, 0xC0))
"""Bytes that begin no character in UTF-8."""


def written(token: str, parts: Sequence[Part]) -> list[Part]:
    """Parts of the token's text, which stand in order, as parts of the token."""
    if "\\" not in token:  # as mostly
        return [Part(begin + 1, end + 1, _inside(instead), "") for begin, end, instead, _ in parts]
    bounds = [at for part in parts for at in (part.begin, part.end)]
    places = _written_at(token, bounds)
    return [Part(next(places), next(places), _inside(part.instead), "") for part in paused(parts)]


def _inside(text: str) -> str:
    return text if text == STARS else json.dumps(text)[1:-1]


def _written_at(token: str, wanted: Sequence[int]) -> Iterator[int]:
    """Where in a token the characters stand that have these places in its text, in order."""
    at, read, escapes = 1, 0, _ESCAPE.finditer(token, 1, len(token) - 1)
    escape = next(escapes, None)
    for place in wanted:
        while escape is not None and place > read + escape.start() - at:
            read += escape.start() - at + 1
            at = escape.end()
            escape = next(escapes, None)
        yield at + place - read


def in_characters(data: bytes, places: Sequence[int]) -> Sequence[int]:
    """The places in the text that these bytes of UTF-8 are, in order.

    Within a character it is the place behind it.
    """
    if data.isascii():
        return places
    counted, at, characters = list[int](), 0, 0
    for place in places:
        characters += len(data[at:place].translate(None, _CONTINUED))
        counted.append(characters)
        at = place
    return counted
