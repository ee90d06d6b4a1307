"""Agents wait for people's answers, and get what came of them: a grant, or why there is none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial

from jitgate.core.access import SUPERSEDE, is_elsewhere, recalled
from jitgate.core.waiting import Patience, Preference, Wait, waiting
from jitgate.errors import AgentGone, StoreDown
from jitgate.flow.by_policy import ByPolicy
from jitgate.flow.grants import Grants
from jitgate.flow.holding import Woken
from jitgate.flow.ledger import Ledger
from jitgate.flow.opening import Opening
from jitgate.flow.pending import PendingRequests
from jitgate.flow.replying import come_back, denied, is_denied, overloaded, used
from jitgate.interfaces import IResponse
from jitgate.values import AccessRequest, AccessState, Ask, Grant, Refusal


class Waiting:
    """Holds calls, or tells their agents when to come back."""

    def __init__(
        self,
        ledger: Ledger,
        grants: Grants,
        pending: PendingRequests,
        opening: Opening,
        *,
        patience: Patience,
        new_id: Callable[[str], str],
    ) -> None:
        self.patience = patience
        """How long they wait from now on."""
        self._ledger = ledger
        self._store = ledger.store
        self._grants = grants
        self._pending = pending
        self._opening = opening
        self._policy = ByPolicy(ledger, grants, new_id)
        self._held: Counter[str] = Counter()
        self._ahead: dict[tuple[str, str], str] = {}
        """What was asked ahead of a call, by subject's key and fingerprint, until what has come of
        it has been told."""

    def wait(
        self, ask: Ask, wish: Preference, *, since: float, resends: bool, hold: float | None = None
    ) -> Wait:
        """How an exchange waits whose client wishes so, and whose rules have it held so long.

        ``resends``: its SDK sends again itself.
        """
        patience = self.patience.held(hold)
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
            await self._pending.end(asked.id, SUPERSEDE, "Policy approves it itself now.")
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
        ended = partial(self._pending.has_ended, key)
        try:
            while True:
                woken = await self._pending.holding.hold(key, wait, response, ended)
                try:
                    return await self._outcome(key, ask, wait, woken)
                except StoreDown:
                    if woken is not Woken.ENDED:
                        raise  # else it is held on, until it can be told what it goes on with
        except StoreDown:
            self._pending.look_soon(key, ask.subject.key)
            raise

    async def _outcome(
        self, key: str, ask: Ask, wait: Wait, woken: Woken
    ) -> Grant | Refusal | None:
        """What a held exchange goes on with."""
        request = await self._store.request(key)
        if woken is Woken.GONE:
            await self._pending.left(key)
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
        async with self._pending.turn(key):
            request = await self._store.request(key)
            if request is None:
                return None
            # Else another exchange is still there for it, here or elsewhere.
            here, gateway = key in self._pending.holding, self._ledger.gateway
            if not here and not is_elsewhere(request, gateway):
                after = recalled(request)
                if after is None or await self._ledger.commit(after) is None:
                    return None  # something happened to it meanwhile
                self._pending.watch(after)
            return come_back(request, wait, self._ledger.now)
