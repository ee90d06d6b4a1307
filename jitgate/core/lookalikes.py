"""Paths that some server takes for the same, though they are not: for rules that hold calls back.

A path has one spelling to the gateway (`jitgate.core.operation`), and letters count. Servers
differ: some read letters of either case alike, or pass over a slash at the end, or over dots
and spaces at the end of a segment, as Windows does. A rule that permits means one path exactly. A
rule that denies, or asks people, would be gone round by a lookalike that another rule permits; so
it means them all.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from urllib.parse import unquote

from jitgate.core.operation import PathTemplate

_PASSED_OVER = ". "
"""What Windows passes over at the end of a name."""


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
        plain = tuple(None if each is None else _plain(each) for each in segments)
        object.__setattr__(self, "segments", plain)

    def matches(self, path: str) -> bool:
        """Whether a canonical path is of this template, or looks like one that is."""
        if self._fits(path):
            return True
        # A letter that looks like a slash (U+FF0F) may be read as one.
        return "%" in path and self._fits(unicodedata.normalize("NFKC", unquote(path)))

    def _fits(self, path: str) -> bool:
        parts = path.rstrip("/").split("/")
        if len(parts) != len(self.segments):
            return False
        for part, segment in zip(parts, self.segments, strict=True):
            if segment is not None and part != segment and _plain(part) != segment:
                return False
        return True


def _plain(segment: str) -> str:
    """What all lookalikes of a segment have in common."""
    if "%" not in segment and segment.isascii():
        return segment.lower().rstrip(_PASSED_OVER)
    text = unicodedata.normalize("NFKC", unquote(segment))
    return unicodedata.normalize("NFKC", text.casefold()).rstrip(_PASSED_OVER)
