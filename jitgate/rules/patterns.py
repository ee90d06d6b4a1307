"""Regular expressions (RE2) that are compiled once: what ``matches`` of a condition looks for.

The CEL library compiles a pattern at each evaluation, which costs more than all the rest of it.
"""

from __future__ import annotations

from functools import lru_cache

import re2

QUICK = 4096
"""Characters of a text that the quick way takes.

In long ones a pattern with very many states would take it twice as long as the other way.
"""

KEPT = 1000
"""Patterns that stay compiled: more than the policies of a gateway have."""


class Pattern:
    """A pattern in RE2's syntax. Raises `re2.error` for what is none.

    The quick way is a set of two patterns, of which the second is found in every text: where it
    is not, memory has ended, and the set's answer says nothing.
    """

    def __init__(self, text: str) -> None:
        silent = re2.Options()
        silent.log_errors = False  # of what agents send
        self._sure = re2.compile(text, silent)
        self._quick = re2.Set.SearchSet(silent)
        for each in (text, ""):
            self._quick.Add(each)
        self._quick.Compile()

    def is_in(self, text: str) -> bool:
        """Whether it is found anywhere in the text."""
        found = self._quick.Match(text) if len(text) <= QUICK else None
        return len(found) == 2 if found else self._sure.search(text) is not None


compiled = lru_cache(KEPT)(Pattern)


def matches(text: str, pattern: str) -> bool:
    """CEL's ``matches`` (cel-spec, "Regular Expressions"). Raises `re2.error` for no pattern."""
    return compiled(pattern).is_in(text)
