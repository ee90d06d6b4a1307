"""Access requests: opened for a call that policy sends to people, answered, and waited for.

One request is pending for each subject and fingerprint, however often the agent sends its call.
What may happen to one is `jitgate.core.access` to say; here it is waited for, kept and told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, cast
from weakref import WeakValueDictionary

from twisted.internet.defer import Deferred, DeferredList, DeferredLock
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from jitgate.core import access, answers
from jitgate.core.access import NotCounted
from jitgate.core.answers import People
from jitgate.core.fatigue import Fatigue
from jitgate.core.policy import Needs
from jitgate.core.waiting import RETURN_AFTER, Patience, Preference, Wait, waiting
from jitgate.errors import AgentGone, ApproversUnreachable, RecorderDown, StoreDown
from jitgate.flow import ledger as record
from jitgate.flow.answering import Answering
from jitgate.flow.by_policy import ByPolicy
from jitgate.flow.deadlines import RETRY, Deadlines
from jitgate.flow.escalating import Escalations
from jitgate.flow.grants import Grants
from jitgate.flow.holding import Holding, Woken
from jitgate.flow.ledger import Ledger
from jitgate.flow.people import ActivePeople
from jitgate.flow.restraint import TAKE_NO, Restraint
from jitgate.flow.telling import Telling
from jitgate.interfaces import IApproverChannel, IBudgets, IPeople, IResponse
from jitgate.values import (
    AccessRequest,
    AccessState,
    Answer,
    Ask,
    Decision,
    Denial,
    Effect,
    Grant,
    Less,
    Operation,
    Pending,
    Presence,
    Quorum,
    Refusal,
    Subject,
)

PENDING_PER_AGENT = 100
"""Requests that may be pending for one subject, and calls that may be held: people answer one by
one, and an agent that asks more often has lost its way."""

PENDING_IN_ALL = 20_000
"""The same over all subjects: at 40 KiB each they take under a gibibyte."""

KEPT_FOR = 24 * 3600.0
"""Seconds that the store remembers what has ended, for whoever asks by its id."""

TIDY = 3600.0
"""Seconds between two droppings of what has ended."""

SEND_AGAIN = "Send the same call again, with the same headers and body."
ASK_AGAIN = "Send the call again only if it should be asked for once more."

Decide = Callable[[Operation, Subject], Decision | Needs]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may wait at a time."""

    per_agent: int = PENDING_PER_AGENT
    in_all: int = PENDING_IN_ALL
    fatigue: Fatigue = field(default_factory=Fatigue)


@dataclass(frozen=True, slots=True)
class Standing:
    """How a request stands by the people that there are now."""

    missing: Sequence[Quorum]
    """How many people more are needed, of which groups."""
    could_answer: Sequence[str]
    """Those who could approve and have not."""
    objection: str | None
    """Why whoever looks cannot answer, if they cannot."""


class _Opened(NamedTuple):
    """A request that was opened, and what makes it durable on record."""

    request: AccessRequest
    recorded: Awaitable[None]


