"""Gathers what is known from outside before policy is asked: all at once, each within its deadline.

What is late, fails, or answers nonsense is not known, and no rule that looks at it can permit.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple, cast

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from jitgate.core.facts import Known, frozen
from jitgate.errors import traced
from jitgate.interfaces import IFacts
from jitgate.values import Operation, Subject

LONGEST_DEADLINE = 10.0
"""Seconds that a source may let a call wait: clients give up after some 30, and people are to come
on top."""

OLDEST = 3600.0
"""Seconds for which a source may let its answers count: what changes slower is configuration."""

KEPT = 1024
"""Answers that are kept of each source; past it the one that was asked for the longest ago goes."""

TOLD_EVERY = 60.0
"""Seconds between two lines in the log about one source that fails."""


class Told(NamedTuple):
    """An answer that counts, and when its gathering began."""

    facts: Mapping[str, object]
    since: float


Answer = Told | str
"""What a source told, or why that is not known."""


class Knowledge:
    """What the sources know, by their names. Asks each of them no more than it must."""

    def __init__(self, sources: Iterable[IFacts], clock: IReactorTime) -> None:
        self._sources = {each.name: _Source(each, clock) for each in sources}

    async def gathered(self, names: Iterable[str], operation: Operation, subject: Subject) -> Known:
        """What is known of a call by those names; it takes as long as the slowest may.

        Cancelled, it leaves what others wait for as it is. It raises nothing else.
        """
        asked = {name: self._asked(name, operation, subject) for name in sorted(names)}
        try:
            told = {name: await answer for name, answer in asked.items()}
        except CancelledError:
            _leave(asked.values())
            raise
        known = {name: each for name, each in told.items() if isinstance(each, Told)}
        return Known(
            MappingProxyType({name: each.facts for name, each in known.items()}),
            {name: each.since for name, each in known.items()},
            {name: each for name, each in told.items() if isinstance(each, str)},
        )

    def _asked(self, name: str, operation: Operation, subject: Subject) -> Deferred[Answer]:
        source = self._sources.get(name)
        return succeed("unknown") if source is None else source.asked(operation, subject)


def _leave(waits: Iterable[Deferred[Answer]]) -> None:
    """Wait for none of them any more."""
    for each in waits:
        if not each.called:
            each.addErrback(lambda _: "left")
            each.cancel()


class _Source:
    """One source, what it told that still counts, and what it is being asked."""

    _log = Logger()

    def __init__(self, source: IFacts, clock: IReactorTime) -> None:
        self._source = source
        self._clock = clock
        self._deadline = float(source.deadline)
        self._max_age = float(source.max_age)
        self._kept: OrderedDict[Hashable, Told] = OrderedDict()
        self._asking: dict[Hashable, _Gathering] = {}
        self._logged_at = -TOLD_EVERY
        self._not_logged = 0

    def asked(self, operation: Operation, subject: Subject) -> Deferred[Answer]:
        """What it tells of a call: kept, or being gathered, or from a gathering that begins."""
        try:
            key = self._source.key(operation, subject)
            kept, asking = self._kept.get(key), self._asking.get(key)
        except Exception as fault:  # noqa: BLE001 (whatever it is, nothing is known)
            self.failed(fault)
            return succeed("failed")
        if kept is not None and self._counts(kept.since):
            self._kept.move_to_end(key)
            return succeed(kept)
        if asking is None or not self._counts(asking.since):
            asking = self._asking[key] = _Gathering(self, key, self._clock.seconds())
            asking.begin(self._clock, self._deadline, operation, subject)
        return asking.waited()

    def _counts(self, since: float) -> bool:
        """Whether what was gathered since then is young enough; of age 0 nothing is shared."""
        return 0 <= self._clock.seconds() - since < self._max_age

    async def gather(self, operation: Operation, subject: Subject) -> Mapping[str, object]:
        """Ask it. Raises whatever it raises, and `FactsUnknown` for what is no answer."""
        return frozen(await self._source.gather(operation, subject))

    def settled(self, gathering: _Gathering, answer: Told | None) -> None:
        """A gathering is over."""
        if self._asking.get(gathering.key) is gathering:
            del self._asking[gathering.key]
        if answer is None or not self._counts(answer.since):
            return
        self._kept[gathering.key] = answer
        self._kept.move_to_end(gathering.key)
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)

    def late(self) -> None:
        """It took longer than its deadline."""
        self._say(f"it told nothing within {self._deadline:g} s")

    def failed(self, fault: BaseException) -> None:
        """It raised, or told what is no answer."""
        self._say(f"it failed: {traced(fault)}")

    def _say(self, what: str) -> None:
        """Log it, but not each time: calls come by the thousand."""
        now = self._clock.seconds()
        if 0 <= now - self._logged_at < TOLD_EVERY:
            self._not_logged += 1
            return
        self._log.error(
            "Facts {name!r} are not known, and rules that look at them permit nothing: {what} "
            "(and {more} times since this was last said)",
            name=self._source.name,
            what=what,
            more=self._not_logged,
        )
        self._logged_at, self._not_logged = now, 0


class _Gathering:
    """One question to a source, and all who wait for the answer."""

    def __init__(self, source: _Source, key: Hashable, since: float) -> None:
        self._source = source
        self.key = key
        self.since = since
        self._waiting: list[Deferred[Answer]] = []
        self._answer: Answer | None = None
        self._timer: IDelayedCall | None = None
        self._work: Deferred[Mapping[str, object]] | None = None

    def begin(
        self, clock: IReactorTime, deadline: float, operation: Operation, subject: Subject
    ) -> None:
        """Ask; the answer may be there at once."""
        self._timer = clock.callLater(deadline, self._late)
        self._work = Deferred.fromCoroutine(self._source.gather(operation, subject))
        self._work.addCallbacks(self._told, self._failed)

    def waited(self) -> Deferred[Answer]:
        """Fires with the answer. To cancel it is to leave; the last who leaves ends it."""
        if self._answer is not None:
            return succeed(self._answer)
        waiting: Deferred[Answer] = Deferred(self._left)
        self._waiting.append(waiting)
        return waiting

    def _left(self, waiting: Deferred[Answer]) -> None:
        self._waiting.remove(waiting)
        if not self._waiting:
            self._end("left")

    def _told(self, facts: Mapping[str, object]) -> None:
        if self._answer is None:
            self._end(Told(facts, self.since))

    def _failed(self, failure: Failure) -> None:
        if self._answer is None:
            self._source.failed(cast(BaseException, failure.value))
            self._end("failed")

    def _late(self) -> None:
        self._source.late()
        self._end("late")

    def _end(self, answer: Answer) -> None:
        """Tell all who wait; whoever is asked is told to stop, and is not listened to any more."""
        self._answer = answer
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._source.settled(self, answer if isinstance(answer, Told) else None)
        self._stop()
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(answer)

    def _stop(self) -> None:
        """Stop asking, where the answer has not come."""
        if self._work is None or self._work.called:
            return
        try:
            self._work.cancel()
        except Exception as fault:  # noqa: BLE001 (whoever waits is told all the same)
            self._source.failed(fault)


def stated_wrongly(source: IFacts) -> str | None:
    """What is wrong with how a source states itself, if anything is."""
    if not _is_within(source.deadline, LONGEST_DEADLINE) or source.deadline == 0:
        return f"its deadline must be seconds above 0, and {LONGEST_DEADLINE:g} at most"
    if not _is_within(source.max_age, OLDEST):
        return f"its max_age must be seconds, 0 to {OLDEST:g}"
    return None


def _is_within(seconds: object, most: float) -> bool:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return False
    return 0 <= seconds <= most
