"""The memory that all responses together may take while they are decoded, looked at and held."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final, Protocol, Self

from jitgate.core.limits import LIMITS
from jitgate.core.tally import LIMITS_HIT, Tally
from jitgate.errors import MaskingFault
from jitgate.values import Denial, Pending, Refusal

FREE: Final = 64 * 1024
"""Bytes of one response that are not counted: most are no larger, and as many as may be under way
(`limits.exchanges`) have their bound in that."""

ONE: Final = 32 * 1024 * 1024
"""Bytes that one response may take at least, however many share the rest: a window of brotli, and
the longest event in the widest characters."""

OWNERS: Final = 4
"""Into how many shares the room is divided: nobody takes all of it from the others."""

NEEDED: Final = 1024 * 1024
"""Bytes that must be free for a call to be sent whose response will be looked at: else what has
been carried out could not be told."""

FULL_FOR: Final = 5.0
"""Seconds after which an agent may come again then."""


LIMIT: Final = "masking_bytes"
"""What the room is called among the limits, and where it is counted that there is none."""


class Holds(Protocol):
    """Whatever keeps something of a response."""

    @property
    def held(self) -> int:
        """Bytes of memory."""


class Holding:
    """What one response holds at present; it is none once this is left."""

    __slots__ = ("_counted", "_fixed", "_holders", "_owner", "_room")

    def __init__(self, room: MaskingRoom, owner: str, fixed: int) -> None:
        self._room, self._owner, self._fixed = room, owner, fixed
        self._holders: Sequence[Holds] = ()
        self._counted = 0

    def of(self, *holders: Holds) -> None:
        """It is held by these from now on."""
        self._holders = holders

    def count(self) -> None:
        """Count what they hold now. Raises `MaskingFault` where there is no room for that."""
        beyond = self._fixed - FREE
        for holder in self._holders:
            beyond += holder.held
        if beyond > 0 or self._counted:
            self._counted = self._room.changed(self._owner, self._counted, max(0, beyond))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._counted:
            self._counted = self._room.changed(self._owner, self._counted, 0)


class MaskingRoom:
    """Counts what all responses hold beyond `FREE` bytes each, and of whose they are.

    A response for which there is no room is withheld, and does not wait: each of those that wait
    would keep what it has, and all could wait for each other.
    """

    def __init__(self, total: int = LIMITS.masking_bytes, tally: Tally | None = None) -> None:
        self._tally = tally or Tally()
        self._room = max(ONE, total)
        self._share = max(ONE, total // OWNERS)
        self._owned: Counter[str] = Counter()

    def one(self, owner: str = "", fixed: int = 0) -> Holding:
        """For one response of this owner's, which takes so much whatever it is.

        Raises `MaskingFault` where there is no room for that.
        """
        holding = Holding(self, owner, fixed)
        holding.count()
        return holding

    def objection(self, owner: str, now: float) -> Refusal | None:
        """Why no call of this owner's is sent now whose response is to be looked at."""
        if self._free(owner) >= NEEDED:
            return None
        self._tally.add(LIMITS_HIT, LIMIT)
        return Refusal(
            Denial.OVERLOADED,
            "The gateway holds as much of responses as it can at present.",
            advice="Send the call again in a few seconds.",
            pending=Pending("", "", now, now, again=FULL_FOR),
            manner="slow-down",
        )

    def changed(self, owner: str, before: int, after: int) -> int:
        """Count ``after`` bytes in the place of ``before``. Raises `MaskingFault`."""
        more = after - before
        if more > 0 and more > self._free(owner):
            self._tally.add(LIMITS_HIT, LIMIT)
            raise MaskingFault("The gateway holds as much of responses as it can at present.")
        self._room -= more
        self._owned[owner] += more
        if not self._owned[owner]:
            del self._owned[owner]
        return after

    def _free(self, owner: str) -> int:
        return min(self._room, self._share - self._owned[owner])
