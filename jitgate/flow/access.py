"""Access requests: opened for a call that policy sends to people, answered, and waited for.

What may happen to a request is `jitgate.core.access` to say. Here agents wait for theirs, and are
given what came of it; and here is the door of those who answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, cast

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from jitgate.core import access
from jitgate.core.access import NotCounted
from jitgate.core.policy import Needs
from jitgate.core.waiting import Patience, Preference, Wait, waiting
from jitgate.errors import AgentGone, StoreDown
from jitgate.flow import ledger as record
from jitgate.flow.answering import Answering
from jitgate.flow.by_policy import ByPolicy
from jitgate.flow.deadlines import Deadlines
from jitgate.flow.grants import Grants
from jitgate.flow.holding import TOGETHER, Woken
from jitgate.flow.ledger import Ledger
from jitgate.flow.members import Members
from jitgate.flow.opening import Limits, Opening
from jitgate.flow.pending import PendingRequests
from jitgate.flow.people import ActivePeople
from jitgate.flow.replying import come_back, denied, is_denied, overloaded, used
from jitgate.flow.resource_names import ResourceNames
from jitgate.flow.restraint import Restraint
from jitgate.flow.standing import Standing, standing
from jitgate.flow.telling import Telling
from jitgate.interfaces import IBudgets, IPeople, IResponse
from jitgate.values import (
    AccessRequest,
    AccessState,
    Answer,
    Ask,
    Decision,
    Effect,
    Grant,
    Less,
    Operation,
    Refusal,
    Subject,
)

KEPT_FOR = 24 * 3600.0
"""Seconds that the store remembers what has ended, for whoever asks by its id."""

TIDY = 3600.0
"""Seconds between two droppings of what has ended."""

Decide = Callable[[Operation, Subject], Decision | Needs]


class Access:
    """Holds calls for people's answers; grants are what comes of them."""

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
        self._policy = ByPolicy(ledger, grants, new_id)
        self._ledger = ledger
        self._store = ledger.store
        self._patience = patience
        self._members = members
        self._active = ActivePeople(active, clock)
        self._restraint = Restraint(counts, clock, limits.fatigue)
        self.pending = PendingRequests(ledger, telling, clock, patience.linger)
        """For whoever hears of what other gateways do."""
        asking = ledger, self.pending, telling, members, self._restraint
        self._opening = Opening(*asking, names=names, limits=limits, new_id=new_id)
        knows = members, self._active, self._restraint
        self._answering = Answering(
            ledger, grants, *knows, changed=self.pending.changed, new_id=new_id
        )
        self._tidying = Deadlines(clock, self._tidied)
        self._held: Counter[str] = Counter()
        self._ahead: dict[tuple[str, str], str] = {}
        """What was asked ahead of a call, by subject's key and fingerprint, until what has come of
        it has been told."""

    # --- the agent's side

    def adopt(self, active: Sequence[IPeople], patience: Patience, limits: Limits) -> None:
        """Go by these from now on; what is pending ends when it was to end."""
        self._patience = patience
        self.pending.linger, self._opening.limits = patience.linger, limits
        self._active.adopt(active)
        self._restraint.adopt(limits.fatigue)

    def wait(
        self, ask: Ask, wish: Preference, *, since: float, resends: bool, hold: float | None = None
    ) -> Wait:
        """How an exchange waits whose client wishes so, and whose rules have it held so long.

        ``resends``: its SDK sends again itself.
        """
        patience = self._patience.held(hold)
        return waiting(patience, wish, since=since, resends=resends, life=ask.terms.life)

    async def leave(
        self,
        ask: Ask,
        wait: Wait,
        response: IResponse,
        joined: Callable[[str], None] = lambda _: None,
    ) -> Grant | Refusal | None:
        """A grant for the call, or why there is none yet; None if policy must decide again.

        ``joined`` is told which access request it waits for, if it does.

        Raises `AgentGone`, `StoreDown`, `RecorderDown`, `ApproversUnreachable`.
        """
        grant = await self._grants.covering(ask)
        if grant is not None:
            return grant
        if ask.terms.auto:
            return await self._by_policy(ask, wait)
        key, limits = ask.subject.key, self._opening.limits
        if self._held[key] >= limits.per_agent or self._held.total() >= limits.in_all:
            return overloaded(wait, self._ledger.now)
        self._held[key] += 1
        try:
            request = await self._opening.joined(ask, wait)
            if isinstance(request, Refusal):
                return request
            joined(request.id)
            return await self._stayed(request.id, ask, wait, response)
        finally:
            self._held[key] -= 1
            if not self._held[key]:
                del self._held[key]

    async def _by_policy(self, ask: Ask, wait: Wait) -> Grant | Refusal | None:
        """A grant that policy gives itself; what people were asked before is theirs no more."""
        if len(await self._store.grants(ask.subject.key)) >= self._opening.limits.per_agent:
            return overloaded(wait, self._ledger.now)
        asked = await self._store.pending(ask.subject.key, ask.fingerprint)
        if asked is not None:
            await self.end(asked.id, access.SUPERSEDE, "Policy approves it itself now.")
        return await self._policy.granted(ask)

    async def ahead(self, ask: Ask, wait: Wait, *, anew: bool = False) -> Grant | Refusal:
        """A grant that is asked for before there is a call, or why there is none yet.

        Nothing is held: the agent is told to come back, and then what has come of it, once; not
        where it asks ``anew``, since it knows. Raises as `leave` does.
        """
        slot = ask.subject.key, ask.fingerprint
        asked = await self._store.request(self._ahead.pop(slot, ""))
        if not anew and asked is not None and is_denied(asked):
            return await self._answered(asked, ask)
        while True:
            grant = await self._grants.covering(ask)
            if grant is not None:
                return grant
            if ask.terms.auto:
                given = await self._by_policy(ask, wait)
                if given is not None:
                    return given
                continue
            request = await self._opening.joined(ask, wait)
            if isinstance(request, Refusal):
                return request
            refusal = await self._told_to_come_back(request.id, wait)
            if refusal is not None:
                self._ahead[slot] = request.id
                if len(self._ahead) > self._opening.limits.in_all:
                    del self._ahead[next(iter(self._ahead))]
                return refusal

    async def _stayed(
        self, key: str, ask: Ask, wait: Wait, response: IResponse
    ) -> Grant | Refusal | None:
        """Hold the exchange, and say what it goes on with."""
        ended = partial(self.pending.has_ended, key)
        try:
            while True:
                woken = await self.pending.holding.hold(key, wait, response, ended)
                try:
                    return await self._outcome(key, ask, wait, woken)
                except StoreDown:
                    if woken is not Woken.ENDED:
                        raise  # else it is held on, until it can be told what it goes on with
        except StoreDown:
            self.pending.look_soon(key, ask.subject.key)
            raise

    async def _outcome(
        self, key: str, ask: Ask, wait: Wait, woken: Woken
    ) -> Grant | Refusal | None:
        """What a held exchange goes on with."""
        request = await self._store.request(key)
        if woken is Woken.GONE:
            await self.pending.left(key)
            raise AgentGone("The agent hung up while its call waited for approval.")
        if request is None or request.state is AccessState.SUPERSEDED:
            return None
        if request.state is not AccessState.PENDING:
            return await self._answered(request, ask)
        if woken is not Woken.TIME:
            return None
        return await self._told_to_come_back(key, wait)

    async def _answered(self, request: AccessRequest, ask: Ask) -> Grant | Refusal:
        if request.state is AccessState.APPROVED:
            grant = await self._grants.covering(ask)
            return used(request) if grant is None else grant
        return denied(request, self._ledger.now)

    async def _told_to_come_back(self, key: str, wait: Wait) -> Refusal | None:
        """Tell the agent so; its request stays pending until it expires. None: look at it again."""
        async with self.pending.turn(key):
            request = await self._store.request(key)
            if request is None:
                return None
            # Else another exchange is still there for it, here or elsewhere.
            here, gateway = key in self.pending.holding, self._ledger.gateway
            if not here and not access.is_elsewhere(request, gateway):
                after = access.recalled(request)
                if after is None or await self._ledger.commit(after) is None:
                    return None  # something happened to it meanwhile
                self.pending.watch(after)
            return come_back(request, wait, self._ledger.now)

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
        return await self.end(key, access.WITHDRAW, "The agent cancelled it.")

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

    async def end(self, key: str, event: str, why: str) -> AccessRequest | None:
        """End a pending request; None if it had ended."""
        return await self.pending.end(key, event, why)

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
                await self.end(request.id, access.SUPERSEDE, "Policy has changed.")

    def dismiss(self) -> None:
        """Hold nothing any longer: what waits is told to come back."""
        self.pending.holding.dismiss()

    # --- start and stop

    async def recover(self, found: access.Recovery) -> None:
        """Take up what was pending and what was granted, as far as the record vouches for it."""
        await self._tidied()
        await self._grants.recover(found)
        if found.distrust is not None:
            self._log.warn("{why} What was pending and granted is void.", why=found.distrust)
        carried = []
        for request in await self._store.requests():
            if found.distrust is not None:
                await self.end(request.id, access.SUPERSEDE, found.distrust)
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
