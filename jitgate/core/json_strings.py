"""What a text in JSON is shown as: one that is looked at, and one that is JSON again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from jitgate.core import json_grammar as grammar
from jitgate.core.hiding import Hand
from jitgate.core.json_tokens import written
from jitgate.core.masking import Asked, Maskers, Shown
from jitgate.core.parts import Part, composed, replaced
from jitgate.core.pausing import paused
from jitgate.errors import MaskingFault, NotJson

NESTED: Final = 8
"""Texts within each other that are JSON again: whoever writes them doubles their escapes each
time."""

_BEGINS: Final = frozenset('{["')

Place = str | Callable[[], str]
"""Where a text stands, or what tells that."""

Inside = Callable[[Asked, Hand, Place, int, str], list[Part]]
"""What is hidden in a text that is JSON: whose maskers are asked, who shows it, where the text
stands, in how many others, and the text. Raises `NotJson`, `MaskingFault`."""


def joined(place: Place, more: str) -> Place:
    """Where something stands in what stands there."""
    return f"{place}{more}" if isinstance(place, str) else lambda: f"{place()}{more}"


class Strings:
    """Shows texts; ``depth`` is in how many others of them this JSON is already."""

    def __init__(self, maskers: Maskers, depth: int, inside: Inside) -> None:
        self._maskers = maskers
        self._depth = depth
        self._inside = inside

    def parts(self, field: str, token: str, path: Place, *, looked: bool) -> Sequence[Part]:
        """What is shown instead of what of the token of a text; nothing if it stays as it is.

        ``looked``: by the maskers that look at values as well, once what is hidden in it as JSON
        is. Raises `MaskingFault`.
        """
        value = grammar.decoded(token)
        parts = self._nested(value, path)
        after = replaced(value, parts) if parts else value
        shown = self._seen(field, after, path) if looked else None
        if shown is None:
            return written(token, parts)
        if shown.parts:
            return written(token, composed(value, parts, shown.parts))
        instead = "null" if shown.dropped else grammar.encoded(shown.text)
        return [Part(0, len(token), instead, "")]

    def _seen(self, field: str, value: str, path: Place) -> Shown | None:
        shown = self._maskers.shown(field, value, str)
        if shown is None:
            return None
        for number, rule in enumerate(paused(shown.rules)):
            part = shown.parts[number] if shown.parts else None
            hidden = value if part is None else value[part.begin : part.end]
            self._maskers.hand.hid(rule, path, hidden.encode("utf-8", "surrogatepass"))
        return shown

    def _nested(self, value: str, path: Place) -> Sequence[Part]:
        if value.lstrip(grammar.SPACES)[:1] not in _BEGINS:
            return ()
        if self._depth == NESTED:
            raise MaskingFault(f"more than {NESTED} texts within each other that are JSON")
        hand = self._maskers.hand.beside()
        under = joined(path, ":") if hand.notes else ""
        try:
            parts: Sequence[Part] = self._inside(
                self._maskers.asked, hand, under, self._depth + 1, value
            )
        except NotJson:
            return ()
        self._maskers.hand.take(hand)
        return parts
