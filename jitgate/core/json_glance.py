"""Reads JSON values that are at hand whole in one go: most of most texts.

Python's own scanner (written in C) reads each; what it takes, `jitgate.core.json_masking` takes as
well, and would mask alike. What is not read so, it reads step by step: a value that is not whole,
or is no JSON, or is large, and one in which a name that is hidden is written with escapes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple, cast

from jitgate.core import json_grammar as grammar
from jitgate.errors import MaskingFault
from jitgate.values import Hider, How

LONGEST = 8 * 1024
"""Characters of a value that is read so; most that are listed are shorter. It is far less than a
name may have, and bounds what is read in vain where a value is not whole."""

MOST_NAMES = 16
"""Hidden names in a value that is read so: each is looked for in all of it."""

_PLAIN_NAME = re.compile(r'[^"\\\x00-\x1f ,:\]}][^"\\\x00-\x1f]*+')
"""Written without escapes, and beginning with what nothing but the beginning of a string has
before it: behind a string's end stands white space, or one of ``,:]}``."""

_MAY_BE_NESTED = re.compile(rf'"(?=[{re.escape(grammar.MAY_BEGIN_NESTED)}])')
"""A text that may be JSON again. Behind a text's end such a character stands seldom."""

_COLON = re.compile(r"[ \t\n\r]*+:[ \t\n\r]*+")
_ANY = json.JSONDecoder()


class Hidden(NamedTuple):
    """Where a value of a hidden field begins and ends, and who hides it."""

    begin: int
    end: int
    hider: Hider


class Glance:
    """Reads values for one set of maskers; ``hiders`` says who hides a field, None if nobody.

    A text in them that may be JSON again is left to be read step by step.

    One thread's, for it notes the names that it meets as it reads.
    """

    def __init__(self, hiders: Mapping[str, Hider | None]) -> None:
        self._hiders = hiders
        self._met: list[str] = []
        self._decoder = json.JSONDecoder(
            object_pairs_hook=self._note,
            parse_int=_number,
            parse_float=_number,
            parse_constant=_refused,
        )

    def container(self, text: str, at: int, most: int) -> tuple[int, list[Hidden]] | None:
        """Where the object or array that begins here ends, and what is hidden in it, in order.

        None if it has to be read step by step: surely where it holds more than ``most`` containers,
        for they could be within each other.
        """
        text = text[at : at + LONGEST]
        self._met.clear()
        try:
            _, size = self._decoder.raw_decode(text)
        except (ValueError, RecursionError, MaskingFault):
            return None
        if size > 2 * most and _containers(text[:size]) > most:
            return None
        if _MAY_BE_NESTED.search(text, 0, size) is not None:
            return None
        hidden = self._hidden(text[:size], at) if self._met else []
        return None if hidden is None else (at + size, hidden)

    def _note(self, members: list[tuple[str, object]]) -> None:
        """Note the hidden names of one object: of each member, so repeated ones count."""
        for name, _ in members:
            if self._hiders[name] is not None:
                self._met.append(name)

    def _hidden(self, text: str, at: int) -> list[Hidden] | None:
        """The values of the names that were met, but for what is inside of one of them.

        None if not every one of the names is found as it was met: some are written with escapes.
        """
        names = set(self._met)
        if len(names) > MOST_NAMES or not all(map(_PLAIN_NAME.fullmatch, names)):
            return None
        found = [(begin, name) for name in names for begin in _values(text, f'"{name}"')]
        hiders = {name: self._hiders[name] for name in names}
        if len(found) != len(self._met) or any(_is_left(each) for each in hiders.values()):
            return None
        hidden, end = list[Hidden](), 0
        for begin, name in sorted(found):
            if begin >= end:
                _, end = _ANY.raw_decode(text, begin)
                hidden.append(Hidden(at + begin, at + end, cast(Hider, hiders[name])))
        return hidden


def _is_left(hider: Hider | None) -> bool:
    """Whether what it hides takes more than another value in its place."""
    return hider is None or hider.how is How.DROP


def _containers(text: str) -> int:
    """How many there are, or more: what stands in strings counts as well."""
    return text.count("{") + text.count("[")


def _values(text: str, name: str) -> Iterator[int]:
    r"""Where the values of the members of that name begin. A quote behind a ``\` begins none."""
    at = -1
    while (at := text.find(name, at + 1)) >= 0:
        colon = _COLON.match(text, at + len(name))
        if colon is not None and text[at - 1] != "\\":
            yield colon.end()


def _number(token: str) -> None:
    if len(token) > grammar.LONGEST_BARE:
        raise ValueError("too long a number")


def _refused(token: str) -> None:
    raise ValueError(f"{token} is no JSON")
