"""What waits for its end, kept as it comes, so that many small pieces take little more than one."""

from __future__ import annotations

from sys import getsizeof
from typing import Final, Generic, TypeVar

Text = TypeVar("Text", str, bytes)

FEW: Final = 256
"""Pieces that are kept one by one. A piece of two bytes takes 50: that many take 15 KiB."""


class Pieces(Generic[Text]):
    """Pieces of one text, in order. Each byte is copied once, and once more when they are joined.

    ``nothing`` is the empty text.
    """

    __slots__ = ("_few", "_many", "_nothing", "held", "size")

    def __init__(self, nothing: Text) -> None:
        self._nothing: Text = nothing
        self._few: list[Text] = []
        self._many: list[Text] = []
        self.size = 0
        """Bytes or characters of all of them."""
        self.held = 0
        """Bytes of memory that they take, about."""

    def add(self, piece: Text) -> None:
        """Keep the next piece."""
        if not piece:
            return
        self.size += len(piece)
        self.held += getsizeof(piece)
        self._few.append(piece)
        if len(self._few) == FEW:
            self.held -= sum(map(getsizeof, self._few))
            self._many.append(self._nothing.join(self._few))
            self._few.clear()
            self.held += getsizeof(self._many[-1])

    def joined(self) -> Text:
        """All of them as one."""
        return self._nothing.join(self._many + self._few)

    def ended(self, last: Text) -> Text:
        """All of them and the last as one, and none is kept any longer. Often that is all."""
        if not self.size:
            return last
        self.add(last)
        return self.taken()

    def clear(self) -> None:
        """Keep none of them any longer."""
        if self.size:
            self._few.clear()
            self._many.clear()
            self.size = self.held = 0

    def taken(self) -> Text:
        """All of them as one, and none is kept any longer."""
        text = self.joined()
        self.clear()
        return text
