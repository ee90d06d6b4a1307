"""Text on its way through: what has come, and of it what goes on, is held back, or is replaced."""

from __future__ import annotations

import codecs

from jitgate.errors import MaskingFault


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
        self._early: list[str] = []
        self._early_size = 0

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
            self._early.append(self.text[self._held_from : at])
            self._early_size += at - self._held_from
            self._held_from = 0
        elif not self._hidden:
            self._out.append(self.text[self._kept : at])
        self.text, self._kept = self.text[at:], 0
        passed = "".join(self._out).encode()
        self._out.clear()
        return passed

    def fault(self, at: int, what: str) -> MaskingFault:
        """The fault that the text at this position is; its message counts in bytes."""
        waiting = len(self._undecoded) + len(self.text[at:].encode())
        return MaskingFault(f"not JSON at byte {self._fed - waiting}: {what}")

    # --- a stretch that never goes on

    def hide(self, at: int) -> None:
        """Hide everything from here on."""
        self._out.append(self.text[self._kept : at])
        self._hidden = True

    def show(self, at: int, instead: str) -> None:
        """End what is hidden: ``instead`` goes on in its place, and then the text from here."""
        self._out.append(instead)
        self._kept, self._hidden = at, False

    # --- a token that waits until it has been seen whole

    def hold(self, at: int, limit: int) -> None:
        """Hold back the token that begins here, of ``limit`` characters behind its first."""
        self._held_from, self._limit = at, limit

    def check_held(self, at: int) -> None:
        """Raise `MaskingFault` if a token is held that has grown beyond its limit by here."""
        if self._held_from is not None:
            length = self._early_size + at - self._held_from - 1
            if length > self._limit:
                raise self.fault(at, f"a string to be held exceeds {self._limit} characters")

    def held(self, end: int) -> str:
        """The held token, which ends here."""
        return "".join(self._early) + self.text[self._held_from : end]

    def release(self) -> None:
        """Let the held token go on."""
        self._out += self._early
        self._forget()

    def replace(self, end: int, instead: str) -> None:
        """Let ``instead`` go on in place of the held token, which ends here."""
        self._out += (self.text[self._kept : self._held_from], instead)
        self._kept = end
        self._forget()

    def _forget(self) -> None:
        self._held_from = None
        self._early.clear()
        self._early_size = 0
