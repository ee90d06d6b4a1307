"""Follows what other gateways change in a store that several share.

What is held here for a request that was answered elsewhere goes on; what was revoked elsewhere ends
here too. While the store is down nothing changes: all of it is looked at once it is back.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from jitgate.errors import JitgateError, traced
from jitgate.flow.access import Access
from jitgate.flow.grants import Grants
from jitgate.flow.revoking import Revocations
from jitgate.interfaces import INews
from jitgate.values import Changed

AGAIN = 1.0
"""Seconds until everything is looked at again, where something could not be."""


class Following:
    """Hears of a change, and has those who are concerned look at it in the store."""

    _log = Logger()

    def __init__(
        self,
        news: INews,
        access: Access,
        grants: Grants,
        revocations: Revocations,
        clock: IReactorTime,
    ) -> None:
        self._news = news
        self._access = access
        self._grants = grants
        self._revocations = revocations
        self._clock = clock
        self._stopped = False
        self._missed = False
        """Whether something could not be looked at since all of it was: it is said once."""
        self._again: IDelayedCall | None = None

    async def start(self) -> None:
        """Begin to hear. Raises `StoreDown`."""
        await self._news.start(self.heard)

    async def stop(self) -> None:
        """Hear of nothing more."""
        self._stopped = True
        if self._again is not None and self._again.active():
            self._again.cancel()
        await self._news.stop()

    def heard(self, changes: Sequence[Changed] | None) -> None:
        """Look at what has changed; None: at everything."""
        if changes is None:
            self._look(self.everything)
            return
        for change in dict.fromkeys(changes):
            self._look(lambda change=change: self._at(change))  # type: ignore[misc]

    def _look(self, work: Callable[[], Awaitable[None]]) -> None:
        async def looked() -> None:
            await work()

        if not self._stopped:
            Deferred.fromCoroutine(looked()).addErrback(self._failed)

    async def _at(self, change: Changed) -> None:
        if change.kind == "request":
            await self._access.pending.heard(change.id)
        elif change.kind == "grant":
            await self._grants.heard(change.id)
        elif change.kind == "once":
            await self._revocations.look_again()

    async def everything(self) -> None:
        """Look at all that may have changed. Raises `StoreDown`."""
        await self._revocations.look_again()
        await self._grants.look_again()
        await self._access.pending.look_again()
        self._missed = False

    def _failed(self, failure: Failure) -> None:
        """What was heard of counts as missed."""
        fault: Any = failure.value
        expected = isinstance(fault, JitgateError)
        if expected and self._stopped:
            return  # the store was closed meanwhile, and nobody follows any more
        if not expected or not self._missed:
            say = self._log.warn if expected else self._log.critical
            say("What another gateway changed could not be looked at: {how}", how=traced(fault))
        self._missed = True
        if not self._stopped and (self._again is None or not self._again.active()):
            self._again = self._clock.callLater(AGAIN, self.heard, None)
