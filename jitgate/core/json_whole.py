r"""Hides values in a JSON text that is at hand whole, many times faster than it can be read.

A search for everything that could have to be hidden says where to look, another library that it is
JSON; only what was found is read. What is replaced is exactly what `jitgate.core.json_masking`
would replace, and where that cannot be told so, nothing is: then it is for that one to do.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final, cast

from jitgate.core.hiding import Hand
from jitgate.core.json_reading import (
    DIGITS,
    LEFT,
    NAME,
    NESTED,
    SIGN,
    Reading,
    Within,
)
from jitgate.core.json_search import name_pattern, search
from jitgate.core.json_validity import are_lines, is_json
from jitgate.core.masking import (
    ESCAPE,
    REMEMBERED_FIELDS,
    REMEMBERED_LENGTH,
    REMEMBERED_SETS,
    Asked,
    asked,
    is_stated,
)
from jitgate.interfaces import IMasker
from jitgate.values import Hider

_KEY_WITH_ESCAPE = rb'\\(?:[^u]|u[0-9a-fA-F]{4})[^"\\]*"[ \t\n\r]*:'
_MAY_BE_NESTED = (rb'"[\[{]', rb'"\\["nrtu]', rb'" ')
_MANY_DIGITS = rb"[-+.0-9eE]{64}"
"""No number is longer than is looked at in which this is not."""


class _Names(dict[bytes, Hider | None]):
    """Who hides a field of that name, as it is written without escapes."""

    def __init__(self, of: Asked) -> None:
        super().__init__()
        self._of = of

    def __missing__(self, name: bytes) -> Hider | None:
        hider = self._of.hiders[name.decode()]
        if len(name) <= REMEMBERED_LENGTH:
            if len(self) >= REMEMBERED_FIELDS:
                self.clear()
            self[name] = hider
        return hider


class Whole:
    """Masks whole texts for one set of maskers. ``covers``: it can, for these."""

    def __init__(self, maskers: tuple[IMasker, ...]) -> None:
        self._asked: Asked = asked(maskers, False)
        patterns = _patterns(self._asked)
        self.covers = patterns is not None
        self._names = _Names(self._asked)
        self._search = search(tuple(patterns or ()))

    def masked(self, data: bytes, hand: Hand, *, first: int = 0, under: str = "") -> bytes | None:
        """The text with what is hidden replaced; the very same if nothing is.

        ``first`` is the number of the first element, where it is a part of an array; ``under``
        where this text stands, if it does in another. None if it has to be read step by step: also
        where it is no JSON. Raises `MaskingFault`.
        """
        return self._masked(data, hand, is_json, (first, under))

    def masked_lines(self, data: bytes, hand: Hand, number: int) -> bytes | None:
        """The same of several texts, each on a line of its own; ``number`` is the first line's."""
        return self._masked(data, hand, are_lines, (number, None))

    def _masked(
        self, data: bytes, hand: Hand, is_good: Callable[[bytes], bool], within: Within
    ) -> bytes | None:
        found = self._search.find(data) if self.covers and not hand.openly else None
        if found is None or not is_good(data):
            return None
        if not found:
            return data
        return Reading(data, self._asked, hand, self._names, within).read(found)


whole: Final = lru_cache(maxsize=REMEMBERED_SETS)(Whole)


def _patterns(of: Asked) -> list[tuple[int, bytes]] | None:
    """What is looked for; None where what maskers hide cannot be looked for."""
    patterns = [(LEFT, _KEY_WITH_ESCAPE), (DIGITS, _MANY_DIGITS)]
    patterns += [(NESTED, each) for each in _MAY_BE_NESTED]
    for masker in of.maskers:
        if not is_stated(masker) or (masker.looks_at_values and not masker.signs):
            return None
        last = [path.segments[-1].selector for path in masker.paths]
        if not all(isinstance(name, str) for name in last):
            return None
        for kind, names in ((NAME, masker.names), (LEFT, cast("list[str]", last))):
            expressions = [name_pattern(name) for name in names]
            if None in expressions:
                return None
            patterns += [(kind, each) for each in expressions if each is not None]
        patterns += [(SIGN, sign) for sign in masker.signs]
    if of.lookers:
        patterns.append((SIGN, ESCAPE))
    return patterns
