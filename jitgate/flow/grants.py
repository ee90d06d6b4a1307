"""Grants: spent before they are used, and only then (invariant 3); revoked, or out of time."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from jitgate.core import access
from jitgate.core.access import NotCounted
from jitgate.errors import RecorderDown, StoreDown, traced
from jitgate.flow import ledger as record
from jitgate.flow.deadlines import Deadlines
from jitgate.flow.ledger import Ledger
from jitgate.values import Ask, Denial, Grant, GrantState, Refusal, Use

_GONE = Refusal(
    Denial.APPROVAL_USED,
    "The approval was used by another call, was revoked, or is out of time.",
    advice="Send the call again to ask for a new approval.",
)


class Grants:
    """Spends, settles, revokes. What a grant is good for is `jitgate.core.access` to say."""

    _log = Logger()

    def __init__(self, ledger: Ledger, clock: IReactorTime) -> None:
        self._ledger = ledger
        self._deadlines = Deadlines(clock, self._out_of_time)
        self._flights: dict[str, tuple[str, Deferred[Any]]] = {}
        """By use: its grant, and the exchange that is under way."""

    async def covering(self, ask: Ask) -> Grant | None:
        """A grant that is good for this call now."""
        for grant in await self._ledger.store.grants(ask.subject.key):
            if access.covers(grant, ask, self._ledger.now):
                return grant
        return None

    async def spend(self, grant: Grant, ask: Ask, leaving: str) -> Use | Refusal:
        """Take a use for the exchange whose request is about to leave: at most once each.

        ``leaving`` is the fingerprint of what is about to leave; it must be what was asked for.
        Once this returns a Use, the store and the record know of it, and not before.
        """
        self._ledger.ready()
        if leaving != ask.fingerprint:
            return Refusal(Denial.FAULT, "What is about to be sent is not what was decided on.")
        while True:  # whoever comes between has taken a use, of which there are only so many
            current = await self._ledger.store.grant(grant.id)
            if current is None or not access.covers(current, ask, self._ledger.now):
                return _GONE
            now, gateway = self._ledger.now, self._ledger.gateway
            taken = access.taken(current, ask.exchange, leaving, now, gateway)
            if taken is None:
                return _GONE
            recorded = await self._ledger.keep(taken, [record.spent(*taken, ask.session)])
            if recorded is not None:
                break
        use = taken[1]
        try:
            await recorded
        except RecorderDown:
            await self.settle(use, ask.session, answered=False)
            raise
        return use

    async def under(self, use: Use, carried: Coroutine[Any, Any, Refusal | None]) -> Refusal | None:
        """Carry out the exchange that a use was taken for; a revocation ends it."""
        flight = Deferred.fromCoroutine(carried)
        self._flights[use.id] = use.grant, flight
        try:
            return await flight
        except CancelledError:
            return Refusal(Denial.GRANT_REVOKED, "The approval was revoked while the call was out.")
        finally:
            del self._flights[use.id]

    async def settle(self, use: Use, session: str, *, answered: bool) -> None:
        """Note what became of a use.

        A fault here changes nothing for the exchange: it is logged, and the use counts as taken, of
        unknown outcome, from the next start on.
        """
        event = access.SETTLE if answered else access.LOSE
        try:
            await self._settled(use.id, use.grant, session, event)
        except (StoreDown, RecorderDown) as fault:
            self._log.error("A use could not be settled: {how}", how=traced(fault))

    async def _settled(self, use_id: str, grant_id: str, session: str, event: str) -> None:
        while True:
            grant = await self._ledger.store.grant(grant_id)
            use = await self._ledger.store.use(use_id)
            after = None if grant is None or use is None else access.used(grant, use, event)
            if after is None:
                return  # it was revoked in flight
            told = record.settled(after[1], session or after[0].ask.session)
            recorded = await self._ledger.keep(after, [told])
            if recorded is not None:
                await recorded
                return

    # --- the ends of a grant

    async def listed(self) -> Sequence[Grant]:
        """Every grant with a use left or in use."""
        return await self._ledger.store.grants()

    async def revoke(self, key: str, why: str) -> Grant | NotCounted:
        """Revoke what is left of a grant, and end what goes on under it."""
        try:
            return await self._over(key, access.REVOKE, why)
        finally:  # also where it could not be told whether that is kept
            await self._ended_flights(key)

    async def _ended_flights(self, key: str) -> None:
        grant = await self._ledger.store.grant(key)
        if grant is None or grant.left or GrantState.REVOKED_IN_FLIGHT not in grant.tally:
            return
        self._cut(key)

    def _cut(self, key: str) -> None:
        """End what goes on under a grant, now."""
        for held, flight in list(self._flights.values()):
            if held == key:
                flight.cancel()

    async def void(self, grant: Grant) -> None:
        """Take back what could not be put on record: nobody may go out under it."""
        current = await self._ledger.store.grant(grant.id)
        after = None if current is None else access.moved(current, access.REVOKE, "Not on record.")
        if after is not None:
            await self._ledger.commit(after)

    async def _over(self, key: str, event: str, why: str) -> Grant | NotCounted:
        while True:
            grant = await self._ledger.store.grant(key)
            if grant is None:
                return NotCounted("There is no such grant.")
            after = access.moved(grant, event, why)
            if after is None:
                return NotCounted(f"This grant is {grant.state.value} already.")
            in_use = [each for each in await self._ledger.store.uses() if each.grant == key]
            uses = [access.use_moved(each, event) for each in in_use]
            told = [record.grant_ended(after, access.USE_MOVES[GrantState.ACTIVE, event])]
            moved = [use for use in uses if use is not None]
            told += [record.settled(use, grant.ask.session) for use in moved]
            recorded = await self._ledger.keep([after, *moved], told)
            if recorded is not None:
                self._deadlines.forget(key)
                if event == access.REVOKE:  # however long the record takes, nothing goes on
                    self._cut(key)
                await recorded
                return after

    def watch(self, grant: Grant) -> None:
        """See to it that the grant ends when its time is over."""
        if grant.left:
            self._deadlines.set(grant.id, grant.expires_at)

    async def _out_of_time(self, key: str) -> None:
        """Note it. The grant is good for nothing any more all the same: `covers` sees the clock."""
        await self._over(key, access.AGE, "It was not used in time.")
        self._deadlines.forget(key)

    def stop(self) -> None:
        """Watch none any longer."""
        self._deadlines.stop()

    # --- what other gateways do

    async def heard(self, key: str) -> None:
        """Another gateway has changed a grant: what it revoked must not go on here."""
        grant = await self._ledger.store.grant(key)
        if grant is None or not grant.left:
            self._deadlines.forget(key)
        else:
            self.watch(grant)
        await self._ended_flights(key)

    async def look_again(self) -> None:
        """Look at every grant: nobody knows what has been heard of."""
        for grant in await self.listed():
            self.watch(grant)
        for key in {grant for grant, _ in self._flights.values()}:
            await self._ended_flights(key)

    async def tidied(self, before: float) -> None:
        """Give up, as unknown, what a gateway took before then that has not come back since."""
        for use in await self._ledger.store.uses():
            if use.gateway != self._ledger.gateway and use.taken_at < before:
                await self._settled(use.id, use.grant, "", access.LOSE)

    # --- after a restart

    async def recover(self, found: access.Recovery) -> None:
        """Make the store what the record shows, revoke what it cannot vouch for, watch the rest.

        What another gateway carries out is its own to tell of.
        """
        for use_id, (grant_id, sent) in found.spent.items():
            await self._take_as_recorded(use_id, grant_id, sent)
        for use in await self._ledger.store.uses():
            if use.gateway == self._ledger.gateway:
                event = access.SETTLE if use.id in found.answered else access.LOSE
                await self._settled(use.id, use.grant, "", event)
        for grant in await self.listed():
            if found.distrust is not None and grant.left:
                await self._over(grant.id, access.REVOKE, found.distrust)
            else:
                told = [record.carried_on(grant)]
                await self._ledger.record(grant.revision, told)
                self.watch(grant)

    async def _take_as_recorded(self, use: str, key: str, sent: str) -> None:
        """A use that the record shows and the store has forgotten."""
        grant = await self._ledger.store.grant(key)
        if grant is None or await self._ledger.store.use(use) is not None:
            return
        now, gateway = self._ledger.now, self._ledger.gateway
        taken = access.taken(grant, use, sent, now, gateway)
        if taken is not None:
            await self._ledger.commit(*taken)
