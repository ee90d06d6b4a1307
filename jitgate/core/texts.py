"""Hides values in texts without fields: by what they are, or as JSON where they are JSON."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from jitgate.core.json_grammar import LONGEST_VIEWED
from jitgate.core.json_masking import JsonMasker
from jitgate.core.json_strings import Place, joined
from jitgate.core.key_bounds import MARK, Keys
from jitgate.core.masking import Maskers
from jitgate.core.parts import Part, composed, replaced
from jitgate.core.pausing import pause, paused
from jitgate.core.pieces import Pieces
from jitgate.errors import MaskingFault, NotJson

SURE: Final = 64 * 1024
"""Bytes after which a text that has been JSON so far is taken to be: until then it is held."""

_MAY_BE_JSON: Final = ("{", "[", '"')
_MAY_BEGIN_JSON: Final = tuple(mark.encode() for mark in _MAY_BE_JSON)
_SEVERAL = re.compile("[\r\n]")
_JSON_LINE = re.compile(r'(?<![^\r\n])[ \t]*+[{\["][^\r\n]*+')
"""A line, ended as any client may end it (LF, CR LF, CR), that may be JSON by itself."""

_BINARY = re.compile("[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
"""What stands in no text (WHATWG MIME Sniffing, "binary data byte")."""


def may_be_json(text: str) -> bool:
    """Whether a text begins as JSON does that holds something by a name."""
    return text.lstrip()[:1] in _MAY_BE_JSON


class Texts:
    """Looks at whole texts, for one response."""

    def __init__(self, maskers: Maskers) -> None:
        self._maskers = maskers
        self._asked, self._hand = maskers.asked, maskers.hand

    def parts(self, text: str, where: Place, field: str = "") -> Sequence[Part]:
        """What of it is hidden, and as what. Raises `MaskingFault`.

        Args:
            text: All of it.
            where: What the record says of where it stands.
            field: The name that it goes by, if any.
        """
        parts = self.parts_of_json(text, where, field) if may_be_json(text) else None
        return self.seen(text, where, field) if parts is None else parts

    def parts_of_json(self, text: str, where: Place, field: str = "") -> Sequence[Part] | None:
        """The same of JSON; None if it is none. What is hidden in it as JSON is so first."""
        parts = self.json_parts(text, joined(where, " "), rooted=False)
        if parts is None:
            return None
        return composed(text, parts, self.seen(replaced(text, parts), where, field))

    def json_parts(self, text: str, under: Place, *, rooted: bool) -> list[Part] | None:
        """What is hidden in JSON; None if the text is none. Raises `MaskingFault`.

        ``rooted`` says that paths begin there: it is a body by itself, and not a part of one.
        """
        maskers = self._asked.maskers if rooted else self._asked.without_paths
        hand = self._hand.beside()
        masker = JsonMasker(maskers, hand, under=under, depth=0 if rooted else 1)
        try:
            parts = masker.parts(text)
        except NotJson:
            return None
        self._hand.take(hand)
        return parts

    def json_begun(self, text: str, under: Place) -> str | None:
        """What may be shown of a text that is cut off and JSON so far; None if it is none.

        What has no end in it is not shown. Raises `MaskingFault`.
        """
        hand = self._hand.beside()
        masker = JsonMasker(self._asked.maskers, hand, under=under)
        try:
            shown = masker.feed(_bytes(text))
        except NotJson:
            return None
        self._hand.take(hand)
        return shown.decode("utf-8", "surrogatepass")

    def seen(self, text: str, where: Place, field: str = "") -> list[Part]:
        """What those hide of it who look at values. Raises `MaskingFault`."""
        shown = self._maskers.shown(field, text, str) if self._asked.lookers else None
        if shown is None:
            return []
        for number, rule in enumerate(paused(shown.rules)):
            part = shown.parts[number] if shown.parts else None
            value = text if part is None else text[part.begin : part.end]
            self._hand.hid(rule, where, _bytes(value))
        if shown.dropped:
            return [Part(0, len(text), "", "")]
        return list(shown.parts) or [Part(0, len(text), shown.text, "")]

    def need_lookers(self) -> None:
        """Raise `MaskingFault` if nobody would look at a text that has no names in it."""
        if not self._asked.lookers:
            raise MaskingFault(
                "The response may hold secrets, but has no fields to tell them by, and no detector "
                "looks at it."
            )


class TextMasker:
    """A transformer that hides values in plain text (UTF-8), line by line as each is whole.

    A private key goes over lines, and is looked at as one. A text that begins as JSON does is held
    until it is known whether it is: as JSON it is masked then.
    """

    def __init__(self, maskers: Maskers) -> None:
        self._maskers, self._texts = maskers, Texts(maskers)
        self._feed: Callable[[bytes], bytes] = self._beginning
        self._finish: Callable[[], bytes] = lambda: b""
        # A text that may be JSON, as far as it is here.
        self._early = Pieces(b"")
        self._json = JsonMasker(maskers.asked.maskers, maskers.hand.beside())
        # Of lines: what is not yet a whole one, what of it is looked at as one, and where we are.
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._line = Pieces("")
        self._block = Pieces("")
        self._keys = Keys()
        self._size, self._number = 0, 1

    @property
    def held(self) -> int:
        """What may be JSON; a line, or a key, that is not whole."""
        return self._early.held + self._json.held + self._line.held + self._block.held

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes; return what has been looked at. Raises `MaskingFault`."""
        return self._feed(chunk)

    def finish(self) -> bytes:
        """Say that no more bytes will come; return what is left. Raises `MaskingFault`."""
        return self._finish()

    def _beginning(self, chunk: bytes) -> bytes:
        """White space tells nothing, and goes on."""
        begun = chunk.lstrip(b" \t\r\n")
        space = chunk[: len(chunk) - len(begun)]
        self._number += space.count(b"\n")
        if not begun:
            return space
        if begun.startswith(_MAY_BEGIN_JSON):
            self._feed, self._finish = self._perhaps, self._no_more
            return space + self._perhaps(begun)
        return space + self._begin_lines(begun)

    # --- what may be JSON

    def _perhaps(self, chunk: bytes) -> bytes:
        room = SURE - self._early.size
        tried, rest = chunk[:room], chunk[room:]
        self._early.add(tried)
        try:
            self._json.feed(tried)
        except NotJson:
            early = self._begin_lines(self._early.taken())
            return early + (self._lines(rest) if rest else b"")
        if self._early.size < SURE:
            return b""
        return self._begin_json(self._early.taken() + rest)

    def _no_more(self) -> bytes:
        try:
            self._json.finish()
        except NotJson:
            return self._begin_lines(self._early.taken()) + self._last()
        return self._begin_json(self._early.taken()) + self._finish()

    def _begin_json(self, early: bytes) -> bytes:
        self._json = JsonMasker(self._maskers.asked.maskers, self._maskers.hand)
        self._feed, self._finish = self._json.feed, self._json.finish
        return self._json.feed(early)

    # --- lines

    def _begin_lines(self, early: bytes) -> bytes:
        self._texts.need_lookers()
        self._feed, self._finish = self._lines, self._last
        self._json = JsonMasker(())  # what was tried is kept no longer
        return self._lines(early)

    def _lines(self, chunk: bytes) -> bytes:
        return "".join(self._passed(self._decoded(chunk, final=False))).encode("utf-8")

    def _last(self) -> bytes:
        passed = [*self._passed(self._decoded(b"", final=True))]
        if self._line.size:
            passed += self._ended(self._line.taken())
        if self._block.size:
            passed.append(self._shown(self._block.taken()))
        return "".join(passed).encode("utf-8")

    def _decoded(self, chunk: bytes, *, final: bool) -> str:
        try:
            text = self._decoder.decode(chunk, final)
        except UnicodeDecodeError:  # it would tell the bytes
            raise MaskingFault("The response is text, but not all UTF-8.") from None
        if _BINARY.search(text):
            raise MaskingFault("The response is said to be text, but is binary.")
        return text

    def _passed(self, text: str) -> Iterator[str]:
        *whole, rest = text.split("\n")
        for line in paused(whole):
            self._grow(len(line) + 1)
            joined = self._line.ended(f"{line}\n")
            if self._keys.is_open or MARK in joined:
                yield from self._ended(joined)
            else:
                self._size = 0
                yield self._shown(joined)
            self._number += 1
        if rest:
            self._grow(len(rest))
            self._line.add(rest)

    def _grow(self, characters: int) -> None:
        self._size += characters
        if self._size > LONGEST_VIEWED:
            raise MaskingFault(
                f"Line {self._number} has more than {LONGEST_VIEWED} characters, or is in a key "
                "that has."
            )

    def _ended(self, line: str) -> Iterator[str]:
        """A line has ended: look at it, or at all that goes with it once no key is open in it."""
        self._block.add(line)
        self._keys.read(line)
        if not self._keys.is_open:
            self._size = 0
            yield self._shown(self._block.taken())

    def _shown(self, lines: str) -> str:
        text = lines.rstrip("\r\n")
        size = len(text)
        if not text or text.isspace():
            return lines
        first = self._number - text.count("\n")
        parts = self._json_parts(text, first) if may_be_json(text) else None
        if parts is None:
            text = self._json_lines_masked(text, first)
            pause()
            parts = self._texts.seen(text, f"line {first}")
        return (replaced(text, parts) if parts else text) + lines[size:]

    def _json_parts(self, text: str, number: int) -> list[Part] | None:
        return self._texts.json_parts(text, f"line {number} ", rooted=True)

    def _json_lines_masked(self, text: str, number: int) -> str:
        """Several lines, which a key or returns hold together, and what of them is JSON."""
        pieces, at, told = list[str](), 0, 0
        for found in _JSON_LINE.finditer(text) if _SEVERAL.search(text) else ():
            number += text.count("\n", told, found.start())
            told = found.start()
            pause()
            parts = self._json_parts(found[0], number)
            if parts:
                pieces += text[at:told], replaced(found[0], parts)
                at = found.end()
        return "".join([*pieces, text[at:]])


def _bytes(value: str) -> bytes:
    return value.encode("utf-8", "surrogatepass")
