"""The requests that are pending: each ends in its time, and whoever waits for one hears of it."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import DeferredLock
from twisted.internet.interfaces import IReactorTime

from jitgate.core import access
from jitgate.flow import ledger as record
from jitgate.flow.deadlines import RETRY, Deadlines
from jitgate.flow.escalating import Escalations
from jitgate.flow.holding import Holding
from jitgate.flow.ledger import Ledger
from jitgate.flow.telling import Telling
from jitgate.flow.turns import Turns
from jitgate.values import AccessRequest, AccessState, Presence

_OVER = {
    access.EXPIRE: "Nobody answered in time.",
    access.WITHDRAW: "The agent did not come back.",
}


class PendingRequests:
    """Watches over them. ``linger``: seconds that one stays whose agent hung up.

    What waits for one is held in ``holding``.
    """

    def __init__(
        self, ledger: Ledger, telling: Telling, clock: IReactorTime, linger: float
    ) -> None:
        self.linger = linger
        self.holding = Holding(clock)
        self._ledger = ledger
        self._store = ledger.store
        self._telling = telling
        self._deadlines = Deadlines(clock, self._ended_in_time)
        """Of every pending request; its owner is its subject's key."""
        self._escalations = Escalations(ledger, clock, telling.tell_soon)
        self._turns = Turns()
        """By id, or by subject and fingerprint: who changes or opens a request now."""

    def __len__(self) -> int:
        """How many are pending."""
        return len(self._deadlines)

    def owned(self, key: str) -> int:
        """How many of them are a subject's."""
        return self._deadlines.owned(key)

    def of(self, key: str) -> list[str]:
        """The ids of those that are a subject's."""
        return self._deadlines.of(key)

    def turn(self, key: str) -> DeferredLock:
        """A turn at a request, or at opening one.

        A thousand exchanges that come and go for one would else undo each other's changes again
        and again. What must not be lost is still the store's to see to.
        """
        return self._turns.at(key)

    # --- what becomes of one

    def watch(self, request: AccessRequest) -> None:
        """See to it that a pending request ends in time."""
        self._deadlines.set(request.id, access.deadline(request)[0], request.ask.subject.key)
        self._escalations.watch(request)

    def changed(self, request: AccessRequest) -> None:
        """Tell whoever waits and whoever was asked."""
        if request.state is AccessState.PENDING:
            self.watch(request)
        else:
            self._over(request.id)
        self._telling.tell_soon(request)

    def _over(self, key: str) -> None:
        """It is pending no longer: nothing is due of it, and what is held for it goes on."""
        self._deadlines.forget(key)
        self._escalations.forget(key)
        self.holding.wake(key)

    async def end(self, key: str, event: str, why: str) -> AccessRequest | None:
        """End a pending request; None if it had ended."""
        while True:
            request = await self._store.request(key)
            after = None if request is None else access.ended(request, event, why)
            if after is None:
                return None
            recorded = await self._ledger.keep([after], [record.request_ended(after)])
            if recorded is not None:
                self.changed(after)
                await recorded
                return after

    async def withdraw(self, requests: Sequence[AccessRequest], why: str) -> None:
        """Withdraw them all, in one change if nothing happens to any of them meanwhile."""
        changes = [access.ended(each, access.WITHDRAW, why) for each in requests]
        after = [each for each in changes if each is not None]
        told = [record.request_ended(each) for each in after]
        recorded = await self._ledger.keep(after, told) if after else None
        if recorded is None:
            for request in requests:
                await self.end(request.id, access.WITHDRAW, why)
            return
        for each in after:
            self.changed(each)
        await recorded

    # --- whether its agent is there

    async def has_ended(self, key: str) -> bool:
        """Whether it has; and if its agent is said to be away, it is here now."""
        async with self.turn(key):
            while True:
                request = await self._store.request(key)
                if request is None or request.state is not AccessState.PENDING:
                    return True
                back = access.attached(request, self._ledger.gateway)
                if back is None or await self._ledger.commit(back) is not None:
                    return False

    async def left(self, key: str, at: str | None = None) -> None:
        """An agent has hung up; where nobody else waits, its request lingers for it.

        ``at``: at which gateway that was; None: at this one.
        """
        while key not in self.holding:
            request = await self._store.request(key)
            if request is None:
                return
            gateway = self._ledger.gateway if at is None else at
            after = access.detached(request, self._ledger.now, self.linger, gateway)
            if after is None:
                return
            if await self._ledger.commit(after) is not None:
                self.watch(after)
                break
        if key in self.holding:  # it came back while that was being kept
            await self.has_ended(key)

    async def orphaned(self, gateway: str) -> None:
        """All agents that were attached at a worker of this gateway are gone, and so is that.

        Those who answer are told once more of what waits: it may have died before it told them.
        """
        for request in await self._store.requests():
            if request.gateway == gateway and request.presence is Presence.ATTACHED:
                await self.left(request.id, gateway)
                self._telling.tell_soon(request)

    def look_soon(self, key: str, owner: str) -> None:
        """That its agent is gone could not be kept: it is looked at again once it can be."""
        self._deadlines.set(key, self._ledger.now + RETRY, owner)

    # --- what other gateways do

    async def heard(self, key: str) -> None:
        """Another gateway has opened, changed or ended a request: what is held for it hears of it.

        Whoever was asked has been told by that gateway.
        """
        request = await self._store.request(key)
        if request is not None and request.state is AccessState.PENDING:
            self.watch(request)
            if key not in self.holding or not await self.has_ended(key):
                return
        self._over(key)

    async def look_again(self) -> None:
        """Look at every request: nobody knows what has been heard of."""
        watched = self._deadlines.watched()  # what is opened from now on may not be in the list
        pending = {each.id: each for each in await self._store.requests()}
        for key in self.holding.awaited():
            if key not in pending or pending[key].presence is not Presence.ATTACHED:
                await self.heard(key)
        for key in watched - pending.keys():
            self._over(key)
        for request in pending.values():
            self.watch(request)

    # --- time

    async def _ended_in_time(self, key: str) -> None:
        request = await self._store.request(key)
        if request is None or request.state is not AccessState.PENDING:
            self._deadlines.forget(key)
            return
        when, event = access.deadline(request)
        if when > self._ledger.now:
            self.watch(request)
            await self.left(key)
            return
        await self.end(key, event, _OVER[event])

    def stop(self) -> None:
        """Watch none any longer; what is kept stays as it is."""
        self._deadlines.stop()
        self._escalations.stop()
