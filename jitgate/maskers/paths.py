"""Hides values for where they stand."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from zope.interface import implementer

from jitgate.core.paths import parsed
from jitgate.interfaces import IStatedMasker
from jitgate.maskers.versioned import Versioned
from jitgate.values import How, Span


@implementer(IStatedMasker)
class PathMasker(Versioned):
    """Hides every value that one of the paths leads to, whatever its type.

    Raises `ValueError` for what is no path.
    """

    looks_at_values = False
    names = ()
    signs = ()

    def __init__(self, name: str, paths: Sequence[str], how: How = How.REPLACE) -> None:
        self.name = name
        self.paths = tuple(map(parsed, paths))
        self.how = how
        self.version = hashlib.sha256(json.dumps([how.value, *paths]).encode()).hexdigest()

    def hides(self, field: str) -> bool:
        return False

    def mask(self, field: str, value: str) -> str | None:
        return None

    def spans(self, value: str) -> Sequence[Span]:
        return ()
