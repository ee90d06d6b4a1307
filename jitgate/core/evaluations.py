"""What names a denial that people may be asked about, so that the asking is bound to it.

It is made with a key and can be checked by whoever has it: nothing has to be remembered, and every
gateway of a site knows what another has said.
"""

from __future__ import annotations

import hmac
import json
from typing import Final

from jitgate.values import Subject

_PURPOSE: Final = b"jitgate evaluation\0"

_DIGITS: Final = 12
"""Of a time in seconds: no more is read as one."""


def sealed(key: bytes, evaluation: str, until: int, subject: Subject, told: str) -> str:
    """An evaluation's id, as its asker gets it: good for what was told, by that subject, till then.

    ``until``: seconds since the epoch. ``told``: subject, resource and action, in one writing.
    """
    plain = json.dumps([evaluation, until, subject.key, told]).encode()
    return f"{evaluation}.{until}.{hmac.digest(key, _PURPOSE + plain, 'sha256').hex()}"


def good_until(key: bytes, evaluation: str, subject: Subject, told: str) -> int | None:
    """Until when that is good, if it was sealed for this; None if it was not."""
    name, _, rest = evaluation.partition(".")
    until = rest.partition(".")[0]
    if not (evaluation.isascii() and until.isdigit() and len(until) <= _DIGITS):
        return None
    right = sealed(key, name, int(until), subject, told)
    return int(until) if hmac.compare_digest(right, evaluation) else None
