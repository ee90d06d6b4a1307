"""What a plugin's masker states that it hides: taken once, and checked as it was taken."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple, TypeVar

from jitgate.core.json_search import Search
from jitgate.core.paths import Path
from jitgate.errors import PluginInvalid
from jitgate.interfaces import IStatedMasker
from jitgate.values import How

_Kind = TypeVar("_Kind")

_TOKEN: Final = re.compile(
    rb"\\Q.*?(?:\\E|\Z)|\\.|\[\^?+\]?+(?>\[:\^?+[a-z]++:\]|\\.|[^\]\\])*+\]|.", re.DOTALL
)
"""Of an RE2 expression: a quotation, an escape, a class, or any other character."""

_ANCHORS: Final = frozenset({b"^", b"$", rb"\A", rb"\z", rb"\b", rb"\B"})
"""What fits by what stands around it, which is another thing in a body than in a value."""


class Statement(NamedTuple):
    """What a masker states. Whatever it was, iterators too, it stays so."""

    how: How
    names: tuple[str, ...]
    paths: tuple[Path, ...]
    signs: tuple[bytes, ...]


def statement_of(masker: IStatedMasker) -> Statement:
    """What it states. Raises `PluginInvalid` for what cannot be looked for beforehand."""
    try:
        names, paths, signs = map(_listed, (masker.names, masker.paths, masker.signs))
        stated = Statement(
            _all([masker.how], How)[0], _all(names, str), _all(paths, Path), _all(signs, bytes)
        )
    except TypeError:
        why = f"masker {masker.name}: what it states has other types than it is to"
        raise PluginInvalid(why) from None
    try:
        Search([(0, sign) for sign in stated.signs])
    except ValueError as error:
        raise PluginInvalid(f"masker {masker.name}: one of its signs is none: {error}") from None
    for sign in stated.signs:
        anchors = _ANCHORS.intersection(_TOKEN.findall(sign))
        if anchors:
            what = b", ".join(sorted(anchors)).decode()
            why = f"its sign {sign!r} has an anchor ({what}), which fits otherwise within a body"
            raise PluginInvalid(f"masker {masker.name}: {why}")
    return stated


def _listed(stated: Iterable[object]) -> list[object]:
    """All that is stated: a text is no list of its characters. Raises `TypeError`."""
    if isinstance(stated, str | bytes | bytearray | memoryview):
        raise TypeError("it is a text")
    return list(stated)


def _all(stated: list[object], kind: type[_Kind]) -> tuple[_Kind, ...]:
    """All of them, which are of that kind. Raises `TypeError`."""
    found = tuple([each for each in stated if isinstance(each, kind)])
    if len(found) != len(stated):
        raise TypeError(f"not all are {kind}")
    return found
