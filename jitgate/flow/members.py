"""Knows who is in which group: the configuration lists some, and sources are asked of the others.

Whose answer counts goes by what a source says at that moment. What it has said last is kept to show
who could answer, and asked again every minute; no answer counts by it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping

from twisted.internet.defer import DeferredList, DeferredLock
from twisted.internet.interfaces import IReactorTime

from jitgate.core.answers import People, person
from jitgate.errors import PeopleUnknown
from jitgate.flow.deadlines import Deadlines
from jitgate.flow.elsewhere import Elsewhere, KeptGroup

EVERY = 60.0
"""Seconds until a source is asked again what is shown: who left is shown so within two minutes."""

SPREAD = 0.2
"""By how much of that it differs, so that many groups, or gateways, do not ask all at once."""

Groups = Mapping[str, frozenset[str] | Elsewhere]
"""By the names that policy uses: who is in a group, as `person` spells them, or who knows it."""


class Members:
    """Who is in each group. A part of the service, which asks while it runs."""

    def __init__(
        self, groups: Groups, clock: IReactorTime, chance: Callable[[], float] = random.random
    ) -> None:
        self._clock = clock
        self._chance = chance
        self._runs = False
        self._listed: People = {}
        self._kept: dict[str, KeptGroup] = {}
        self._due = Deadlines(clock, self._refreshed)
        self._turns: dict[str, DeferredLock] = {}
        """By the name of a source: in the background it is asked of one group at a time."""
        self.adopt(groups)

    # --- what is asked at the moment of an answer

    async def now(self, names: Iterable[str]) -> People:
        """Who is in these groups: each that is kept elsewhere is asked of, all at once.

        Raises `PeopleUnknown` where it cannot be told of one of them.
        """
        asked = {name: self._kept[name] for name in names if name in self._kept}
        told = await DeferredList([each.now() for each in asked.values()], consumeErrors=True)
        people = dict(self._listed)
        for (name, kept), (is_told, members) in zip(asked.items(), told, strict=True):
            if not is_told or self._kept.get(name) is not kept:  # or it is another group since
                raise PeopleUnknown(
                    f"Who is in {name} cannot be told at present, so this answer does not count. "
                    "The request waits as before: try again in a moment."
                )
            people[name] = members
        return people

    def at_best(self, someone: Iterable[str]) -> People:
        """As if these were in every group that is kept elsewhere: whoever fails then fails."""
        supposed = frozenset(map(person, someone))
        return {**self._listed, **dict.fromkeys(self._kept, supposed)}

    # --- what is shown meanwhile

    @property
    def shown(self) -> People:
        """Who is in each group, as far as it was told; no answer counts by it."""
        told = {name: kept.told for name, kept in self._kept.items()}
        return {**self._listed, **{name: each for name, each in told.items() if each is not None}}

    def unknown(self, names: Iterable[str]) -> list[str]:
        """Those groups of which nothing was told yet."""
        return [name for name in names if name in self._kept and self._kept[name].told is None]

    # --- the configuration, and the service

    def adopt(self, groups: Groups) -> None:
        """Go by these from now on. What was told of a group that is the same one stays."""
        self._listed = {name: each for name, each in groups.items() if isinstance(each, frozenset)}
        before, self._kept = self._kept, {}
        for name, each in groups.items():
            if isinstance(each, Elsewhere):
                kept = before.get(name)
                if kept is None or not kept.place.is_same(each):
                    kept = KeptGroup(name, each, self._clock)
                kept.place = each
                self._kept[name] = kept
        for name, kept in before.items():
            if self._kept.get(name) is not kept:
                kept.stop()
                self._due.forget(name)
        self._ask_soon([name for name, kept in self._kept.items() if before.get(name) is not kept])

    async def start(self) -> None:
        """Ask of every group, and again; nobody waits for that."""
        self._runs = True
        self._ask_soon(self._kept)

    async def stop(self) -> None:
        """Ask nothing any more."""
        self._runs = False
        self._due.stop()
        for kept in self._kept.values():
            kept.stop()

    def _ask_soon(self, names: Iterable[str]) -> None:
        for name in names if self._runs else ():
            self._due.set(name, self._clock.seconds())

    async def _refreshed(self, name: str) -> None:
        kept = self._kept.get(name)
        if kept is None:
            return
        turn = self._turns.setdefault(kept.place.source.name, DeferredLock())
        async with turn:
            if self._runs and self._kept.get(name) is kept:
                await DeferredList([kept.now()], consumeErrors=True)
        if self._runs and self._kept.get(name) is kept:
            spread = 1 + SPREAD * (self._chance() - 0.5)
            self._due.set(name, self._clock.seconds() + EVERY * spread)
