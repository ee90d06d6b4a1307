"""What is remembered of a card beside where it stands: the document of its `Post`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import Final, Self

CLAIM: Final = 120.0
"""Seconds that whoever sends something has for it: the longest that its calls take together."""

FIRST_PAUSE: Final = 60.0
"""Seconds before it is tried again where Slack refused; each time twice as long."""

LONGEST_PAUSE: Final = 3600.0
"""Seconds of the longest such pause."""


@dataclass(frozen=True, slots=True)
class Noted:
    """How far a card and its thread are, and who sees to more of it."""

    holder: str = ""
    """Whose turn it is to send; stands on where nobody knows what came of what was sent."""
    until: float = 0.0
    """Until when the holder alone may send; where there is none, nobody."""
    began: float = 0.0
    """When the first thing was sent of which nobody knows what came, if there is a holder."""
    version: str = ""
    """Of the card that is shown; "": that is not known."""
    digest: str = ""
    """Of all that the card shows; "": not known."""
    since: float = 0.0
    """When Slack had taken that version, in seconds since the epoch."""
    names: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """What resources were found to be called."""
    lines: tuple[str, ...] = ()
    """The keys of the lines that stand in the thread."""
    answers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Of those that tell of an answer: whose it is."""
    trying: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """The keys of the lines that were being sent, and of those that tell of an answer whose it is:
    whether they stand in the thread is not known."""
    tries: int = 0
    """How often in a row Slack has refused."""
    word: str = ""
    """Why, the last time."""
    moved: int = 0
    """How often it was posted anew because the one before was gone."""

    @property
    def text(self) -> str:
        """As it is kept: JSON, in ASCII."""
        told = asdict(replace(self, names={}, answers={}, trying={}))
        told |= {"names": dict(self.names), "answers": dict(self.answers)}
        told |= {"trying": dict(self.trying)}
        return json.dumps(told, separators=(",", ":"))

    @classmethod
    def read(cls, text: str) -> Self:
        """From its text; of one that a version before or after this one wrote, what is known."""
        told = json.loads(text) if text else {}
        known = {name: value for name, value in told.items() if name in cls.__slots__}
        return cls(**(known | {"lines": tuple(known.get("lines", ()))}))

    def waits(self, me: str, now: float) -> bool:
        """Whether ``me``, a gateway's run (``gateway/run``), may not send anything now.

        A claim of an earlier run of the same gateway is nobody's: that one has ended.
        """
        mine = self.holder.partition("/")[0] == me.partition("/")[0]
        if self.holder and mine:
            return False
        return now < self.until

    def claimed(self, me: str, now: float) -> Self:
        """With ``me`` to send something."""
        began = self.began if self.holder else now
        return replace(self, holder=me, until=now + CLAIM, began=began)

    def released(self) -> Self:
        """With nobody to send anything; what came of all that was sent is known."""
        return replace(self, holder="", until=0.0, trying={})

    def said(self, keys: Iterable[str]) -> Self:
        """With those lines standing in the thread."""
        new = [key for key in self.trying if key in keys]
        answers = {key: self.trying[key] for key in new if self.trying[key]}
        return replace(
            self, lines=(*self.lines, *new), answers={**self.answers, **answers}, trying={}
        )

    def refused(self, word: str, now: float) -> Self:
        """With nothing sent, because Slack refused it: tried again later."""
        pause = min(FIRST_PAUSE * 2.0 ** min(self.tries, 16), LONGEST_PAUSE)
        refused = replace(self.released(), tries=self.tries + 1, word=word)
        return replace(refused, until=now + pause)
