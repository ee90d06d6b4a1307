"""Hides values in JSON texts that follow each other: in lines (NDJSON), or as RFC 7464 has it."""

from __future__ import annotations

from typing import Final

from jitgate.core.json_body import masked
from jitgate.core.json_masking import JsonMasker
from jitgate.core.json_whole import whole
from jitgate.core.masking import Maskers
from jitgate.core.pausing import paused
from jitgate.errors import MaskingFault

LINES: Final = b"\n"
RECORDS: Final = b"\x1e"
"""What begins each text of a sequence (RFC 7464, section 2.2)."""

_BLANK: Final = b" \t\r\n"


class JsonTexts:
    """A transformer that hides in each of several JSON texts (UTF-8) what `JsonMasker` would.

    ``mark`` stands between them, or before each. Where nothing but white space stands there is no
    text; all of it is kept. Raises `MaskingFault` for a text that is no JSON, or not whole.
    """

    def __init__(self, maskers: Maskers, mark: bytes) -> None:
        self._maskers, self._mark = maskers, mark
        self._masker: JsonMasker | None = None
        self._number = 1 if mark == LINES else 0
        self._whole = whole(maskers.asked.maskers)

    @property
    def held(self) -> int:
        """What waits of the text at hand."""
        return 0 if self._masker is None else self._masker.held

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes; return what has been understood. Raises `MaskingFault`."""
        if self._mark != LINES:
            return self._one_by_one(chunk)
        begin = 0 if self._masker is None else chunk.find(LINES) + 1 or len(chunk)
        end = max(begin, chunk.rfind(LINES) + 1)
        parts = (self._one_by_one(chunk[:begin]), self._lines(chunk[begin:end]))
        return b"".join([*parts, self._one_by_one(chunk[end:])])

    def _lines(self, data: bytes) -> bytes:
        """Lines that are at hand whole: together, if that can be told at once."""
        if not data:
            return b""
        done = self._whole.masked_lines(data, self._maskers.hand, self._number)
        if done is None:
            return self._one_by_one(data)
        self._maskers.hand.settle()  # as behind each text
        self._number += data.count(LINES)
        return done

    def _one_by_one(self, chunk: bytes) -> bytes:
        *texts, rest = chunk.split(self._mark)
        passed = list[bytes]()
        for text in paused(texts):
            passed += self._text(text), self._mark
            self._number += 1
        return b"".join([*passed, self._within(rest)])

    def finish(self) -> bytes:
        """Say that no more bytes will come; return what is left. Raises `MaskingFault`."""
        return self._ended()

    def _text(self, piece: bytes) -> bytes:
        """The rest of a text, or all of one."""
        if self._masker is not None:
            return self._within(piece) + self._ended()
        if not piece.strip(_BLANK):
            return piece
        done = masked(piece, self._maskers.asked.maskers, self._maskers.hand, self._under())
        self._maskers.hand.settle()  # or what is told of it would keep it
        return done

    def _within(self, piece: bytes) -> bytes:
        if self._masker is not None:
            return self._masker.feed(piece) if piece else b""
        if not piece.strip(_BLANK):
            return piece
        asked, hand = self._maskers.asked, self._maskers.hand
        self._masker = JsonMasker(asked.maskers, hand, under=self._under())
        return self._masker.feed(piece)

    def _under(self) -> str:
        if not self._number:
            raise MaskingFault("The response does not begin as a sequence of JSON texts does.")
        return f"text {self._number} "

    def _ended(self) -> bytes:
        masker, self._masker = self._masker, None
        return b"" if masker is None else masker.finish()
