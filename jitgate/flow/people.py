"""Asks those who know it whether people are still active, at the moment when they answer.

What is late, fails, or answers nonsense does not tell: then the answer does not count, and the
request goes on waiting for one that does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from jitgate.core.answers import person
from jitgate.errors import PeopleUnknown, traced
from jitgate.interfaces import IPeople

LONGEST_DEADLINE = 10.0
"""Seconds that an answer may wait for it: a person waits at the other end."""


class ActivePeople:
    """Who is active, as all that know of it say."""

    _log = Logger()

    def __init__(self, sources: Sequence[IPeople], clock: IReactorTime) -> None:
        self._sources = sources
        self._clock = clock

    def adopt(self, sources: Sequence[IPeople]) -> None:
        """Ask these from now on."""
        self._sources = sources

    async def inactive(self, names: Iterable[str]) -> frozenset[str]:
        """Those of the people who are deactivated, as `person` spells them.

        All are asked at once. Raises `PeopleUnknown` where it cannot be told of one of them.
        """
        people = sorted({person(name) for name in names})
        asking = [(each, self._asked(source, each)) for each in people for source in self._sources]
        told = await DeferredList([active for _, active in asking], consumeErrors=True)
        gone = set()
        for (each, _), (answered, active) in zip(asking, told, strict=True):
            if not answered:
                raise PeopleUnknown(
                    f"Whether {each} is still active cannot be told at present, so this answer "
                    "does not count. The request waits as before: try again in a moment."
                )
            if active is False:
                gone.add(each)
        return frozenset(gone)

    def _asked(self, source: IPeople, name: str) -> Deferred[bool]:
        asking = Deferred.fromCoroutine(_told(source, name))
        asking.addTimeout(float(source.deadline), self._clock)
        return asking.addErrback(self._failed, source)

    def _failed(self, failure: Failure, source: IPeople) -> Any:
        fault = cast(BaseException, failure.value)
        self._log.error(
            "People {name!r} could not tell who is active: {how}",
            name=source.name,
            how=traced(fault),
        )
        return failure


async def _told(source: IPeople, name: str) -> bool:
    active = await source.is_active(name)
    if not isinstance(active, bool):
        raise PeopleUnknown("It answered neither True nor False.")
    return active


def is_span(seconds: object, most: float) -> bool:
    """Whether it is a number of seconds above 0, and not above ``most``."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return False
    return 0 < seconds <= most
