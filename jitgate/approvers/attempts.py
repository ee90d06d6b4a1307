"""Puts on record who was refused at the control socket, so that a flood of them does not fill it.

The first refusals of a uid stand in an entry each; those beyond are counted, and the next entry
says how many they were.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from jitgate.approvers.commands import Caller, Command, Refused
from jitgate.errors import RecorderDown
from jitgate.flow.recorder import Recorder
from jitgate.values import Entry

EACH = 10
"""Refusals of one uid in `SPAN` with an entry each: a person's slips, and how a trial begins."""

SPAN = 60.0
"""Seconds over which they are counted: with `EACH` at most 5 MB of entries a day for a uid."""

UIDS = 16
"""Uids that are counted one by one at a time; more share, for one user can have thousands."""


@dataclass(slots=True)
class _Count:
    """What one uid was refused in the current span."""

    timer: IDelayedCall
    recorded: int = 0
    left_out: int = 0


class Attempts:
    """One object a socket. Nothing here raises: who is refused stays so, recorded or not."""

    _log = Logger()

    def __init__(self, recorder: Recorder, clock: IReactorTime) -> None:
        self._recorder = recorder
        self._clock = clock
        self._counts: dict[int | None, _Count] = {}

    async def note(self, caller: Caller, command: Command, refused: Refused) -> None:
        """Once this returns it is on record, or counted, or the log says that it cannot be."""
        key = caller.uid if caller.uid in self._counts or len(self._counts) < UIDS else None
        if key not in self._counts:
            self._counts[key] = _Count(self._clock.callLater(SPAN, self._over, key))
        count = self._counts[key]
        if count.recorded >= EACH:
            count.left_out += 1
            return
        count.recorded += 1
        fields: dict[str, object] = {
            "uid": caller.uid,
            "pid": caller.pid,
            "person": caller.person,
            "command": command.name,
        }
        if (about := refused.about or command.id) is not None:
            fields["grant" if command.name == "revoke" else "access_request"] = about
        await self._append(count, {**fields, "why": refused.why})

    async def stop(self) -> None:
        """Put on record what was only counted."""
        for key, count in self._counts.items():
            count.timer.cancel()
            if count.left_out:
                await self._sum_up(key, count)
        self._counts.clear()

    def _over(self, key: int | None) -> None:
        """A span ends; who was refused beyond the bound gets an entry for all of it."""
        count = self._counts.pop(key)
        if count.left_out:
            self._counts[key] = count
            count.timer = self._clock.callLater(SPAN, self._over, key)
            count.recorded = 1
            Deferred.fromCoroutine(self._sum_up(key, count))

    async def _sum_up(self, key: int | None, count: _Count) -> None:
        why = "Refused more often than is put on record one by one."
        facts = {"uid": key, "pid": None, "person": None, "command": None, "why": why}
        await self._append(count, facts)

    async def _append(self, count: _Count, fields: Mapping[str, object]) -> None:
        left_out, count.left_out = count.left_out, 0
        if left_out:
            fields = {**fields, "left_out": left_out}
        try:
            await self._recorder.append(Entry("control.refused", self._clock.seconds(), fields))
        except RecorderDown as down:
            count.left_out += left_out + 1
            self._log.error(
                "A refusal at the control socket is not on record: {why}", why=f"{down}"
            )
