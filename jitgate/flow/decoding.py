"""Coded responses, read decoded: a bounded piece at a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final

from jitgate.core.codings import PIECE, Decoders
from jitgate.interfaces import IUpstreamConnection

EACH: Final = 64
"""Bytes that each piece counts as beside its own: to begin a member in which there is nothing takes
as long as to decode so many."""


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
