"""Text on its way through: what has come, and of it what goes on, is held back, or is replaced."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from sys import getsizeof

from jitgate.core.json_grammar import SPACES
from jitgate.core.parts import Part
from jitgate.core.pieces import Pieces
from jitgate.errors import MaskingFault, NotJson

KEPT = 64 * 1024
"""Characters of a hidden value that are told: what is longer is known by its beginning."""

Change = tuple[int, int, str]
"""From which character of the whole text to which, and what stands there instead."""


class Passage:
    """UTF-8 text that a reader goes through by positions in `text`, the part at hand.

    What the reader has gone past goes on unless it says otherwise: a *held* token waits until it
    has been seen whole, a *hidden* stretch never goes on. Nothing behind the reader's position is
    ever passed on.
    """

    def __init__(self) -> None:
        self.text = ""
        # Bytes that came so far; of them those at the end that are no whole character yet.
        self._fed = 0
        self._undecoded = b""
        # Where what of the text has not gone on begins, and what goes on when the reader rests.
        self._kept = 0
        self._out: list[str] = []
        self._hidden = False
        # Where in the text the held token begins, and what of it came with earlier text.
        self._held_from: int | None = None
        self._limit = 0
        self._early = Pieces("")
        # How much of the text has been dropped, and what has been changed in all of it.
        self._base = 0
        self._changes: list[Change] | None = None
        self._begin = 0
        # Where in the text what is lost and to be told begins, and what of it came before.
        self._lost_from: int | None = None
        self._lost = Pieces("")

    @property
    def memory(self) -> int:
        """Bytes of memory that it holds, about."""
        return getsizeof(self.text) + self._early.held + self._lost.held

    def noted(self) -> list[Change]:
        """Note from now on what is changed; what is returned grows."""
        self._changes = []
        return self._changes

    def take_text(self, text: str) -> None:
        """Add a text that is not in bytes."""
        self.text += text

    def take(self, chunk: bytes, *, final: bool) -> None:
        """Add what came; bytes of an unfinished character wait. Raises `MaskingFault`."""
        data = self._undecoded + chunk
        begin = self._fed - len(self._undecoded)
        self._fed += len(chunk)
        try:
            text, used = codecs.utf_8_decode(data, "strict", final)
        except UnicodeDecodeError as error:
            # Its message and its attributes show the bytes, so it is not passed on.
            raise MaskingFault(f"not UTF-8 at byte {begin + error.start}") from None
        self._undecoded = data[used:]
        self.text += text

    def rest(self, at: int) -> bytes:
        """Drop the text before ``at``, where the reader waits for more; return what goes on."""
        if self._held_from is not None:
            self._out.append(self.text[self._kept : self._held_from])
            self._early.add(self.text[self._held_from : at])
            self._held_from = 0
        elif not self._hidden:
            self._out.append(self.text[self._kept : at])
        if self._lost_from is not None:
            self._lose(at)
            self._lost_from = 0
        self.text, self._kept = self.text[at:], 0
        self._base += at
        passed = "".join(self._out).encode("utf-8", "surrogatepass")
        self._out.clear()
        return passed

    def fault(self, at: int, what: str) -> NotJson:
        """The fault that the text at this position is; its message counts in bytes."""
        return NotJson(f"not JSON at byte {self._byte(at)}: {what}")

    def beyond(self, at: int, what: str) -> MaskingFault:
        """That no more of the text is looked at: it may be JSON, and hold what is hidden."""
        return MaskingFault(f"not looked at from byte {self._byte(at)} on: {what}")

    def _byte(self, at: int) -> int:
        waiting = len(self._undecoded) + len(self.text[at:].encode("utf-8", "surrogatepass"))
        return self._fed - waiting

    # --- a stretch that never goes on

    def hide(self, at: int) -> None:
        """Hide everything from here on."""
        self._out.append(self.text[self._kept : at])
        self._hidden, self._begin = True, self._base + at

    def show(self, at: int, instead: str) -> None:
        """End what is hidden: ``instead`` goes on in its place, and then the text from here."""
        self._out.append(instead)
        self._kept, self._hidden = at, False
        self._change(at, instead)

    def keep(self, at: int) -> None:
        """Keep what is hidden from here on, to be told once; of much of it the beginning."""
        self._lost_from = at
        self._lost.clear()

    def lost(self, end: int) -> str:
        """What was kept, up to here, without white space before it."""
        self._lose(end)
        self._lost_from = None
        return self._lost.taken()

    def _lose(self, end: int) -> None:
        if self._lost.size < KEPT:
            piece = self.text[self._lost_from : end]
            piece = piece if self._lost.size else piece.lstrip(SPACES)
            self._lost.add(piece[: KEPT - self._lost.size])

    def _change(self, end: int, instead: str) -> None:
        if self._changes is not None:
            self._changes.append((self._begin, self._base + end, instead))

    # --- a token that waits until it has been seen whole

    def hold(self, at: int, limit: int) -> None:
        """Hold back the token that begins here, of ``limit`` characters behind its first."""
        self._held_from, self._limit, self._begin = at, limit, self._base + at

    def check_held(self, at: int) -> None:
        """Raise `MaskingFault` if a token is held that has grown beyond its limit by here."""
        if self._held_from is not None:
            length = self._early.size + at - self._held_from - 1
            if length > self._limit:
                raise self.beyond(at, f"a string to be held exceeds {self._limit} characters")

    def held(self, end: int) -> str:
        """The held token, which ends here."""
        return self._early.joined() + self.text[self._held_from : end]

    def release(self) -> None:
        """Let the held token go on."""
        self._out.append(self._early.joined())
        self._forget()

    def replace(self, end: int, instead: str, parts: Sequence[Part] = ()) -> None:
        """Let ``instead`` go on in place of the held token, which ends here.

        ``parts``: what of the token that changes, if not all of it.
        """
        self._out += (self.text[self._kept : self._held_from], instead)
        self._kept = end
        if not parts:
            self._change(end, instead)
        elif self._changes is not None:
            begin = self._begin
            self._changes += [(begin + at, begin + to, shown) for at, to, shown, _ in parts]
        self._forget()

    def _forget(self) -> None:
        self._held_from = None
        self._early.clear()
