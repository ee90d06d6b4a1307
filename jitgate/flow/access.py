"""Access requests and grants as they are kept: shown, answered, revoked, ended, and taken up again.

What may happen to a request is `jitgate.core.access` to say. Here is the door of those who answer;
agents wait behind another one (`jitgate.flow.waiting`).
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, cast

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from jitgate.core import access
from jitgate.core.access import NotCounted
from jitgate.core.policy import Needs
from jitgate.core.recovery import Recovery
from jitgate.core.waiting import Patience
from jitgate.flow import ledger as record
from jitgate.flow.answering import Answering
from jitgate.flow.deadlines import Deadlines
from jitgate.flow.grants import Grants
from jitgate.flow.holding import TOGETHER, Woken
from jitgate.flow.ledger import Ledger
from jitgate.flow.members import Members
from jitgate.flow.opening import Limits, Opening
from jitgate.flow.pending import PendingRequests
from jitgate.flow.people import ActivePeople
from jitgate.flow.resource_names import ResourceNames
from jitgate.flow.restraint import Restraint
from jitgate.flow.standing import Standing, standing
from jitgate.flow.telling import Telling
from jitgate.flow.waiting import Waiting
from jitgate.interfaces import IBudgets, IPeople
from jitgate.values import (
    AccessRequest,
    AccessState,
    Answer,
    Decision,
    Effect,
    Grant,
    Less,
    Operation,
    Subject,
)

KEPT_FOR = 24 * 3600.0
"""Seconds that the store remembers what has ended, for whoever asks by its id."""

TIDY = 3600.0
"""Seconds between two droppings of what has ended."""

Decide = Callable[[Operation, Subject], Decision | Needs]


class Access:
    """Keeps what people are asked, and what came of it."""

    _log = Logger()

    def __init__(
        self,
        ledger: Ledger,
        grants: Grants,
        *,
        telling: Telling,
        names: ResourceNames,
        members: Members,
        active: Sequence[IPeople],
        counts: IBudgets,
        patience: Patience,
        limits: Limits,
        clock: IReactorTime,
        new_id: Callable[[str], str],
    ) -> None:
        self._clock = clock
        self._grants = grants
        self._ledger = ledger
        self._store = ledger.store
        self._members = members
        self._active = ActivePeople(active, clock)
        self._restraint = Restraint(counts, clock, limits.fatigue)
        self.pending = PendingRequests(ledger, telling, clock, patience.linger)
        """For whoever hears of what other gateways do."""
        asking = ledger, self.pending, telling, members, self._restraint
        self._opening = Opening(*asking, names=names, limits=limits, new_id=new_id)
        self.waiting = Waiting(
            ledger, grants, self.pending, self._opening, patience=patience, new_id=new_id
        )
        """The agents' side."""
        knows = members, self._active, self._restraint
        self._answering = Answering(
            ledger, grants, *knows, changed=self.pending.changed, new_id=new_id
        )
        self._tidying = Deadlines(clock, self._tidied)

    def adopt(self, active: Sequence[IPeople], patience: Patience, limits: Limits) -> None:
        """Go by these from now on; what is pending ends when it was to end."""
        self.waiting.patience = patience
        self.pending.linger, self._opening.limits = patience.linger, limits
        self._active.adopt(active)
        self._restraint.adopt(limits.fatigue)

    # --- the approvers' side

    async def requests(self) -> Sequence[AccessRequest]:
        """Every request that is pending, the earliest first."""
        return await self._store.requests()

    async def request(self, key: str) -> AccessRequest | None:
        """One request, whatever became of it."""
        return await self._store.request(key)

    async def own(self, subject: Subject, key: str) -> AccessRequest | None:
        """A subject's request of that id; somebody else's is as good as none."""
        request = await self._store.request(key)
        return None if request is None or request.ask.subject.key != subject.key else request

    async def owned(self, subject: Subject) -> Sequence[AccessRequest]:
        """A subject's requests that are pending, the earliest first; no more than it may have."""
        found = [await self.own(subject, key) for key in self.pending.of(subject.key)]
        pending = [each for each in found if each and each.state is AccessState.PENDING]
        return sorted(pending, key=lambda each: (each.opened_at, each.id))

    async def answer(
        self,
        key: str,
        approver: str,
        *,
        approves: bool,
        reason: str,
        channel: str,
        less: Less | None = None,
        sign: bool = False,
    ) -> AccessRequest | NotCounted:
        """Count somebody's answer: durable when this returns. Whose counts, core decides.

        ``less``: what they give where that is less than policy offers; only to approve. ``sign``:
        all that they gave is a sign, such as a reaction.
        """
        less = less if approves else None
        answer = Answer(approver, approves, self._ledger.now, channel, reason, less, sign)
        return await self._answering.answer(key, answer)

    async def take_back(self, key: str, approver: str, channel: str) -> AccessRequest | NotCounted:
        """Somebody takes their answer back, until it is decided: durable when this returns."""
        return await self._answering.take_back(key, approver, channel)

    def standing(self, request: AccessRequest, someone: str | None = None) -> Standing:
        """How a request stands, to be shown: who is missing, and whether ``someone`` may answer."""
        return standing(request, self._members, self._ledger.now, someone)

    async def grants(self) -> Sequence[Grant]:
        """Every grant with a use left or in use."""
        return await self._grants.listed()

    async def grant(self, key: str) -> Grant | None:
        """One grant, whatever became of it."""
        return await self._store.grant(key)

    def goes_on(self, key: str) -> bool:
        """Whether something may go on under a grant of exactly that id."""
        return self._grants.goes_on(key)

    async def revoke(self, key: str, by: str, reason: str) -> Grant | NotCounted:
        """Revoke a grant, and end what goes on under it."""
        why = f"Revoked by {by}" + (f": {reason}" if reason else ".")
        return await self._grants.revoke(key, why)

    async def cancel(self, key: str, subject: Subject) -> AccessRequest | None:
        """An agent withdraws its own request; None if it has none of that id that is pending."""
        if await self.own(subject, key) is None:
            return None
        return await self.pending.end(key, access.WITHDRAW, "The agent cancelled it.")

    async def revoke_all(self, whose: Callable[[Subject], bool], why: str) -> tuple[int, int]:
        """End every request of some subjects, and revoke every grant; how many of both.

        Raises what kept one of them from being ended, or from being on record, once all were tried.
        """
        requests = [each for each in await self._store.requests() if whose(each.ask.subject)]
        grants = [each for each in await self._grants.listed() if whose(each.ask.subject)]
        work: list[Coroutine[Any, Any, object]] = [self.pending.withdraw(requests, why)]
        work += [self._grants.revoke(each.id, why) for each in grants]
        ending = [Deferred.fromCoroutine(each) for each in work]
        for done, result in await DeferredList(ending, consumeErrors=True):
            if not done:  # all the others were ended nevertheless
                cast(Failure, result).raiseException()
        return len(requests), len(grants)

    # --- what ends a request

    async def reconsider(self, decide: Decide) -> None:
        """Policy has changed: what is held is decided again; end what it no longer asks for."""
        await self.pending.holding.wake_all(Woken.POLICY)
        for number, request in enumerate(await self._store.requests(), 1):
            if number % TOGETHER == 0:
                await deferLater(self._clock, 0.0)
            decision = decide(request.ask.operation, request.ask.subject)
            if isinstance(decision, Needs):
                continue  # it is decided when the call is there
            terms = access.terms_of(decision) if decision.effect is Effect.REVIEW else None
            if not access.same_terms(request.ask.terms, terms):
                await self.pending.end(request.id, access.SUPERSEDE, "Policy has changed.")

    def dismiss(self) -> None:
        """Hold nothing any longer: what waits is told to come back."""
        self.pending.holding.dismiss()

    # --- start and stop

    async def recover(self, found: Recovery) -> None:
        """Take up what was pending and what was granted, as far as the record vouches for it."""
        await self._tidied()
        await self._grants.recover(found)
        if found.distrust is not None:
            self._log.warn("{why} What was pending and granted is void.", why=found.distrust)
        carried = []
        for request in await self._store.requests():
            if found.distrust is not None:
                await self.pending.end(request.id, access.SUPERSEDE, found.distrust)
                continue
            at = request.gateway if self._ledger.is_ours(request.gateway) else None
            await self.pending.left(request.id, at)
            carried.append((request.revision, [record.carried_over(request)]))
            self.pending.watch(await self._store.request(request.id) or request)
        await self._ledger.record_all(carried)

    async def orphaned(self, gateway: str) -> None:
        """A worker of this gateway, called so, has died: nothing that it did goes on.

        Raises `StoreDown`, `RecorderDown`; then it is to be said again.
        """
        await self._grants.orphaned(gateway)
        await self.pending.orphaned(gateway)

    async def _tidied(self, key: str = "ended") -> None:
        """Drop what ended long ago, now and again."""
        self._tidying.set(key, self._ledger.now + TIDY)
        before = self._ledger.now - KEPT_FOR
        await self._grants.tidied(before)
        await self._store.forget(before)

    def stop(self) -> None:
        """Watch nothing any longer; what is kept stays as it is."""
        self.pending.stop()
        self._tidying.stop()
        self._grants.stop()
