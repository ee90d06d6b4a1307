"""Hides values in names and values as forms and queries write them (WHATWG URL, section 5)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import quote_plus, unquote_to_bytes

from jitgate.core.hiding import strictest
from jitgate.core.json_grammar import LONGEST_VIEWED
from jitgate.core.json_strings import Place
from jitgate.core.masking import Maskers
from jitgate.core.parts import replaced
from jitgate.core.paths import Follower
from jitgate.core.pausing import pause, paused
from jitgate.core.pieces import Pieces
from jitgate.core.texts import Texts, may_be_json
from jitgate.errors import MaskingFault
from jitgate.values import Hider, How

LONGEST: Final = LONGEST_VIEWED
"""Bytes of a name with its value, which are held until both are whole."""

SLICE: Final = 4 * 1024
"""Bytes that are decoded in one go, or characters that are encoded: each escape is by itself."""

_WITHIN = re.compile(r"\]?+\[|\.++|\]++")
"""What stands between the names of a member within a member."""

_INDEX = re.compile("[0-9]{1,9}")


class Pairs:
    """Looks at one name with its value, for one response.

    A pair goes up to "&" (WHATWG URL, section 5.1). Some servers write ";" for that, and some
    programs read it so: what stands behind one is looked at as a pair as well, and where its name
    is hidden, so is all up to "&", which others take for the rest of its value.
    """

    def __init__(self, maskers: Maskers, what: str) -> None:
        self._maskers, self._texts, self._what = maskers, Texts(maskers), what

    def shown(self, pair: bytes) -> bytes | None:
        """As it is shown: None if it is dropped, itself if nothing in it is hidden."""
        found = self._named(pair)
        if found is None:
            return self._looked_at(pair)
        at, written, hider = found
        hidden = self._hidden(written, hider, pair[at + len(written) + 1 :])
        if not at:
            return hidden
        before = self._looked_at(pair[: at - 1])
        return before if hidden is None else before + b";" + hidden

    def _named(self, pair: bytes) -> tuple[int, bytes, Hider] | None:
        """The first name in it that is hidden with what follows: where it stands, and by whom."""
        written, mark, _ = pair.partition(b"=")
        if not mark:
            return None
        hider = self._hider(written)
        if hider is not None and not self._in_secret(pair, len(written) + 1):
            return 0, written, hider
        at = 0
        for piece in paused(pair.split(b";")) if b";" in pair else ():
            written, mark, _ = piece.partition(b"=")
            hider = self._hider(written) if mark else None
            if hider is not None and not self._in_secret(pair, at + len(written) + 1):
                return at, written, hider
            at += len(piece) + 1
        return None

    def _in_secret(self, pair: bytes, at: int) -> bool:
        """Whether a secret goes on there, which is no name then: it is hidden whole, and later."""
        places = self._maskers.hand.secret_places(pair.decode("latin-1"))
        return any(begin < at < end for begin, end in places)

    def _hider(self, written: bytes) -> Hider | None:
        name = decoded(written)
        return strictest((hider_of(self._maskers, name), led_to(self._maskers, name)))

    def _hidden(self, written: bytes, hider: Hider, raw: bytes) -> bytes | None:
        hand, name, value = self._maskers.hand, decoded(written), decoded(raw)
        hider = self._maskers.telling(hider, name, value)
        shown = hand.text(hider, value)
        written, where = self._name(written)
        hand.hid(hider.name, where, _bytes(value))
        return None if hider.how is How.DROP else written + b"=" + encoded(shown)

    def _name(self, written: bytes) -> tuple[bytes, str]:
        """A name as it is shown, and by it where what is hidden is said to have stood."""
        told = list[str]()
        shown = self._parted(written, lambda: told[0])
        told.append(f"{self._what} {decoded(shown)[:_TOLD]}")
        return shown, told[0]

    def _looked_at(self, pair: bytes) -> bytes:
        """A pair with no name in it that is hidden."""
        written, mark, raw = pair.partition(b"=")
        name, where = self._name(written)
        return name + mark + self._parted(raw, where, decoded(written))

    def _parted(self, raw: bytes, where: Place, field: str = "") -> bytes:
        """What is JSON as a whole is that; of all else what stands between ";" is seen first."""
        if b";" in raw:
            text = decoded(raw)
            if may_be_json(text):
                parts = self._texts.parts_of_json(text, where, field)
                if parts is not None:
                    return encoded(replaced(text, parts)) if parts else raw
            first, *others = raw.split(b";")
            seen = [self._seen(first, where, field), *map(self._looked_at, paused(others))]
            raw = b";".join(seen)
        return self._seen(raw, where, field)

    def _seen(self, raw: bytes, where: Place, field: str) -> bytes:
        text = decoded(raw)
        if not text or not (self._maskers.look_at_values or may_be_json(text)):
            return raw
        parts = self._texts.parts(text, where, field)
        return encoded(replaced(text, parts)) if parts else raw


_TOLD: Final = 256
"""Characters of a name as it is told."""

MOST_PARTS: Final = 64
"""Names within each other (``a[b][c]``): as many as PHP takes."""


class FormMasker:
    """A transformer that hides values in a form; what is not hidden stays as it was written."""

    def __init__(self, maskers: Maskers) -> None:
        self._pairs = Pairs(maskers, "field")
        self._pair = Pieces(b"")
        self._begun = False
        self._any = False
        """Whether anything stands before the pair at hand that was kept."""

    @property
    def held(self) -> int:
        """The pair that is not whole."""
        return self._pair.held

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes; return the pairs that are whole. Raises `MaskingFault`."""
        return b"".join(self._passed(chunk))

    def finish(self) -> bytes:
        """Say that no more bytes will come; return what is left. Raises `MaskingFault`."""
        return self._ended()

    def _passed(self, chunk: bytes) -> Iterator[bytes]:
        *ended, rest = chunk.split(b"&")
        for piece in paused(ended):
            self._grow(piece)
            yield self._ended()
        self._grow(rest)

    def _grow(self, piece: bytes) -> None:
        self._pair.add(piece)
        if self._pair.size > LONGEST:
            raise MaskingFault(f"A field of the form has more than {LONGEST} bytes.")

    def _ended(self) -> bytes:
        pair = self._pair.taken()
        if not self._begun and pair.lstrip().startswith((b"{", b"[")):
            raise MaskingFault("The response is said to be a form, but seems to be JSON.")
        self._begun = True
        shown = self._pairs.shown(pair)
        if shown is None:
            return b""
        mark = b"&" if self._any else b""
        self._any = True
        return mark + shown


