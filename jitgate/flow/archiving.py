"""Puts what is sealed of the recording into an archive that locks it, and says so on record."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from jitgate.core.visible import size
from jitgate.errors import ArchiveDown, JitgateError, traced
from jitgate.flow.recorder import InThread
from jitgate.flow.within import within
from jitgate.interfaces import IArchive
from jitgate.values import Archived

EVERY: Final = 30.0
"""Seconds between two looks at what is sealed."""

LONGEST_WAIT: Final = 900.0
"""Seconds until something is tried again, at most: each failure doubles them."""

PATIENCE: Final = 3600.0
"""Seconds for which anything may have failed to go there before that is said to be wrong."""

AT_START: Final = 10.0
"""Seconds for which the start waits to hear whether the archive locks."""

AT_END: Final = 10.0
"""Seconds that the file at hand may take when the gateway stops."""

_DAY: Final = 86400.0

_ITSELF: Final = ""
"""In the place of a file's key: the archive."""


def locked_until(now: float, retention: float) -> float:
    """At the end of a day, so that a file that is tried again is not kept twice."""
    return -(-(now + retention) // _DAY) * _DAY


class Sealed(NamedTuple):
    """A file of the recording that nothing is added to any more."""

    path: str
    key: str
    """Its path in the recording, with slashes."""
    bytes: int


@dataclass(slots=True)
class _Late:
    """What could not be done, since when, and when it is tried again."""

    since: float
    why: str = ""
    wait: float = EVERY
    due: float = 0.0


class Archiving:
    """A part of the service: one file after the other, for as long as it takes.

    A file that fails is put off, and holds up no other.

    Args:
        archive: Called in ``in_thread``, a thread of its own, for it may block for long.
        sealed: What there is and is not on record as archived; blocking, called there as well.
        note: Puts on record that a file is archived; fires once that is durable.
        whole: The newest checkpoint of which all that it covers is sealed, behind those that it
            takes to tell whose it is; none if there is none.
        retention: Seconds for which a file is locked.
        backlog: Bytes that may wait; None: any number.
    """

    _log = Logger()

    def __init__(
        self,
        archive: IArchive,
        *,
        sealed: Callable[[], Iterable[Sealed]],
        note: Callable[[Archived, str], Awaitable[object]],
        whole: Callable[[], Sequence[Sealed]],
        retention: float,
        backlog: int | None,
        clock: IReactorTime,
        in_thread: InThread,
    ) -> None:
        self._archive = archive
        self._sealed = sealed
        self._note = note
        self._whole = whole
        self._retention = retention
        self._backlog = backlog
        self._clock = clock
        self._in_thread = in_thread
        self._timer: IDelayedCall | None = None
        self._running: Deferred[None] | None = None
        self._stopped = False
        self._wait = EVERY
        self._late: dict[str, _Late] = {}
        """By the file's key."""
        self._waiting: dict[str, int] = {}
        """The bytes of each file that is in no archive yet."""
        self._kept_whole: set[Sealed] = set()
        self._begun: float | None = None
        """Since when the archive has been asked for what it is asked for now."""

    def down(self) -> str | None:
        """What has not gone there for long, or is too much; None: all is well, as far as known."""
        if self.full is not None:
            return self.full
        late = [*self._late.values()]
        if self._begun is not None:
            late.append(_Late(self._begun, f"The archive {self._archive.name} does not answer."))
        first = min(late, key=lambda each: each.since, default=None)
        if first is None or (since := self._clock.seconds() - first.since) <= PATIENCE:
            return None
        return f"Not archived for {since / 60:.0f} min ({self._all_waiting}): {first.why}"

    @property
    def waiting(self) -> int:
        """Bytes of files that are in no archive yet, as far as was looked."""
        return sum(self._waiting.values())

    @property
    def full(self) -> str | None:
        """Why nothing new may be recorded: more waits than is allowed to. None: it may."""
        if self._backlog is None or self.waiting <= self._backlog:
            return None
        return f"Too much waits for the archive: {self._all_waiting}."

    @property
    def _all_waiting(self) -> str:
        many = len(self._waiting)
        return f"{many} file{'s' * (many != 1)}, {size(self.waiting)}"

    async def start(self) -> None:
        """Begin. Raises `ArchiveUnlocked`; whether one that is down locks is seen later."""
        checking = Deferred.fromCoroutine(self._checked())
        checking.addTimeout(AT_START, self._clock, onTimeoutCancel=self._hangs)
        try:
            await checking
        except ArchiveDown as fault:
            self._failed(_ITSELF, fault)
        self._look()

    async def _checked(self) -> None:
        await self._asked(self._archive.check)
        self._late.pop(_ITSELF, None)

    def _hangs(self, _: object, seconds: float) -> None:
        raise ArchiveDown(f"The archive {self._archive.name} does not answer in {seconds:g} s.")

    async def stop(self) -> None:
        """Return once the file at hand is there, or has failed, or takes too long."""
        self._stopped = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if self._running is not None:
            await within(AT_END, self._clock, [self._running])

    def _look(self) -> None:
        running = Deferred.fromCoroutine(self._round())
        self._running = None if running.called else running

    async def _round(self) -> None:
        """Archive what there is; whatever comes of it, look again later."""
        before = len(self._late)
        try:
            await self._all()
        except Exception as fault:  # noqa: BLE001 (it is tried again, whatever it was)
            self._failed(_ITSELF, fault)
            self._wait = min(2 * self._wait, LONGEST_WAIT)
        else:
            self._wait = EVERY
        if before and not self._late:
            self._log.info("The archive {name} keeps files again.", name=self._archive.name)
        self._running = None
        if not self._stopped:
            self._timer = self._clock.callLater(self._wait, self._look)

    async def _all(self) -> None:
        """Raises what says that the archive itself, and not a file, is at fault."""
        whole = self._whole()  # before the look at what is sealed, so that all of it is seen
        found = cast("list[Sealed]", await self._in_thread(lambda: list(self._sealed())))
        self._waiting = {each.key: each.bytes for each in found}
        for key in self._late.keys() - self._waiting.keys() - {_ITSELF}:
            del self._late[key]
        kept = [await self._put(each) for each in self._due(found) if not self._stopped]
        if not self._stopped and not any(kept):
            await self._checked()
        if self._waiting:
            return
        self._kept_whole.intersection_update(whole)
        for note in whole:
            if note not in self._kept_whole:
                await self._asked(self._archive.put, note.path, note.key, self._until())
                self._kept_whole.add(note)

    def _due(self, found: Sequence[Sealed]) -> list[Sealed]:
        """What has not failed yet comes first, so that what fails holds up nothing."""
        now = self._clock.seconds()
        by_due = {each: self._late[each.key].due for each in found if each.key in self._late}
        due = [each for each in found if by_due.get(each, 0.0) <= now]
        return sorted(due, key=lambda each: by_due.get(each, 0.0))

    async def _put(self, file: Sealed) -> bool:
        """Whether a file is there. Raises what is wrong with the archive, where that is it."""
        try:
            kept = await self._asked(self._archive.put, file.path, file.key, self._until())
            await self._note(cast(Archived, kept), file.key)
        except Exception as fault:  # noqa: BLE001 (it is tried again, whatever it was)
            self._failed(file.key, fault)
            if not self._stopped:
                await self._checked()
            return False
        for key in (file.key, _ITSELF):
            self._late.pop(key, None)
        self._waiting.pop(file.key, None)
        return True

    async def _asked(self, what: Callable[..., object], *args: object) -> object:
        self._begun = self._clock.seconds()
        try:
            return await self._in_thread(what, *args)
        finally:
            self._begun = None

    def _until(self) -> float:
        return locked_until(self._clock.seconds(), self._retention)

    def _failed(self, key: str, fault: Exception) -> None:
        now = self._clock.seconds()
        why = f"{fault}" if isinstance(fault, JitgateError) else traced(fault)
        if not self._late:
            self._log.warn(
                "A file of the recording could not be put into the archive {name}, which is tried "
                "again: {why}",
                name=self._archive.name,
                why=why,
            )
        late = self._late.setdefault(key, _Late(now))
        late.why, late.due = why, now + late.wait
        late.wait = min(2 * late.wait, LONGEST_WAIT)
