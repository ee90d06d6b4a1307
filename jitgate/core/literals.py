"""Hides given byte strings, in content of any kind, by stars of the same length."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import chain
from typing import NamedTuple, Self

from jitgate.core.json_tokens import in_characters
from jitgate.core.spellings import Spelled, spelled, widened
from jitgate.values import Headers


class Literals(tuple[bytes, ...]):  # noqa: SLOT001 (a tuple has no room for slots)
    """Byte strings to hide that know how they are `Spelled`: worked out once, where they are kept.

    Equal to the same byte strings that do not. Raises `ValueError` for an empty one.
    """

    narrow: tuple[Spelled, ...]
    """Each as it stands, and as encoders write it."""
    shortest: int
    """Bytes of the shortest of those."""

    def __new__(cls, literals: Iterable[bytes] = ()) -> Self:
        self = super().__new__(cls, literals)
        if not all(self):
            raise ValueError("A literal to hide must have at least one byte.")
        self.narrow = tuple(dict.fromkeys([form for each in self for form in spelled(each)]))
        self.shortest = min([each.shortest for each in self.narrow], default=sys.maxsize)
        return self

    @cached_property
    def wide(self) -> tuple[Spelled, ...]:
        """The same in UTF-16 and UTF-32."""
        return tuple(dict.fromkeys([form for each in self for form in widened(each)]))

    def and_one(self, literal: bytes) -> Literals:
        """These and another, which alone is looked at: these are known.

        Raises `ValueError` for an empty one.
        """
        one = Literals((literal,))
        both = tuple.__new__(Literals, (*self, literal))
        both.narrow = tuple(dict.fromkeys((*self.narrow, *one.narrow)))
        both.shortest = min(self.shortest, one.shortest)
        return both

    def places(self, text: str) -> list[tuple[int, int]]:
        """Where any of them stands in a text, in order; what overlaps is one."""
        data = text.encode("utf-8", "surrogatepass")
        found = sorted(place for form in self.narrow for place in form.places(data))
        united = list[tuple[int, int]]()
        for begin, end in found:
            if united and begin < united[-1][1]:
                united[-1] = (united[-1][0], max(end, united[-1][1]))
            else:
                united.append((begin, end))
        bounds = iter(in_characters(data, [at for place in united for at in place]))
        return list(zip(bounds, bounds, strict=True))


class LiteralMasker:
    """Replaces every occurrence of every literal by as many ``*``: lengths stay as they were.

    Occurrences that overlap are all hidden. Of what was fed, only a tail that could begin a
    literal is held back. Each is hidden however encoders write it (`jitgate.core.spellings`), in
    UTF-8, UTF-16 and UTF-32; one in another spelling (base64, every character escaped) is another
    literal. Raises `ValueError` for an empty literal.
    """

    def __init__(self, literals: Sequence[bytes]) -> None:
        self._known = literals if isinstance(literals, Literals) else Literals(literals)
        self._literals, self._shortest = self._known.narrow, self._known.shortest
        self._tail = b""
        self._covered: list[_Place] = []
        self.count = 0

    @property
    def held(self) -> int:
        """What could begin a literal."""
        return len(self._tail)

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes; return those that can no longer begin a literal."""
        if not self._literals:
            return chunk
        data = self._tail + chunk
        return self._release(data, self._first_open(data))

    def finish(self) -> bytes:
        """Return the tail that was held back: nothing follows that could complete a literal."""
        return self._release(self._tail, len(self._tail)) if self._tail else b""

    def hide_in(self, value: bytes) -> bytes:
        """The value, whole in itself (as a header field's is), with every literal hidden."""
        if len(value) < self._shortest:
            return value
        places = self._occurrences(value)
        self.count += len(places)
        return _starred(value, places)

    def hide_in_path(self, path: str) -> str:
        """What is told of a path, with every literal hidden; it is not counted, but where it was.

        It may be written as paths write it (RFC 9535, section 2.7), and is then shown as it reads.
        """
        if not self._literals:
            return path
        told = LiteralMasker(self._known)
        shown = told.hide_in(path.encode()).decode("utf-8", "replace")
        plain = _ESCAPED.sub(_meant, shown).encode("utf-8", "replace")
        read = told.hide_in(plain)
        return shown if read == plain else read.decode("utf-8", "replace")

    def places(self, text: str) -> list[tuple[int, int]]:
        """Where in a text any of the literals stands, in order; what overlaps is one."""
        return self._known.places(text)

    def hide_in_words(self, words: str) -> str:
        """What is said of some content, with every literal hidden that it quotes in lower case."""
        lower = words.encode("utf-8", "replace").lower()
        shown = LiteralMasker([each.lower() for each in self._known]).hide_in(lower)
        return words if shown == lower else shown.decode("utf-8", "replace")

    def hide_in_fields(self, fields: Headers) -> Headers:
        """Header fields with every literal hidden in each name and in each value."""
        together = b"\n".join(chain.from_iterable(fields))
        for literal in self._literals:
            if literal.is_in(together):
                return tuple([(self.hide_in(name), self.hide_in(value)) for name, value in fields])
        return fields  # what is nowhere in all of them is in no part of them

    def _release(self, data: bytes, end: int) -> bytes:
        """Let ``data`` go up to ``end`` and hold the rest.

        What starts behind ``end`` is found again with the next bytes, so it is not counted yet.
        What starts before it may reach into the rest, which is noted as covered.
        """
        places = [place for place in self._occurrences(data) if place.start < end]
        self.count += len(places)
        places += self._covered
        self._tail = data[end:]
        self._covered = [
            _Place((place.start - end) % place.step, place.stop - end, place.step)
            for place in places
            if place.stop > end
        ]
        return _starred(data, places)[:end]

    def _occurrences(self, data: bytes) -> list[_Place]:
        return [
            _Place(start, stop, each.step)
            for each in self._sought(data)
            for start, stop in each.places(data)
        ]

    def _first_open(self, data: bytes) -> int:
        """Where the longest tail that could begin a literal starts; the length if none could."""
        return min([each.open_at(data) for each in self._sought(data)], default=len(data))

    def _sought(self, data: bytes) -> Sequence[Spelled]:
        """What of the literals can be in such data.

        What is in UTF-16 has a zero, but for its first byte; and that could begin the other
        spelling as well.
        """
        return (*self._literals, *self._known.wide) if b"\0" in data else self._literals


class _Place(NamedTuple):
    """Where a literal is: every ``step``-th byte is one of its characters."""

    start: int
    stop: int
    step: int


_ESCAPED = re.compile(r"\\(?:u([0-9a-f]{4})|(.))", re.DOTALL)
"""What a path writes in another way."""


def _meant(escape: re.Match[str]) -> str:
    return chr(int(escape[1], 16)) if escape[1] else _LETTERS.get(escape[2], escape[2])


_LETTERS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


def _starred(data: bytes, places: Sequence[_Place]) -> bytes:
    if not places:
        return data
    starred = bytearray(data)
    for start, stop, step in places:
        starred[start:stop:step] = b"*" * len(range(start, stop, step))
    return bytes(starred)
