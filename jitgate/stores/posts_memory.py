"""The memory driver of the port for posts: for tests, and for gateways without a state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from zope.interface import implementer

from jitgate.errors import StoreDown
from jitgate.interfaces import IPosts
from jitgate.stores.access_memory import MemoryAccess
from jitgate.values import Post

_Key = tuple[str, str, str]


@implementer(IPosts)
class MemoryPosts:
    """Posts in a dictionary, beside what ``access`` keeps. A ``failure`` is why none can be had."""

    def __init__(self, access: MemoryAccess) -> None:
        self._access = access
        self._kept: dict[_Key, Post] = {}
        self.failure: Exception | None = None

    async def keep(self, post: Post) -> Post | None:
        self._check()
        key = post.channel, post.request, post.slot
        before = self._kept.get(key)
        if post.revision != (0 if before is None else before.revision):
            return None
        self._kept[key] = replace(post, revision=post.revision + 1)
        return self._kept[key]

    async def of(self, channel: str, request: str) -> Sequence[Post]:
        self._check()
        found = [each for key, each in self._kept.items() if key[:2] == (channel, request)]
        return sorted(found, key=lambda each: each.slot)

    async def at(self, channel: str, place: str) -> Post | None:
        self._check()
        every = self._kept.values()
        found = (each for each in every if (each.channel, each.place) == (channel, place))
        return next(found, None) if place else None

    async def behind(self, channel: str, by: float) -> Sequence[str]:
        self._check()
        versions = self._access.versions()
        mine = [each for each in self._kept.values() if each.channel == channel]
        posted = {each.request for each in mine}
        found = {
            key
            for (kind, key), (_, live) in versions.items()
            if kind == "request" and live and key not in posted
        }
        for each in mine:
            of = ("request", each.request), ("grant", each.grant or "")
            changed = any(versions.get(key, (0, False))[0] > each.shown for key in of)
            is_due = each.due is not None and each.due <= by
            if not each.is_over and (changed or is_due):
                found.add(each.request)
        return sorted(found)

    async def forget(self) -> None:
        self._check()
        kept = {key for kind, key in self._access.versions() if kind == "request"}
        self._kept = {key: each for key, each in self._kept.items() if each.request in kept}

    def _check(self) -> None:
        if self.failure is not None:
            raise StoreDown("Where requests are shown is not known.") from self.failure
