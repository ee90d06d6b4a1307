r"""The variables that conditions read: their names, their types, and where their values come from.

The library reads a text only up to its first NUL, so that ``a`` and ``a\0b`` would be equal: no
value with one is handed to it, nor any other that it would not take exactly as it is.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from typing import NamedTuple

import orjson
from cel_expr_python.cel import Type

from jitgate.core.json_grammar import DEEPEST
from jitgate.values import Inquiry

BODY_BYTES = 256 * 1024
"""Bytes of a body that a condition reads: above what APIs send, read in about a millisecond."""

VALUES = 5_000
"""Values of a body, or of facts, that a condition reads: to read and hand them over, and to go over
them in a loop, takes 3 to 6 milliseconds, and 12 where they are members with a name each."""

EXACT = 2.0**53
"""From here on a double no longer tells one whole number from the next."""

_INT64 = range(-(2**63), 2**63)


class Unreadable(Exception):
    """A value that a condition cannot be given; the message says why, and holds nothing of it."""


class Variable(NamedTuple):
    """What a condition may read."""

    type: Type
    value: Callable[[Inquiry], object]
    """Raises `Unreadable`."""


def _text(value: str) -> str:
    if "\0" in value:
        raise Unreadable("a text holds a NUL")
    return value


def _texts(values: Mapping[str, str]) -> dict[str, str]:
    return {_text(name): _text(value) for name, value in values.items()}


@functools.lru_cache(maxsize=1024)
def _group_list(groups: frozenset[str]) -> list[str]:
    """In order, since sets have none; an agent's calls all bring the same ones."""
    return sorted(map(_text, groups))


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


_TEXTS = Type.Map(Type.STRING, Type.STRING)
_LIST = Type.List(Type.STRING)

VARIABLES: Mapping[str, Variable] = {
    "operation.target": Variable(Type.STRING, lambda it: _text(it.operation.target)),
    "operation.action": Variable(Type.STRING, lambda it: _text(it.operation.action)),
    "operation.method": Variable(Type.STRING, lambda it: _text(it.operation.method)),
    "operation.authority": Variable(Type.STRING, lambda it: _text(it.operation.authority)),
    "operation.host": Variable(
        Type.STRING, lambda it: _text(it.operation.authority.rpartition(":")[0])
    ),
    "operation.path": Variable(Type.STRING, lambda it: _text(it.operation.path)),
    "operation.query": Variable(Type.STRING, lambda it: _text(it.operation.query)),
    "operation.resource": Variable(_TEXTS, lambda it: _texts(it.operation.resource)),
    "operation.parameters": Variable(_TEXTS, lambda it: _texts(it.operation.parameters)),
    "operation.risk": Variable(
        Type.STRING, lambda it: "" if it.operation.risk is None else it.operation.risk.value
    ),
    "operation.scopes": Variable(_LIST, lambda it: [*map(_text, it.operation.scopes)]),
    "subject.issuer": Variable(Type.STRING, lambda it: _text(it.subject.issuer)),
    "subject.id": Variable(Type.STRING, lambda it: _text(it.subject.id)),
    "subject.groups": Variable(_LIST, lambda it: _group_list(it.subject.groups)),
    "subject.humans": Variable(_LIST, lambda it: [*map(_text, it.subject.humans)]),
    "subject.agent": Variable(Type.STRING, lambda it: _text(it.subject.agent or "")),
    "subject.expires_at": Variable(Type.TIMESTAMP, lambda it: _moment(it.subject.expires_at)),
    "environment.time": Variable(Type.TIMESTAMP, lambda it: _moment(it.now)),
}

RECORDS: Mapping[str, frozenset[str]] = {
    record: frozenset(name.partition(".")[2] for name in VARIABLES if name.startswith(f"{record}."))
    for record in ("operation", "subject", "environment")
}
"""The variables that have fields, and which."""

FACTS, BODY = "facts", "body"

TYPES: Mapping[str, Type] = {
    **{name: variable.type for name, variable in VARIABLES.items()},
    FACTS: Type.Map(Type.STRING, Type.DYN),
    BODY: Type.DYN,
}
"""What the compiler is told."""


# --- facts


