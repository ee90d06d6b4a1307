"""Which request a message of ours shows, and whether it still shows what somebody saw there."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from jitgate.approvers.slack.about import About, version_of
from jitgate.approvers.slack.call import hides_something
from jitgate.approvers.slack.payloads import Place
from jitgate.core.access import NotCounted
from jitgate.flow.access import Access
from jitgate.values import AccessRequest

CHANGED: Final = NotCounted("This card has changed since: look at it again, and answer then.")
_NOT_OURS: Final = NotCounted("This is no card of an access request that is known here.")

LOOKS, AGAIN = 10, 0.1
"""How often, and after how many seconds, it is looked for a message that was posted just now."""

OPENED: Final = 10_000
"""Of how many people and cards it is remembered that they have opened Details: each a line."""


class Posted(Protocol):
    """What a message of ours shows."""

    @property
    def request(self) -> str:
        """The id of the access request."""

    @property
    def version(self) -> str | None:
        """Of the card that stands there (`version_of`); None while another may stand there."""

    @property
    def since(self) -> float:
        """When Slack had taken it: seconds since the epoch, by our clock; 0: not that is known."""

    @property
    def names(self) -> Mapping[str, str]:
        """What the target calls what is shown there."""


class Posts(Protocol):
    """Knows the messages that were posted, over restarts."""

    async def at(self, channel: str, ts: str) -> Posted | None:
        """What the message shows now; None for one that is not ours. Raises `StoreDown`."""

    async def shown(self, request: str) -> Sequence[Posted]:
        """What shows a request, also where Slack has not told yet where. Raises `StoreDown`."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A request, and how it is shown."""

    request: AccessRequest
    version: str
    names: Mapping[str, str]
    since: float

    @property
    def hides(self) -> bool:
        """Whether the card leaves something out, so that Details must be opened first."""
        return hides_something(self.request, self.names)


class Cards:
    """Looks up what people have seen. Nothing counts that was given for something else."""

    def __init__(self, access: Access, posts: Posts, clock: IReactorTime) -> None:
        self._access = access
        self._posts = posts
        self._clock: Any = clock
        self._opened: OrderedDict[tuple[str, str, str], None] = OrderedDict()

    async def at(self, place: Place) -> Seen | None:
        """What a message shows at this moment; None for one that is not ours, or that changes."""
        posted = await self._posts.at(place.channel, place.ts)
        request = None if posted is None else await self._access.request(posted.request)
        if posted is None or request is None:
            return None
        names = dict(posted.names)
        if posted.version is None or posted.version != version_of(request, names):
            return None
        return Seen(request, posted.version, names, posted.since)

    async def of(self, place: Place) -> AccessRequest | None:
        """The request that a message is about, whatever stands there; None for others' messages."""
        posted = await self._posts.at(place.channel, place.ts)
        return None if posted is None else await self._access.request(posted.request)

    async def seen(self, place: Place, about: About) -> Seen | NotCounted:
        """The request that somebody has seen in a message, if that is what it shows now."""
        if not await self._is_posted(place, about):
            return _NOT_OURS
        seen = await self.at(place)
        return seen if seen is not None and seen.version == about.version else CHANGED

    async def _is_posted(self, place: Place, about: About) -> bool:
        """Whether the message shows that request. Somebody may click before Slack has told so."""
        for _ in range(LOOKS):
            posted = await self._posts.at(place.channel, place.ts)
            if posted is not None:
                return posted.request == about.request
            coming = await self._posts.shown(about.request)
            if not any(not each.since and each.version == about.version for each in coming):
                break
            await deferLater(self._clock, AGAIN)
        return False

    def opened(self, user: str, seen: Seen) -> None:
        """Somebody has opened Details of a card."""
        self._opened[self._key(user, seen)] = None
        if len(self._opened) > OPENED:
            self._opened.popitem(last=False)

    def may_approve(self, user: str, seen: Seen) -> bool:
        """Whether they have had all of it before them."""
        return self._key(user, seen) in self._opened or not seen.hides

    @staticmethod
    def _key(user: str, seen: Seen) -> tuple[str, str, str]:
        return user, seen.request.id, seen.version


def bound(view: Mapping[str, Any], metadata: str) -> dict[str, Any]:
    """A view that brings back what it is about, and where it was opened."""
    return {**view, "private_metadata": metadata}
