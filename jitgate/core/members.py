"""The members of a JSON object (RFC 8259), and where each of them stands in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import NamedTuple, NoReturn


class Member(NamedTuple):
    """A member's name, and where it stands in the text: from its name to the end of its value."""

    name: str
    begin: int
    end: int


def _no_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


_SPACE = re.compile(r"[ \t\n\r]*+")
_VALUE = json.JSONDecoder(parse_constant=_no_constant)


def is_plain(body: bytes) -> bool:
    """Whether a body is one JSON value and no object: an array, say, or a text."""
    try:
        text = body.decode("utf-8")
        begin = _skip(text, 0)
        _, end = _VALUE.raw_decode(text, begin)
    except (ValueError, RecursionError):
        return False
    return text[begin] != "{" and _skip(text, end) == len(text)


def members_of(text: str) -> Iterable[Member]:
    """The members of the object that a text is. Raises `ValueError` or `IndexError` if it is none.

    Values are read by Python's own scanner (written in C): a body may have a megabyte.
    """
    at = _past(text, 0, "{")
    if text[at] != "}":
        while True:
            begin = at
            _past(text, at, '"')
            name, at = _VALUE.raw_decode(text, at)
            at = _past(text, at, ":")
            _, end = _VALUE.raw_decode(text, at)
            yield Member(name, begin, end)
            at = _skip(text, end)
            if text[at] == "}":
                break
            at = _past(text, at, ",")
    if _past(text, at, "}") != len(text):
        raise ValueError("something follows the object")


def _past(text: str, at: int, mark: str) -> int:
    """Where what follows a mark begins; the mark may have white space on both sides."""
    at = _skip(text, at)
    if text[at] != mark:
        raise ValueError(f"{mark} was expected")
    return _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return at if space is None else space.end()
