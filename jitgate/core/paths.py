"""Paths to values in JSON: the part of RFC 9535 that can be followed as a text streams.

There are names, indices from the start, wildcards and descendants: ``$.profile.ssn``,
``$['a b'][0]``, ``$.users[*].*``, ``$..password``. Filters, slices, lists of selectors and indices
from the end need what is yet to come, or all of it: they are refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

DEEPEST: Final = 100
"""Segments of a path: no JSON that is looked at has more containers within each other."""

REMEMBERED: Final = 4096
"""Moves that are kept; past it all are forgotten, so that memory is bounded."""

REMEMBERED_LENGTH: Final = 256
"""Characters of the longest name by which a move is kept."""

_SEGMENT = re.compile(
    r"""(?>(?P<deep>\.\.(?=[\[*\w])))?+(?:
        \.?(?P<star>\*)
      | \.?(?P<name>[A-Za-z_\u0080-\U0010ffff][\w\u0080-\U0010ffff]*+)
      | \[[ \t\n\r]*+(?:
            (?P<any>\*)
          | (?P<index>0|[1-9][0-9]{0,8}+)
          | (?P<double>"(?>[^"\\\x00-\x1f]|\\.)*+")
          | (?P<single>'(?>[^'\\\x00-\x1f]|\\.)*+')
        )[ \t\n\r]*+\]
    )""",
    re.VERBOSE,
)

Selector = str | int | None
"""A member's name, an element's index, or any of both."""


class Segment(NamedTuple):
    """One step of a path; ``deep``: to what is selected however far below."""

    selector: Selector
    deep: bool = False


@dataclass(frozen=True, slots=True)
class Path:
    """A path that was written as ``text``."""

    text: str
    segments: tuple[Segment, ...]


def parsed(text: str) -> Path:
    """The path that a text is. Raises `ValueError`, which says where it is none, or none of ours.

    White space may stand only where RFC 9535 has it inside of brackets.
    """
    if not text.startswith("$"):
        raise ValueError(f"the path {text!r} does not begin with $, the root")
    segments, at = list[Segment](), 1
    while at < len(text):
        found = _SEGMENT.match(text, at)
        if found is None or not _is_begun(text, at, found):
            raise ValueError(
                f"the path {text!r} cannot be read from character {at + 1} on: a segment is .name, "
                "['name'], [0], .*, [*], or one of these behind .. (no filters, slices or lists)"
            )
        segments.append(Segment(_selector(found), deep=found["deep"] is not None))
        at = found.end()
    if not segments:
        raise ValueError(f"the path {text!r} is the whole of every response: name what it is of")
    if len(segments) > DEEPEST:
        raise ValueError(f"the path {text[:20]!r}... has more than {DEEPEST} segments")
    return Path(text, tuple(segments))


def _is_begun(text: str, at: int, found: re.Match[str]) -> bool:
    """Whether a name or a star stands behind a dot, or two; a bracket behind none, or two."""
    if found["deep"] is not None:
        return text[at + 2] != "."
    bare = found["star"] is not None or found["name"] is not None
    return text[at] == ("." if bare else "[")


def _selector(found: re.Match[str]) -> Selector:
    if found["name"] is not None:
        return found["name"]
    if found["index"] is not None:
        return int(found["index"])
    quoted = found["double"] or found["single"]
    if quoted is None:
        return None
    if quoted[0] == "'":
        inside = quoted[1:-1].replace("\\'", "'")
        quoted = '"' + re.sub(r'(?<!\\)((?:\\\\)*)"', r'\1\\"', inside) + '"'
    try:
        name: str = json.loads(quoted)
    except ValueError:
        raise ValueError(f"{quoted} in a path has an escape that is none") from None
    return name


State = frozenset[tuple[int, int]]
"""Which paths lead on from a value, each with how many of its segments lead there."""


class Move(NamedTuple):
    """What a member or an element is to the paths."""

    state: State
    """From where paths lead on, below it."""
    hit: int | None
    """The first path that leads to it, by its number."""


class Follower:
    """Follows several paths at once through a text, from each value to those below it."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = tuple(paths)
        self.start: State = frozenset((number, 0) for number in range(len(self.paths)))
        self._known: dict[tuple[State, str | int], Move] = {}

    def below(self, state: State, key: str | int) -> Move:
        """The member of that name, or the element of that index, of a value."""
        if not state:
            return _NOWHERE
        move = self._known.get((state, key))
        if move is None:
            move = self._moved(state, key)
            if isinstance(key, int) or len(key) <= REMEMBERED_LENGTH:
                if len(self._known) >= REMEMBERED:
                    self._known.clear()
                self._known[state, key] = move
        return move

    def _moved(self, state: State, key: str | int) -> Move:
        after, hits = set[tuple[int, int]](), list[int]()
        for number, at in state:
            segments = self.paths[number].segments
            segment = segments[at]
            if segment.deep:
                after.add((number, at))
            if segment.selector is None or _same(segment.selector, key):
                if at + 1 == len(segments):
                    hits.append(number)
                else:
                    after.add((number, at + 1))
        return Move(frozenset(after), min(hits, default=None))


_NOWHERE: Final = Move(frozenset(), None)


def _same(selector: str | int, key: str | int) -> bool:
    return type(selector) is type(key) and selector == key
