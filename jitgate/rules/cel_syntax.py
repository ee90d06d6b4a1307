"""Reads the syntax tree of an expression out of what the CEL library serialises.

The library checks types, but shows its tree only as a serialised ``cel.expr.ParsedExpr``
(cel-spec, ``proto/cel/expr/syntax.proto``), whose few fields are read here. Positions are
characters from the beginning of the expression.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

INDEX = "_[_]"
"""What the library calls the function behind ``a[b]``."""


@dataclass(frozen=True, slots=True)
class Name:
    """A name that stands alone, or at the beginning of a path."""

    at: int
    name: str


@dataclass(frozen=True, slots=True)
class Member:
    """``of.field``, or ``has(of.field)`` where it is only ``tested``; it stands at the dot."""

    at: int
    of: Node
    field: str
    tested: bool


@dataclass(frozen=True, slots=True)
class Call:
    """A function or an operator; ``on`` is what stands before the dot, where it is called so."""

    at: int
    function: str
    on: Node | None
    arguments: tuple[Node, ...]

    @property
    def operands(self) -> tuple[Node, ...]:
        """All that it is given."""
        return self.arguments if self.on is None else (self.on, *self.arguments)


@dataclass(frozen=True, slots=True)
class Constant:
    """A literal; ``text`` where it is a string, ``number`` where it is one."""

    at: int
    text: str | None
    number: int | float | None


@dataclass(frozen=True, slots=True)
class Collection:
    """A list or a map that is written out; ``message`` names the type of a message."""

    at: int
    parts: tuple[Node, ...]
    message: str
    is_list: bool


@dataclass(frozen=True, slots=True)
class Loop:
    """What a macro over a list or a map stands for (``exists``, ``all`` and their like)."""

    at: int
    variables: tuple[str, ...]
    over: Node
    start: Node
    steps: tuple[Node, ...]


Node = Name | Member | Call | Constant | Collection | Loop

_Field = tuple[int, int | bytes]


def inner(node: Node) -> tuple[Node, ...]:
    """What it is made of."""
    match node:
        case Member():
            return (node.of,)
        case Call():
            return node.operands
        case Collection():
            return node.parts
        case Loop():
            return (node.over, node.start, *node.steps)
    return ()


def every(node: Node) -> Iterator[Node]:
    """It, and all that it is made of."""
    yield node
    for each in inner(node):
        yield from every(each)


def tree_of(serialised: bytes) -> Node:
    """The tree of a serialised expression that was parsed only.

    Raises `ValueError` for what is none, `RecursionError` for one that is too deep.
    """
    parsed = _one(serialised, 2)  # google.protobuf.Any: type_url = 1, value = 2
    positions = {}
    for number, pair in _fields(_one(parsed, 3)):  # ParsedExpr: expr = 2, source_info = 3
        if number == 4:  # SourceInfo.positions: map<int64, int32>
            each = dict(_fields(_bytes(pair)))
            positions[each.get(1, 0)] = each.get(2, 0)
    return _Reader(positions).node(_one(parsed, 2))


class _Reader:
    """Makes nodes of `Expr` messages."""

    def __init__(self, positions: Mapping[int | bytes, int | bytes]) -> None:
        self._positions = positions

    def node(self, data: bytes) -> Node:
        expression = dict(_fields(data))
        position = self._positions.get(expression.pop(2, 0), 0)
        at = position if isinstance(position, int) else 0
        if len(expression) != 1:
            raise ValueError("an expression is of one kind")
        ((kind, value),) = expression.items()
        message = _bytes(value)
        if kind == 3:
            return _constant(at, message)
        if kind == 4:
            return Name(at, _text(_one(message, 1)).removeprefix("."))
        makers: Mapping[int, Callable[[int, bytes], Node]]
        makers = {5: self._member, 6: self._call, 7: self._list, 8: self._struct, 9: self._loop}
        if kind not in makers:
            raise ValueError("an expression of an unknown kind")
        return makers[kind](at, message)

    def _list(self, at: int, message: bytes) -> Collection:
        parts = tuple(self.node(_bytes(part)) for number, part in _fields(message) if number == 1)
        return Collection(at, parts, "", is_list=True)

    def _member(self, at: int, message: bytes) -> Member:
        fields = dict(_fields(message))
        of = self.node(_bytes(fields[1]))
        return Member(at, of, _text(fields.get(2, b"")), bool(fields.get(3, 0)))

    def _call(self, at: int, message: bytes) -> Call:
        on: Node | None = None
        function, arguments = "", []
        for number, value in _fields(message):
            if number == 1:
                on = self.node(_bytes(value))
            elif number == 2:
                function = _text(value)
            elif number == 3:
                arguments.append(self.node(_bytes(value)))
        return Call(at, function, on, tuple(arguments))

    def _struct(self, at: int, message: bytes) -> Collection:
        name, parts = "", []
        for number, value in _fields(message):
            if number == 1:
                name = _text(value)
            elif number == 2:
                entry = _fields(_bytes(value))
                parts += [self.node(_bytes(each)) for n, each in entry if n in {3, 4}]
        return Collection(at, tuple(parts), name, is_list=False)

    def _loop(self, at: int, message: bytes) -> Loop:
        fields = dict(_fields(message))
        names = tuple(_text(fields[number]) for number in (1, 8) if number in fields)
        steps = tuple(self.node(_bytes(fields[number])) for number in (5, 6, 7) if number in fields)
        over, start = self.node(_bytes(fields[2])), self.node(_bytes(fields[4]))
        return Loop(at, names, over, start, steps)


def _constant(at: int, message: bytes) -> Constant:
    ((kind, value),) = _fields(message)
    if kind == 6:
        return Constant(at, _text(value), None)
    if kind == 5:
        return Constant(at, None, float(struct.unpack("<d", _bytes(value))[0]))
    if kind in {3, 4} and isinstance(value, int):
        return Constant(at, None, value - 2**64 if kind == 3 and value >= 2**63 else value)
    return Constant(at, None, None)


def _fields(data: bytes) -> Iterator[_Field]:
    """The fields of a message as they stand: number and value, of strings and messages the bytes.

    The wire format of Protocol Buffers: a varint key, whose low three bits tell the kind.
    """
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        if kind == 2:
            length, at = _varint(data, at)
        elif kind in {1, 5}:
            length = 8 if kind == 1 else 4
        else:
            raise ValueError("a field of an unknown kind")
        if at + length > len(data):
            raise ValueError("a field is cut off")
        yield key >> 3, data[at : at + length]
        at += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number in base 128, the lowest digits first, and where it ends."""
    value = shift = 0
    while at < len(data):
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7
    raise ValueError("a number is cut off")


def _one(data: bytes, number: int) -> bytes:
    """The last field of that number, which every writer writes; it is bytes."""
    found = [value for each, value in _fields(data) if each == number]
    if not found:
        raise ValueError(f"field {number} is missing")
    return _bytes(found[-1])


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, bytes):
        return value
    raise ValueError("a message was expected")


def _text(value: int | bytes) -> str:
    return _bytes(value).decode()
