"""Keeps people from being asked too often: counts what is opened and denied, over restarts too."""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

from jitgate.core import fatigue
from jitgate.core.answers import People
from jitgate.core.fatigue import Fatigue, TooMany
from jitgate.flow.budgets import moment
from jitgate.interfaces import IBudgets
from jitgate.values import Ask, Denial, Refusal, Spent

TAKE_NO = "A person has said no. Do not ask for it again, in this form or another."

ASK_LESS = "Send the call again once there is room, and only what is needed: people read each one."


class Restraint:
    """Says whether one more request may be opened. Raises `StoreDown` where it cannot tell."""

    def __init__(self, store: IBudgets, clock: IReactorTime, bounds: Fatigue) -> None:
        self._store = store
        self._clock = clock
        self._bounds = bounds

    def adopt(self, bounds: Fatigue) -> None:
        """Go by these from now on; what was counted stays."""
        self._bounds = bounds

    async def opening(self, ask: Ask, people: People) -> Refusal | None:
        """Count a request that is about to be opened, or say why it may not be."""
        before = fatigue.refused_before(ask, self._bounds)
        full = await self._store.look([each.charge for each in before])
        if full is not None:
            one = fatigue.of(full, before)
            return self._refusal(Denial.APPROVAL_DENIED, one, full, ask, TAKE_NO)
        is_astray = await self._store.look([fatigue.astray(ask, self._bounds)]) is not None
        every = fatigue.opening(ask, people, self._bounds, is_astray=is_astray)
        full = await self._store.take([each.charge for each in every])
        if full is None:
            return None
        one = fatigue.of(full, every)
        return self._refusal(Denial.BUDGET_SPENT, one, full, ask, ASK_LESS)

    async def denied(self, ask: Ask) -> None:
        """Count that people have denied a request: durable when this returns."""
        await self._store.take(fatigue.denied(ask, self._bounds))

    def _refusal(self, denial: Denial, one: TooMany, full: Spent, ask: Ask, advice: str) -> Refusal:
        when = moment(full.until, self._clock.seconds())
        return Refusal(denial, one.said.format(when=when), ask.rule, advice)
