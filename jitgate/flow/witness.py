"""What passes of a body: counted, digested, and its beginning kept."""

from __future__ import annotations

import hmac

from zope.interface import implementer

from jitgate.interfaces import IRequest
from jitgate.values import Body, RequestHead

LARGE = 4096
"""Bytes of a piece that is kept as it came."""


class Start:
    """A digest that has seen no body yet, and how it reads."""

    def __init__(self, digest: hmac.HMAC) -> None:
        self.digest = digest
        self.hex = digest.hexdigest()


class Witness:
    """Counts and digests the bytes that pass, and keeps the first ``limit`` of them.

    The digest goes on from ``start``, which stays as it is. Most requests have no body: what is
    for bytes alone is made when the first come.
    """

    __slots__ = ("_digest", "_few", "_kept", "_left", "_start", "bytes")

    _digest: hmac.HMAC
    _few: bytearray
    """The last pieces, if they are small: many of those take less room as one."""
    _kept: list[bytes]
    """What came before. A large piece is not copied: it is on its way to somebody as well."""

    def __init__(self, start: Start, limit: int) -> None:
        self._start = start
        self._left = limit
        self.bytes = 0

    def saw(self, data: bytes) -> None:
        if not data:
            return
        if not self.bytes:
            self._digest = self._start.digest.copy()
            self._few, self._kept = bytearray(), []
        self.bytes += len(data)
        self._digest.update(data)
        if self._left:
            self._keep(data[: self._left])

    def _keep(self, piece: bytes) -> None:
        self._left -= len(piece)
        if len(piece) < LARGE:
            self._few += piece
            return
        self._kept += bytes(self._few), piece
        self._few.clear()

    @property
    def digest(self) -> str:
        return self._digest.hexdigest() if self.bytes else self._start.hex

    @property
    def body(self) -> Body:
        kept = b"".join([*self._kept, self._few]) if self.bytes else b""
        return Body(kept, self.bytes, complete=self.bytes == len(kept))


@implementer(IRequest)
class Witnessed:
    """A request port whose bytes are witnessed as they are read."""

    def __init__(self, request: IRequest, witness: Witness) -> None:
        self._request = request
        self._witness = witness
        self.head: RequestHead = request.head
        self.hosts: tuple[str, ...] = request.hosts
        self.fault = request.fault

    async def read(self) -> bytes:
        data = await self._request.read()
        self._witness.saw(data)
        return data
