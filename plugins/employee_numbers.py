"""A masker in Python: employee numbers, wherever they stand in a value.

Named in the configuration's ``plugins`` and in a masking profile's ``maskers``. Its options say
what an employee number looks like, and how it is hidden.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence

from pydantic import Field, field_validator
from zope.interface import implementer

from jitgate.core.hiding import STARS
from jitgate.interfaces import IStatedMasker
from jitgate.plugins import PluginOptions
from jitgate.values import How, Span

PATTERN = r"\bE(?!0000[0-9]{3}\b)-?[0-9]{5,8}\b"
"""Not E0000007 and the like: these are Okta's error codes, which tell an agent what went wrong."""

SIGN = r"E-?[0-9]{5}"
"""It fits within whatever the pattern does."""


class Options(PluginOptions):
    """What an employee number looks like: letters and digits as they stand in a value.

    ``sign`` is an RE2 expression that fits within each of them, as JSON writes it. With one, values
    in which it is not are not looked at, which is many times faster.
    """

    pattern: str = PATTERN
    sign: str | None = None
    how: How = Field(How.REPLACE, strict=False)

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


@implementer(IStatedMasker)
class EmployeeNumbers:
    """Hides each employee number in a value, leaving the rest of the value as it is."""

    name = "employee-numbers"
    looks_at_values = True
    names = ()
    paths = ()

    def __init__(self, pattern: str, sign: str | None, how: How) -> None:
        self._pattern = re.compile(pattern)
        self.how = how
        self.signs = () if sign is None else (sign.encode(),)
        self.version = hashlib.sha256(json.dumps([pattern, sign, how.value]).encode()).hexdigest()

    def hides(self, field: str) -> bool:
        """No field is hidden for its name."""
        return False

    def mask(self, field: str, value: str) -> str | None:
        """The value with its employee numbers starred, None if there are none."""
        shown, hits = self._pattern.subn(STARS, value)
        return shown if hits else None

    def spans(self, value: str) -> Sequence[Span]:
        """Where they stand."""
        return [Span(*found.span(), "") for found in self._pattern.finditer(value)]


def plugin(options: Options) -> EmployeeNumbers:
    """What the configuration's ``plugins`` entry loads."""
    sign = SIGN if options.pattern == PATTERN and options.sign is None else options.sign
    return EmployeeNumbers(options.pattern, sign, options.how)
