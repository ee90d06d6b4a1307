"""A masker in Python: employee numbers, wherever they stand in a value.

Named in the configuration's ``plugins`` and in a masking profile's ``maskers``. ``options`` may
hold ``pattern``, a regular expression of what an employee number looks like.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from zope.interface import implementer

from jitgate.interfaces import IMasker


@implementer(IMasker)
class EmployeeNumbers:
    """Replaces each employee number in a value, leaving the rest of the value as it is."""

    name = "employee-numbers"
    looks_at_values = True

    def __init__(self, pattern: str) -> None:
        self._pattern = re.compile(pattern)
        self.version = hashlib.sha256(pattern.encode()).hexdigest()

    def hides(self, field: str) -> bool:
        """No field is hidden for its name."""
        return False

    def mask(self, field: str, value: str) -> str | None:
        """The value with its employee numbers starred, None if there are none."""
        shown, hits = self._pattern.subn("***", value)
        return shown if hits else None


def plugin(options: Mapping[str, object]) -> EmployeeNumbers:
    """What the configuration's ``plugins`` entry loads."""
    unknown = set(options) - {"pattern"}
    if unknown:
        raise ValueError(f"unknown option {min(unknown)!r}; there is only 'pattern'")
    pattern = options.get("pattern", r"\bE-?[0-9]{5,8}\b")
    if not isinstance(pattern, str):
        raise TypeError("'pattern' is a regular expression")
    return EmployeeNumbers(pattern)
