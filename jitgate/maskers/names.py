"""Hides fields by their names: the masker that most profiles need first."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence

from zope.interface import implementer

from jitgate.core.globs import globs_matcher
from jitgate.interfaces import IStatedMasker
from jitgate.maskers.versioned import Versioned
from jitgate.values import How, Span

REMEMBERED_FIELDS = 4096
"""Field names whose answers are kept; past it all are forgotten, so that memory is bounded."""

REMEMBERED_LENGTH = 256
"""Characters of the longest field name that is kept, so that the names kept stay under 4 MiB."""


@implementer(IStatedMasker)
class NameMasker(Versioned):
    """Hides every field whose whole name matches one of the globs, in upper or lower case alike.

    In a glob ``*`` stands for any number of characters and ``?`` for one; every other character
    stands for itself. Raises `ValueError` for a glob that says nothing.
    """

    looks_at_values = False
    paths = ()
    signs = ()

    def __init__(self, name: str, patterns: Sequence[str], how: How = How.REPLACE) -> None:
        self.name = name
        self.names = tuple(patterns)
        self.how = how
        told = json.dumps([how.value, *patterns])
        self.version = hashlib.sha256(told.encode()).hexdigest()
        self._matches = globs_matcher([_checked(glob) for glob in patterns], re.IGNORECASE)
        self._seen: dict[str, bool] = {}

    def hides(self, field: str) -> bool:
        hidden = self._seen.get(field)
        return self._looked_up(field) if hidden is None else hidden

    def mask(self, field: str, value: str) -> str | None:
        return None

    def spans(self, value: str) -> Sequence[Span]:
        return ()

    def _looked_up(self, field: str) -> bool:
        hidden = self._matches(field) is not None
        if len(field) <= REMEMBERED_LENGTH:
            if len(self._seen) >= REMEMBERED_FIELDS:
                self._seen.clear()
            self._seen[field] = hidden
        return hidden


def _checked(glob: str) -> str:
    if not glob:
        raise ValueError("A pattern for field names must not be empty.")
    if not glob.strip("*"):
        raise ValueError(f"The pattern {glob!r} would hide every field; name the fields instead.")
    return glob
