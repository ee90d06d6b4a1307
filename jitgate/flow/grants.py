"""Grants: spent before they are used, and only then (invariant 3); revoked, or out of time."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from jitgate.core import access
from jitgate.core.access import NotCounted
from jitgate.core.recovery import Recovery
from jitgate.errors import RecorderDown, StoreDown, traced
from jitgate.flow import ledger as record
from jitgate.flow.deadlines import Deadlines
from jitgate.flow.ledger import Ledger
from jitgate.flow.telling import Telling
from jitgate.values import Ask, Denial, Grant, GrantState, Refusal, Use

_GONE = Refusal(
    Denial.APPROVAL_USED,
    "The approval was used by another call, was revoked, or is out of time.",
    advice="Send the call again to ask for a new approval.",
)

_REVOKED = Refusal(Denial.GRANT_REVOKED, "The approval was revoked while the call was out.")

SILENT = 0.5
"""Seconds for which a revocation waits for the store before what goes on here ends all the same:
half of what it may take."""


class Elsewhere(Protocol):
    """What other processes of this gateway carry out."""

    def may_go_on(self, key: str) -> bool:
        """Whether something may go on there under a grant of exactly that id."""

    def cut(self, key: str) -> None:
        """End it, now."""


class _Nowhere:
    """There is no other process."""

    def may_go_on(self, key: str) -> bool:
        return False

    def cut(self, key: str) -> None:
        """Nothing goes on."""


class Grants:
    """Spends, settles, revokes. What a grant is good for is `jitgate.core.access` to say."""

    _log = Logger()

    def __init__(self, ledger: Ledger, clock: IReactorTime, telling: Telling) -> None:
        self._ledger = ledger
        self._telling = telling
        self._clock = clock
        self._deadlines = Deadlines(clock, self._out_of_time)
        self._flights: dict[str, tuple[str, Deferred[Any]]] = {}
        """By use: its grant, and the exchange that is under way."""
        self.elsewhere: Elsewhere = _Nowhere()
        self._spending: dict[str, str] = {}
        """By use: its grant, while that is put on record. What ends the grant takes it out."""

    async def covering(self, ask: Ask) -> Grant | None:
        """A grant that is good for this call now."""
        for grant in await self._ledger.store.grants(ask.subject.key):
            if access.covers(grant, ask, self._ledger.now):
                return grant
        return None

    async def one(self, key: str) -> Grant | None:
        """The grant of that id, whatever became of it."""
        return await self._ledger.store.grant(key)

    async def spend(self, grant: Grant, ask: Ask, leaving: str) -> Use | Refusal:
        """Take a use for the exchange whose request is about to leave: at most once each.

        ``leaving`` is the fingerprint of what is about to leave; it must be what was asked for.
        Once this returns a Use, the store and the record know of it, and not before.
        """
        self._ledger.ready()
        if leaving != ask.fingerprint:
            return Refusal(Denial.FAULT, "What is about to be sent is not what was decided on.")
        self._spending[ask.exchange] = grant.id
        try:
            use = await self._spent(grant, ask, leaving)
            # Whoever revokes it while it is put on record finds nothing under way yet to end.
            return use if ask.exchange in self._spending else _REVOKED
        finally:
            self._spending.pop(ask.exchange, None)

    async def _spent(self, grant: Grant, ask: Ask, leaving: str) -> Use | Refusal:
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
            await self.settle(use, ask.session)
            raise
        return use

    async def under(self, use: Use, carried: Coroutine[Any, Any, Refusal | None]) -> Refusal | None:
        """Carry out the exchange that a use was taken for; a revocation ends it."""
        flight = Deferred.fromCoroutine(carried)
        self._flights[use.id] = use.grant, flight
        try:
            return await flight
        except CancelledError:
            return _REVOKED
        finally:
            del self._flights[use.id]

    async def settle(self, use: Use, session: str, status: int | None = None) -> None:
        """Note what became of a use: the status of the target's answer, if there was one.

        A fault here changes nothing for the exchange: it is logged, and the use counts as taken, of
        unknown outcome, from the next start on.
        """
        event = access.LOSE if status is None else access.SETTLE
        try:
            await self._settled(use.id, use.grant, session, event, status)
        except (StoreDown, RecorderDown) as fault:
            self._log.error("A use could not be settled: {how}", how=traced(fault))

    async def _settled(
        self, use_id: str, grant_id: str, session: str, event: str, status: int | None = None
    ) -> None:
        while True:
            grant = await self._ledger.store.grant(grant_id)
            use = await self._ledger.store.use(use_id)
            if grant is None or use is None:
                return
            after = access.used(grant, use, event, self._ledger.now, status)
            if after is None:
                return  # it was revoked in flight
            told = record.settled(after[1], session or after[0].ask.session)
            recorded = await self._ledger.keep(after, [told])
            if recorded is not None:
                self._telling.grant_soon(*after)
                await recorded
                return

    # --- the ends of a grant

    async def listed(self) -> Sequence[Grant]:
        """Every grant with a use left or in use."""
        return await self._ledger.store.grants()

    def goes_on(self, key: str) -> bool:
        """Whether something may go on under a grant of exactly that id."""
        here = any(held == key for held, _ in self._flights.values())
        return here or self.elsewhere.may_go_on(key)

    async def revoke(self, key: str, why: str) -> Grant | NotCounted:
        """Revoke what is left of a grant, and end what goes on under it.

        Here that ends though the store is down, or says nothing: then the grant may still be good,
        and `StoreDown` is raised.
        """
        late = self._clock.callLater(SILENT, self._cut_everywhere, key)
        try:
            ended = await self._over(key, access.REVOKE, why)
        except StoreDown:
            self._cut_everywhere(key)
            raise
        finally:
            if late.active():
                late.cancel()
        await self._ended_flights(key)
        return ended

    async def _ended_flights(self, key: str) -> None:
        grant = await self._ledger.store.grant(key)
        if grant is None or grant.left or GrantState.REVOKED_IN_FLIGHT not in grant.tally:
            return
        self.cut(key)

    def _cut_everywhere(self, key: str) -> None:
        self.cut(key)
        self.elsewhere.cut(key)

    def cut(self, key: str) -> None:
        """End what goes on here under a grant, now."""
        self._spending = {use: held for use, held in self._spending.items() if held != key}
        for held, flight in list(self._flights.values()):
            if held == key:
                flight.cancel()

    async def void(self, grant: Grant) -> bool:
        """Take back what could not be put on record: nobody may go out under it.

        Returns whether that was all of it. What another gateway has begun meanwhile goes on.
        """
        while True:
            current = await self._ledger.store.grant(grant.id)
            if current is None:
                return True
            whole = current.tally == grant.tally
            event = access.REVOKE if whole else access.AGE
            after = access.moved(current, event, "Not on record.")
            if after is None or await self._ledger.commit(after) is not None:
                return whole

    async def _over(self, key: str, event: str, why: str) -> Grant | NotCounted:
        while True:
            grant = await self._ledger.store.grant(key)
            if grant is None:
                return NotCounted("There is no such grant.")
            after = access.moved(grant, event, why)
            if after is None:
                return NotCounted(f"This grant is {grant.state.value} already.")
            in_use = [each for each in await self._ledger.store.uses() if each.grant == key]
            uses = [access.use_moved(each, event, self._ledger.now) for each in in_use]
            told = [record.grant_ended(after, access.USE_MOVES[GrantState.ACTIVE, event])]
            moved = [use for use in uses if use is not None]
            told += [record.settled(use, grant.ask.session) for use in moved]
            recorded = await self._ledger.keep([after, *moved], told)
            if recorded is not None:
                self._deadlines.forget(key)
                if event == access.REVOKE:  # however long the record takes, nothing goes on
                    self._cut_everywhere(key)
                self._telling.grant_soon(after)
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
        under_way = {grant for grant, _ in self._flights.values()}
        for key in under_way.union(self._spending.values()):
            await self._ended_flights(key)

    async def tidied(self, before: float) -> None:
        """Give up, as unknown, what a gateway took before then that has not come back since."""
        for use in await self._ledger.store.uses():
            if use.gateway != self._ledger.gateway and use.taken_at < before:
                await self._settled(use.id, use.grant, "", access.LOSE)

    # --- after a restart

    async def recover(self, found: Recovery) -> None:
        """Make the store what the record shows, revoke what it cannot vouch for, watch the rest.

        What another gateway carries out is its own to tell of.
        """
        for use_id, (grant_id, sent) in found.spent.items():
            await self._take_as_recorded(use_id, grant_id, sent)
        for use in await self._ledger.store.uses():
            if self._ledger.is_ours(use.gateway):
                event = access.SETTLE if use.id in found.answered else access.LOSE
                await self._settled(use.id, use.grant, "", event)
        for grant in await self.listed():
            if found.distrust is not None and grant.left:
                await self._over(grant.id, access.REVOKE, found.distrust)
            else:
                told = [record.carried_on(grant)]
                await self._ledger.record(grant.revision, told)
                self.watch(grant)

    async def orphaned(self, gateway: str) -> None:
        """Give up, as unknown, what a worker of this gateway carried out that has died."""
        for use in await self._ledger.store.uses():
            if use.gateway == gateway:
                await self._settled(use.id, use.grant, "", access.LOSE)

    async def _take_as_recorded(self, use: str, key: str, sent: str) -> None:
        """A use that the record shows and the store has forgotten."""
        grant = await self._ledger.store.grant(key)
        if grant is None or await self._ledger.store.use(use) is not None:
            return
        now, gateway = self._ledger.now, self._ledger.gateway
        taken = access.taken(grant, use, sent, now, gateway)
        if taken is not None:
            await self._ledger.commit(*taken)
