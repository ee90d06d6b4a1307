"""Parts of a text that are shown as something else, and what two looks at it come to."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from jitgate.core.pausing import paused


class Part(NamedTuple):
    """A part of a text that a masker hides: what is shown instead, and by what rule."""

    begin: int
    end: int
    instead: str
    rule: str


def replaced(text: str, parts: Sequence[Part]) -> str:
    """The text with each of the parts, which stand in order, in its place."""
    if not parts:
        return text
    pieces, at = list[str](), 0
    for part in paused(parts):
        pieces += text[at : part.begin], part.instead
        at = part.end
    return "".join([*pieces, text[at:]])


def composed(text: str, first: Sequence[Part], second: Sequence[Part]) -> Sequence[Part]:
    """What is replaced in a text first, and then in what that has become, as parts of the text.

    Parts that overlap are one. A digest that was put there first is nothing that has to be hidden.
    """
    if not first or not second:
        return first or second
    after, found, longer = replaced(text, first), list[Part](), 0
    digests = [_DIGEST.fullmatch(part.instead) is not None for part in first]
    for begin, end, grown, inside in _runs(_shown(first), digests, second):
        pieces = [Part(each.begin - begin, each.end - begin, each.instead, "") for each in inside]
        instead = replaced(after[begin:end], pieces)
        found.append(Part(begin - longer, end - longer - grown, instead, ""))
        longer += grown
    return found


_Run = tuple[int, int, int, list[Part]]
"""From where to where, by how much longer that is than it was, and what is replaced in it then."""


def _shown(first: Sequence[Part]) -> list[_Run]:
    """The parts as they are in what they made of the text."""
    places, longer = list[_Run](), 0
    for part in paused(first):
        grown = len(part.instead) - (part.end - part.begin)
        begin = part.begin + longer
        places.append((begin, begin + len(part.instead), grown, []))
        longer += grown
    return places


_DIGEST = re.compile(r'"?hmac:[0-9a-f]{1,32}"?')
"""All else that is shown instead may hold some of what stood there, and is looked at once more."""


def _runs(first: list[_Run], digests: Sequence[bool], second: Sequence[Part]) -> Iterator[_Run]:
    """What overlaps of the two, but for what of the second is all within a digest of the first."""
    begins = [place[0] for place in first]
    places = [*first]
    for part in paused(second):
        number = bisect_right(begins, part.begin) - 1
        if number < 0 or part.end > first[number][1] or not digests[number]:
            places.append((part.begin, part.end, 0, [part]))
    begin, end, grown, inside = -1, -1, 0, list[Part]()
    for place in paused(sorted(places, key=lambda each: each[:2])):
        if place[0] < end:
            end, grown = max(end, place[1]), grown + place[2]
            inside += place[3]
            continue
        if end >= 0:
            yield begin, end, grown, inside
        begin, end, grown, inside = place[0], place[1], place[2], [*place[3]]
    yield begin, end, grown, inside