def facts_of(inquiry: Inquiry, names: frozenset[str]) -> dict[str, object]:
    """These facts, as far as they are known. Raises `Unreadable`."""
    left = [VALUES]
    return {
        name: _sound(inquiry.facts[name], DEEPEST, left) for name in names if name in inquiry.facts
    }


def _sound(value: object, depth: int, left: list[int]) -> object:
    """A value of JSON's types in the library's: those that it takes exactly."""
    left[0] -= 1
    if depth < 0 or left[0] < 0:
        raise Unreadable("facts are too large")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        return _integer(value)
    if isinstance(value, float):
        return _double(value)
    if isinstance(value, Mapping):
        return {_key(name): _sound(each, depth - 1, left) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_sound(each, depth - 1, left) for each in value]
    raise Unreadable("facts are not of JSON's types")


def _key(name: object) -> str:
    if isinstance(name, str):
        return _text(name)
    raise Unreadable("facts are not of JSON's types")


def _integer(value: int) -> int:
    if value not in _INT64:
        raise Unreadable("a whole number does not fit into 64 bits")
    return value


def _double(value: float) -> float:
    if not math.isfinite(value) or abs(value) >= EXACT:
        raise Unreadable("a number is too large to be told exactly")
    return value


# --- the body


def body_of(inquiry: Inquiry, names: frozenset[str]) -> object:
    """The body as JSON (RFC 8259) that everybody reads alike. Raises `Unreadable`.

    ``names`` are those by which its members are asked for: what is spelled as one of them but for
    the case, somewhere in the body, is the same to some targets and another to us.
    """
    if inquiry.body is None or not (inquiry.operation.json and inquiry.is_json):
        raise Unreadable("the body is not JSON")
    body = _last.read(inquiry.body)
    if any(not body.spellings.get(name.casefold(), names) <= names for name in names):
        raise Unreadable(
            "a name in the body differs from one that it reads in nothing but the case"
        )
    return body.value


class _Body(NamedTuple):
    """A body, and how the names of its members are spelled, by those names without their case."""

    value: object
    spellings: Mapping[str, AbstractSet[str]]


class _LastBody:
    """The body that was read last: several rules may look at the same one."""

    def __init__(self) -> None:
        self._kept: tuple[bytes, _Body] = (b"", _Body(None, {}))

    def read(self, data: bytes) -> _Body:
        kept, body = self._kept
        if kept is data and data:
            return body
        value = _read(data)
        body = _Body(value, _spellings(value))
        self._kept = (data, body)
        return body


_last = _LastBody()


def _read(data: bytes) -> object:
    if len(data) > BODY_BYTES or data.count(b",") + data.count(b"[") + data.count(b"{") > VALUES:
        raise Unreadable("the body is too large for a condition")
    try:
        orjson.loads(data)  # strict about what Python's reader is not: UTF-8, surrogates, NaN
        value = _DECODER.decode(data.decode())
    except (ValueError, RecursionError):
        raise Unreadable("the body is not one JSON text that everybody reads alike") from None
    if b"\\u0000" in data:
        raise Unreadable("a text holds a NUL")
    if data.count(b"[") + data.count(b"{") > DEEPEST and _depth(value) > DEEPEST:
        raise Unreadable("the body is nested too deeply")
    return value


def _members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise Unreadable("the body names a member twice")
    return members


_DECODER = json.JSONDecoder(
    object_pairs_hook=_members,
    parse_int=lambda text: _integer(int(text) if len(text) <= 20 else _INT64.stop),
    parse_float=lambda text: _double(float(text)),
)


def _spellings(value: object) -> Mapping[str, AbstractSet[str]]:
    """The names of all members at any depth, by themselves without their case."""
    names: set[str] = set()
    values = [value]
    for each in values:  # which grows meanwhile
        if isinstance(each, dict):
            names.update(each)
            values += each.values()
        elif isinstance(each, list):
            values += each
    spellings: dict[str, set[str]] = {}
    for name in names:
        spellings.setdefault(name.casefold(), set()).add(name)
    return spellings


def _depth(value: object) -> int:
    """How many containers stand within each other."""
    level, depth = [value], 0
    while level := [each for each in level if isinstance(each, dict | list)]:
        depth += 1
        level = [
            inner for each in level for inner in (each.values() if isinstance(each, dict) else each)
        ]
    return depth
