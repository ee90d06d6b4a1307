"""Hides what was found in a JSON text that is at hand whole; or leaves all of it to others."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from operator import itemgetter
from typing import Final

from jitgate.core import json_grammar as grammar
from jitgate.core.hiding import CONCEALED, LONGEST_LINK, NEEDS_TEXT, UUID_SIZE, Hand, concealed
from jitgate.core.json_masking import inside
from jitgate.core.json_places import Key, places, written
from jitgate.core.json_strings import Strings
from jitgate.core.json_tokens import in_characters
from jitgate.core.masking import Asked, Maskers
from jitgate.core.parts import replaced
from jitgate.core.pausing import pause
from jitgate.values import Hider, How

LEFT, NAME, SIGN, NESTED, DIGITS = range(5)
"""What is left to be read step by step, which comes first of what is found in one place; a name
that may be a hidden field's, behind it; what may be hidden in a text or a number; a text that may
be JSON; and a number that may be too long."""

_OF_NAMES = frozenset({NAME, LEFT})
"""They end where the text does that a name is, which may have been passed over for a sign in it."""

_RUN = re.compile(rb"[-+.0-9eE]++")

_COLON = re.compile(rb"[ \t\n\r]*+:[ \t\n\r]*+")
_COMMA = re.compile(rb"[ \t\n\r]*+,")
_STRING = re.compile(rb'"[^"\\]*+(?>\\.[^"\\]*+)*+"', re.DOTALL)
_BARE = re.compile(rb"[-+.0-9A-Za-z]++")
_FLAT = re.compile(rb'[^"{}\[\]]*+(?>"[^"\\]*+(?>\\.[^"\\]*+)*+"[^"{}\[\]]*+)*+', re.DOTALL)
"""What of a container is in no other."""

_SPACE = b" \t\n\r"
_QUOTE, _BACKSLASH, _OPENS = b'"\\{'
_NULL = ord("n")
_REPLACED: Final = {ord(first): instead.encode() for first, instead in CONCEALED.items()}
_LITERAL = b"tfn"
"""How true, false and null begin, at which nobody looks who states what is hidden."""

_WORD = b"-+.0123456789eEtrufalsn"
"""What they are made of, and numbers."""


Edit = tuple[int, int, bytes]
"""From where to where, and what stands there instead."""

Found = Sequence[tuple[int, int]]
"""What was found of which kind, and where it ends."""

Within = tuple[int, str | None]
"""The number of the first element or line, and where the text stands; None: lines do not."""


class Reading:
    """One text, of which what was found is read."""

    def __init__(
        self,
        data: bytes,
        of: Asked,
        hand: Hand,
        names: Mapping[bytes, Hider | None],
        within: Within,
    ) -> None:
        self._data = data
        self._first, self._under = within
        self._of = of
        self._hand = hand
        self._names = names
        self._aside: Maskers | None = None
        """Who counts what is hidden in texts, until it is known that all of it is done here."""
        self._edits: list[Edit] = []
        self._hidden: list[tuple[str, int, int]] = []
        """Values hidden for their names, and not told yet: by which rule, from where to where."""
        self._begins: list[int] = []
        """Where all hidden values begin, in order."""
        self._trails: dict[int, tuple[Key, ...]] | None = None
        self._done = 0
        """Up to where nothing more is to be looked at: there, nothing is within a text."""
        self._emptied = 0
        """Behind the comma after fields at the beginning of an object that were dropped."""

    def read(self, found: Found) -> bytes | None:
        """The text with what is hidden replaced; None if that takes more than is done here."""
        if not self._looked(sorted(found, key=itemgetter(1, 0))):
            return None
        self._tell()
        return self._result()

    def _looked(self, found: Found) -> bool:
        """Read what was found, in order; False if that takes more than is done here."""
        if any(kind == DIGITS for kind, _ in found) and _has_long_number(self._data):
            return False
        for kind, end in found:
            least = self._done - 1 if kind in _OF_NAMES else self._done
            if kind == DIGITS or end <= least:
                continue
            if kind == LEFT:
                return False
            if kind == NAME:
                if not self._field(end):
                    return False
            else:
                self._found(end)
                pause()
        return True

    def _field(self, end: int) -> bool:
        """A name that may be hidden ends here. If it is a field's, hide its value."""
        data = self._data
        colon = _COLON.match(data, end)
        if colon is None:
            return True  # it is a value, or in one
        name = data.rfind(b'"', 0, end - 1)
        if _BACKSLASH in data[name - 1 : end]:
            return False  # as it is written it is another name
        hider = self._names[data[name + 1 : end - 1]]
        if hider is None:
            return True
        begin = colon.end()
        text = _STRING.match(data, begin)
        self._done = close = text.end() if text is not None else _value_end(data, begin)
        if text is not None and hider.how in NEEDS_TEXT and self._of.lookers:
            value = grammar.decoded(data[begin:close].decode())
            hider = self._lookers().telling(hider, "", value)
            name = begin
        if hider.how is How.REPLACE:
            self._edits.append((begin, close, _concealed(data, begin, close)))
        else:
            self._hide(hider, name, begin, close)
        if data[begin] != _NULL or hider.how is How.DROP:
            self._hidden.append((hider.name, begin, close))
            self._begins.append(begin)
        return True

    def _tell(self) -> None:
        """What was hidden has been."""
        if self._aside is None:
            self._tell_names(self._hand)
        else:
            self._tell_names(self._aside.hand)
            self._hand.take(self._aside.hand)

    def _tell_names(self, hand: Hand) -> None:
        """Tell what was hidden for its name since the last that was found in a text or a number.

        So all is told in the order in which it stands: only so many are told one by one.
        """
        if self._hidden:
            hand.hid_at(self._hidden, self._data, self._path)
            self._hidden.clear()

    def _path(self, begin: int) -> str:
        """The path of a hidden value. All of them are worked out together, once one is asked."""
        if self._trails is None:
            text, begins = self._data.decode(), list(dict.fromkeys(self._begins))
            at = in_characters(self._data, begins)
            self._trails = dict(zip(begins, places(text, at), strict=True))
        trail = self._trails[begin]
        if self._under is None:
            line = self._first + self._data.count(b"\n", 0, begin)
            return f"text {line} {written(trail)}"
        if self._first and trail and isinstance(trail[0], int):
            trail = (trail[0] + self._first, *trail[1:])
        return self._under + written(trail)

    def _result(self) -> bytes:
        """The text with what is hidden replaced."""
        if not self._edits:
            return self._data
        pieces, at = list[bytes](), 0
        for begin, end, instead in self._edits:
            pieces += self._data[at:begin], instead
            at = end
        return b"".join([*pieces, self._data[at:]])

    # --- values of fields

    def _hide(self, hider: Hider, name: int, begin: int, end: int) -> None:
        """Hide a value in another way than most: with its name, where that is not its beginning."""
        if hider.how is How.DROP and name < begin:
            self._drop(name, end)
            return
        token = self._hand.token(hider, self._data[begin:end].decode())
        self._edits.append((begin, end, token.encode()))

    def _drop(self, name: int, end: int) -> None:
        """Drop the member that stands there, and what parts it from those that are left."""
        data, at = self._data, name - 1
        while data[at] in _SPACE:
            at -= 1
        if data[at] != _OPENS and at + 1 != self._emptied:
            self._edits.append((at, end, b""))
            return
        self._edits.append((name, end, b""))
        comma = _COMMA.match(data, end)
        if comma is not None:
            self._emptied = comma.end()
            self._edits.append((comma.end() - 1, comma.end(), b""))

    # --- texts and numbers

    def _found(self, end: int) -> None:
        """Something was found that ends here, in a text or a number: look at all of that."""
        data, at = self._data, end - 1
        if self._is_within(at):
            begin = _opening(data, at)
            close = _end(_STRING, data, begin)
            if _COLON.match(data, close) is None:  # else it is a name
                self._text(begin, close)
        else:
            if data[at] not in _WORD:
                self._done = end  # whatever else ends here is in no text either
                return
            begin = at
            while begin > self._done and data[begin - 1] in _WORD:
                begin -= 1
            close = _end(_BARE, data, begin)
            if data[begin] not in _LITERAL:
                self._number(begin, close)
        self._done = close

    def _lookers(self) -> Maskers:
        if self._aside is None:
            self._aside = Maskers(self._of.maskers, self._hand.beside())
        return self._aside

    def _is_within(self, at: int) -> bool:
        """Whether that byte is of a text, be it its closing quote."""
        before = self._data[self._done : at]
        quotes = before.count(b'"')
        if _BACKSLASH in before:
            quotes -= before.replace(b"\\\\", b"").count(b'\\"')
        return quotes % 2 == 1

    def _text(self, begin: int, end: int) -> None:
        token = self._data[begin:end].decode()
        self._begins.append(begin)
        path, looked, maskers = partial(self._path, begin), bool(self._of.lookers), self._lookers()
        self._tell_names(maskers.hand)
        parts = Strings(maskers, 0, inside).parts("", token, path, looked=looked)
        if parts:
            instead = replaced(token, parts).encode("utf-8", "surrogatepass")
            self._edits.append((begin, end, instead))

    def _number(self, begin: int, end: int) -> None:
        token = self._data[begin:end].decode()
        maskers = self._lookers()
        shown = maskers.shown("", token, partial(grammar.fitted, token))
        if shown is not None:
            self._begins.append(begin)
            self._tell_names(maskers.hand)
            for rule in shown.rules:
                maskers.hand.hid(rule, partial(self._path, begin), token.encode())
            instead = "null" if shown.dropped else shown.text
            self._edits.append((begin, end, instead.encode()))


