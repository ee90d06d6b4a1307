"""Ids that nobody can guess. The system is asked for the randomness of many at once."""

from __future__ import annotations

import secrets
from typing import Final

AT_ONCE: Final = 256
"""How many the system is asked for: it takes as long for all of them as for one."""


class Fresh:
    """A text of so many random ``octets``, in hexadecimal digits, at each call."""

    def __init__(self, octets: int) -> None:
        self._octets = octets
        self._kept: list[str] = []

    def __call__(self) -> str:
        if not self._kept:
            digits = 2 * self._octets
            random = secrets.token_hex(self._octets * AT_ONCE)
            self._kept = [random[at : at + digits] for at in range(0, len(random), digits)]
        return self._kept.pop()


class Ids:
    """Makes ids whose first letter says of what."""

    def __init__(self) -> None:
        self._fresh = Fresh(8)

    def __call__(self, kind: str) -> str:
        return f"{kind}-{self._fresh()}"