class Access:
    """Holds calls for people's answers; grants are what comes of them."""

    _log = Logger()

    def __init__(
        self,
        ledger: Ledger,
        grants: Grants,
        *,
        channels: Sequence[IApproverChannel],
        people: People,
        active: Sequence[IPeople],
        counts: IBudgets,
        patience: Patience,
        limits: Limits,
        clock: IReactorTime,
        new_id: Callable[[str], str],
    ) -> None:
        self._grants = grants
        self._policy = ByPolicy(ledger, grants, new_id)
        self._ledger = ledger
        self._store = ledger.store
        self._telling = Telling(channels)
        self._active = ActivePeople(active, clock)
        self._restraint = Restraint(counts, clock, limits.fatigue)
        knows = self._active, self._restraint
        self._answering = Answering(
            ledger, grants, people, *knows, changed=self._changed, new_id=new_id
        )
        self._escalations = Escalations(ledger, clock, self._telling.tell_soon)
        self._patience = patience
        self._limits = limits
        self._new_id = new_id
        self._deadlines = Deadlines(clock, self._ended_in_time)
        """Of every pending request; its owner is its subject's key."""
        self._tidying = Deadlines(clock, self._tidied)
        self._holding = Holding(clock)
        self._held: Counter[str] = Counter()
        self._ahead: dict[tuple[str, str], str] = {}
        """What was asked ahead of a call, by subject's key and fingerprint, until what has come of
        it has been told."""
        self._turns: WeakValueDictionary[str, DeferredLock] = WeakValueDictionary()
        """By id, or by subject and fingerprint: who changes or opens a request now."""

    # --- the agent's side

    def adopt(
        self, people: People, active: Sequence[IPeople], patience: Patience, limits: Limits
    ) -> None:
        """Go by these from now on; what is pending ends when it was to end."""
        self._patience, self._limits = patience, limits
        self._answering.people = people
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

    async def leave(self, ask: Ask, wait: Wait, response: IResponse) -> Grant | Refusal | None:
        """A grant for the call, or why there is none yet; None if policy must decide again.

        Raises `AgentGone`, `StoreDown`, `RecorderDown`, `ApproversUnreachable`.
        """
        grant = await self._grants.covering(ask)
        if grant is not None:
            return grant
        if ask.terms.auto:
            return await self._by_policy(ask, wait)
        key = ask.subject.key
        if self._held[key] >= self._limits.per_agent or self._held.total() >= self._limits.in_all:
            return self._overloaded(wait)
        self._held[key] += 1
        try:
            request = await self._joined(ask, wait)
            if isinstance(request, Refusal):
                return request
            return await self._stayed(request.id, ask, wait, response)
        finally:
            self._held[key] -= 1
            if not self._held[key]:
                del self._held[key]

    async def _by_policy(self, ask: Ask, wait: Wait) -> Grant | Refusal | None:
        """A grant that policy gives itself; what people were asked before is theirs no more."""
        if len(await self._store.grants(ask.subject.key)) >= self._limits.per_agent:
            return self._overloaded(wait)
        asked = await self._store.pending(ask.subject.key, ask.fingerprint)
        if asked is not None:
            await self.end(asked.id, access.SUPERSEDE, "Policy approves it itself now.")
        return await self._policy.granted(ask)

    async def ahead(self, ask: Ask, wait: Wait) -> Grant | Refusal:
        """A grant that is asked for before there is a call, or why there is none yet.

        Nothing is held: the agent is told to come back, and then what has come of it, once. Raises
        as `leave` does.
        """
        slot = ask.subject.key, ask.fingerprint
        asked = await self._store.request(self._ahead.pop(slot, ""))
        if asked is not None and asked.state in _DENIALS:
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
            request = await self._joined(ask, wait)
            if isinstance(request, Refusal):
                return request
            refusal = await self._told_to_come_back(request.id, wait)
            if refusal is not None:
                self._ahead[slot] = request.id
                if len(self._ahead) > self._limits.in_all:
                    del self._ahead[next(iter(self._ahead))]
                return refusal

    async def _stayed(
        self, key: str, ask: Ask, wait: Wait, response: IResponse
    ) -> Grant | Refusal | None:
        """Hold the exchange, and say what it goes on with."""
        try:
            ended = partial(self._has_ended, key)
            woken = await self._holding.hold(key, wait, response, ended)
            return await self._outcome(key, ask, wait, woken)
        except StoreDown:
            # That its agent is gone could not be kept: it is looked at again once it can be.
            self._deadlines.set(key, self._ledger.now + RETRY, ask.subject.key)
            raise

    async def _joined(self, ask: Ask, wait: Wait) -> AccessRequest | Refusal:
        """The pending request for this call, with its agent attached: found, or opened."""
        async with self._turn(f"{ask.subject.key} {ask.fingerprint}"):
            found = await self._found(ask, wait)
        if not isinstance(found, _Opened):
            return found
        request, recorded = found
        try:
            await recorded
            await self._telling.tell(request)
        except (ApproversUnreachable, RecorderDown):
            await self.end(request.id, access.WITHDRAW, "Nobody could be asked.")
            raise
        return request

    async def _found(self, ask: Ask, wait: Wait) -> AccessRequest | Refusal | _Opened:
        while True:
            pending = await self._store.pending(ask.subject.key, ask.fingerprint)
            if pending is None:
                opened = await self._opened(ask, wait)
                if opened is not None:
                    return opened
            elif pending.ask.terms != ask.terms:
                await self.end(pending.id, access.SUPERSEDE, "Policy asks for other approvals now.")
            else:
                after = access.joined(pending, self._ledger.gateway)
                if after is not None and await self._ledger.commit(after) is not None:
                    self._watch(after)
                    return after

    async def _opened(self, ask: Ask, wait: Wait) -> _Opened | Refusal | None:
        """A new request, kept; None if there is one. Those who answer are yet to be told."""
        if self._too_many(ask.subject.key):
            return self._overloaded(wait)
        refusal = await self._restraint.opening(ask, self._answering.people)
        if refusal is not None:
            return refusal
        self._ledger.ready()
        now = self._ledger.now
        key, gateway = self._new_id("a"), self._ledger.gateway
        request = AccessRequest(key, ask, now, now + wait.expire, gateway=gateway)
        recorded = await self._ledger.keep([request], [record.opened(request)])
        if recorded is None:
            return None
        self._watch(request)
        return _Opened(request, recorded)

    async def _has_ended(self, key: str) -> bool:
        """Whether it has; and if its agent is said to be away, it is here now."""
        async with self._turn(key):
            while True:
                request = await self._store.request(key)
                if request is None or request.state is not AccessState.PENDING:
                    return True
                back = access.attached(request, self._ledger.gateway)
                if back is None or await self._ledger.commit(back) is not None:
                    return False

    def _turn(self, key: str) -> DeferredLock:
        """A turn at a request, or at opening one.

        A thousand exchanges that come and go for one would else undo each other's changes again
        and again. What must not be lost is still the store's to see to.
        """
        lock = self._turns.get(key)
        if lock is None:
            lock = self._turns[key] = DeferredLock()
        return lock

    async def _outcome(
        self, key: str, ask: Ask, wait: Wait, woken: Woken
    ) -> Grant | Refusal | None:
        """What a held exchange goes on with."""
        request = await self._store.request(key)
        if woken is Woken.GONE:
            await self._left(key)
            raise AgentGone("The agent hung up while its call waited for approval.")
        if request is None or request.state is AccessState.SUPERSEDED:
            return None
        if request.state is not AccessState.PENDING:
            return await self._answered(request, ask)
        if woken is not Woken.TIME:
            return None
        return await self._told_to_come_back(key, wait)

    async def _told_to_come_back(self, key: str, wait: Wait) -> Refusal | None:
        """Tell the agent so, by what its request is now; None if it must be looked at again."""
        async with self._turn(key):
            request = await self._store.request(key)
            return None if request is None else await self._recalled(request, wait)

    async def _answered(self, request: AccessRequest, ask: Ask) -> Grant | Refusal:
        if request.state is AccessState.APPROVED:
            grant = await self._grants.covering(ask)
            if grant is not None:
                return grant
            detail = "The approval was used by an identical call of yours, or taken back."
            return Refusal(Denial.APPROVAL_USED, detail, request.ask.rule, ASK_AGAIN)
        denial, advice = _DENIALS[request.state]
        pending = self._told(request, None)
        return Refusal(denial, request.why, request.ask.rule, advice, pending)

    def _told(self, request: AccessRequest, again: float | None) -> Pending:
        """What the agent is told of its request."""
        return Pending(
            id=request.id,
            status=request.state.value,
            told_at=self._ledger.now,
            expires_at=request.expires_at,
            again=again,
            awaited=answers.asked(request),
        )

    async def _left(self, key: str) -> None:
        """An agent has hung up; where nobody else waits, its request lingers for it."""
        while key not in self._holding:
            request = await self._store.request(key)
            if request is None:
                return
            now, linger, gateway = self._ledger.now, self._patience.linger, self._ledger.gateway
            after = access.detached(request, now, linger, gateway)
            if after is None:
                return
            if await self._ledger.commit(after) is not None:
                self._watch(after)
                break
        if key in self._holding:  # it came back while that was being kept
            await self._has_ended(key)

    async def _recalled(self, request: AccessRequest, wait: Wait) -> Refusal | None:
        """Tell the agent to come back; its request stays pending until it expires."""
        # Else another exchange is still there for it, here or elsewhere.
        here, gateway = request.id in self._holding, self._ledger.gateway
        if not here and not access.is_elsewhere(request, gateway):
            after = access.recalled(request)
            if after is None or await self._ledger.commit(after) is None:
                return None  # something happened to it meanwhile: look again
            self._watch(after)
        last = self._ledger.now + wait.again >= request.expires_at
        pending = self._told(request, RETURN_AFTER if last else wait.again)
        return Refusal(
            Denial.APPROVAL_PENDING,
            f"This call waits for approval by {', '.join(pending.awaited)}: {request.ask.reason}",
            request.ask.rule,
            SEND_AGAIN,
            pending,
            manner=None if last and wait.manner == "slow-down" else wait.manner,
        )

    def _too_many(self, key: str) -> bool:
        mine, all_of_them = self._deadlines.owned(key), len(self._deadlines)
        return mine >= self._limits.per_agent or all_of_them >= self._limits.in_all

    def _overloaded(self, wait: Wait) -> Refusal:
        return Refusal(
            Denial.OVERLOADED,
            "Too many calls wait for approval.",
            advice="Send the call again once others have been answered.",
            pending=Pending("", "", self._ledger.now, self._ledger.now, again=RETURN_AFTER),
            manner="slow-down" if wait.manner == "slow-down" else None,
        )

    # --- the approvers' side

    async def requests(self) -> Sequence[AccessRequest]:
        """Every request that is pending, the earliest first."""
        return await self._store.requests()

    async def request(self, key: str) -> AccessRequest | None:
        """One request, whatever became of it."""
        return await self._store.request(key)

    async def answer(
        self,
        key: str,
        approver: str,
        *,
        approves: bool,
        reason: str,
        channel: str,
        less: Less | None = None,
    ) -> AccessRequest | NotCounted:
        """Count somebody's answer: durable when this returns. Whose counts, core decides.

        ``less``: what they give where that is less than policy offers; only to approve.
        """
        less = less if approves else None
        answer = Answer(approver, approves, self._ledger.now, channel, reason, less)
        return await self._answering.answer(key, answer)

    def standing(self, request: AccessRequest, someone: str | None = None) -> Standing:
        """How a request stands, to be shown: who is missing, and whether ``someone`` may answer."""
        people, now = self._answering.people, self._ledger.now
        return Standing(
            missing=answers.missing(request, people),
            could_answer=answers.could_answer(request, people),
            objection=None if someone is None else answers.objection(request, someone, people, now),
        )

    async def grants(self) -> Sequence[Grant]:
        """Every grant with a use left or in use."""
        return await self._grants.listed()

    async def revoke(self, key: str, by: str, reason: str) -> Grant | NotCounted:
        """Revoke a grant, and end what goes on under it."""
        why = f"Revoked by {by}" + (f": {reason}" if reason else ".")
        return await self._grants.revoke(key, why)

    async def cancel(self, key: str, subject: Subject) -> AccessRequest | None:
        """An agent withdraws its own request; None if it has none of that id that is pending."""
        request = await self._store.request(key)
        if request is None or request.ask.subject.key != subject.key:
            return None
        return await self.end(key, access.WITHDRAW, "The agent cancelled it.")

    async def revoke_all(self, whose: Callable[[Subject], bool], why: str) -> tuple[int, int]:
        """End every request of some subjects, and revoke every grant; how many of both.

        Raises what kept one of them from being ended, or from being on record, once all were tried.
        """
        requests = [each for each in await self._store.requests() if whose(each.ask.subject)]
        grants = [each for each in await self._grants.listed() if whose(each.ask.subject)]
        work: list[Coroutine[Any, Any, object]] = [self._withdrawn(requests, why)]
        work += [self._grants.revoke(each.id, why) for each in grants]
        ending = [Deferred.fromCoroutine(each) for each in work]
        for done, result in await DeferredList(ending, consumeErrors=True):
            if not done:  # all the others were ended nevertheless
                cast(Failure, result).raiseException()
        return len(requests), len(grants)

    async def _withdrawn(self, requests: Sequence[AccessRequest], why: str) -> None:
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
            self._changed(each)
        await recorded

    # --- what ends a request

    async def end(self, key: str, event: str, why: str) -> AccessRequest | None:
        """End a pending request; None if it had ended."""
        while True:
            request = await self._store.request(key)
            after = None if request is None else access.ended(request, event, why)
            if after is None:
                return None
            recorded = await self._ledger.keep([after], [record.request_ended(after)])
            if recorded is not None:
                self._changed(after)
                await recorded
                return after

    async def reconsider(self, decide: Decide) -> None:
        """Policy has changed: what is held is decided again; end what it no longer asks for."""
        await self._holding.wake_all(Woken.POLICY)
        for request in await self._store.requests():
            decision = decide(request.ask.operation, request.ask.subject)
            if isinstance(decision, Needs):
                continue  # it is decided when the call is there
            terms = access.terms_of(decision) if decision.effect is Effect.REVIEW else None
            if not access.same_terms(request.ask.terms, terms):
                await self.end(request.id, access.SUPERSEDE, "Policy has changed.")

    def dismiss(self) -> None:
        """Hold nothing any longer: what waits is told to come back."""
        self._holding.dismiss()

    def _changed(self, request: AccessRequest) -> None:
        """Tell whoever waits and whoever was asked."""
        if request.state is AccessState.PENDING:
            self._watch(request)
        else:
            self._ended(request.id)
        self._telling.tell_soon(request)

    def _ended(self, key: str) -> None:
        """It is pending no longer: nothing is due of it, and what is held for it goes on."""
        self._deadlines.forget(key)
        self._escalations.forget(key)
        self._holding.wake(key)

    # --- what other gateways do

    async def heard(self, key: str) -> None:
        """Another gateway has opened, changed or ended a request: what is held for it hears of it.

        Whoever was asked has been told by that gateway.
        """
        request = await self._store.request(key)
        if request is not None and request.state is AccessState.PENDING:
            self._watch(request)
            if key not in self._holding or not await self._has_ended(key):
                return
        self._ended(key)

    async def look_again(self) -> None:
        """Look at every request: nobody knows what has been heard of."""
        pending = {each.id: each for each in await self._store.requests()}
        for key in self._holding.awaited():
            if key not in pending or pending[key].presence is not Presence.ATTACHED:
                await self.heard(key)
        for key in self._deadlines.watched() - pending.keys():
            self._ended(key)
        for request in pending.values():
            self._watch(request)

    # --- time

    def _watch(self, request: AccessRequest) -> None:
        """See to it that a pending request ends in time."""
        self._deadlines.set(request.id, access.deadline(request)[0], request.ask.subject.key)
        self._escalations.watch(request)

    async def _ended_in_time(self, key: str) -> None:
        request = await self._store.request(key)
        if request is None or request.state is not AccessState.PENDING:
            self._deadlines.forget(key)
            return
        when, event = access.deadline(request)
        if when > self._ledger.now:
            self._watch(request)
            await self._left(key)
            return
        await self.end(key, event, _OVER[event])

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
            await self._left(request.id)
            carried.append((request.revision, [record.carried_over(request)]))
            self._watch(await self._store.request(request.id) or request)
        await self._ledger.record_all(carried)

    async def _tidied(self, key: str = "ended") -> None:
        """Drop what ended long ago, now and again."""
        self._tidying.set(key, self._ledger.now + TIDY)
        before = self._ledger.now - KEPT_FOR
        await self._grants.tidied(before)
        await self._store.forget(before)

    def stop(self) -> None:
        """Watch nothing any longer; what is kept stays as it is."""
        self._deadlines.stop()
        self._escalations.stop()
        self._tidying.stop()
        self._grants.stop()


_DENIALS = {
    AccessState.DENIED: (Denial.APPROVAL_DENIED, TAKE_NO),
    AccessState.EXPIRED: (Denial.APPROVAL_EXPIRED, ASK_AGAIN),
    AccessState.WITHDRAWN: (Denial.APPROVAL_WITHDRAWN, ASK_AGAIN),
}

_OVER = {
    access.EXPIRE: "Nobody answered in time.",
    access.WITHDRAW: "The agent did not come back.",
}
