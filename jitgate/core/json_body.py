"""Hides values in a JSON body that comes in pieces, by the fastest way that tells the same.

A body that is at hand whole, and so each run of elements of a long array, goes the way of
`jitgate.core.json_whole`; all else is read step by step by `jitgate.core.json_masking`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from jitgate.core.hiding import Hand
from jitgate.core.json_masking import JsonMasker
from jitgate.core.json_whole import whole
from jitgate.core.pieces import Pieces
from jitgate.interfaces import IMasker

WAITS: Final = 256 * 1024
"""Bytes of an element that is waited for: a longer one goes on as far as it is understood."""

TRIES: Final = 8
"""Places at the end of what has come at which an element may end that are tried."""

LOOKS: Final = 16
"""Times that what waits is looked at, in all, for whether an element ends in it: what comes byte by
byte would be looked at for each of them."""

_SPACE = b" \t\n\r"
_elements = msgspec.json.Decoder(list[msgspec.Raw]).decode


def masked(data: bytes, maskers: Sequence[IMasker], hand: Hand, under: str = "") -> bytes:
    """A whole JSON text with what is hidden replaced; ``under`` is where it stands in another.

    Raises `MaskingFault`.
    """
    done = whole(tuple(maskers)).masked(data, hand, under=under)
    if done is not None:
        return done
    masker = JsonMasker(maskers, hand, under=under)
    return masker.feed(data) + masker.finish()


class GatheredJson:
    """A transformer for a body of which nothing goes on before all of it has come."""

    def __init__(self, maskers: Sequence[IMasker], hand: Hand) -> None:
        self._maskers = maskers
        self._hand = hand
        self._pieces = Pieces(b"")

    @property
    def held(self) -> int:
        """All that has come."""
        return self._pieces.held

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes."""
        self._pieces.add(chunk)
        return b""

    def finish(self) -> bytes:
        """Return the body. Raises `MaskingFault`."""
        return masked(self._pieces.taken(), self._maskers, self._hand)


class StreamedJson:
    """A transformer for a body that goes on as it comes: of an array, element by element."""

    def __init__(self, maskers: Sequence[IMasker], hand: Hand) -> None:
        self._whole = whole(tuple(maskers))
        self._masker = JsonMasker(maskers, hand)
        self._hand = hand
        self._waiting = Pieces(b"")
        self._looked = 0
        self._begun = False

    @property
    def held(self) -> int:
        """What waits, by either way."""
        return self._waiting.held + self._masker.held

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes; return what may go on. Raises `MaskingFault`."""
        if not self._begun:
            return self._begin(chunk)
        if not self._masker.is_between:
            return self._masker.feed(chunk)
        return self._batch(chunk)

    def finish(self) -> bytes:
        """Return what is left. Raises `MaskingFault`."""
        rest = self._taken()
        return (self._masker.feed(rest) if rest else b"") + self._masker.finish()

    def _begin(self, data: bytes) -> bytes:
        """Take the bracket, if it is one that the body begins with."""
        stripped = data.lstrip(_SPACE)
        if not stripped:
            return self._masker.feed(data)
        self._begun = True
        if stripped[:1] != b"[" or not self._whole.covers:
            return self._masker.feed(data)
        at = len(data) - len(stripped) + 1
        return self._masker.feed(data[:at]) + self._batch(data[at:])

    def _batch(self, chunk: bytes) -> bytes:
        """Let the elements go on that are whole; what follows waits."""
        self._waiting.add(chunk)
        if self._looked > LOOKS * self._waiting.size and self._waiting.size <= WAITS:
            return b""
        looked = self._looked
        data = self._taken()
        end = len(data)
        for _ in range(TRIES):
            looked += end
            end = data.rfind(b"},", 0, end)
            if end < 0:
                break
            done = self._elements(data[: end + 1])
            if done is not None:
                self._wait(data[end + 2 :])
                return done + b","
        if len(data) <= WAITS and end < 0 and data.lstrip(_SPACE)[:1] in (b"", b"{"):
            self._wait(data, looked)
            return b""
        return self._masker.feed(data)

    def _wait(self, data: bytes, looked: int = 0) -> None:
        self._waiting.add(data)
        self._looked = looked

    def _taken(self) -> bytes:
        """What waited, which does no more."""
        self._looked = 0
        return self._waiting.taken()

    def _elements(self, part: bytes) -> bytes | None:
        """Several elements with the commas between them, masked; None if they are not that.

        An array that they are all of is JSON only if the part of the body is cut between two.
        """
        array = b"[%b]" % part
        try:
            count = len(_elements(array))
        except (msgspec.DecodeError, ValueError, RecursionError):
            return None
        done = self._whole.masked(array, self._hand, first=self._masker.element)
        if done is None:
            return None
        self._hand.settle()  # or each of the first thousand would keep its part of the body
        self._masker.passed(count)
        return done[1:-1]
