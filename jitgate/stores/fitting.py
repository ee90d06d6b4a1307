"""What an entry says, made to fit a line: whatever others had it say, the entry is written.

Names and values of agents and of targets stand in entries. If one of them could keep an entry from
being written, whoever chose it could keep everything from being recorded, and so stop everybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

ROOM: Final = 512 * 1024
"""Characters that are kept of an entry that is too long for a line, names and all."""

TEXT: Final = 1024
"""Characters that are kept of each text of such an entry."""

EACH: Final = 8
"""Characters that a value counts for beside its text."""

LARGEST: Final = 2**63 - 1
"""The largest number that every reader of JSON is sure to read."""

DEEPEST: Final = 100
"""Containers in each other."""


def spelled(fields: Mapping[str, object]) -> dict[str, object]:
    """The fields as JSON in UTF-8 can have them: lone surrogates as escapes, spelled out.

    What JSON has no form for is named by its type, and by no more of it.
    """
    return _mapping(fields, 0)


def _mapping(value: Mapping[str, object], depth: int) -> dict[str, object]:
    return {_text(str(name)): _value(each, depth + 1) for name, each in value.items()}


def _value(value: object, depth: int) -> object:
    if isinstance(value, str):
        return _text(value)
    is_whole = isinstance(value, int) and abs(value) <= LARGEST
    if value is None or is_whole or isinstance(value, float):
        return value
    if depth < DEEPEST:
        if isinstance(value, Mapping):
            return _mapping(value, depth)
        if isinstance(value, frozenset | set):
            return [_value(each, depth + 1) for each in sorted(value, key=str)]
        if isinstance(value, list | tuple):
            return [_value(each, depth + 1) for each in value]
    return f"({type(value).__name__})"


def _text(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def shortened(content: Mapping[str, object]) -> dict[str, object]:
    """What is `spelled` already, with the beginnings of long texts and of long lists alone."""
    return {**_Room().mapping(content), "shortened": True}


class _Room:
    """How much there still is: what comes first has it first."""

    def __init__(self) -> None:
        self._left = ROOM

    def mapping(self, value: Mapping[str, object]) -> dict[str, object]:
        kept: dict[str, object] = {}
        for name, each in value.items():
            if self._left <= 0:
                break
            kept[self._text(name)] = self._value(each)
        return kept

    def _value(self, value: object) -> object:
        self._left -= EACH
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, Mapping):
            return self.mapping(value)
        if isinstance(value, list):
            kept = list[object]()
            for each in value:
                if self._left <= 0:
                    break
                kept.append(self._value(each))
            return kept
        return value

    def _text(self, text: str) -> str:
        kept = text[: max(0, min(TEXT, self._left))]
        self._left -= len(kept)
        return kept if len(kept) == len(text) else f"{kept} … ({len(text)} characters)"
