"""Says how far a text surely holds nothing that those who look at values would hide.

They state what must stand in all that they hide: its signs. A value without any is for nobody.
"""

from __future__ import annotations

from collections.abc import Sequence

from jitgate.core.json_tokens import in_characters
from jitgate.core.masking import Asked
from jitgate.core.pausing import pause


class Signs:
    """Finds the signs in the text at hand, whose places are asked for in order.

    They are looked for once it matters: what waits for its end is not searched for each byte that
    comes.
    """

    def __init__(self, asked: Asked) -> None:
        self._search = asked.signs
        # Where in the text one ends; None: anything may be one.
        self._ends: Sequence[int] | None = None
        self._next = 0
        self._are_known = False

    def forget(self) -> None:
        """The text at hand is another one."""
        self._are_known = False

    def clear_until(self, text: str, begin: int) -> int:
        """Up to where nobody has to look at a value that begins there."""
        if not self._are_known:
            self._look(text)
        ends, at = self._ends, self._next
        if ends is None:
            return begin
        while at < len(ends) and ends[at] <= begin:
            at += 1
        self._next = at
        return len(text) if at == len(ends) else ends[at] - 1

    def _look(self, text: str) -> None:
        self._ends, self._next, self._are_known = None, 0, True
        if self._search is not None:
            data = text.encode("utf-8", "surrogatepass")
            found = self._search.find(data)
            if found is not None:
                pause()
                self._ends = in_characters(data, sorted({end for _, end in found}))
                pause()

    def are_in(self, token: str) -> bool:
        """Whether somebody has to look at a token, of which the end may not have been at hand."""
        search = self._search
        return search is None or search.find(token.encode("utf-8", "surrogatepass")) != []
