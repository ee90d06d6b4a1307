"""Names of an API as words that people read."""

from __future__ import annotations

import re

from jitgate.values import Operation

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


def words(name: str) -> list[str]:
    """The words of a name in camelCase, snake_case or any other, in lower case."""
    return [each.lower() for each in _WORD.findall(name)]


def action_words(operation: Operation) -> str:
    """What an operation does, in words: `deactivateUser` is "Deactivate user".

    Letters, digits and spaces of ASCII alone. They stand for the name and do not replace it: two
    names may have the same words.
    """
    said = words(operation.action) if operation.action.isascii() else []
    if operation.action == operation.method or not said:
        return f"{operation.method} request"
    return " ".join(said).capitalize()


LONGEST_SAID = 20
"""Characters of a name that somebody else gave something: what is longer is no name."""


def in_brackets(said: str) -> str:
    """A name that somebody else gave something, to stand behind a word; nothing if it is long.

    It is told whole or not at all: a part of what must not be told would not be known any more.
    """
    return f" ({said!r})" if len(said) <= LONGEST_SAID else ""
