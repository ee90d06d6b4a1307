"""Coded responses, read decoded: a bounded piece at a time, and not too many at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from jitgate.core.codings import PIECE, Decoders
from jitgate.errors import MaskingFault
from jitgate.interfaces import IUpstreamConnection

AT_ONCE: Final = 64
"""Coded responses that are decoded at once: each may make us keep 16 MiB, and nobody asks for
any."""


EACH: Final = 64
"""Bytes that each piece counts as beside its own: to begin a member in which there is nothing takes
as long as to decode so many."""


OWNERS: Final = 4
"""Into how many shares that is divided: nobody takes all the room from the others."""


class Decodings:
    """Counts the coded responses at hand, and whose they are."""

    def __init__(self, most: int = AT_ONCE) -> None:
        self._room, self._share = most, max(1, most // OWNERS)
        self._owned: Counter[str] = Counter()

    @contextmanager
    def one(self, owner: str = "") -> Iterator[None]:
        """While one of this owner's is decoded. Raises `MaskingFault` if too many are."""
        if not self._room or self._owned[owner] >= self._share:
            raise MaskingFault("The response is coded, and too many such are looked at already.")
        self._take(owner, 1)
        try:
            yield
        finally:
            self._take(owner, -1)

    def _take(self, owner: str, count: int) -> None:
        self._room -= count
        self._owned[owner] += count
        if not self._owned[owner]:
            del self._owned[owner]


class Decoded:
    """Reads the body of a response as it was before it was coded.

    Args:
        upstream: Where the coded body comes from.
        codings: Those that were applied, in order.
        turn: Lets others have their turn: what has come in one piece can become many.
    """

    def __init__(
        self,
        upstream: IUpstreamConnection,
        codings: Sequence[bytes],
        turn: Callable[[], Awaitable[None]],
    ) -> None:
        self._upstream, self._turn = upstream, turn
        self._decoders = Decoders(codings)
        self._pieces: Iterator[bytes] = iter(())
        self._since = 0
        self._is_empty = True

    async def read(self) -> bytes:
        """The next piece; empty once there is no more, also where no byte came at all.

        Raises `MaskingFault`, and what reading raises.
        """
        while True:
            for piece in self._pieces:
                if self._since >= PIECE:
                    self._since = 0
                    await self._turn()
                self._since += len(piece) + EACH
                if piece:
                    return piece
            data = await self._upstream.read()
            if not data:
                if not self._is_empty:
                    self._decoders.finish()
                return b""
            self._is_empty = False
            self._since = 0
            self._pieces = self._decoders.feed(data)