def _concealed(data: bytes, begin: int, end: int) -> bytes:
    """What stands for a value that is hidden whole."""
    first, size = data[begin], end - begin
    if (first == _OPENS and size <= 4 * LONGEST_LINK) or (first == _QUOTE and size == UUID_SIZE):
        return concealed(data[begin:end].decode()).encode()
    return _REPLACED.get(first, b"0")


def _has_long_number(data: bytes) -> bool:
    """Whether a number may be longer than is looked at, be it in a value that is hidden."""
    return any(len(run.group()) > grammar.LONGEST_BARE for run in _RUN.finditer(data))


def _opening(data: bytes, at: int) -> int:
    """Where the text begins that a byte is of."""
    begin = data.rfind(b'"', 0, at)
    while data[begin - 1] == _BACKSLASH:  # no text begins behind one
        begin = data.rfind(b'"', 0, begin)
    return begin


def _value_end(data: bytes, begin: int) -> int:
    """Where the value ends that begins there."""
    first = data[begin]
    if first == _QUOTE:
        return _end(_STRING, data, begin)
    if first not in b"{[":
        return _end(_BARE, data, begin)
    depth, at = 1, begin + 1
    while depth:
        at = _end(_FLAT, data, at)
        depth += 1 if data[at] in b"{[" else -1
        at += 1
    return at


def _end(expression: re.Pattern[bytes], data: bytes, at: int) -> int:
    found = expression.match(data, at)
    assert found is not None  # noqa: S101 (it is JSON)
    return found.end()
