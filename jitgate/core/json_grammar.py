r"""The tokens of JSON (RFC 8259) as expressions over decoded text, strict and linear in time.

Digits and white space are spelled out because ``\d`` and ``\s`` match far more than JSON has.
Repeats are possessive (``*+``): nothing here ever goes back to try again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

DEEPEST = 100
"""Containers within each other: ten times what APIs send, and far below what exhausts a parser."""

LONGEST_NAME = 64 * 1024
"""Characters of a field's name as written; it is held whole, for it decides on its value."""

LONGEST_VIEWED = 1024 * 1024
"""Characters of a string as written that a masker must see whole, so that memory is bounded."""

LONGEST_BARE = 4 * 1024
"""Characters of a number; it is held whole, for only what follows tells that it has ended."""

_SPACE = r"[ \t\n\r]*+"
_PLAIN = r'[^"\\\x00-\x1f]'
_ESCAPE = r'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})'
_INSIDE = rf"{_PLAIN}*+(?>{_ESCAPE}{_PLAIN}*+)*+"
_SHORT_NUMBER = r"-?(?:0|[1-9][0-9]{0,30}+)(?>\.[0-9]{1,30}+)?+(?>[eE][+-]?[0-9]{1,3}+)?+"
MAY_BEGIN_NESTED = "{[ \\"
"""How a text begins that may be JSON again: so, with white space, or with one of both escaped."""

_NOT_NESTED = rf"(?![{re.escape(MAY_BEGIN_NESTED)}])"
_SCALAR = rf'(?:"{_NOT_NESTED}{_INSIDE}"|{_SHORT_NUMBER}|true|false|null)'

SPACES = " \t\n\r"
SPACE = re.compile(r"[ \t\n\r]++")
NAME = re.compile(rf'{_SPACE}(?P<name>"{_INSIDE}"){_SPACE}:')
"""A name and its colon."""

INSIDE = re.compile(_INSIDE)
"""The inside of a string as far as it is there; a closing quote must follow."""

UNFINISHED_ESCAPE = re.compile(r"\\(?>u[0-9a-fA-F]{0,3})?+")
NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*+)(?>\.[0-9]++)?+(?>[eE][+-]?[0-9]++)?+")
LITERALS = frozenset({"true", "false", "null"})
BARE = re.compile(r"[-+.0-9A-Za-z]++")
"""What a number or a literal could go on with: it has ended only where this has."""

MEMBER = re.compile(
    rf'{_SPACE}"({_PLAIN}{{0,255}}+)"{_SPACE}:(?P<value>{_SPACE})(?>{_SCALAR}{_SPACE}(,|(?=\}})))?+'
)
"""A name that needs no decoding and its colon; if a scalar follows whole, that and its comma.

The sizes of name and number are far below their limits: longer ones are left to be measured.
"""

ELEMENT = re.compile(rf"{_SPACE}{_SCALAR}{_SPACE},")
ELEMENTS = re.compile(rf"(?>{_SPACE}{_SCALAR}{_SPACE},)*+")
"""Scalar elements, each with its comma."""


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the grammar: what may stand here, in words, and the step for each character.

    A step takes up the text at a position, and returns where it got to: the same position if more
    must come first.
    """

    expected: str
    steps: Mapping[str, Callable[[Any, int], int]]


def decoded(token: str) -> str:
    """The text that a string token stands for; a surrogate without its partner stays one."""
    text: str = json.loads(token) if "\\" in token else token[1:-1]
    return text


def encoded(text: str) -> str:
    """A string token for any text, in ASCII, so that even lone surrogates can be written."""
    return json.dumps(text)


def fitted(token: str, answer: str) -> str:
    """The answer if it can stand for the token, a number or a boolean, else 0 or false."""
    if token in LITERALS:
        return answer if answer in {"true", "false"} else "false"
    return answer if NUMBER.fullmatch(answer) else "0"
