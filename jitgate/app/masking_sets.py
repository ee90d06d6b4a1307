"""Has ready what looks for what is hidden, for all that a configuration can ask of it.

To make that of one set of maskers takes 20 ms, and there is a set for each profile with each set of
fields that a catalog marks: Okta's has 30. So it is not left to the first response that needs it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from twisted.internet.defer import DeferredLock
from twisted.internet.threads import deferToThreadPool

from jitgate.core import masking
from jitgate.core.hiding import Hand
from jitgate.core.json_body import StreamedJson
from jitgate.core.profiles import (
    CATALOG,
    SENSITIVE,
    SENSITIVE_IN_QUERIES,
    MaskingProfile,
    maskers_for,
    maskers_of_request,
)
from jitgate.flow.admission import Target
from jitgate.interfaces import IMasker
from jitgate.values import Decision, Effect, Obligation, Operation

Maskers = tuple[IMasker, ...]

KNOWN = 128
"""Sets of which it is known that they are ready: of each four things are remembered, so those of
more would be forgotten (`jitgate.core.masking.REMEMBERED_SETS`)."""

MOST = 512
"""Sets that are made ready; what few of them are asked for would take others' room."""


def sets_of(
    targets: Mapping[str, Target], profiles: Mapping[str, MaskingProfile]
) -> Sequence[Maskers]:
    """The maskers of each profile with each set of fields that is marked, each set once.

    Responses to which several profiles apply have others, which `Sets` makes when they are needed.
    """
    marked = {
        sample.secrets
        for authority, target in targets.items()
        for sample in target.catalog.samples(authority)
    }
    every = {frozenset[str](), *marked}
    operations = [
        Operation("", "", {}, "GET", "", "/", secrets=each) for each in sorted(every, key=sorted)
    ]
    decisions = [
        Decision(Effect.PERMIT, "", "", "", (Obligation("mask", name),))
        for name in (CATALOG, *profiles)
    ]
    found = dict.fromkeys(
        of(operation, decision, profiles)
        for of in (maskers_for, maskers_of_request)
        for decision in decisions
        for operation in operations
    )
    return [each for each in found if each][:MOST]


def make_ready(sets: Iterable[Maskers]) -> None:
    """Make what looks for what these hide, in responses and in requests for the record.

    Where too much is to be looked for at once, that is the fault of each response that needs it.
    """
    for each in sets:
        with suppress(ValueError):
            StreamedJson(each, Hand())
            masking.Maskers(each, Hand())
            masking.Maskers((SENSITIVE, *each), Hand(openly=True))
            masking.Maskers((SENSITIVE_IN_QUERIES, *each), Hand(openly=True))


class Prepared:
    """A part of the service: it serves once all that is looked for has been made."""

    def __init__(self, sets: Sequence[Maskers], reactor: Any) -> None:
        self._sets = sets
        self._reactor = reactor

    async def start(self) -> None:
        """Make it, in a thread."""
        await in_thread(self._sets, self._reactor)

    async def stop(self) -> None:
        """There is nothing to end."""


class Sets:
    """Makes ready what is asked for beyond those: profiles of several rules, together.

    That can take seconds, and no call goes on that needs it before it is there. One is made at a
    time: others have the threads.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._known: OrderedDict[Maskers, None] = OrderedDict()
        self._turn = DeferredLock()

    async def ready(self, maskers: Maskers) -> None:
        """Return once what looks for what these hide has been made."""
        if not maskers:
            return
        if maskers not in self._known:
            async with self._turn:
                if maskers not in self._known:
                    await in_thread([maskers], self._reactor)
                self._known[maskers] = None
                if len(self._known) > KNOWN:
                    self._known.popitem(last=False)
        self._known.move_to_end(maskers)


async def in_thread(sets: Sequence[Maskers], reactor: Any) -> None:
    """Make it while others have their turns: it is another language's code that takes so long."""
    if sets:
        await deferToThreadPool(reactor, reactor.getThreadPool(), make_ready, sets)
