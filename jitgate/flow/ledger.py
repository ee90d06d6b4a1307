"""Keeps a change to access requests and grants: committed to the store, then put on record.

In this order, and nothing follows from the change before both are durable: so the record never
tells of what the store could forget, and whatever the store lost had no effect (invariant 3).
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import asdict

from twisted.internet.interfaces import IReactorTime

from jitgate.core.answers import asked
from jitgate.errors import RecorderDown
from jitgate.flow.recorder import Recorder, durable
from jitgate.flow.shown_requests import described, described_operation
from jitgate.interfaces import IAccessStore
from jitgate.values import (
    AccessRequest,
    Answer,
    Entry,
    Grant,
    GrantState,
    Shown,
    Stored,
    Terms,
    Use,
)

Told = tuple[str, dict[str, object]]
"""What an entry is to say: its type and its fields."""


class Ledger:
    """The one way by which access requests, grants and uses change.

    ``gateway`` is what this one is called in a store that several share, else "".
    """

    def __init__(
        self, store: IAccessStore, recorder: Recorder, clock: IReactorTime, gateway: str = ""
    ) -> None:
        self.store = store
        self.gateway = gateway
        self._recorder = recorder
        self._clock = clock

    def is_ours(self, gateway: str) -> bool:
        """Whether a gateway of that name is this one, or a worker of it."""
        return gateway == self.gateway or gateway.startswith(f"{self.gateway}/")

    @property
    def now(self) -> float:
        """Seconds since the epoch."""
        return self._clock.seconds()

    def ready(self) -> None:
        """Raise `RecorderDown` while nothing can be recorded: what would follow must not begin."""
        if self._recorder.down is not None:
            raise RecorderDown(self._recorder.down)

    async def commit(self, *values: Stored) -> int | None:
        """Commit alone, for what needs no record; None if something else came between."""
        return await self.store.commit(values)

    async def record(self, revision: int, told: Sequence[Told]) -> None:
        """Make the entries of one change durable. Raises `RecorderDown`."""
        await self.record_all([(revision, told)])

    async def record_all(self, changes: Sequence[tuple[int, Sequence[Told]]]) -> None:
        """The same for many changes at once."""
        now = self.now
        entries = [
            Entry(kind, now, {**fields, "revision": revision})
            for revision, told in changes
            for kind, fields in told
        ]
        await durable([self._recorder.append(entry) for entry in entries])

    async def keep(self, values: Sequence[Stored], told: Sequence[Told]) -> Awaitable[None] | None:
        """Commit; None if something else came between, else what makes the record durable."""
        revision = await self.store.commit(values)
        return None if revision is None else self.record(revision, told)


# --- what the record says


def opened(request: AccessRequest) -> Told:
    """A call waits for people."""
    ask = request.ask
    return "access.opened", {
        "access_request": request.id,
        "exchange": ask.exchange,
        "session": ask.session,
        "subject": described(ask.subject),
        "operation": {**(described_operation(ask.operation) or {}), "url": ask.shown.url},
        "fingerprint": ask.fingerprint,
        "rule": ask.rule,
        "reason": ask.reason,
        "policy": ask.policy,
        "quorums": described_quorums(ask.terms),
        "needs_reason": ask.terms.needs_reason,
        "denials": ask.terms.denials,
        "uses": ask.terms.uses,
        "life": ask.terms.life,
        "ahead": ask.terms.ahead,
        "auto": ask.terms.auto,
        "expires_at": request.expires_at,
        **({"names": _names(ask.shown)} if ask.shown.names else {}),
    }


def _names(shown: Shown) -> dict[str, object]:
    """Which look-ups told what people see, or why none did; the names stand in their entries."""
    return {
        each: ({} if known.lookup is None else {"lookup": known.lookup})
        | ({"why": known.why} if known.why else {})
        for each, known in shown.names.items()
    }


def described_quorums(terms: Terms) -> list[dict[str, object]]:
    """Whom a request asks; who is asked as well after some time only where somebody is."""
    return [
        {"groups": list(each.groups), "count": each.count}
        | ({"escalations": [asdict(step) for step in each.escalations]} if each.escalations else {})
        for each in terms.quorums
    ]


def carried_over(request: AccessRequest) -> Told:
    """It was pending when a run began, with these answers: whatever the run before recorded."""
    answers = [asdict(answer) for answer in request.answers]
    return "access.carried", opened(request)[1] | {"answers": answers}


def answer_given(request: AccessRequest, answer: Answer) -> Told:
    """Somebody's answer counted."""
    return "access.answered", {
        "access_request": request.id,
        "session": request.ask.session,
        "approver": answer.approver,
        "approves": answer.approves,
        "reason": answer.reason,
        "channel": answer.channel,
        "less": None if answer.less is None else asdict(answer.less),
    } | ({"sign": True} if answer.sign else {})


def answer_void(request: AccessRequest, answer: Answer, why: str) -> Told:
    """What somebody had answered counts no longer, and why."""
    return "access.void", {
        "access_request": request.id,
        "session": request.ask.session,
        "approver": answer.approver,
        "approves": answer.approves,
        "why": why,
    }


def escalated(request: AccessRequest) -> Told:
    """More people are asked: these groups in all, from now on."""
    return "access.escalated", {
        "access_request": request.id,
        "session": request.ask.session,
        "groups": list(asked(request)),
    }


def request_ended(request: AccessRequest) -> Told:
    """It is no longer pending, and why."""
    return "access.ended", {
        "access_request": request.id,
        "session": request.ask.session,
        "state": request.state.value,
        "why": request.why,
    }


def made(grant: Grant) -> Told:
    """A grant came of enough answers."""
    return "grant.made", {
        "grant": grant.id,
        "access_request": grant.access_request,
        "session": grant.ask.session,
        "approved_by": list(grant.approved_by),
        "uses": grant.given.uses,
        "life": grant.given.life,
        "alone": grant.given.alone,
        "fingerprint": grant.ask.fingerprint,
        "expires_at": grant.expires_at,
    }


def carried_on(grant: Grant) -> Told:
    """It was good when a run began: whatever the run before recorded of how it was made."""
    return "grant.carried", made(grant)[1] | {"left": grant.left}


def spent(grant: Grant, use: Use, session: str) -> Told:
    """A use was taken; the request leaves once this is durable."""
    return "grant.spent", {
        "grant": grant.id,
        "access_request": grant.access_request,
        "use": use.id,
        "exchange": use.id,
        "session": session,
        "approved_by": list(grant.approved_by),
        "fingerprint": use.fingerprint,
        "left": grant.left,
    }


def settled(use: Use, session: str) -> Told:
    """What became of a use."""
    return "grant.settled", {
        "grant": use.grant,
        "use": use.id,
        "exchange": use.id,
        "session": session,
        "state": use.state.value,
        "status": use.status,
    }


def grant_ended(grant: Grant, state: GrantState) -> Told:
    """What was left of it is gone, and why: ``state`` is what its uses have come to."""
    return "grant.ended", {
        "grant": grant.id,
        "session": grant.ask.session,
        "state": state.value,
        "why": grant.why,
    }
