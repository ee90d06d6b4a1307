"""Keeps calls within the budgets of the rules that let them go, or that send them to people."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Sequence

from twisted.internet.interfaces import IReactorTime

from jitgate.core.budgets import charges, told
from jitgate.core.duties import budgets_of
from jitgate.interfaces import IBudgets
from jitgate.values import Charge, Decision, Denial, Operation, Refusal, Spent, Subject


class Budgets:
    """Counts calls, in a store that outlives the gateway."""

    def __init__(self, store: IBudgets, clock: IReactorTime) -> None:
        self._store = store
        self._clock = clock

    async def objection(
        self, decision: Decision, operation: Operation, subject: Subject
    ) -> Refusal | None:
        """Why such a call has no room now, if it has none. Counts nothing. Raises `StoreDown`."""
        return await self._refused(self._store.look, decision, operation, subject)

    async def take(
        self, decision: Decision, operation: Operation, subject: Subject
    ) -> Refusal | None:
        """Count a call that is about to leave, or say why it has no room.

        Once this returns None it is counted, durably, whatever becomes of it. Raises `StoreDown`.
        """
        return await self._refused(self._store.take, decision, operation, subject)

    async def _refused(
        self,
        ask: Callable[[Sequence[Charge]], Awaitable[Spent | None]],
        decision: Decision,
        operation: Operation,
        subject: Subject,
    ) -> Refusal | None:
        budgets = budgets_of(decision)
        if not budgets:
            return None
        charged = charges(budgets, subject, operation)
        full = await ask(charged)
        if full is None:
            return None
        budget = budgets[charged.index(full.charge)]
        detail = told(budget, moment(full.until, self._clock.seconds()))
        return Refusal(Denial.BUDGET_SPENT, detail, budget.rule, _ADVICE)


def moment(until: float, now: float) -> str:
    """A minute that is not before ``until``, with its day unless that is today's."""
    then = time.gmtime(math.ceil(until / 60) * 60)
    same_day = time.gmtime(now)[:3] == then[:3]
    return time.strftime("%H:%M UTC" if same_day else "%Y-%m-%d %H:%M UTC", then)


_ADVICE = "Do not send this call, or one like it, before there is room."
