"""Takes each checkpoint off this machine: what was signed and has left cannot be taken back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from jitgate.errors import CheckpointNotKept, traced
from jitgate.interfaces import IKeeper

EVERY: Final = 2.0
"""Seconds between two looks at what was signed."""

LONGEST_WAIT: Final = 300.0
"""Seconds until a keeper is tried again, at most: each failure doubles them."""

PATIENCE: Final = 600.0
"""Seconds for which a keeper may have kept nothing new before that is said to be wrong."""

AT_END: Final = 10.0
"""Seconds that the last checkpoint may take when the gateway stops."""


@dataclass(slots=True)
class _Kept:
    """How far one keeper is."""

    keeper: IKeeper
    note: bytes | None = None
    """What it keeps."""
    handed: int = 0
    """How many of the handovers it has."""
    wait: float = EVERY
    due: float = 0.0
    """When it may be asked again."""
    since: float | None = None
    """Since when it has kept nothing that there was to keep."""
    why: str = ""
    asking: Deferred[None] | None = None


class Keeping:
    """A part of the service. ``newest`` is the checkpoint that was signed last.

    Only the newest is taken: its tree holds those before it. But ``handovers``, by which one key
    passes on to the next, are taken all, in order: without them nobody could tell whose signature
    later ones have. A keeper that fails is tried again for as long as the gateway runs; nothing
    waits for it.
    """

    _log = Logger()

    def __init__(
        self,
        newest: Callable[[], bytes | None],
        keepers: Sequence[IKeeper],
        clock: IReactorTime,
        handovers: Callable[[], Sequence[bytes]] = tuple,
    ) -> None:
        self.keepers = keepers
        self._handovers = handovers
        self._newest = newest
        self._kept = [_Kept(each) for each in keepers]
        self._clock = clock
        self._timer: IDelayedCall | None = None

    def down(self) -> str | None:
        """Which keepers have kept nothing new for long, and why; None: all is well."""
        now = self._clock.seconds()
        late = [
            f"{each.keeper.name} has kept no checkpoint for {(now - each.since) / 60:.0f} min: "
            f"{each.why}"
            for each in self._kept
            if each.since is not None and now - each.since > PATIENCE
        ]
        return " ".join(late) or None

    def late(self) -> Mapping[str, float]:
        """For how many seconds each keeper has kept none of what there was to keep."""
        now = self._clock.seconds()
        return {
            each.keeper.name: 0.0 if each.since is None else now - each.since for each in self._kept
        }

    async def start(self) -> None:
        """Begin to look for checkpoints."""
        self._look()

    async def stop(self) -> None:
        """Have the last one kept, if that does not take long."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        last = [Deferred.fromCoroutine(self._ended(each)) for each in self._kept]
        ending = DeferredList(last)
        ending.addTimeout(AT_END, self._clock, onTimeoutCancel=lambda *_: None)
        await ending
        for each in self._kept:
            await each.keeper.stop()

    async def _ended(self, kept: _Kept) -> None:
        if kept.asking is not None:
            await kept.asking
        while (note := self._next(kept)) is not None:
            await self._asked(kept, note)
            if kept.why:
                return

    def _next(self, kept: _Kept) -> bytes | None:
        """What a keeper is to be given next, if anything is new to it."""
        new = [*self._handovers()[kept.handed :], self._newest()]
        return None if new[0] == kept.note else new[0]

    def _look(self) -> None:
        self._timer = self._clock.callLater(EVERY, self._look)
        now = self._clock.seconds()
        for each in self._kept:
            note = self._next(each)
            is_due = each.due <= now or (not each.why and note in self._handovers())
            if note is not None and each.asking is None and is_due:
                each.since = each.since or now
                asking = Deferred.fromCoroutine(self._asked(each, note))
                each.asking = None if asking.called else asking

    async def _asked(self, kept: _Kept, note: bytes) -> None:
        """Have one keep it; whatever comes of it, this returns."""
        try:
            await kept.keeper.keep(note)
        except CheckpointNotKept as fault:
            self._failed(kept, f"{fault}")
        except Exception as fault:  # noqa: BLE001 (it is tried again, whatever it was)
            self._failed(kept, traced(fault))
        else:
            if kept.why:
                self._log.info("The keeper {name} keeps checkpoints again.", name=kept.keeper.name)
            kept.handed += note in self._handovers()[kept.handed :]
            kept.note, kept.why, kept.since, kept.wait = note, "", None, EVERY
            kept.due = self._clock.seconds() + kept.keeper.every
        kept.asking = None

    def _failed(self, kept: _Kept, why: str) -> None:
        kept.due = self._clock.seconds() + kept.wait
        kept.wait = min(2 * kept.wait, LONGEST_WAIT)
        if not kept.why:
            self._log.warn(
                "A checkpoint of the recording is not kept by {name}, which is tried again: {why}",
                name=kept.keeper.name,
                why=why,
            )
        kept.why = why