def hider_of(maskers: Maskers, name: str) -> Hider | None:
    """Who hides values of this name, or of a part of it (``user[password]``).

    Raises `MaskingFault` for a name of too many parts.
    """
    names = [name, *(_parts_of(name) if _WITHIN.search(name) else ())]
    return strictest(map(maskers.hider, filter(None, names)))


def led_to(maskers: Maskers, name: str) -> Hider | None:
    """Who hides the field of a form for where it is.

    The form is an object, and so is ``user`` in ``user[name]``; what has a number behind it, or
    nothing (``users[][pin]``), is an array.

    Raises `MaskingFault` for a name of too many parts.
    """
    follower = maskers.asked.follower
    if follower is None:
        return None
    ways: list[Sequence[str]] = [(name,)]
    if _WITHIN.search(name):
        ways.append(_parts_of(name))
    hits = (_hit(follower, parts) for parts in ways)
    return strictest(maskers.asked.path_hiders[hit] for hit in hits if hit is not None)


def _hit(follower: Follower, parts: Sequence[str]) -> int | None:
    """The first path that leads to a member, or to what it stands in."""
    state = follower.start
    for part in parts:
        moves = [follower.below(state, key) for key in _keys(follower, part)]
        hits = [move.hit for move in moves if move.hit is not None]
        if hits:
            return min(hits)
        state = frozenset[tuple[int, int]]().union(*(move.state for move in moves))
    return None


def _keys(follower: Follower, part: str) -> Sequence[str | int]:
    """What a part may be: a name, and an index; one that is not told may be any."""
    if part:
        return (part, int(part)) if _INDEX.fullmatch(part) else (part,)
    segments = (segment for path in follower.paths for segment in path.segments)
    return (0, *{each.selector for each in segments if isinstance(each.selector, int)})


def _parts_of(name: str) -> Sequence[str]:
    """``a``, ``b``, "" and ``c`` of ``a[b][].c``."""
    parts = _WITHIN.split(name.rstrip("]"), MOST_PARTS)
    if len(parts) > MOST_PARTS:
        raise MaskingFault(f"A name of a field has more than {MOST_PARTS} parts.")
    return parts


def decoded(written: bytes) -> str:
    """What a name or a value stands for; bytes that are no UTF-8 stay what they are."""
    plain = written.replace(b"+", b" ")
    if b"%" in plain:
        plain = b"".join(map(unquote_to_bytes, _cut(plain)))
    return plain.decode("utf-8", "surrogateescape")


def _cut(written: bytes) -> Iterator[bytes]:
    """It in parts, none of which ends within an escape, with a pause before each but the first."""
    begin = 0
    while (end := written.find(b"%", begin + SLICE)) >= 0:
        yield written[begin:end]
        begin = end
        pause()
    yield written[begin:]


def encoded(text: str) -> bytes:
    """A name or a value as it is written."""
    if len(text) <= SLICE:
        return _quoted(text)
    written = list[bytes]()
    for at in range(0, len(text), SLICE):
        written.append(_quoted(text[at : at + SLICE]))
        pause()
    return b"".join(written)


def _quoted(text: str) -> bytes:
    return quote_plus(text, safe="*", errors="surrogateescape").encode("ascii")


def _bytes(value: str) -> bytes:
    return value.encode("utf-8", "surrogateescape")
