"""Paths that some server takes for the same, though they are not: for rules that hold calls back.

A path has one spelling to the gateway (`jitgate.core.operation`), and letters count. Servers
differ: some read letters of either case alike, or pass over a slash at the end, or over dots
and spaces at the end of a segment, as Windows does. A rule that permits means one path exactly. A
rule that denies, or asks people, would be gone round by a lookalike that another rule permits; so
it means them all.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote

from jitgate.core.operation import PathTemplate

_PASSED_OVER = ". "
"""What Windows passes over at the end of a name."""

_BETWEEN = "\0"
"""Stands for the slashes of a path, in which none of this can be, while its text is normalised."""


@dataclass(frozen=True, slots=True)
class BroadTemplate:
    """Matches what a `PathTemplate` does, and each lookalike of it.

    Raises `ValueError` where the text is no such template.
    """

    text: str
    segments: tuple[str | None, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        segments = list(PathTemplate(self.text).segments)
        while len(segments) > 1 and segments[-1] == "":
            segments.pop()
        plain = tuple(None if each is None else readings(f"/{each}")[0][-1] for each in segments)
        object.__setattr__(self, "segments", plain)

    def matches(self, path: str) -> bool:
        """Whether a canonical path is of this template, or looks like one that is."""
        return any(map(self._fits, readings(path)))

    def _fits(self, parts: Sequence[str]) -> bool:
        if len(parts) != len(self.segments):
            return False
        for part, segment in zip(parts, self.segments, strict=True):
            if part != segment and segment is not None:
                return False
        return True


def broad_matcher(templates: Iterable[BroadTemplate]) -> Callable[[str], bool]:
    """Whether a canonical path matches any of them: for rules, which are many."""
    some = f"[^{_BETWEEN}]*"
    each = (
        _BETWEEN.join(some if part is None else re.escape(part) for part in template.segments)
        for template in templates
    )
    fits = re.compile("|".join(each) or "(?!)").fullmatch
    return lambda path: any(map(fits, _joined(path)))


@functools.lru_cache(maxsize=1)
def _joined(path: str) -> tuple[str, ...]:
    return tuple(map(_BETWEEN.join, readings(path)))


@functools.lru_cache(maxsize=1)
def readings(path: str) -> tuple[Sequence[str], ...]:
    """What some server could take a canonical path's segments for, without what they may look like.

    All rules of a decision look at the same path: it is read once, and kept until the next one.
    """
    if "%" not in path:
        return (_segments(path.lower(), "/"),)
    text = unicodedata.normalize("NFKC", unquote(path.rstrip("/").replace("/", _BETWEEN)))
    text = unicodedata.normalize("NFKC", text.casefold())
    # A letter that looks like a slash (U+FF0F) may be read as one.
    return _segments(text, _BETWEEN), _segments(text.replace(_BETWEEN, "/"), "/")


def _segments(text: str, slash: str) -> list[str]:
    return [part.rstrip(_PASSED_OVER) for part in text.rstrip(slash).split(slash)]
