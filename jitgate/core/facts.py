"""What is known from outside: taken only as JSON of bounded size, and such that nobody changes it.

`Known` is what rules are given of it for one decision, and what the record says of that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from jitgate.core.profiles import SENSITIVE
from jitgate.errors import FactsUnknown
from jitgate.values import NO_FACTS, Facts

LARGEST_FACTS = 64 * 1024
"""Characters of names and texts in one answer; rules look at states and lists of people."""

MOST_FACTS = 4096
"""Values in one answer, containers among them: what every call may have to be frozen for."""

DEEPEST_FACTS = 16
"""Containers in one another; rules name each step."""

SHOWN_VALUES = 64
"""Values of one answer that stand in a record; the rest is only counted."""

SHOWN_TEXT = 256
"""Characters of a text that stand in a record."""

MASKED = "***"

_SCALARS = (str, bool, int, float, type(None))


@dataclass(frozen=True, slots=True)
class Known:
    """The facts that one decision goes by, how old they are, and which are missing."""

    facts: Facts = field(default_factory=lambda: NO_FACTS)
    since: Mapping[str, float] = field(default_factory=dict)
    """When the gathering of each began."""
    missing: Mapping[str, str] = field(default_factory=dict)
    """Why each that rules look at is not known, in a word or two."""

    def described(self, now: float) -> dict[str, object]:
        """As it stands in records: values that sound secret are masked, much is cut short."""
        known: dict[str, object] = {
            name: {"seconds": round(max(0.0, now - self.since[name]), 3), "known": shown(facts)}
            for name, facts in self.facts.items()
        }
        return known | {name: {"missing": why} for name, why in self.missing.items()}


NOTHING_KNOWN = Known()


def frozen(answer: object) -> Mapping[str, object]:
    """The answer of an `IFacts`, deeply frozen: mappings are proxies of copies, lists are tuples.

    Raises `FactsUnknown`, whose sentence tells nothing of the values, for what is no mapping of
    JSON types (integers of 64 bits, finite numbers, text that can be written down) or too large.
    """
    if not isinstance(answer, Mapping):
        raise FactsUnknown("It is no mapping.")
    taken = _Freezer().taken(answer, 0)
    assert isinstance(taken, Mapping)  # noqa: S101 (a mapping is taken as one)
    return taken


class _Freezer:
    """Copies a value of JSON types, and counts what it copies."""

    def __init__(self) -> None:
        self._values = 0
        self._characters = 0

    def taken(self, value: object, depth: int) -> object:
        self._values += 1
        if self._values > MOST_FACTS:
            raise FactsUnknown(f"It holds more than {MOST_FACTS} values.")
        if type(value) in _SCALARS:  # a subclass may behave in any way
            return self._scalar(value)
        if depth >= DEEPEST_FACTS:
            raise FactsUnknown(f"It is nested more than {DEEPEST_FACTS} deep.")
        if isinstance(value, Mapping):
            items = {self._name(key): self.taken(each, depth + 1) for key, each in value.items()}
            return MappingProxyType(items)
        if isinstance(value, list | tuple):
            return tuple([self.taken(each, depth + 1) for each in value])
        raise FactsUnknown("It holds what is no JSON.")

    def _name(self, key: object) -> str:
        if type(key) is not str:
            raise FactsUnknown("It holds a name that is no text.")
        self._text(key)
        return key

    def _scalar(self, value: object) -> object:
        if isinstance(value, str):
            self._text(value)
        elif isinstance(value, float) and not math.isfinite(value):
            raise FactsUnknown("It holds a number that is none.")
        elif isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise FactsUnknown("It holds an integer of more than 64 bits.")
        return value

    def _text(self, text: str) -> None:
        self._characters += len(text)
        if self._characters > LARGEST_FACTS:
            raise FactsUnknown(f"It holds more than {LARGEST_FACTS} characters.")
        try:
            text.encode()
        except UnicodeEncodeError:
            raise FactsUnknown("It holds text that cannot be written down.") from None


def shown(facts: Mapping[str, object]) -> object:
    """Frozen facts for a record: secrets masked by their names, the first values, texts cut."""
    return _Shower().shown("", facts)


class _Shower:
    """Walks through frozen facts until enough is shown."""

    def __init__(self) -> None:
        self._left = SHOWN_VALUES

    def shown(self, name: str, value: object) -> object:
        self._left -= 1
        if name and value is not None and SENSITIVE.hides(name):
            return MASKED
        if isinstance(value, Mapping):
            told: dict[str, object] = {}
            for key, each in value.items():
                if self._left <= 0:
                    told["..."] = len(value) - len(told)
                    break
                told[key[:SHOWN_TEXT]] = self.shown(key, each)
            return told
        if isinstance(value, tuple):
            listed: list[object] = []
            for each in value:
                if self._left <= 0:
                    return [*listed, "..."]
                listed.append(self.shown(name, each))
            return listed
        if isinstance(value, str) and len(value) > SHOWN_TEXT:
            return value[:SHOWN_TEXT] + "..."
        return value
