"""A masker in Python: employee numbers, wherever they stand in a value.

Named in the configuration's ``plugins`` and in a masking profile's ``maskers``. ``options`` may
hold ``pattern``, a regular expression of what an employee number looks like.
"""

from __future__ import annotations

import hashlib
import re

from pydantic import field_validator
from zope.interface import implementer

from jitgate.interfaces import IMasker
from jitgate.plugins import PluginOptions


class Options(PluginOptions):
    """What an employee number looks like: letters and digits as they stand in a value."""

    pattern: str = r"\bE-?[0-9]{5,8}\b"

    @field_validator("pattern")
    @classmethod
    def _is_a_pattern(cls, value: str) -> str:
        try:
            found = re.compile(value).search("")
        except re.error as error:
            raise ValueError(f"this is no regular expression: {error}") from None
        if found is not None:
            raise ValueError("this finds an employee number where nothing is")
        return value


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


def plugin(options: Options) -> EmployeeNumbers:
    """What the configuration's ``plugins`` entry loads."""
    return EmployeeNumbers(options.pattern)
