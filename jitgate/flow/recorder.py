"""Keeps entries durable without blocking the reactor: group commit over an `IRecordStore`.

While one batch is being written in a thread, the next one gathers; a lone entry waits for one
fsync and no longer. A failure makes the recorder *down*: every waiter fails, every new entry is
refused at once, and twice a second it is tried whether the store can write again (invariant 4).
So does a call of the store that does not end: what it was to write may be on record all the same.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from jitgate.core.tally import (
    COMMIT_SECONDS,
    DURABLE_SECONDS,
    ENTRIES,
    RECORDER_FAILURES,
    Tally,
)
from jitgate.errors import RecorderDown
from jitgate.interfaces import IRecordStore
from jitgate.values import Entry

PROBE = 0.5
"""Seconds between two tries to write again."""

CHECKPOINT = 55.0
"""Seconds between two checkpoints: with the wait for a probe well under a minute (invariant 11)."""

STUCK = 10.0
"""Seconds that one call of the store may take: a disk that works syncs in less, however busy."""

QUEUE = 10_000
"""Entries that may wait: beyond that the disk is too slow to promise anything."""

InThread = Callable[..., Awaitable[object]]
"""Calls a blocking function elsewhere: `twisted.internet.threads.deferToThread`."""


class Kept(Deferred[None]):
    """Fires when an entry is durable, fails with `RecorderDown` if it is not.

    It may be awaited again by who has just been told that it failed, while others are still to be
    told: a Deferred's own failure is in nobody's hand then, and gone as soon as somebody has it.
    """

    firm = False
    """Whether who waits for it waits on when cancelled."""
    lost: str | None = None
    """Why it is not durable, once that is known."""

    def lose(self, why: str) -> None:
        """It is not durable."""
        self.lost = why
        self.errback(RecorderDown(why))

    def __await__(self) -> Generator[Deferred[None], None, None]:
        if self.lost is None:
            return super().__await__()
        self.addErrback(_unnoted)
        raise RecorderDown(self.lost)

    def cancel(self) -> None:
        if not self.firm:
            super().cancel()


_Waiting = list[tuple[Entry, Kept]]


class Recorder:
    """The one way into the recording. ``down`` is the reason it cannot write, or None.

    ``held_up`` tells why nothing new may begin, though what has begun is recorded. ``unwitnessed``
    says why nobody sees to it that what is written is signed, or None: then nothing is taken;
    nor is it while ``unsteady`` tells why no time can be believed.
    """

    _log = Logger()

    def __init__(
        self,
        store: IRecordStore,
        *,
        clock: IReactorTime,
        in_thread: InThread,
        unwitnessed: Callable[[], str | None] = lambda: None,
        unsteady: Callable[[], str | None] = lambda: None,
        held_up: Callable[[], str | None] = lambda: None,
        tally: Tally | None = None,
    ) -> None:
        self._tally = tally or Tally()
        self._committed = self._tally.timer(COMMIT_SECONDS)
        self._durable = self._tally.timer(DURABLE_SECONDS)
        self._oldest = 0.0
        """Since when the first of the queue waits."""
        self._store = store
        self._unwitnessed = unwitnessed
        self._unsteady = unsteady
        self._clock = clock
        self._in_thread = in_thread
        self.held_up = held_up
        self._queue: _Waiting = []
        self._batch: _Waiting = []
        """What is being written, with whoever still waits for it."""
        self._begun: float | None = None
        """Since when the store has been at work on it."""
        self._worker: Deferred[None] | None = None
        self._timer: IDelayedCall | None = None
        self._failed: str | None = None
        self._next_checkpoint = 0.0
        self._closed: str | None = "The recorder has not been started."

    @property
    def down(self) -> str | None:
        """Why nothing can be recorded now, so that nothing may pass; None while all is well."""
        return self.refused or self.held_up()

    @property
    def refused(self) -> str | None:
        """Why nothing at all is taken, be it of what has begun; None while it is."""
        return self._closed or self._failed or self._unwitnessed() or self._unsteady()

    async def start(self) -> None:
        """Open the store; raises what the store raises."""
        await self._in_thread(self._store.open)
        self._closed = None
        self._next_checkpoint = self._clock.seconds() + CHECKPOINT
        self._tick()

    async def stop(self) -> None:
        """Write what is queued, then close and seal the log. Whoever comes later is refused."""
        was_closed, self._closed = self._closed, "The recorder has been stopped."
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        while self._worker is not None:
            await _joined(self._worker)
        if was_closed is None and self._failed is None:
            await self._in_thread(self._store.close)

    def append(self, entry: Entry) -> Kept:
        """Queue the entry; it is refused at once while nothing can be recorded."""
        kept, down = Kept(), self.refused
        if down is None and len(self._queue) >= QUEUE:
            down = "The recorder cannot keep up."
        if down is not None:
            kept.lose(down)
            return kept
        self._tally.add(ENTRIES, entry.type)
        if not self._queue:
            self._oldest = self._clock.seconds()
        self._queue.append((entry, kept))
        self._wake()
        return kept

    @property
    def waiting(self) -> int:
        """How many entries are not durable yet."""
        return len(self._queue) + len(self._batch)

    def note(self, kind: str, fields: Mapping[str, object]) -> None:
        """Put something on record that nothing depends on, so that nobody waits for it."""
        noted = self.append(Entry(kind, self._clock.seconds(), fields))
        noted.addErrback(_unnoted)

    def _tick(self) -> None:
        self._timer = self._clock.callLater(PROBE, self._tick)
        self._unsteady()  # a clock is corrected while nobody calls, too
        stuck = self._begun is not None and self._clock.seconds() - self._begun >= STUCK
        if stuck and self._failed is None:
            self._fail("the store does not answer", f"for {STUCK:g} s")
        self._wake()

    def _wake(self) -> None:
        """Set the one worker going, unless it is at work: it takes what has come meanwhile."""
        if self._worker is None:
            done: Deferred[None] = Deferred()
            self._worker = done
            Deferred.fromCoroutine(self._work()).addBoth(self._rested, done)

    def _rested(self, result: object, done: Deferred[None]) -> object:
        self._worker = None
        if self._queue:
            self._wake()  # they came while a checkpoint was being signed
        done.callback(None)
        return result

    async def _work(self) -> None:
        if self._failed is not None:
            await self._attempt(self._store.recover, [])
        while self._queue and self._failed is None:
            batch, self._queue = self._queue, []
            oldest, begun = self._oldest, self._clock.seconds()
            await self._attempt(self._store.append, batch, [entry for entry, _ in batch])
            if self._failed is None:
                now = self._clock.seconds()
                self._committed(now - begun)
                self._durable(now - oldest)
        if self._failed is None and self._clock.seconds() >= self._next_checkpoint:
            self._next_checkpoint = self._clock.seconds() + CHECKPOINT
            await self._attempt(self._store.checkpoint, [])

    async def _attempt(self, write: Callable[..., None], batch: _Waiting, *args: object) -> None:
        """One call of the store; what waited for it goes on, or everything that waits fails."""
        self._batch, self._begun = batch, self._clock.seconds()
        try:
            await self._in_thread(write, *args)
        except Exception as error:  # noqa: BLE001 (whatever it was, nothing is durable)
            self._fail(_why(error), f"{error}")
            return
        finally:
            self._begun = None
        if self._failed is not None:
            self._failed = None
            self._log.info("The recorder can write again.")
        batch, self._batch = self._batch, []
        for _, kept in batch:
            kept.callback(None)

    def _fail(self, why: str, error: str) -> None:
        """From now on everything is refused, and whatever waits has failed."""
        self._tally.add(RECORDER_FAILURES)
        self._failed = f"The recorder cannot write: {why}."
        self._log.error(
            "{down} Everything is denied until it can. ({error})", down=self._failed, error=error
        )
        failed, self._batch, self._queue = [*self._batch, *self._queue], [], []
        for _, kept in failed:
            kept.lose(self._failed)


async def durable(entries: Sequence[Kept]) -> None:
    """Wait until all the entries are. Raises `RecorderDown` if one is not, once all are settled.

    Whoever is cancelled meanwhile waits all the same: what is being written cannot be unwritten,
    and what follows must be what the record says.
    """
    failures: list[Exception] = []
    for entry in reversed(entries):  # the last is durable last: the others then cost no wait
        entry.firm = True
        try:
            await entry
        except Exception as failure:  # noqa: BLE001 (it is raised once all are settled)
            failures.append(failure)
    if failures:
        raise failures[-1]


def _unnoted(failure: Failure) -> None:
    failure.trap(RecorderDown)


def _why(error: Exception) -> str:
    """The reason as agents may read it: without a path, and without what was to be written."""
    strerror = error.strerror if isinstance(error, OSError) else None
    return (strerror or type(error).__name__).lower()


def _joined(worker: Deferred[None]) -> Deferred[None]:
    """A Deferred of one's own that fires with ``worker``, which others wait for as well."""
    mine: Deferred[None] = Deferred()
    worker.addCallback(mine.callback)
    return mine
