"""The ways in which encoders of JSON and of URLs may write a secret, and where it stands in bytes.

Which characters an encoder writes in another way differs from one to the next, so each of them may
be written in any of its ways: no list of whole spellings would have all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Final

Ways = tuple[bytes, ...]
"""How one character may be written, the longest first."""

_AS_IT_IS: Final = re.compile(rb"[A-Za-z0-9._-]+")
"""What no encoder writes in another way (RFC 3986, section 2.3; WHATWG URL leaves out ``~``)."""

_SHORT: Final = {'"': rb"\"", "/": rb"\/", "\b": rb"\b", "\f": rb"\f", "\n": rb"\n"} | {
    "\r": rb"\r",
    "\t": rb"\t",
}
r"""Escapes of JSON but for ``\u`` and for a backslash (RFC 8259, section 7)."""

DEEP: Final = 4
"""How deep in texts of JSON within others, or in URLs within others, a secret is still known."""

_DIGITS: Final = re.compile(rb"%[0-9A-F]{2}|(?<=\\u)[0-9A-F]{4}")
"""Hexadecimal digits of escapes, which may be small letters as well."""

_WIDE: Final = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")


class Spelled:
    """A secret in bytes, each character of which may be written in several ways.

    Args:
        units: The ways of each character.
        step: How many bytes each byte of it takes that is no zero.
    """

    def __init__(self, units: Sequence[Ways], step: int = 1) -> None:
        self.units, self.step = tuple(units), step
        self.shortest = sum(len(ways[-1]) for ways in units)
        """Bytes that it has at least."""
        self._plain: bytes | None = None
        if all(len(ways) == 1 for ways in units):
            self._plain = b"".join([ways[0] for ways in units])
        self._needed = _longest_run(units)
        self._longest = sum(len(ways[0]) for ways in units)
        self._firsts = {way[0] for way in units[0]}

    @cached_property
    def _whole(self) -> re.Pattern[bytes]:
        return re.compile(b"".join(map(_any, self.units)))

    @cached_property
    def _begun(self) -> re.Pattern[bytes]:
        return re.compile(b"".join(map(_any, self.units[:_BEGUN])))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Spelled) and self.units == other.units and self.step == other.step

    def __hash__(self) -> int:
        return hash((self.units, self.step))

    def is_in(self, data: bytes) -> bool:
        """Whether it stands there."""
        return next(self.places(data), None) is not None

    def places(self, data: bytes) -> Iterator[tuple[int, int]]:
        """Where it stands, in order; places may overlap."""
        if self._plain is not None:
            start = data.find(self._plain)
            while start >= 0:
                yield start, start + len(self._plain)
                start = data.find(self._plain, start + 1)
        elif self._needed in data:
            found = self._whole.search(data)
            while found is not None:
                yield found.span()
                found = self._whole.search(data, found.start() + 1)

    def open_at(self, data: bytes) -> int:
        """Where the longest tail that is a beginning of it, and no more, starts; else the end."""
        if self._plain is not None:
            return _open_at(self._plain, data)
        size = len(data)
        at = max(0, size - self._longest + 1)
        found = self._begun.search(data, at)
        while found is not None and not self._is_open(data, found.start()):
            found = self._begun.search(data, found.start() + 1)
        last = size if found is None else found.start()
        at = max(at, size - sum(len(ways[0]) for ways in self.units[:_BEGUN]))
        begins = (each for each in range(at, last) if data[each] in self._firsts)
        return next((each for each in begins if self._is_open(data, each)), last)

    def _is_open(self, data: bytes, start: int) -> bool:
        reached = {start}
        for ways in self.units:
            after = set[int]()
            for at in reached:
                for way in ways:
                    if data.startswith(way, at):
                        after.add(at + len(way))
                    elif way.startswith(data[at : at + len(way)]):
                        return True
            reached = after
        return False


_BEGUN: Final = 2
"""Characters by which beginnings are looked for: of the first alone there may be many."""

_HEAD: Final = 8
"""Bytes of what has one spelling by which its beginnings are looked for."""


def spelled(literal: bytes) -> list[Spelled]:
    """A literal as it stands, and as encoders of JSON and of URLs write it, in UTF-8."""
    return [Spelled(units) for units in units_of(literal)]


def widened(literal: bytes) -> list[Spelled]:
    """The same in UTF-16 and UTF-32. A single byte is in them as it stands."""
    every = [units for units in units_of(literal) if len(units) > 1 or len(units[0][0]) > 1]
    found = [Spelled(_with_zeros(units, step), step) for units in every for step in (2, 4)]
    if not literal.isascii():
        found += [Spelled(_in_charset(units, each)) for units in every for each in _WIDE]
    return found


def units_of(literal: bytes) -> list[tuple[Ways, ...]]:
    """The ways of each character; those of what has one way by itself as one.

    There are several where a backslash may be written as itself or as two or four: were all among
    its ways, of many backslashes nobody could say in time which are how many.
    """
    if _AS_IT_IS.fullmatch(literal):
        return [((literal,),)]
    try:
        text, is_text = literal.decode("utf-8"), True
    except UnicodeDecodeError:
        text, is_text = literal.decode("latin-1"), False
    kinds = [1, 2, 4] if b"\\" in literal else [1]
    return [tuple([_ways(each, is_text, backslashes) for each in text]) for backslashes in kinds]


def _ways(character: str, is_text: bool, backslashes: int) -> Ways:
    raw = character.encode("utf-8" if is_text else "latin-1")
    if _AS_IT_IS.fullmatch(raw):
        return (raw,)
    units = character.encode("utf-16-be").hex()
    lower = "".join([f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4)])
    url = "".join([f"%{each:02X}" for each in raw])
    ways = {lower, re.sub("[a-f]", lambda letter: letter[0].upper(), lower), url, url.lower()}
    written = {way.encode() for way in ways} | {raw}
    written.add(character.encode())
    if character < "\u0100":
        written.add(character.encode("latin-1"))  # as header fields may say it
    if character in _SHORT:
        written.add(_SHORT[character])
    if character == " ":
        written.add(b"+")
    if character == "\\":
        single = [way for way in written if not way.startswith(b"\\u")]
        written = written.difference(single) | {way * backslashes for way in single}
        written |= {_in_url(way) for way in tuple(written)}
    else:
        written |= set(_within(written, raw))
    return tuple(sorted(written, key=lambda way: (-len(way), way)))


def _within(written: Iterable[bytes], raw: bytes) -> Iterator[bytes]:
    """The ways of what is written again: JSON or a URL within another, or the one in the other.

    What stands as it is may be written again, and again, up to `DEEP`.
    """
    for way in written:
        for again in (_in_json(way), _in_json(way, slash=True), _in_html(way), _in_url(way)):
            yield again
            yield _DIGITS.sub(lambda escape: escape[0].lower(), again)
    texts, urls = {raw}, raw
    for _ in range(DEEP):
        texts = {_in_json(way, slash=slash) for way in texts for slash in (False, True)}
        urls = _in_url(urls)
        yield from texts
        yield urls


def _in_json(way: bytes, *, slash: bool = False) -> bytes:
    """As any encoder writes it in a text; one of PHP escapes a ``slash`` as well."""
    special = rb'["\\/]' if slash else rb'["\\]'
    return re.sub(special, rb"\\\g<0>", way)


def _in_html(way: bytes) -> bytes:
    """As encoders write it in a text that may come to stand in HTML."""
    doubled = way.replace(b"\\", rb"\\")
    return re.sub(rb"[<>&'+\"`=]", lambda each: b"\\u%04X" % each[0][0], doubled)


def _in_url(way: bytes) -> bytes:
    """As it is written in a query."""
    return re.sub(rb"[^A-Za-z0-9._-]", lambda each: b"%%%02X" % each[0][0], way)


def _with_zeros(units: Sequence[Ways], step: int) -> tuple[Ways, ...]:
    """What of it is in ASCII, with zeros between: at either end it has none, in either order."""
    zeros, every = bytes(step - 1), list[Ways]()
    for number, ways in enumerate(units):
        ascii_alone = [way for way in ways if way.isascii() and (len(units) > 1 or len(way) > 1)]
        apart = [zeros.join([way[at : at + 1] for at in range(len(way))]) for way in ascii_alone]
        every.append(tuple([(zeros if number else b"") + way for way in apart]))
    return tuple(every)


def _in_charset(units: Sequence[Ways], charset: str) -> tuple[Ways, ...]:
    return tuple([tuple([each.encode(charset) for each in texts(ways)]) for ways in units])


def texts(ways: Ways) -> list[str]:
    """Those of them that are text in UTF-8."""
    read = [way.decode("utf-8", "replace") for way in ways]
    return [text for text, way in zip(read, ways, strict=True) if text.encode() == way]


def _any(ways: Ways) -> bytes:
    every = b"|".join(map(re.escape, ways))
    return every if len(ways) == 1 else b"(?:%b)" % every


def _longest_run(units: Sequence[Ways]) -> bytes:
    """The longest run of bytes that is in each spelling."""
    runs = [b""]
    for ways in units:
        if len(ways) == 1:
            runs[-1] += ways[0]
        else:
            runs.append(b"")
    return max(runs, key=len)


def _open_at(literal: bytes, data: bytes) -> int:
    """Where the longest tail of ``data`` that is a beginning of ``literal`` and no more starts."""
    least = max(0, len(data) - len(literal) + 1)
    head = literal[:_HEAD]  # of the first byte alone there may be many
    start = data.find(head, least)
    while start >= 0 and not literal.startswith(data[start:]):
        start = data.find(head, start + 1)
    if start >= 0:
        return start
    most = min(len(head) - 1, len(data) - least)
    if most and head[:1] in data[-most:]:
        shorter = range(most, 0, -1)
        return len(data) - next((size for size in shorter if data.endswith(head[:size])), 0)
    return len(data)
