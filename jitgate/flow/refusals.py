"""Puts on record who was refused, so that a flood of it does not fill the disk.

The first refusals of each stand in an entry each; those beyond are counted, and the next entry
says how many they were.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from jitgate.errors import RecorderDown
from jitgate.flow.recorder import Recorder
from jitgate.values import Entry

EACH = 10
"""Refusals of one in `SPAN` with an entry each: a person's slips, and how a trial begins."""

SPAN = 60.0
"""Seconds over which they are counted: with `EACH` at most 5 MB of entries a day for each."""

APART = 16
"""Those that are counted one by one at a time; more share, for somebody can have thousands."""


@dataclass(slots=True)
class _Count:
    """What one was refused in the current span."""

    timer: IDelayedCall
    recorded: int = 0
    left_out: int = 0


class Refusals:
    """One object for each way to answer. Nothing here raises: who is refused stays so.

    Args:
        kind: The type of the entries.
        whose: The fields that say of whom an entry is that only counts; None: of several.
        each: Refusals of one in `SPAN` with an entry each.
    """

    _log = Logger()

    def __init__(
        self,
        recorder: Recorder,
        clock: IReactorTime,
        kind: str,
        whose: Callable[[Hashable], Mapping[str, object]],
        *,
        each: int = EACH,
    ) -> None:
        self._recorder = recorder
        self._clock = clock
        self._kind = kind
        self._whose = whose
        self._each = each
        self._counts: dict[Hashable, _Count] = {}

    async def note(
        self, who: Hashable, fields: Mapping[str, object], kind: str | None = None
    ) -> None:
        """Once this returns it is on record, or counted, or the log says that it cannot be.

        ``kind`` is the type of the entry where it is another than usual.
        """
        key = who if who in self._counts or len(self._counts) < APART else None
        if key not in self._counts:
            self._counts[key] = _Count(self._clock.callLater(SPAN, self._over, key))
        count = self._counts[key]
        if count.recorded >= self._each:
            count.left_out += 1
            return
        count.recorded += 1
        await self._append(count, fields, kind)

    async def stop(self) -> None:
        """Put on record what was only counted."""
        for key, count in self._counts.items():
            count.timer.cancel()
            if count.left_out:
                await self._sum_up(key, count)
        self._counts.clear()

    def _over(self, key: Hashable) -> None:
        """A span ends; who was refused beyond the bound gets an entry for all of it."""
        count = self._counts.pop(key)
        if count.left_out:
            self._counts[key] = count
            count.timer = self._clock.callLater(SPAN, self._over, key)
            count.recorded = 1
            Deferred.fromCoroutine(self._sum_up(key, count))

    async def _sum_up(self, key: Hashable, count: _Count) -> None:
        why = "Refused more often than is put on record one by one."
        await self._append(count, {**self._whose(key), "why": why})

    async def _append(
        self, count: _Count, fields: Mapping[str, object], kind: str | None = None
    ) -> None:
        left_out, count.left_out = count.left_out, 0
        if left_out:
            fields = {**fields, "left_out": left_out}
        try:
            entry = Entry(kind or self._kind, self._clock.seconds(), fields)
            await self._recorder.append(entry)
        except RecorderDown as down:
            count.left_out += left_out + 1
            self._log.error(
                "{kind}: a refusal is not on record: {why}", kind=self._kind, why=f"{down}"
            )
