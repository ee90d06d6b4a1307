"""A group that is kept elsewhere: asked of at the moment, and remembered as it was told last."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from jitgate.core.answers import is_person, person
from jitgate.errors import PeopleUnknown, traced
from jitgate.interfaces import IGroups

MEMBERS = 10_000
"""Members of a group, at most: at 100 bytes each they take a megabyte, and a group of people who
approve has tens. With more nothing is told of it: who is cut off could be the one who denies."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A group that a source knows."""

    source: IGroups
    group: str
    """What it is called there."""
    which: str = ""
    """Which source that is, and all that its answers depend on: another one is asked anew."""

    def is_same(self, other: Elsewhere) -> bool:
        """Whether what was told of one holds for the other."""
        return (self.source.name, self.which, self.group) == (
            other.source.name,
            other.which,
            other.group,
        )


class KeptGroup:
    """A group that is kept elsewhere. Its source answers one question about it at a time.

    Whoever asks shares an answer with others only if its question was put after all of them asked.
    """

    _log = Logger()

    def __init__(self, name: str, place: Elsewhere, clock: IReactorTime) -> None:
        self.place = place
        self.told: frozenset[str] | None = None
        """Who was in it when that was told last."""
        self._name = name
        self._clock = clock
        self._waiting: list[Deferred[frozenset[str]]] = []
        self._question: Deferred[frozenset[str]] | None = None
        self._fails = False

    def now(self) -> Deferred[frozenset[str]]:
        """Who is in it, asked from now on, within the source's deadline."""
        waiting: Deferred[frozenset[str]] = Deferred(self._left)
        waiting.addTimeout(float(self.place.source.deadline), self._clock)
        self._waiting.append(waiting)
        if self._question is None:
            self._ask()
        return waiting

    def stop(self) -> None:
        """Tell nobody anything any more."""
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.cancel()
        if self._question is not None:
            self._question.cancel()

    def _left(self, waiting: Deferred[frozenset[str]]) -> None:
        """Somebody waits no longer."""
        if waiting in self._waiting:
            self._waiting.remove(waiting)

    def _ask(self) -> None:
        whose, self._waiting = self._waiting, []
        answer = Deferred.fromCoroutine(_members(self.place))
        # Given up in time though a source does not heed that: it is heard no more.
        question: Deferred[frozenset[str]] = Deferred(lambda _: answer.cancel())
        self._question = question
        question.addTimeout(float(self.place.source.deadline), self._clock, _late)
        question.addCallbacks(self._answered, self._failed)
        question.addBoth(self._passed_on, whose)
        answer.addBoth(_heard, question)

    def _answered(self, members: frozenset[str]) -> frozenset[str]:
        self.told = members
        if self._fails:
            self._log.info("{group}: its members are known again", group=self._name)
        self._fails = False
        return members

    def _failed(self, failure: Failure) -> Failure:
        if failure.check(CancelledError):
            return failure  # nobody wants to know any more
        if not self._fails:  # it is said once: it is asked every minute
            how = traced(cast(BaseException, failure.value))
            self._log.error("Who is in {group} cannot be told: {how}", group=self._name, how=how)
        self._fails = True
        return failure

    def _passed_on(self, result: Any, whose: list[Deferred[frozenset[str]]]) -> None:
        """Tell those who asked, and ask again for whoever came since."""
        self._question = None
        if self._waiting:
            self._ask()
        for each in whose:
            if not each.called:
                each.callback(result)


def _heard(told: Any, question: Deferred[Any]) -> None:
    if not question.called:
        question.callback(told)


def _late(_: object, seconds: float) -> NoReturn:
    raise PeopleUnknown(f"It did not answer within {seconds:g} s.")


async def _members(place: Elsewhere) -> frozenset[str]:
    """What the source tells, if that is an answer; who is no person is left out."""
    members: object = await place.source.members(place.group)
    if isinstance(members, str | bytes | Mapping) or not isinstance(members, Collection):
        raise PeopleUnknown("It answered no list of members.")
    if len(members) > MEMBERS:
        raise PeopleUnknown(f"There are more than {MEMBERS} members.")
    if not all(isinstance(each, str) for each in members):
        raise PeopleUnknown("It answered a member that is no text.")
    return frozenset(filter(is_person, map(person, members)))
