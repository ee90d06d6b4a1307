"""What is asked ahead of a call: which operation is meant, what policy says, and people's leave.

There is no call yet, so no body and no fingerprint of one. What people give is for the operation's
scope, and only a call with a token that names their grant goes out under it. What could only be
decided with the body cannot be had ahead.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from twisted.internet.interfaces import IReactorTime

from jitgate.core.access import terms_of
from jitgate.core.policy import NeedsBody
from jitgate.core.waiting import Preference
from jitgate.flow.access import Access
from jitgate.flow.admission import Target
from jitgate.flow.budgets import Budgets
from jitgate.flow.shown_requests import shown_target
from jitgate.values import (
    METHODS,
    Ask,
    Decision,
    Denial,
    Effect,
    Grant,
    Operation,
    Refusal,
    Shown,
    Subject,
)

Decide = Callable[[Operation, Subject], Awaitable[Decision | NeedsBody]]
"""Policy as it is now, by facts gathered for this, without a body. Raises `RuleFault`."""


class Ahead:
    """Decides nothing: it asks policy, and people where policy says so."""

    def __init__(
        self,
        *,
        targets: Mapping[str, Target],
        decide: Decide,
        scope_print: Callable[[Operation], str],
        access: Access,
        budgets: Budgets,
        clock: IReactorTime,
        new_id: Callable[[str], str],
    ) -> None:
        self.decide = decide
        self._scope_print = scope_print
        self._access = access
        self._budgets = budgets
        self._clock = clock
        self._new_id = new_id
        self.adopt(targets)

    def adopt(self, targets: Mapping[str, Target]) -> None:
        """Go by these from now on."""
        self._targets = targets

    def named(self, target: str, action: str, resource: Mapping[str, str]) -> Operation | None:
        """The operation as the target's catalog knows it; a host of the target's stands for all."""
        for authority, each in self._targets.items():
            if each.name == target:
                return each.catalog.named(authority, action, resource)
        return None

    def at(self, target: str, action: str, path: str) -> Operation | None:
        """The same by the path of its calls: what `named` would find, and nothing else."""
        for authority, each in self._targets.items():
            if each.name != target:
                continue
            for method in sorted(METHODS):
                found = each.catalog.operation(authority, method, path, "")
                if isinstance(found, Operation) and found.action == action:
                    named = each.catalog.named(authority, action, found.resource)
                    return named if named is not None and named.path == path else None
            return None
        return None

    async def objection(
        self, decision: Decision, operation: Operation, subject: Subject
    ) -> Refusal | None:
        """Why nobody needs to be asked: policy denies it, or it has no room. Counts nothing."""
        if decision.effect is Effect.DENY:
            return Refusal(Denial.POLICY, decision.reason, decision.rule)
        if decision.effect is Effect.REVIEW and terms_of(decision) is None:
            return Refusal(Denial.NEEDS_APPROVAL, decision.reason, decision.rule)
        return await self._budgets.objection(decision, operation, subject)

    def ask(
        self, subject: Subject, operation: Operation, decision: Decision, session: str
    ) -> Ask | None:
        """What would be asked of people; None where policy sends nobody to them."""
        terms = terms_of(decision)
        if terms is None:
            return None
        return Ask(
            subject=subject,
            operation=operation,
            fingerprint=self._scope_print(operation),
            terms=replace(terms, ahead=True),
            rule=decision.rule,
            reason=decision.reason,
            policy=decision.policy,
            session=session,
            exchange=self._new_id("x"),
            shown=Shown(url=shown_target(operation.url)),
        )

    async def asked(self, ask: Ask, *, anew: bool = False) -> Grant | Refusal:
        """People's grant, or why there is none yet; as `Waiting.ahead` says, and raises."""
        wish = Preference(asynchronous=False, wait=None)
        wait = self._access.waiting.wait(ask, wish, since=self._clock.seconds(), resends=False)
        return await self._access.waiting.ahead(ask, wait, anew=anew)
