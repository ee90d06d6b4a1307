"""Hides given byte strings, in content of any kind, by stars of the same length."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Self
from urllib.parse import quote, quote_plus

from jitgate.values import Headers


class Literals(tuple[bytes, ...]):  # noqa: SLOT001 (a tuple has no room for slots)
    """Byte strings to hide that know their `spellings`: worked out once, where they are kept.

    Equal to the same byte strings that do not. Raises `ValueError` for an empty one.
    """

    spelled: tuple[bytes, ...]
    """Each in every spelling."""
    shortest: int
    """Bytes of the shortest of those."""

    def __new__(cls, literals: Iterable[bytes] = ()) -> Self:
        self = super().__new__(cls, literals)
        if not all(self):
            raise ValueError("A literal to hide must have at least one byte.")
        self.spelled = tuple(dict.fromkeys([form for each in self for form in spellings(each)]))
        self.shortest = min(map(len, self.spelled), default=sys.maxsize)
        return self


class LiteralMasker:
    """Replaces every occurrence of every literal by as many ``*``: lengths stay as they were.

    Occurrences that overlap are all hidden. Of what was fed, only a tail that could begin a
    literal is held back. Each is hidden in the `spellings` that encoders give it; one in another
    spelling (base64, every character escaped) is another literal. Raises `ValueError` for an empty
    literal.
    """

    def __init__(self, literals: Sequence[bytes]) -> None:
        known = literals if isinstance(literals, Literals) else Literals(literals)
        self._literals, self._shortest = known.spelled, known.shortest
        self._tail = b""
        self._covered = 0
        self.count = 0

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
        for literal in self._literals:
            if literal in value:
                spans = self._occurrences(value)
                self.count += len(spans)
                return _starred(value, spans)
        return value

    def hide_in_fields(self, fields: Headers) -> Headers:
        """Header fields with every literal hidden in each name and in each value."""
        together = b"\n".join(chain.from_iterable(fields))
        for literal in self._literals:
            if literal in together:
                return tuple([(self.hide_in(name), self.hide_in(value)) for name, value in fields])
        return fields  # what is nowhere in all of them is in no part of them

    def _release(self, data: bytes, end: int) -> bytes:
        """Let ``data`` go up to ``end`` and hold the rest.

        What starts behind ``end`` is found again with the next bytes, so it is not counted yet.
        What starts before it may reach into the rest, which is noted as covered.
        """
        spans = [span for span in self._occurrences(data) if span[0] < end]
        self.count += len(spans)
        if self._covered:
            spans.append((0, self._covered))
        self._tail = data[end:]
        self._covered = max((stop - end for _, stop in spans if stop > end), default=0)
        return _starred(data, spans)[:end]

    def _occurrences(self, data: bytes) -> list[tuple[int, int]]:
        spans = []
        for literal in self._literals:
            start = data.find(literal)
            while start >= 0:
                spans.append((start, start + len(literal)))
                start = data.find(literal, start + 1)
        return spans

    def _first_open(self, data: bytes) -> int:
        """Where the longest tail that could begin a literal starts; the length if none could."""
        return min([_open_at(literal, data) for literal in self._literals], default=len(data))


_WRITTEN_AS_IT_IS = re.compile(rb"[A-Za-z0-9._~-]+")
"""What no encoder writes in another way (RFC 3986, section 2.3): tokens are made of it."""


def spellings(literal: bytes) -> tuple[bytes, ...]:
    """A literal as it stands, and as encoders of JSON and of URLs write it."""
    if _WRITTEN_AS_IT_IS.fullmatch(literal):
        return (literal,)
    text = _as_text(literal)
    json_forms = [json.dumps(text)[1:-1]]
    json_forms.append(json_forms[0].replace("/", "\\/"))
    for special in ("=+&<>'", "=+&<>'/", "=&<>'", "&<>'"):
        lower = json_forms[0].translate({ord(each): f"\\u{ord(each):04x}" for each in special})
        json_forms += [lower, lower.replace("/", "\\/"), _upper_escapes(lower)]
    urls = [quote(literal, safe=""), quote(literal), quote_plus(literal)]
    urls += [re.sub("%..", lambda escape: escape[0].lower(), url) for url in urls]
    if not text.isascii():
        json_forms += [json.dumps(text, ensure_ascii=False)[1:-1], _upper_escapes(json_forms[0])]
    every = [literal, *(form.encode("utf-8") for form in (*json_forms, *urls))]
    return tuple(dict.fromkeys(every))


def _as_text(literal: bytes) -> str:
    """What a literal reads as: UTF-8, or else a character for each byte."""
    try:
        return literal.decode("utf-8")
    except UnicodeDecodeError:
        return literal.decode("latin-1")


def _upper_escapes(text: str) -> str:
    return re.sub(r"\\u[0-9a-f]{4}", lambda escape: "\\u" + escape[0][2:].upper(), text)


_HEAD = 8
"""Bytes of a literal by which its beginnings are looked for."""


def _open_at(literal: bytes, data: bytes) -> int:
    """Where the longest tail of ``data`` that is a beginning of ``literal`` and no more starts."""
    least = max(0, len(data) - len(literal) + 1)
    head = literal[:_HEAD]  # of the first byte alone there may be many
    start = data.find(head, least)
    while start >= 0 and not literal.startswith(data[start:]):
        start = data.find(head, start + 1)
    if start >= 0:
        return start
    shorter = range(min(len(head) - 1, len(data) - least), 0, -1)
    return len(data) - next((size for size in shorter if data.endswith(head[:size])), 0)


def _starred(data: bytes, spans: Sequence[tuple[int, int]]) -> bytes:
    if not spans:
        return data
    starred = bytearray(data)
    for start, stop in spans:
        starred[start:stop] = b"*" * (stop - start)
    return bytes(starred)
