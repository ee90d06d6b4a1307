"""May this call go? By policy alone, or, where policy says so, by people who are waited for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, cast

from twisted.internet.interfaces import IReactorTime

from jitgate.core.access import same_terms, terms_of
from jitgate.core.duties import budgets_of, hold_of
from jitgate.core.facts import NOTHING_KNOWN
from jitgate.core.fields import is_json
from jitgate.core.naming import is_looked_through, looked_through
from jitgate.core.parameters import completed
from jitgate.core.policy import Needs, NeedsBody, Policy
from jitgate.core.profiles import MaskingProfile
from jitgate.core.tally import STAGE_SECONDS
from jitgate.core.waiting import Wait, preference
from jitgate.errors import AgentGone
from jitgate.flow.access import Access
from jitgate.flow.accounts import Accounts
from jitgate.flow.asks import Asks
from jitgate.flow.bodies import HeldBodies, HeldBody, watched
from jitgate.flow.budgets import Budgets
from jitgate.flow.call import Call
from jitgate.flow.facts import Knowledge
from jitgate.flow.masking import Masking
from jitgate.flow.outgoing import Outgoing, Ready, Rewritten, at_once
from jitgate.flow.watching import switched_off
from jitgate.flow.witness import Witnessed
from jitgate.interfaces import IFacts, IRequest
from jitgate.values import (
    Ask,
    Decision,
    Denial,
    Effect,
    Grant,
    Inquiry,
    NotCanonical,
    Operation,
    Refusal,
    Subject,
)

FIX_TOKEN = "Bring a token of a configured issuer that has not expired."  # noqa: S105 (a sentence)


class Leave(NamedTuple):
    """Leave for one call, and the body that goes with it.

    Where people gave it: what they were asked, and the grant that came of it.
    """

    body: IRequest
    operation: Operation
    """With all of its parameters, where policy had to see the body."""
    decision: Decision
    ask: Ask | None = None
    grant: Grant | None = None


class Decider:
    """Asks policy, and people. Everything that it decides is put on record first."""

    def __init__(
        self,
        *,
        policy: Policy,
        profiles: Mapping[str, MaskingProfile],
        access: Access,
        bodies: HeldBodies,
        accounts: Accounts,
        budgets: Budgets,
        clock: IReactorTime,
        site_key: bytes,
        sources: Sequence[IFacts] = (),
        ready: Ready = at_once,
    ) -> None:
        self._access = access
        self._bodies = bodies
        self._accounts = accounts
        self._budgets = budgets
        self._clock = clock
        self.asks = Asks(site_key, accounts.turn)
        self._outgoing = Outgoing(profiles, bodies, accounts, ready)
        self._masking = Masking(profiles, self._outgoing, ready)
        self._timed = accounts.tally.timer(STAGE_SECONDS, "policy")
        self.adopt(policy, profiles, sources)

    def adopt(
        self,
        policy: Policy,
        profiles: Mapping[str, MaskingProfile],
        sources: Sequence[IFacts] = (),
    ) -> None:
        """Decide by these from now on. `reconsider` what is held then."""
        self._policy = policy
        self._masking.profiles = profiles
        self._outgoing.adopt(profiles)
        self._knowledge = Knowledge(sources, self._clock)

    def version(self) -> str:
        """The version of the policy in force."""
        return self._policy.version

    def switched_off(self) -> list[str]:
        """Why rules and maskers of plugins are switched off, of those that are."""
        maskers = [each for profile in self._masking.profiles.values() for each in profile.maskers]
        return switched_off(dict.fromkeys([*self._policy.rules, *maskers]))

    async def reconsider(self) -> None:
        """Decide again what waits for people, as far as it can be without the call itself."""
        await self._access.reconsider(self.foreseen)

    def foreseen(self, operation: Operation, subject: Subject) -> Decision | Needs:
        """What policy says now of an operation of which neither body nor facts are there."""
        return self._policy.foretell(Inquiry(operation, subject, self._clock.seconds()))

    async def ahead(self, operation: Operation, subject: Subject) -> Decision | NeedsBody:
        """What policy says of a call to come, by facts that are gathered for it now."""
        while True:
            policy = self._policy
            names = policy.facts(operation)
            known = await self._knowledge.gathered(names, operation, subject)
            if policy is self._policy:  # else it was replaced meanwhile
                now = self._clock.seconds()
                return policy.decide(Inquiry(operation, subject, now, facts=known.facts))

    def expired(self, subject: Subject) -> Refusal | None:
        """Why the subject's token is good no more, if it is not."""
        if subject.expires_at <= self._clock.seconds():
            return Refusal(Denial.TOKEN_REFUSED, "The token has expired.", advice=FIX_TOKEN)
        return None

    async def leave(self, call: Call) -> Leave | Refusal | Rewritten | None:
        """Leave for the call, or why there is none; None if all of it must be asked anew.

        That is so for another request too, where something in this one may not leave.

        A body that is held already (``account.held``) is not read again.
        """
        call.account.policy = self._policy.version
        held = call.account.held
        body: IRequest = held or Witnessed(watched(call.request), call.account.sent)
        decision: Decision | NeedsBody | None
        if self._policy.facts(call.operation):
            decision = await self._informed(call)
        else:
            call.account.known = NOTHING_KNOWN
            decision = self._decided(self._inquiry(call))
        if decision is None:
            return None
        if isinstance(decision, Decision):
            await self._masking.hide_all(call, decision)
        if isinstance(decision, NeedsBody) or decision.effect is Effect.REVIEW:
            return await self._seen(call, body)
        is_permitted = decision.effect is Effect.PERMIT
        if is_permitted and is_looked_through(call.target, call.request.head):
            read = await self._held(call, body)
            if isinstance(read, Refusal):
                return read
            body = read
        if self._outgoing.waits(call, decision):
            read = await self._held(call, body)
            if isinstance(read, Refusal):
                return read
            return await self._outgoing.looked(call, read, decision)
        return await self._permitted(call, body, decision)

    async def _seen(self, call: Call, body: IRequest) -> Leave | Refusal | Rewritten | None:
        """Leave for a call whose body policy must see, or people."""
        held = await self._held(call, body)
        if isinstance(held, Refusal):
            return held
        named = self._named(call, held)
        if isinstance(named, Refusal):
            return named
        call = named
        decision = await self._complete(call, held)
        if decision is None:
            return None
        await self._masking.hide_all(call, decision)
        if self._outgoing.waits(call, decision):
            return await self._outgoing.looked(call, held, decision)
        if decision.effect is Effect.REVIEW:
            return await self._asked(call, held, decision)
        return await self._permitted(call, held, decision)

    async def _held(self, call: Call, body: IRequest) -> HeldBody | Refusal:
        """The whole body, without the placeholders that stand where the credential will."""
        account, name = call.account, call.target.body_name
        if account.held is None:
            holding = self._bodies.hold(body, self._clock.seconds(), call.subject.key)
            read = await call.span.within(holding)
            if isinstance(read, Refusal):
                return read
            account.held = read
        if name is not None and account.held.bare_of == name:
            return account.held
        bare = looked_through(call.target, account.held.head, account.held.data)
        if isinstance(bare, NotCanonical):
            return Refusal(Denial.MALFORMED, bare.reason)
        if name is not None:
            account.held = self._bodies.bared(account.held, bare, name)
            account.sent = self._accounts.witness()
            account.sent.saw(bare)
        return account.held

    def _inquiry(self, call: Call, body: bytes | None = None) -> Inquiry:
        """What policy is asked of a call."""
        return Inquiry(
            call.operation,
            call.subject,
            self._clock.seconds(),
            body,
            body is not None and is_json(call.request.head.headers),
            call.account.known.facts,
        )

    def _named(self, call: Call, held: HeldBody) -> Call | Refusal:
        """The call with the parameters that its body has: they are what people see and allow."""
        operation = completed(call.operation, held.data, is_json(call.request.head.headers))
        if isinstance(operation, NotCanonical):
            return Refusal(Denial.MALFORMED, operation.reason)
        call.account.operation = operation
        return call._replace(operation=operation)

    def _decided(self, inquiry: Inquiry) -> Decision | NeedsBody:
        begun = self._clock.seconds()
        decision = self._policy.decide(inquiry)
        self._timed(self._clock.seconds() - begun)
        return decision

    async def _informed(self, call: Call, body: bytes | None = None) -> Decision | NeedsBody | None:
        """What policy says by the facts of this moment; None if it was replaced meanwhile."""
        policy, known = self._policy, NOTHING_KNOWN
        if names := policy.facts(call.operation):
            gathering = self._knowledge.gathered(names, call.operation, call.subject)
            begun = self._clock.seconds()
            known = await call.span.within(gathering)
            self._accounts.tally.took(STAGE_SECONDS, self._clock.seconds() - begun, "facts")
        call.account.known = known
        if policy is not self._policy:
            return None
        return self._decided(self._inquiry(call, body))

    async def _complete(self, call: Call, held: HeldBody) -> Decision | None:
        """What policy says now that it has the body: a decision, unless it was replaced."""
        return cast(Decision | None, await self._informed(call, held.data))

    async def _permitted(self, call: Call, body: IRequest, decision: Decision) -> Leave | Refusal:
        """Leave by policy alone. What changes something waits for the decision's record."""
        if decision.effect is not Effect.PERMIT:
            await self._accounts.kept_in(call.account, decision)
            return Refusal(Denial.POLICY, decision.reason, decision.rule)
        call.account.decision = decision
        full = await self._full(call, decision)
        if full is not None:
            return full
        await self._masking.mask(call, decision)
        await self._accounts.looked(call.account)
        recorded = self._accounts.decided(call.account)
        if call.operation.changes:
            await recorded
        return Leave(body, call.operation, decision)

    async def _full(self, call: Call, decision: Decision) -> Refusal | None:
        """Why there is no room for the call in a budget, if there is none: nothing is counted."""
        if not decision.obliged("budget"):
            return None
        full = await self._budgets.objection(decision, call.operation, call.subject)
        return None if full is None else await self._overspent(call, decision, full)

    async def charged(self, call: Call, leave: Leave) -> Refusal | None:
        """Count the call in its budgets: it is about to leave. Or why there is no room any more."""
        if call.response.gone:
            raise AgentGone("The agent hung up before its call was sent.")
        call.span.check()
        full = await self._budgets.take(leave.decision, call.operation, call.subject)
        if full is not None:
            return await self._overspent(call, leave.decision, full)
        counted = {each.rule for each in budgets_of(leave.decision)}
        call.account.budgets = tuple(sorted(counted))
        return None

    async def _overspent(self, call: Call, decision: Decision, full: Refusal) -> Refusal:
        """What there is no room for is denied, and that is on record as what policy said."""
        call.account.grant = None  # the call does not go under it, and it stays as it is
        denied = replace(decision, effect=Effect.DENY, rule=f"{full.rule}", reason=full.detail)
        await self._accounts.kept_in(call.account, denied)
        return full

    async def _asked(
        self, call: Call, held: HeldBody, decision: Decision
    ) -> Leave | Refusal | None:
        """Leave by people. Once they have given it, policy is asked again.

        It may have changed meanwhile, or look at the time; and the token may have expired.
        """
        full = await self._full(call, decision)
        if full is not None:
            return full
        await self._noted(call, decision)
        ask = await self.asks.ask(call, held, decision)
        if isinstance(ask, Refusal):
            return ask
        wait = self._wait(call, held, ask, hold_of(decision))
        call.span.check()  # nobody is to be asked for what will not go any more
        since = call.account.timing.now()
        try:
            with call.span.aside():
                given = await self._access.waiting.leave(
                    ask, wait, call.response, call.account.joined
                )
        finally:
            call.account.timing.spent("people", since)
        if isinstance(given, Refusal):
            return given
        again = await self._complete(call, held)
        refusal = self.expired(call.subject)
        if refusal is not None or given is None:
            return refusal
        if again is None or self._differs(call, ask, again):
            return None
        await self._noted(call, again)
        call.account.grant = given.id
        return Leave(held, call.operation, again, ask, given)

    def _differs(self, call: Call, ask: Ask, again: Decision) -> bool:
        """Whether what people were asked is not what policy says now."""
        return not same_terms(ask.terms, terms_of(again)) or self._outgoing.waits(call, again)

    def _wait(self, call: Call, held: HeldBody, ask: Ask, hold: float | None) -> Wait:
        """How long people are waited for, from the first time that they were asked."""
        account = call.account
        if account.asked_at is None:
            account.asked_at = self._clock.seconds()
        wish, resends = preference(held.head.headers), call.target.resends
        since = account.asked_at
        return self._access.waiting.wait(ask, wish, since=since, resends=resends, hold=hold)

    async def _noted(self, call: Call, decision: Decision) -> None:
        """Go by this decision from now on: what it hides, and what the record says of it."""
        account = call.account
        await self._masking.mask(call, decision)
        if decision != account.decision or account.known != account.shown:
            account.decision = decision
            await self._accounts.durably_decided(account)
