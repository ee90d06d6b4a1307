"""All webhooks as one part of the service: told by, answered through, and replaced by a reload."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface.verify import verifyObject

from jitgate.approvers.webhook.answering import Answers, Callback
from jitgate.approvers.webhook.channel import WebhookChannel
from jitgate.approvers.webhook.resource import REFUSED, CallbackSite
from jitgate.approvers.webhook.sending import Sending
from jitgate.flow.access import Access
from jitgate.flow.recorder import Recorder
from jitgate.flow.refusals import Refusals
from jitgate.interfaces import IAccessStore, IGrantChannel, IOnce, IPosts


@dataclass(frozen=True, slots=True)
class Hook:
    """One webhook as the configuration has it."""

    sending: Sending
    callback: Callback | None
    close: Callable[[], Awaitable[None]]
    """Ends the connections that are kept to it."""


class Webhooks:
    """Those that are in force."""

    _log = Logger()

    def __init__(
        self,
        access: Access,
        *,
        store: IAccessStore,
        posts: IPosts,
        once: IOnce,
        recorder: Recorder,
        clock: IReactorTime,
        jitter: Callable[[], float],
    ) -> None:
        self._made: dict[str, Any] = {
            "access": access,
            "store": store,
            "posts": posts,
            "clock": clock,
            "jitter": jitter,
        }
        self._refusals = Refusals(recorder, clock, REFUSED, _whose)
        self.site = CallbackSite(Answers(access, once, clock), self._refusals)
        """Where they are called back, to be mounted under `resource.SEGMENT`."""
        self._channels: dict[str, WebhookChannel] = {}
        self._hooks: Sequence[Hook] = ()
        self._running = False
        self._ending: set[Deferred[None]] = set()

    @property
    def channels(self) -> Mapping[str, IGrantChannel]:
        """The ways to people, by name."""
        return self._channels

    def down(self) -> str | None:
        """Which of them cannot be reached, and why; None: all can, as far as is known."""
        found = [each.down for each in self._channels.values()]
        return " ".join(why for why in found if why is not None) or None

    def waiting(self) -> Mapping[str, int]:
        """Of how many requests each has something to tell yet."""
        return {name: each.waiting for name, each in self._channels.items()}

    def adopt(self, hooks: Sequence[Hook]) -> None:
        """Go by these from now on. Whatever the others have not told, these tell."""
        self._end()
        self._hooks = hooks
        self._channels = {
            each.sending.name: WebhookChannel(each.sending, **self._made) for each in hooks
        }
        for channel in self._channels.values():
            verifyObject(IGrantChannel, channel)
        callbacks = [each.callback for each in hooks if each.callback is not None]
        self.site.callbacks = {each.name: each for each in callbacks}
        if self._running:
            for channel in self._channels.values():
                self._begin(channel.start())

    async def start(self) -> None:
        """Begin to tell."""
        self._running = True
        for channel in self._channels.values():
            await channel.start()

    async def stop(self) -> None:
        """Tell nothing more, and put on record what was only counted."""
        self._running = False
        self._end()
        await DeferredList(list(self._ending))
        await self._refusals.stop()

    def _end(self) -> None:
        for channel in self._channels.values():
            self._begin(channel.stop())
        for hook in self._hooks:
            self._begin(hook.close())

    def _begin(self, work: Any) -> None:
        doing = Deferred.fromCoroutine(work)
        self._ending.add(doing)
        doing.addErrback(lambda failure: self._log.failure("A webhook did not end", failure))
        doing.addBoth(lambda _: self._ending.discard(doing))


def _whose(who: Hashable) -> Mapping[str, object]:
    name, someone = who[:2] if isinstance(who, tuple) else (None, None)
    return {"webhook": name, "peer": None, "status": None, "person": someone}
