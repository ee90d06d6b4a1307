"""Takes people's answers: whose count, core decides; here they are put on record, kept and told.

An answer is on record before it is kept, and so before anything can follow from it: where several
gateways share the store, another acts on what is kept at once. One that is on record and is not
kept after all (something came between, or the gateway ended) is void on record, or stands in none
of the entries that say by whom something was approved.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, FirstError, gatherResults

from jitgate.core import answers
from jitgate.core.access import NotCounted
from jitgate.errors import PeopleUnknown, RecorderDown
from jitgate.flow import ledger as record
from jitgate.flow.grants import Grants
from jitgate.flow.ledger import Ledger, Told
from jitgate.flow.members import Members
from jitgate.flow.people import ActivePeople
from jitgate.flow.restraint import Restraint
from jitgate.values import AccessRequest, AccessState, Answer, Grant


class _Counted(NamedTuple):
    """A request after an answer that counts, and who was found to be deactivated."""

    after: AccessRequest
    inactive: AbstractSet[str]


class Answering:
    """Counts answers; enough of them make a grant, in the same change."""

    def __init__(
        self,
        ledger: Ledger,
        grants: Grants,
        members: Members,
        active: ActivePeople,
        restraint: Restraint,
        *,
        changed: Callable[[AccessRequest], None],
        new_id: Callable[[str], str],
    ) -> None:
        self._ledger = ledger
        self._grants = grants
        self._active = active
        self._restraint = restraint
        self._changed = changed
        self._new_id = new_id
        self._members = members

    async def answer(self, key: str, answer: Answer) -> AccessRequest | NotCounted:
        """Count somebody's answer: durable when this returns."""
        self._ledger.ready()
        is_recorded = is_counted = False
        while True:
            request = await self._ledger.store.request(key)
            if request is None:
                return NotCounted("There is no such access request.")
            counted = await self._counted(request, answer)
            if isinstance(counted, NotCounted):
                if is_recorded:
                    void = record.answer_void(request, answer, counted.reason)
                    await self._ledger.record(request.revision, [void])
                return counted
            after = counted.after
            if not is_recorded:
                given = record.answer_given(request, answer)
                await self._ledger.record(request.revision, [given])
                is_recorded = True
            if after.state is AccessState.DENIED and not is_counted:
                # Before it is kept: its agent may ask again as soon as it is, crash or none.
                await self._restraint.denied(after.ask)
                is_counted = True
            kept = await self._kept(request, counted)
            if kept is not None:
                return kept

    async def _kept(self, before: AccessRequest, counted: _Counted) -> AccessRequest | None:
        """The request with the answer and what follows, durable; None if something came between."""
        after, told = counted.after, self._told(before, counted)
        grant = self._grant_of(after)
        if grant is not None:
            after = replace(after, grant=grant.id)
            told.append(record.made(grant))
        recorded = await self._ledger.keep([after, *([grant] if grant else [])], told)
        if recorded is None:
            return None
        try:
            await recorded
        except RecorderDown:
            await self._taken_back(before, after, grant)
            raise
        if grant is not None:
            self._grants.watch(grant)
        self._changed(after)
        return after

    async def take_back(self, key: str, someone: str, channel: str) -> AccessRequest | NotCounted:
        """Somebody takes their answer back, until it is decided: durable when this returns."""
        self._ledger.ready()
        while True:
            request = await self._ledger.store.request(key)
            if request is None:
                return NotCounted("There is no such access request.")
            best = self._members.at_best([someone])
            after = answers.taken_back(request, someone, best, self._ledger.now)
            if isinstance(after, NotCounted):
                return after
            gone = [each for each in request.answers if each not in after.answers]
            why = f"Taken back, by {channel}."
            told = [record.answer_void(after, each, why) for each in gone]
            recorded = await self._ledger.keep([after], told)
            if recorded is not None:
                await recorded
                self._changed(after)
                return after

    async def _counted(self, request: AccessRequest, answer: Answer) -> _Counted | NotCounted:
        """The request after it, as people stand now: members of the groups, and active."""
        someone = [each.approver for each in (*request.answers, answer)]
        best = self._members.at_best(someone)
        refused = answers.answered(request, answer, best, self._ledger.now)
        if isinstance(refused, NotCounted):
            return refused  # whoever may not answer at all has nobody looked up
        asking: list[Deferred[Any]] = [
            Deferred.fromCoroutine(self._members.now(answers.asked(request))),
            Deferred.fromCoroutine(self._active.inactive(someone)),
        ]
        try:
            people, gone = await gatherResults(asking, consumeErrors=True)
        except FirstError as first:
            if first.subFailure.check(PeopleUnknown):
                return NotCounted(f"{first.subFailure.value}")
            raise
        after = answers.answered(request, answer, people, self._ledger.now, gone)
        return after if isinstance(after, NotCounted) else _Counted(after, gone)

    def _told(self, before: AccessRequest, counted: _Counted) -> list[Told]:
        """What the record says of what follows: of those too whose answers count no longer."""
        after = counted.after
        given = {answers.person(each.approver) for each in after.answers}
        gone = [each for each in before.answers if answers.person(each.approver) not in given]
        told = [record.answer_void(after, each, _why(each, counted.inactive)) for each in gone]
        if after.state is not AccessState.PENDING:
            told.append(record.request_ended(after))
        return told

    async def _taken_back(
        self, before: AccessRequest, after: AccessRequest, grant: Grant | None
    ) -> None:
        """What follows from an answer takes effect once it is on record, or is taken back.

        Not where another gateway has begun to act on it: then it stays as it was decided.
        """
        if grant is not None and not await self._grants.void(grant):
            return
        while True:
            current = await self._ledger.store.request(after.id)
            if current is None or current.answers != after.answers:
                return
            undone = replace(
                current, state=before.state, answers=before.answers, grant=None, why=before.why
            )
            if await self._ledger.commit(undone) is not None:
                return
            ask = current.ask
            if await self._ledger.store.pending(ask.subject.key, ask.fingerprint) is not None:
                return  # the agent has asked anew meanwhile: this one stays as it ended

    def _grant_of(self, request: AccessRequest) -> Grant | None:
        if request.state is not AccessState.APPROVED:
            return None
        return answers.granted(request, self._new_id("g"), self._ledger.now)


def _why(answer: Answer, inactive: AbstractSet[str]) -> str:
    """Why an answer counts no longer."""
    if answers.person(answer.approver) in inactive:
        return "They are deactivated."
    return "They are in none of the groups that are asked."
