"""Hides what looks like a secret, in whatever field it stands."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from zope.interface import implementer

from jitgate.core.hiding import STARS
from jitgate.core.json_search import search
from jitgate.core.parts import Part, replaced
from jitgate.core.pausing import pause, paused
from jitgate.interfaces import IStatedMasker
from jitgate.maskers import kinds
from jitgate.maskers.versioned import Versioned
from jitgate.values import How, Span

_LONE = re.compile("[\ud800-\udfff]")

"""Halves of surrogate pairs: UTF-8 has none, and no secret either."""

_SLICE: Final = 256
"""Characters in which they are replaced in one go: what is no UTF-8 is read as nothing else."""


@implementer(IStatedMasker)
class DetectorMasker(Versioned):
    """Hides the secrets of some kinds in every text and number.

    Where those of several kinds overlap, all of what they cover is hidden as one, of the kind that
    is named first. Raises `ValueError` for a kind that there is not.
    """

    looks_at_values = True
    names = ()
    paths = ()

    def __init__(self, name: str, named: Sequence[str], how: How = How.REPLACE) -> None:
        self.name = name
        self.how = how
        self._kinds = tuple(map(kinds.known, named))
        self.signs = tuple(sign for kind in self._kinds for sign in kind.signs)
        told = json.dumps([how.value, *named, *map(repr, self.signs)])
        self.version = hashlib.sha256(told.encode()).hexdigest()
        self._search = search(
            tuple((number, sign) for number, kind in enumerate(self._kinds) for sign in kind.signs)
        )

    def hides(self, field: str) -> bool:
        return False

    def mask(self, field: str, value: str) -> str | None:
        parts = [Part(begin, end, STARS, what) for begin, end, what in self.spans(value)]
        return replaced(value, parts) if parts else None

    def spans(self, value: str) -> Sequence[Span]:
        text = _encoded(value)
        found = self._search.find(text)
        if found is not None and not found:
            return ()
        pause()
        numbers = range(len(self._kinds)) if found is None else {number for number, _ in found}
        places = [
            (begin, end, number)
            for number in numbers
            for begin, end in paused(self._kinds[number].find(text))
        ]
        return tuple(
            Span(begin, end, self._kinds[number].name)
            for begin, end, number in paused(_in_characters(text, _united(places)))
        )


def _encoded(value: str) -> bytes:
    try:
        return value.encode()
    except UnicodeEncodeError:
        return b"".join(map(_without_lone, paused(_slices(value))))


def _slices(value: str) -> Iterator[str]:
    return (value[at : at + _SLICE] for at in range(0, len(value), _SLICE))


def _without_lone(text: str) -> bytes:
    return _LONE.sub("\ufffd", text).encode()


Place = tuple[int, int, int]
"""Where something begins and ends, and the number of its kind."""


def _united(places: Iterable[Place]) -> list[Place]:
    """In order, and of those that overlap one, of the first kind."""
    united = list[Place]()
    for begin, end, number in paused(sorted(places)):
        if united and begin < united[-1][1]:
            before = united[-1]
            united[-1] = before[0], max(before[1], end), min(before[2], number)
        else:
            united.append((begin, end, number))
    return united


def _in_characters(text: bytes, places: Sequence[Place]) -> Sequence[Place]:
    """The places in the text that these bytes of UTF-8 are."""
    if text.isascii():
        return places
    counted, at, characters = list[Place](), 0, 0
    for begin, end, number in paused(places):
        characters += len(text[at:begin].decode())
        length = len(text[begin:end].decode())
        counted.append((characters, characters + length, number))
        characters, at = characters + length, end
    return counted
