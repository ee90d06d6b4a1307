"""JSON Web Tokens (RFC 7519) in the compact forms of RFC 7515 and RFC 7516."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator
from typing import Final

import re2

STARTS: Final = 16
"""Places in a first part at which a header is looked for. A text in which one may begin at more of
them is no token that anybody made, and is hidden unread."""

_PART = "[A-Za-z0-9_-]"
_BEGINS = "e(?:y[AIJL]|w[o0k])"
"""``{"`` in base64url, whatever its first name begins with (I, J, L: below 0x40, the rest of ASCII,
and what is more in UTF-8), and ``{`` with any white space of JSON."""

_FIRST = rf"{_BEGINS}{_PART}{{12,}}\."
"""The shortest header that names an algorithm has 11 bytes."""

SIGN: Final = _FIRST.encode()

_SILENT = re2.Options()
_SILENT.log_errors = False  # of what targets send
_TOKEN = re2.compile(rf"{_FIRST}{_PART}*\.{_PART}*(?:\.{_PART}*\.{_PART}*)?", _SILENT)
_MAY_BEGIN = re.compile(_BEGINS.encode())


def jwts(text: bytes) -> Iterator[tuple[int, int]]:
    """Where tokens are: three parts or five in base64url, of which the first is an object."""
    at = 0
    while (found := _TOKEN.search(text, at)) is not None:
        first = found.group().partition(b".")[0]
        begin = _header(first)
        if begin is None:
            at = found.start() + len(first)
        else:
            at = found.end()
            yield found.start() + begin, at


def _header(part: bytes) -> int | None:
    """Where the header begins: something may stand before it that base64url could have too."""
    for number, found in enumerate(_MAY_BEGIN.finditer(part)):
        if number == STARTS or _is_object(part[found.start() :]):
            return found.start()
    return None


def _is_object(part: bytes) -> bool:
    try:
        return isinstance(json.loads(base64.urlsafe_b64decode(part + b"==")), dict)
    except (binascii.Error, ValueError, RecursionError):
        return False
