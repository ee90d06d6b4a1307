"""Takes people's answers: whose count, core decides; here they are kept, put on record and told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from jitgate.core import answers
from jitgate.core.access import NotCounted
from jitgate.core.answers import People
from jitgate.errors import PeopleUnknown, RecorderDown
from jitgate.flow import ledger as record
from jitgate.flow.grants import Grants
from jitgate.flow.ledger import Ledger, Told
from jitgate.flow.people import ActivePeople
from jitgate.flow.restraint import Restraint
from jitgate.values import AccessRequest, AccessState, Answer, Grant


class Answering:
    """Counts answers; enough of them make a grant, in the same change."""

    def __init__(
        self,
        ledger: Ledger,
        grants: Grants,
        people: People,
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
        self.people = people

    async def answer(self, key: str, answer: Answer) -> AccessRequest | NotCounted:
        """Count somebody's answer: durable when this returns."""
        self._ledger.ready()
        is_counted = False
        while True:
            request = await self._ledger.store.request(key)
            if request is None:
                return NotCounted("There is no such access request.")
            after = await self._counted(request, answer)
            if isinstance(after, NotCounted):
                return after
            if after.state is AccessState.DENIED and not is_counted:
                # First of all: its agent may ask again as soon as it is kept, crash or none.
                await self._restraint.denied(after.ask)
                is_counted = True
            told = self._told(request, after, answer)
            grant = self._grant_of(after)
            if grant is not None:
                after = replace(after, grant=grant.id)
                told.append(record.made(grant))
            recorded = await self._ledger.keep([after, *([grant] if grant else [])], told)
            if recorded is None:
                continue
            try:
                await recorded
            except RecorderDown:
                await self._taken_back(request, after, grant)
                raise
            if grant is not None:
                self._grants.watch(grant)
            self._changed(after)
            return after

    async def _counted(self, request: AccessRequest, answer: Answer) -> AccessRequest | NotCounted:
        """The request after it, as people stand now: those whose answers it goes by are active."""
        now = self._ledger.now
        after = answers.answered(request, answer, self.people, now)
        if isinstance(after, NotCounted):
            return after  # whoever may not answer has nobody looked up
        try:
            inactive = await self._active.inactive(each.approver for each in after.answers)
        except PeopleUnknown as unknown:
            return NotCounted(f"{unknown}")
        return answers.answered(request, answer, self.people, self._ledger.now, inactive)

    def _told(self, before: AccessRequest, after: AccessRequest, answer: Answer) -> list[Told]:
        """What the record says of it: of those too whose answers count no longer."""
        given = {answers.person(each.approver) for each in after.answers}
        gone = [each for each in before.answers if answers.person(each.approver) not in given]
        told = [record.answer_void(after, each) for each in gone]
        told.append(record.answer_given(after, answer))
        if after.state is not AccessState.PENDING:
            told.append(record.request_ended(after))
        return told

    async def _taken_back(
        self, before: AccessRequest, after: AccessRequest, grant: Grant | None
    ) -> None:
        """An answer takes effect once it is on record: one that cannot be was never given."""
        if grant is not None:
            await self._grants.void(grant)
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
