"""Bodies that are held because a rule or a person must see them before the call may go."""

from __future__ import annotations

from collections import Counter

from zope.interface import implementer

from jitgate.core.fields import is_form, once
from jitgate.core.overrides import OverrideSearch
from jitgate.errors import MalformedRequest
from jitgate.interfaces import IRequest
from jitgate.values import Denial, Pending, Refusal, RequestHead

REVIEW_BODY = 1024 * 1024
"""Bytes of one held body. API calls are far smaller than that."""

REVIEW_BODIES = 256 * 1024 * 1024
"""Bytes of all held bodies together: what a gateway can spare beside its connections."""

OWNERS = 8
"""Into how many shares the room is divided: so many greedy agents it takes to fill it."""

FULL_FOR = 5.0
"""Seconds after which an agent may try again when there is no room for its body."""


@implementer(IRequest)
class HeldBody:
    """A request port over a body that has been read already.

    ``bare_of``: the name under which placeholders of a credential have been dropped from it.
    """

    def __init__(
        self, request: IRequest, data: bytes, owner: str = "", bare_of: str | None = None
    ) -> None:
        self.owner = owner
        self.bare_of = bare_of
        self.head: RequestHead = request.head._replace(length=len(data))
        self.hosts: tuple[str, ...] = request.hosts
        self.fault = None
        self.data = data
        self._left = data

    async def read(self) -> bytes:
        data, self._left = self._left, b""
        return data


def watched(request: IRequest) -> IRequest:
    """The request; one whose body is a form stops at a field that could be taken for the method.

    The target has no whole request then.
    """
    return FormBody(request) if once(request.head.headers, is_form) else request


@implementer(IRequest)
class FormBody:
    """A request port over a form that asks for no other method."""

    def __init__(self, request: IRequest) -> None:
        self._request = request
        self._search = OverrideSearch()
        self._left = request.head.length
        self.head: RequestHead = request.head
        self.hosts: tuple[str, ...] = request.hosts
        self.fault = request.fault

    async def read(self) -> bytes:
        data = await self._request.read()
        found = self._search.feed(data)
        if self._left is not None:
            self._left -= len(data)
            if not self._left:  # its last bytes are not to leave before the end is looked at
                found |= self._search.feed(b"")
        if found:
            raise MalformedRequest("The body asks for another method.")
        return data


class HeldBodies:
    """All held bodies: each may have ``each`` bytes, together they may have ``total``.

    Those of one owner may have a share of that, but for one body at the least: nobody takes all
    the room from the others.
    """

    def __init__(self, each: int = REVIEW_BODY, total: int = REVIEW_BODIES) -> None:
        self._each = each
        self._room = total
        self._share = max(each, total // OWNERS)
        self._owned: Counter[str] = Counter()

    @property
    def held(self) -> int:
        """How many bytes are held."""
        return self._owned.total()

    async def hold(self, request: IRequest, now: float, owner: str = "") -> HeldBody | Refusal:
        """The whole body, read; or why it cannot be held. What is held must be dropped."""
        data = bytearray()
        try:
            while len(data) <= self._each and (request.head.length or 0) <= self._each:
                piece = await request.read()
                if not piece:
                    return HeldBody(request, bytes(data), owner)
                if len(piece) > min(self._room, self._share - self._owned[owner]):
                    return self._give_back(data, owner, _full(now))
                self._take(owner, len(piece))
                data += piece
        except BaseException:
            self._take(owner, -len(data))
            raise
        detail = f"Bodies of up to {self._each} bytes can be decided on."
        return self._give_back(data, owner, Refusal(Denial.BODY_TOO_LARGE, detail))

    def adopt(self, each: int, total: int) -> None:
        """Hold so much from now on; what is held already stays."""
        held = sum(self._owned.values())
        self._each, self._room, self._share = each, total - held, max(each, total // OWNERS)

    def bared(self, held: HeldBody, data: bytes, name: str) -> HeldBody:
        """The same without its placeholders of that name, in the place of what was held."""
        self._take(held.owner, len(data) - len(held.data))
        return HeldBody(held, data, held.owner, name)

    def rewritten(self, held: HeldBody, head: RequestHead, data: bytes) -> HeldBody:
        """Another request in the place of the one that was held."""
        self._take(held.owner, len(data) - len(held.data))
        made = HeldBody(held, data, held.owner, held.bare_of)
        made.head = head._replace(length=len(data))
        return made

    def drop(self, held: HeldBody | Refusal | None) -> None:
        """It is held no longer."""
        if isinstance(held, HeldBody):
            self._take(held.owner, -len(held.data))

    def _take(self, owner: str, count: int) -> None:
        self._room -= count
        self._owned[owner] += count
        if not self._owned[owner]:
            del self._owned[owner]

    def _give_back(self, data: bytearray, owner: str, refusal: Refusal) -> Refusal:
        self._take(owner, -len(data))
        return refusal


def _full(now: float) -> Refusal:
    return Refusal(
        Denial.OVERLOADED,
        "The gateway holds too many bodies at present.",
        advice="Send the call again in a few seconds.",
        pending=Pending("", "", now, now, again=FULL_FOR),
        manner="slow-down",
    )
