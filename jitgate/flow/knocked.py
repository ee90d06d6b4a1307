"""Puts on record the CONNECTs that are refused: anybody can send them, as fast as they like.

One with a bad token gets a tunnel, in which every request is refused; that is no less in number.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from jitgate.flow.recorder import Recorder
from jitgate.flow.refusals import Refusals

EACH: Final = 60
"""A minute of one address with an entry each: an agent that lacks a token tries far less often."""


class Knocked:
    """Each of one address up to a bound; beyond that how many they were."""

    def __init__(self, recorder: Recorder, clock: IReactorTime) -> None:
        self._refusals = Refusals(recorder, clock, "refused", _whose, each=EACH)

    def note(self, kind: str, fields: Mapping[str, object]) -> None:
        """Nobody waits for it: nothing passes, and a flood of them would have connections wait."""
        host, _, _ = str(fields["peer"]).rpartition(":")
        Deferred.fromCoroutine(self._refusals.note(host, fields, kind))

    async def stop(self) -> None:
        """Put on record what was only counted."""
        await self._refusals.stop()


def _whose(host: Hashable) -> Mapping[str, object]:
    return {"peer": host, "authority": None, "id": None, "denial": None}
