"""Waiting for what may never end, and for no longer than is said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime


async def within(seconds: float, clock: IReactorTime, begun: Sequence[Deferred[Any]]) -> None:
    """Return once all of it has ended, be it in a fault, or after so many seconds.

    What has not ended by then is cancelled, and left if it does not heed that.
    """
    over: Deferred[None] = Deferred()
    every = DeferredList(begun, consumeErrors=True)
    late = clock.callLater(seconds, over.callback, None)
    every.addCallback(lambda _: None if over.called else over.callback(None))
    await over
    if late.active():
        late.cancel()
        return
    for each in begun:
        each.cancel()
