"""Which scripts a text is written in: letters of one script look like letters of another.

A name that mixes scripts is flagged, and the odd letters of a word that does are shown as escapes
(Unicode Technical Standard 39, section 5.2: the "highly restrictive" profile takes Latin with the
scripts of East Asia for one, since they do not look alike).
"""

from __future__ import annotations

import functools
import re
import unicodedata
from typing import Final

LATIN: Final = "Latin"

_EAST_ASIAN: Final = ("BOPOMOFO", "CJK", "HANGUL", "HIRAGANA", "IDEOGRAPHIC", "KATAKANA")
"""How names of their letters begin."""

_WORD: Final = re.compile(r"(?:(?<=\\)[a-z])|([^\W\d_]{2,})")
"""A run of letters; the letter of an escape of JSON is not a part of the word behind it."""


def scripts(text: str) -> tuple[str, ...]:
    """The scripts of a text's letters, in the order of their first letters."""
    if text.isascii():
        return (LATIN,) if any(map(str.isalpha, text)) else ()
    return tuple(dict.fromkeys(_script(char) for char in text if char.isalpha()))


def mixes(text: str) -> bool:
    """Whether letters of a text could be taken for others of the same text."""
    return not text.isascii() and len({*scripts(text)} - {"East Asian"}) > 1


def revealed(text: str) -> str:
    """The text; in words that mix scripts every letter but the ASCII ones is an escape."""
    return text if text.isascii() else _WORD.sub(_revealed, text)


def _revealed(word: re.Match[str]) -> str:
    text = word[0]
    return text.encode("ascii", "backslashreplace").decode() if mixes(text) else text


@functools.lru_cache(maxsize=4096)
def _script(letter: str) -> str:
    """A letter's script, as its name begins; Python has no better table of them."""
    plain = unicodedata.normalize("NFKC", letter)
    name = unicodedata.name(plain[0], "unnamed")
    if name.startswith(_EAST_ASIAN):
        return "East Asian"
    script = name.partition(" ")[0].partition("-")[0].capitalize()
    return script if plain == letter else f"styled {script}"
