"""Fields of forms that some servers take for the method: looked for as the form passes.

PHP passes over blanks before a name, and takes a dot or a bracket at its beginning for an
underscore.
"""

from __future__ import annotations

import re
from typing import Final

NAMES: Final = ("_method", "x-http-method-override", "x-http-method", "x-method-override")

BLANKS: Final = 64
"""Blanks before a name; more of them stand there only to hide one."""

_SAME_TO_SOME = {"_": "_.["}


def _spelled(letter: str) -> str:
    """A letter in every way that a form may write it."""
    letters = {each for one in _SAME_TO_SOME.get(letter, letter) for each in (one, one.upper())}
    ways = [re.escape(each) for each in letters] + [f"%{ord(each):02x}" for each in letters]
    return f"(?:{'|'.join(sorted(ways))})"


_BLANK = r"(?>[\x00\t\n\v\f\r +]|%(?:00|09|0[a-d]|20))"
_NAMES = "|".join("".join(map(_spelled, name)) for name in NAMES)
_END = rf"(?:[=&;\[]|%5b|{_BLANK})"
_OVERRIDE = re.compile(
    rf"[&;](?:{_BLANK}{{0,{BLANKS}}}+(?:{_NAMES}){_END}|{_BLANK}{{{BLANKS + 1}}})".encode(),
    re.IGNORECASE,
)

LONGEST: Final = 3 * (1 + BLANKS + max(map(len, NAMES)) + 1)
"""Bytes of what is looked for, all of it escaped."""


class OverrideSearch:
    """Finds a field that asks for another method, wherever the form is cut."""

    def __init__(self) -> None:
        self._kept = b"&"

    def feed(self, data: bytes) -> bool:
        """Whether there is one in what has come so far; b"" is the end."""
        text = self._kept + (data or b"&")
        self._kept = text[-LONGEST:]
        return _OVERRIDE.search(text) is not None
