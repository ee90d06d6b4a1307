r"""Looks for many patterns at once in bytes of JSON, far faster than they can be read.

It only says where to look: what is not found is surely not there, what is found may prove to be
nothing. The patterns are in the syntax that Hyperscan and RE2 both take, over bytes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final, Protocol

import re2

from jitgate.errors import MaskingFault

try:
    import hyperscan
except ImportError:  # there are no wheels for this platform
    hyperscan = None  # type: ignore[assignment]

HAS_HYPERSCAN: Final = hyperscan is not None

MOST: Final = 64 * 1024
"""Finds that are told one by one, 100 bytes each: where there are more, all has to be read."""

APART: Final = 64
"""Bytes for each find, on the average. Where more is found, to read all of it takes no longer."""

FEW: Final = 256
"""Finds that are told one by one, however few bytes there are."""

LARGEST: Final = 2**32 - 1
"""Bytes that Hyperscan takes at once; of more it would not look at all, and say nothing."""

Finds = list[tuple[int, int]]
"""The kind of each find, and where it ends; in no order that could be relied on."""


class _Searcher(Protocol):
    def find(self, data: bytes) -> Finds | None: ...


class Search:
    """Looks for all of some patterns, each of a kind, which is a number that is not negative.

    Several threads may search at once.

    Args:
        patterns: Several may be of one kind.
        portable: By RE2, which does not say what it found where. So it is where Hyperscan has no
            wheels, or finds that the patterns are too much together.

    Raises `ValueError` for a pattern that is none, or that is found everywhere.
    """

    def __init__(
        self, patterns: Sequence[tuple[int, bytes]], *, portable: bool = not HAS_HYPERSCAN
    ) -> None:
        for _, pattern in patterns:
            _check(pattern)
        self._searcher: _Searcher | None = None
        if patterns:
            self._searcher = (None if portable else _places(patterns)) or _Anywhere(patterns)

    def find(self, data: bytes) -> Finds | None:
        """What is found; nothing is an empty list, and None is something, somewhere.

        A pattern that fits in several ways is told with each of its ends. Raises `MaskingFault`
        where it cannot be told.
        """
        return [] if self._searcher is None else self._searcher.find(data)


REMEMBERED: Final = 1024
"""Searches that are kept, of 70 KiB each. To compile one takes as long as to mask a mebibyte, so
all that a configuration needs must fit: one for each combination of profiles that policy can ask
for, and one more for each set of fields that a catalog marks (30 of Okta's) beside it."""


@lru_cache(maxsize=REMEMBERED)
def search(patterns: tuple[tuple[int, bytes], ...]) -> Search:
    """A search for these, made once for all who look for the same."""
    return Search(patterns)


class _Places:
    """By Hyperscan, which says what it found where.

    A search takes room to work in (`hyperscan.Scratch`) that no other may use meanwhile: there come
    to be as many as there are searches at once.
    """

    def __init__(self, patterns: Sequence[tuple[int, bytes]]) -> None:
        self._database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
        self._database.compile(
            expressions=[pattern for _, pattern in patterns],
            ids=[kind for kind, _ in patterns],
            elements=len(patterns),
            flags=0,
        )
        self._rooms = [hyperscan.Scratch(self._database)]

    def find(self, data: bytes) -> Finds | None:
        if len(data) > LARGEST:
            return None
        try:
            room = self._rooms.pop()
        except IndexError:
            room = hyperscan.Scratch(self._database)
        found: Finds = []
        most = min(MOST, len(data) // APART + FEW)

        def note(kind: int, _: int, end: int, __: int, ___: object) -> bool:
            found.append((kind, end))
            return len(found) > most

        try:
            self._database.scan(data, match_event_handler=note, scratch=room)
        except hyperscan.ScanTerminated:
            return None
        except hyperscan.error as error:
            raise MaskingFault("the search for what is hidden failed") from error
        finally:
            self._rooms.append(room)
        return found


def _places(patterns: Sequence[tuple[int, bytes]]) -> _Places | None:
    try:
        return _Places(patterns)
    except hyperscan.error:
        return None


class _Anywhere:
    """By RE2, which says that it found something."""

    def __init__(self, patterns: Sequence[tuple[int, bytes]]) -> None:
        every = b"|".join(b"(?:%b)" % each for _, each in patterns)
        try:
            self._any = re2.compile(every, _options())
        except re2.error as error:
            raise ValueError(f"{len(patterns)} patterns are too much: {error}") from error

    def find(self, data: bytes) -> Finds | None:
        return [] if self._any.search(data) is None else None


def _check(pattern: bytes) -> None:
    try:
        compiled = re2.compile(pattern, _options())
    except re2.error as error:
        raise ValueError(f"{pattern!r} is no expression: {error}") from error
    if compiled.search(b"") is not None:
        raise ValueError(f"{pattern!r} is found everywhere.")


def _options() -> re2.Options:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1  # bytes are characters
    options.log_errors = False
    options.never_capture = True
    return options


# --- names

LONGEST_GLOB: Final = 128
"""Characters of a glob that is looked for: longer ones take long to compile, and no API needs."""

_ANY = rb'(?:[^"\\]|\\.)*'
_SOME = re.compile("[*?\u0080-\U0010ffff]+")
"""What stands for any characters here: in a glob less of it does, and the reader knows."""

_WRITTEN: Final[Mapping[str, bytes]] = {
    "i": rb"(?:[iI]|\xc4[\xb0\xb1])",
    "k": rb"(?:[kK]|\xe2\x84\xaa)",
    "s": rb"(?:[sS]|\xc5\xbf)",
    "/": rb"\\?/",
    '"': rb'\\"',
    "\\": rb"\\\\",
    "\b": rb"\\b",
    "\f": rb"\\f",
    "\n": rb"\\n",
    "\r": rb"\\r",
    "\t": rb"\\t",
}
r"""Characters that are not written as themselves, or with others beside them: Python takes U+0130
and U+0131 for i, U+212A for k and U+017F for s, where upper and lower case are alike. What can
only be written as ``\u`` and four digits (RFC 8259, section 7) is not here."""


def name_pattern(glob: str) -> bytes | None:
    r"""An expression that ends behind the closing quote of each name that fits a glob, in any case.

    It misses none (`jitgate.core.globs`) but those in which an escape that begins with ``\u``
    stands for a character of ASCII that the glob names. None if the glob names none of ASCII, for
    that would be found everywhere, or is very long.
    """
    pieces = _SOME.split(glob)
    if not any(pieces) or len(glob) > LONGEST_GLOB:
        return None
    begin = b'"' if pieces[0] else b""
    named = [b"".join(map(_character, piece)) for piece in pieces if piece]
    end = b'"' if pieces[-1] else _ANY + b'"'
    return begin + _ANY.join(named) + end


def _character(character: str) -> bytes:
    lower = character.lower()
    if lower in _WRITTEN:
        return _WRITTEN[lower]
    if character < " ":
        return rb"\\u00[01][0-9a-fA-F]"
    if character.isalpha():
        return f"[{lower}{lower.upper()}]".encode()
    return re.escape(character).encode()
