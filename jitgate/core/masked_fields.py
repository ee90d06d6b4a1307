"""Hides values in header fields and trailers of a response.

A field may be named as what is secret, or hold it: in the query of a URL, in a parameter, as JSON,
or for what it is by itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final
from urllib.parse import quote, unquote

from jitgate.core.field_values import Around, Value, end_of, end_of_json, in_bytes
from jitgate.core.fields import names_of
from jitgate.core.forms import decoded, hider_of
from jitgate.core.hiding import strictest
from jitgate.core.masking import (
    REMEMBERED_FIELDS,
    REMEMBERED_LENGTH,
    REMEMBERED_SETS,
    Asked,
    Maskers,
)
from jitgate.core.parts import replaced
from jitgate.core.pausing import EVERY, pause, paused
from jitgate.core.texts import Texts, may_be_json
from jitgate.errors import MaskingFault
from jitgate.values import Headers, Hider, How

NEVER_BY_NAME: Final = frozenset(
    {
        b"cache-control",
        b"content-disposition",
        b"content-language",
        b"content-location",
        b"content-type",
        b"date",
        b"expires",
        b"last-modified",
        b"link",
        b"location",
        b"retry-after",
        b"vary",
        b"www-authenticate",
    }
)
"""Fields without which a response could not be read: they are looked into instead."""

LONGEST_FIELD: Final = 63 * 1024
"""Bytes of a value that is longer than it was: no line of 64 KiB would hold it, and no client takes
a longer one."""

_IN_NAME = r"[\w.~%\[\]$\udc80-\udcff-]"
_NAME = re.compile(rf"(?<!{_IN_NAME})({_IN_NAME}++)((?>\*[0-9]*+)*+)[ \t]*+=[ \t]*+")
"""A name, as RFC 8187 and RFC 2231 write it as well: ``name*``, ``name*0``."""

_PLAIN_NAME = re.compile(r"(?<![\w.~%\[\]$-])[\w.~%\[\]$-]++\Z", re.ASCII)
"""What of a name is one to who takes letters beyond ASCII for what stands before it."""

_DEEPEST: Final = 8
"""Values within values that are looked into: a URL in the query of a URL."""

_NOT_IN_FIELDS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class MaskedFields:
    """Looks at fields, for one response."""

    def __init__(self, maskers: Maskers) -> None:
        self._maskers, self._texts = maskers, Texts(maskers)
        self._quietly = Texts(Maskers(maskers.asked.maskers, maskers.hand.beside()))
        """For names that are told, which are counted where they are shown."""
        self._names = 0
        """How many names it has come by, in whatever they stand."""

    def shown(self, fields: Headers) -> Headers:
        """The fields as they are shown; the same if nothing is hidden. Raises `MaskingFault`."""
        known, found = _known(self._maskers.asked), list[tuple[bytes, bytes]]()
        is_same = True
        for name, field in paused(zip(names_of(fields), fields, strict=True)):
            if field in known:
                found.append(field)
                continue
            after = self._field(name, field)
            if after is field:
                _remember(known, field)
            else:
                is_same = False
            if after is not None:
                found.append(after)
        return fields if is_same else tuple(found)

    def shown_in(self, text: str) -> str:
        """A text as it is shown that is no field, but written as what a field may hold is.

        Raises `MaskingFault`.
        """
        return self._looked_into(text, "", 0)

    def _field(self, lower: bytes, field: tuple[bytes, bytes]) -> tuple[bytes, bytes] | None:
        name, value = field
        where = f"header {lower.decode('latin-1')[:256]}"
        shown: bytes | None = value
        for charset in _charsets(value):
            if shown is not None:
                shown = self._value(lower, shown, where, charset)
        if shown == value:
            return field
        if shown is not None and len(shown) > max(len(value), LONGEST_FIELD):
            raise MaskingFault(f"A header field is more than {LONGEST_FIELD} bytes long as masked.")
        return None if shown is None else (name, shown)

    def _value(self, lower: bytes, value: bytes, where: str, charset: str) -> bytes | None:
        """A value as it is shown, read in a charset; None if it is dropped."""
        text = value.decode(charset, "surrogateescape")
        hider = None if lower in NEVER_BY_NAME else self._named(lower.decode("latin-1"))
        if hider is not None:
            hider = self._maskers.telling(hider, lower.decode("latin-1"), text)
            shown = self._hidden(hider, where, text)
            return None if hider.how is How.DROP else _written(shown, charset)
        shown = self._looked_into(text, where, 0)
        return value if shown == text else _written(shown, charset)

    def _named(self, lower: str) -> Hider | None:
        """Who hides a field of this name, as names in JSON are written: x-api-key, apiKey."""
        return strictest(map(self._maskers.hider, _spellings(lower)))

    def _hidden(self, hider: Hider, where: str, text: str) -> str:
        hand = self._maskers.hand
        hand.hid(hider.name, lambda: where, text.encode("utf-8", "surrogatepass"))
        return hand.text(hider, text)

    def _looked_into(self, text: str, where: str, depth: int) -> str:
        """A value without what its parameters say, nor what it says by itself."""
        if may_be_json(text):  # first: what is hidden in it otherwise might leave no JSON
            parts = self._texts.json_parts(text, f"{where} ", rooted=False)
            text = replaced(text, parts or ())
        if "=" in text:
            text = self._pairs_in(text, where, depth)
        return replaced(text, self._texts.seen(text, where))

    def _pairs_in(self, text: str, where: str, depth: int) -> str:
        """A text in which the values of its parameters, and of its URLs' queries, are looked at.

        Where a value stays as it is, the next name may stand in it.
        """
        begin, around, seen_until = 0, Around(), {True: 0, False: 0}
        while found := _NAME.search(text, begin):
            begin, in_url = found.end(), text[max(found.start() - 1, 0)] in "?&#"
            around.reach(text, begin)
            name, hider = self._name(found[1])
            self._came_by(hider)
            if hider is not None and (within := self._secret_end(text, begin)):
                begin = within
                continue
            end = end_of_json(text, begin)
            shown = self._json_shown(text[begin:end], where, depth) if hider is None else None
            if shown is None and (hider is not None or begin >= seen_until[in_url]):
                end = seen_until[in_url] = end_of(text, begin, end, around, in_url=in_url)
                value = Value.of(text[begin:end], is_extended=bool(found[2]), in_url=in_url)
                if hider is not None:
                    shown = self._hidden_value(hider, name, value, where)
                else:
                    shown = self._coded_shown(value, where, depth)
            if shown is not None:
                text = text[:begin] + shown + text[end:]
                begin += len(shown)
                seen_until = {True: begin, False: begin}
        return text

    def _came_by(self, hider: Hider | None) -> None:
        """Let others have their turn: before what a name hides, and else every so often."""
        self._names += 1
        if hider is not None or self._names % EVERY == 0:
            pause()

    def _name(self, written: str) -> tuple[str, Hider | None]:
        """What a name stands for, and who hides what it names."""
        name = decoded(in_bytes(written))
        hider = hider_of(self._maskers, name)
        if hider is None and not written.isascii() and (plain := _PLAIN_NAME.search(written)):
            hider = hider_of(self._maskers, decoded(in_bytes(plain[0])))
        return name, hider

    def _secret_end(self, text: str, at: int) -> int:
        """Where a secret ends in which a name would; 0 if it ends in none.

        Of what is in base64 the end is not the value of all before it.
        """
        places = self._maskers.hand.secret_places(text)
        return next((end for begin, end in places if begin < at <= end), 0)

    def _hidden_value(self, hider: Hider, name: str, value: Value, where: str) -> str | None:
        if not value.plain:
            return None
        hider = self._maskers.telling(hider, name, value.plain)
        told = replaced(name, self._quietly.parts(name, ""))[:256]
        return value.written(self._hidden(hider, f"{where} {told}", value.plain))

    def _json_shown(self, written: str, where: str, depth: int) -> str | None:
        """What a value is shown as that is JSON; None if nothing in it is hidden as that."""
        parts = self._texts.json_parts(written, f"{where} ", rooted=False) if written else None
        return (
            self._deeper(self._pairs_in, replaced(written, parts), where, depth) if parts else None
        )

    def _coded_shown(self, value: Value, where: str, depth: int) -> str | None:
        """What a value is shown as that is coded. None: the next name may stand in it."""
        if not value.is_coded:
            return None
        shown = self._deeper(self._looked_into, value.plain, where, depth)
        written = value.as_it_was if shown == value.plain else value.written(shown)
        if not value.has_plus or "%" not in written:  # else it has been, or will be, read as it is
            return written
        plain = unquote(written, errors="surrogateescape")
        shown = self._deeper(self._looked_into, plain, where, depth)
        return written if shown == plain else quote(shown, safe="*+", errors="surrogateescape")

    def _deeper(
        self, look: Callable[[str, str, int], str], text: str, where: str, depth: int
    ) -> str:
        if depth == _DEEPEST and "=" in text:
            raise MaskingFault(f"A header field has more than {_DEEPEST} values within each other.")
        return look(text, where, depth + 1)


_BEYOND_ASCII = re.compile(rb"[\xc2-\xf4][\x80-\xbf]")
"""What a character of UTF-8 begins with, and what follows in it."""


def _charsets(value: bytes) -> Sequence[str]:
    """In which charsets a value is looked at: UTF-8, if all of it is.

    Else it is ISO-8859-1, as RFC 9110 (section 5.5) has it of old; who reads it as UTF-8 all the
    same takes what fits.
    """
    if value.isascii():
        return ("latin-1",)
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return ("latin-1", "utf-8") if _BEYOND_ASCII.search(value) else ("latin-1",)
    return ("utf-8",)


@lru_cache(maxsize=REMEMBERED_SETS)
def _known(_: Asked) -> set[tuple[bytes, bytes]]:
    """Fields in which these maskers hide nothing: most of one response are those of all others."""
    return set()


def _remember(known: set[tuple[bytes, bytes]], field: tuple[bytes, bytes]) -> None:
    if len(field[0]) + len(field[1]) <= REMEMBERED_LENGTH:
        if len(known) >= REMEMBERED_FIELDS:
            known.clear()
        known.add(field)


def _spellings(lower: str) -> list[str]:
    """How JSON would name what a field is named."""
    names = []
    for name in dict.fromkeys((lower, lower.removeprefix("x-"))):
        first, *others = name.split("-")
        names += [name, name.replace("-", "_"), "".join([first, *map(str.capitalize, others)])]
    return list(dict.fromkeys(names))


def _written(text: str, charset: str) -> bytes:
    how = "surrogateescape" if charset == "utf-8" else "replace"
    return _NOT_IN_FIELDS.sub(" ", text).encode(charset, how)
