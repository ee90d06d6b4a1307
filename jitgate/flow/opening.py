"""Finds the one request that is pending for a call, or opens it and has people asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from jitgate.core import access
from jitgate.core.fatigue import Fatigue
from jitgate.core.waiting import Wait
from jitgate.errors import ApproversUnreachable, RecorderDown
from jitgate.flow import ledger as record
from jitgate.flow.ledger import Ledger
from jitgate.flow.members import Members
from jitgate.flow.pending import PendingRequests
from jitgate.flow.replying import overloaded
from jitgate.flow.resource_names import ResourceNames
from jitgate.flow.restraint import Restraint
from jitgate.flow.telling import Telling
from jitgate.values import AccessRequest, Ask, Refusal

PENDING_PER_AGENT = 100
"""Requests that may be pending for one subject, and calls that may be held: people answer one by
one, and an agent that asks more often has lost its way."""

PENDING_IN_ALL = 20_000
"""The same over all subjects: at 40 KiB each they take under a gibibyte."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may wait at a time."""

    per_agent: int = PENDING_PER_AGENT
    in_all: int = PENDING_IN_ALL
    fatigue: Fatigue = field(default_factory=Fatigue)


class _Opened(NamedTuple):
    """A request that was opened, and what makes it durable on record."""

    request: AccessRequest
    recorded: Awaitable[None]


class Opening:
    """Opens one request for each subject and fingerprint, however often its call is sent."""

    def __init__(
        self,
        ledger: Ledger,
        pending: PendingRequests,
        telling: Telling,
        members: Members,
        restraint: Restraint,
        *,
        names: ResourceNames,
        limits: Limits,
        new_id: Callable[[str], str],
    ) -> None:
        self.limits = limits
        self._ledger = ledger
        self._store = ledger.store
        self._pending = pending
        self._telling = telling
        self._members = members
        self._names = names
        self._restraint = restraint
        self._new_id = new_id

    async def joined(self, ask: Ask, wait: Wait) -> AccessRequest | Refusal:
        """The pending request for this call, with its agent attached: found, or opened.

        Raises `StoreDown`, `RecorderDown`, `ApproversUnreachable`.
        """
        async with self._pending.turn(f"{ask.subject.key} {ask.fingerprint}"):
            found = await self._found(ask, wait)
        if not isinstance(found, _Opened):
            return found
        request, recorded = found
        try:
            await recorded
            await self._telling.tell(request)
        except (ApproversUnreachable, RecorderDown):
            await self._pending.end(request.id, access.WITHDRAW, "Nobody could be asked.")
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
                why = "Policy asks for other approvals now."
                await self._pending.end(pending.id, access.SUPERSEDE, why)
            else:
                after = access.joined(pending, self._ledger.gateway)
                if after is not None and await self._ledger.commit(after) is not None:
                    self._pending.watch(after)
                    return after

    async def _opened(self, ask: Ask, wait: Wait) -> _Opened | Refusal | None:
        """A new request, kept; None if there is one. Those who answer are yet to be told."""
        if self._too_many(ask.subject.key):
            return overloaded(wait, self._ledger.now)
        refusal = await self._restraint.opening(ask, self._members.shown)
        if refusal is not None:
            return refusal
        self._ledger.ready()
        ask = await self._names.shown(ask)
        if self._too_many(ask.subject.key):  # others were opened meanwhile
            return overloaded(wait, self._ledger.now)
        now = self._ledger.now
        key, gateway = self._new_id("a"), self._ledger.gateway
        request = AccessRequest(key, ask, now, now + wait.expire, gateway=gateway)
        recorded = await self._ledger.keep([request], [record.opened(request)])
        if recorded is None:
            return None
        self._pending.watch(request)
        return _Opened(request, recorded)

    def _too_many(self, key: str) -> bool:
        mine, all_of_them = self._pending.owned(key), len(self._pending)
        return mine >= self.limits.per_agent or all_of_them >= self.limits.in_all
