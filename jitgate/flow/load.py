"""What the gateway carries at once, and for how long: tunnels and exchanges within their limits.

Who comes when there is no room is told to come again. An exchange that takes longer than it may,
or than a stop allows, is cut short: what it waits for is cancelled, and a fault says why.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from operator import attrgetter
from types import coroutine
from typing import Any, Self, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime

from jitgate.core.limits import LIMITS, Limits
from jitgate.core.tally import LIMITS_HIT, Tally
from jitgate.errors import CutShort
from jitgate.flow.deadlines import Deadline
from jitgate.values import Denial, Pending, Refusal, Subject

AGAIN = 2.0
"""Seconds after which an agent may come again when there was no room: most calls take less."""

STOPPING = "The gateway is stopping."

_T = TypeVar("_T")


class Span:
    """The room and the time that one exchange takes while it is entered. Made by `Load`."""

    def __init__(self, load: Load, clock: IReactorTime, seconds: float) -> None:
        self._load = load
        self._clock = clock
        self._seconds = seconds
        self._waited: Deferred[Any] | None = None
        self._why: str | None = None
        self.ends_at = clock.seconds() + seconds
        self.subject: Subject | None = None
        """Whose exchange it is, once that is known."""
        self.carried = False
        """Whether it counts among the exchanges that are carried."""
        self.carried_for = ""
        """For whom, by the subject's key."""

    def __enter__(self) -> Self:
        self._load.begin(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._load.end(self)

    def carry(self) -> Refusal | None:
        """Count it, once, or say that there is no room."""
        return None if self.carried else self._load.carry(self)

    def check(self) -> None:
        """Raises `CutShort` if it has been."""
        if self._why is not None:
            raise CutShort(self._why)

    @coroutine
    def within(self, work: Coroutine[Any, Any, _T]) -> Generator[Any, Any, _T]:
        """Do a part of the exchange that may be cut short. Raises `CutShort` when it is.

        It steps through the part to know what that waits for: a Deferred of its own for it would
        cost more.
        """
        step: Callable[[Any], Any] = work.send
        value: Any = None
        if self._why is not None:
            work.close()
            raise CutShort(self._why)
        while True:
            try:
                waited = self._waited = step(value)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]
            except CancelledError:
                if self._why is None:
                    raise  # it was cancelled from outside
                raise CutShort(self._why) from None
            try:
                step, value = work.send, (yield waited)
            except BaseException as error:  # noqa: BLE001 (it is the work's to deal with)
                step, value = work.throw, error
            self._waited = None

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Take neither room nor time meanwhile: it waits for people."""
        left = self.ends_at - self._clock.seconds()
        self._load.put_aside(self)
        try:
            yield
        finally:
            self.ends_at = self._clock.seconds() + left
            self._load.take_up(self)

    def cut(self, why: str) -> None:
        """Give it no more time; the first reason counts."""
        if self._why is None:
            self._why = why
            if self._waited is not None:
                self._waited.cancel()

    def late(self) -> None:
        """It has taken all the time that it may."""
        self.cut(f"The exchange took longer than the {self._seconds:g} s that it may.")


class Load:
    """Counts tunnels and exchanges. Nothing here waits but `rest`."""

    def __init__(
        self, clock: IReactorTime, limits: Limits = LIMITS, tally: Tally | None = None
    ) -> None:
        self._tally = tally or Tally()
        self._clock = clock
        self._limits = limits
        self._tunnels: Counter[str] = Counter()
        """By subject's key."""
        self._all_tunnels = 0
        self._carried = 0
        self._carried_for: Counter[str] = Counter()
        """By subject's key."""
        self._spans: set[Span] = set()
        self._timed: dict[Span, None] = {}
        """Those whose time runs, in the order in which it ends: each has as much as any other."""
        self._deadline = Deadline(clock)
        self._resting: list[Deferred[None]] = []

    @property
    def tunnels(self) -> int:
        """How many are open."""
        return self._all_tunnels

    @property
    def carried(self) -> int:
        """How many exchanges are carried, but for those that wait for people."""
        return self._carried

    @property
    def at_hand(self) -> int:
        """How many exchanges there are, whatever they wait for."""
        return len(self._spans)

    # --- tunnels

    def open(self, subject: Subject) -> Refusal | None:
        """Count a tunnel, or say that there is no room for it."""
        if self._all_tunnels >= self._limits.connections:
            detail = "The gateway has as many connections as it can take at present."
            return self._busy("connections", detail)
        if self._tunnels[subject.key] >= self._limits.connections_per_agent:
            detail = "This agent has as many connections open as it may."
            return self._busy("connections_per_agent", detail)
        self._tunnels[subject.key] += 1
        self._all_tunnels += 1
        return None

    def close(self, subject: Subject) -> None:
        """A tunnel that was counted has ended."""
        self._all_tunnels -= 1
        self._tunnels[subject.key] -= 1
        if not self._tunnels[subject.key]:
            del self._tunnels[subject.key]

    # --- exchanges

    def exchange(self) -> Span:
        """One exchange, from its beginning to its end."""
        return Span(self, self._clock, self._limits.total)

    def begin(self, span: Span) -> None:
        """It is at hand from now on."""
        self._spans.add(span)
        self._timed[span] = None
        if len(self._timed) == 1:
            self._watch()

    def end(self, span: Span) -> None:
        """It is at hand no longer."""
        self.put_aside(span)
        self._spans.discard(span)
        if not self._spans:
            resting, self._resting = self._resting, []
            for each in resting:
                each.callback(None)

    def carry(self, span: Span) -> Refusal | None:
        """Count an exchange, once however often it asks, or say that there is no room for it."""
        if span.carried:
            return None
        if self._carried >= self._limits.exchanges:
            detail = "The gateway carries as many calls as it can at present."
            return self._busy("exchanges", detail)
        key = "" if span.subject is None else span.subject.key
        if self._carried_for[key] >= self._limits.exchanges_per_agent:
            detail = "This agent has as many calls out as it may."
            return self._busy("exchanges_per_agent", detail)
        span.carried, span.carried_for = True, key
        self._count(span, 1)
        return None

    def _count(self, span: Span, change: int) -> None:
        """Count it one more, or one less, if it counts at all."""
        if span.carried:
            self._carried += change
            self._carried_for[span.carried_for] += change
            if not self._carried_for[span.carried_for]:
                del self._carried_for[span.carried_for]

    def put_aside(self, span: Span) -> None:
        """It takes neither room nor time meanwhile."""
        self._count(span, -1)
        self._timed.pop(span, None)
        if not self._timed:
            self._deadline.clear()

    def take_up(self, span: Span) -> None:
        """It goes on, whether there is room or not: it was let in."""
        self._count(span, 1)
        timed = sorted([*self._timed, span], key=attrgetter("ends_at"))
        self._timed = dict.fromkeys(timed)
        self._watch()

    def _watch(self) -> None:
        """Look again when the first of them has taken all its time."""
        if self._timed:
            first = next(iter(self._timed))
            self._deadline.set(max(0.0, first.ends_at - self._clock.seconds()), self._look)

    def _look(self) -> None:
        now = self._clock.seconds()
        for span in [each for each in self._timed if each.ends_at <= now]:
            self._timed.pop(span, None)
            span.late()
        self._watch()

    def cut(self, why: str, whose: Callable[[Subject], bool] | None = None) -> int:
        """Cut short every exchange at hand, or those of some subjects; how many that are."""
        meant = [
            span
            for span in self._spans
            if whose is None or (span.subject is not None and whose(span.subject))
        ]
        for span in meant:
            span.cut(why)
        return len(meant)

    async def rest(self) -> None:
        """Wait until no exchange is at hand."""
        if self._spans:
            self._resting.append(Deferred())
            await self._resting[-1]

    def _busy(self, limit: str, detail: str) -> Refusal:
        self._tally.add(LIMITS_HIT, limit)
        now = self._clock.seconds()
        return Refusal(
            Denial.OVERLOADED,
            detail,
            advice="Nothing was sent. Send the call again in a few seconds.",
            pending=Pending("", "", now, now, again=AGAIN),
            manner="busy",
        )
