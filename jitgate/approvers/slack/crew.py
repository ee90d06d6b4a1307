"""Does the jobs of a queue when it is their turn, few at a time, and never two of one request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from jitgate.approvers.slack.queue import Job, Lane, Queue


class Crew:
    """Does jobs by ``do``, which must not raise, ``most`` at a time; from `start` to `stop`."""

    def __init__(
        self, do: Callable[[Job], Awaitable[None]], most: int, clock: IReactorTime
    ) -> None:
        self._do = do
        self._most = most
        self._clock = clock
        self._queue = Queue()
        self._under_way: dict[str, Deferred[None]] = {}
        """By request."""
        self._timer: IDelayedCall | None = None
        self._running = False
        self._turning = False

    def __len__(self) -> int:
        """How many requests wait, or have something done about them."""
        return len(self._queue) + sum(each not in self._queue for each in self._under_way)

    def __contains__(self, request: str) -> bool:
        return request in self._queue or request in self._under_way

    def start(self) -> None:
        """Begin."""
        self._running = True
        self._turn()

    async def stop(self, patience: float) -> None:
        """Begin nothing more; what is under way after so many seconds is cut short."""
        self._running = False
        self._queue.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        left = list(self._under_way.values())
        every = DeferredList(left, consumeErrors=True)
        late = [self._clock.callLater(patience, each.cancel) for each in left]
        await every
        for each in late:
            if each.active():
                each.cancel()

    def add(self, job: Job, rank: int) -> None:
        """Do it when it is its turn; nothing is done before the start or after the stop."""
        self._queue.add(job, rank)
        self._turn()

    def hold(self, lane: Lane, seconds: float) -> None:
        """Do nothing in a lane for so long; without a room, of its method in any."""
        self._queue.hold(lane, self._clock.seconds() + seconds)

    def _turn(self) -> None:
        if not self._running or self._turning:
            return
        self._turning = True  # what is done at once ends, and turns, within the loop
        try:
            while len(self._under_way) < self._most and (job := self._next()) is not None:
                self._begin(job)
        finally:
            self._turning = False
        self._come_back()

    def _next(self) -> Job | None:
        return self._queue.pop(self._clock.seconds(), but=self._under_way)

    def _begin(self, job: Job) -> None:
        done: Deferred[None] = Deferred.fromCoroutine(self._work(job))
        self._under_way[job.request] = done
        done.addBoth(self._ended, job.request)

    async def _work(self, job: Job) -> None:
        await self._do(job)

    def _ended(self, result: object, request: str) -> object:
        del self._under_way[request]
        self._turn()
        return result

    def _come_back(self) -> None:
        """When it is the turn of what waits; where all hands are full, whoever ends sees to it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if len(self._under_way) >= self._most:
            return
        wait = self._queue.wait(self._clock.seconds(), but=self._under_way)
        if wait is not None:
            self._timer = self._clock.callLater(wait, self._due)

    def _due(self) -> None:
        self._timer = None
        self._turn()
