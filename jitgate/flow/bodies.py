"""Bodies that are held because a rule or a person must see them before the call may go."""

from __future__ import annotations

from dataclasses import replace

from zope.interface import implementer

from jitgate.interfaces import IRequest
from jitgate.values import Denial, Pending, Refusal, RequestHead

REVIEW_BODY = 1024 * 1024
"""Bytes of one held body. API calls are far smaller than that."""

REVIEW_BODIES = 256 * 1024 * 1024
"""Bytes of all held bodies together: what a gateway can spare beside its connections."""

FULL_FOR = 5.0
"""Seconds after which an agent may try again when there is no room for its body."""


@implementer(IRequest)
class HeldBody:
    """A request port over a body that has been read already."""

    def __init__(self, request: IRequest, data: bytes) -> None:
        self.head: RequestHead = replace(request.head, length=len(data))
        self.hosts: tuple[str, ...] = request.hosts
        self.fault = None
        self.data = data
        self._left = data

    async def read(self) -> bytes:
        data, self._left = self._left, b""
        return data


class HeldBodies:
    """All held bodies: each may have ``each`` bytes, together they may have ``total``."""

    def __init__(self, each: int = REVIEW_BODY, total: int = REVIEW_BODIES) -> None:
        self._each = each
        self._room = total

    async def hold(self, request: IRequest, now: float) -> HeldBody | Refusal:
        """The whole body, read; or why it cannot be held. What is held must be dropped."""
        data = bytearray()
        try:
            while len(data) <= self._each and (request.head.length or 0) <= self._each:
                piece = await request.read()
                if not piece:
                    return HeldBody(request, bytes(data))
                if len(piece) > self._room:
                    return self._give_back(data, _full(now))
                self._room -= len(piece)
                data += piece
        except BaseException:
            self._room += len(data)
            raise
        detail = f"Bodies of up to {self._each} bytes can be decided on."
        return self._give_back(data, Refusal(Denial.BODY_TOO_LARGE, detail))

    def drop(self, held: HeldBody | Refusal | None) -> None:
        """It is held no longer."""
        if isinstance(held, HeldBody):
            self._room += len(held.data)

    def _give_back(self, data: bytearray, refusal: Refusal) -> Refusal:
        self._room += len(data)
        return refusal


def _full(now: float) -> Refusal:
    return Refusal(
        Denial.OVERLOADED,
        "The gateway holds too many bodies at present.",
        advice="Send the call again in a few seconds.",
        pending=Pending("", "", now, now, again=FULL_FOR),
        manner="slow-down",
    )
