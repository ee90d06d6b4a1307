"""What an expression reads, and what is wrong with it beside its types.

Names are checked here, since the compiler knows ``operation.path`` only as one word. So is what
would make an evaluation's cost grow faster than its input, and what can fail only later: a time
zone, a pattern, the name of a fact.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from jitgate.rules.cel_numbers import numbers_refused
from jitgate.rules.cel_syntax import (
    INDEX,
    Call,
    Collection,
    Constant,
    Loop,
    Member,
    Name,
    Node,
    inner,
)
from jitgate.rules.cel_values import BODY, FACTS, RECORDS

TYPE_NAMES = frozenset(
    {"bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"}
)
"""Names that stand for types, as in ``type(body.x) == string``."""

COMPARISONS = frozenset({"_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_", "startsWith", "endsWith"})
"""What costs as much as the shorter of two."""

IN_LOOPS = frozenset(
    {"_&&_", "_||_", "!_", "_?_:_", "-_", INDEX, "@not_strictly_false", "type", "dyn"}
)
"""What costs nothing in a loop, whatever it is about."""

_SHORT_LISTS = ("subject.groups", "subject.humans", "operation.scopes")
"""Lists that no agent makes as long as it likes."""

_SHORT_TEXTS = frozenset(
    {"subject.issuer", "subject.id", "subject.agent"}
    | {f"operation.{each}" for each in ("target", "method", "authority", "host", "risk")}
)
"""Texts that no agent makes as long as it likes."""

_ZONED = frozenset(
    {"getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getFullYear", "getHours"}
    | {"getMilliseconds", "getMinutes", "getMonth", "getSeconds"}
)

_BAD_ZONE = (
    "is no time zone that is known here; names need the system's tzdata (or TZDIR), an offset "
    "such as '+02:00' needs nothing"
)


class Finding(NamedTuple):
    """Something that is wrong, and at which character of the expression."""

    at: int
    message: str


@dataclass(slots=True)
class Reads:
    """What an expression looks at."""

    variables: set[str] = field(default_factory=set)
    facts: set[str] = field(default_factory=set)
    members: set[str] | None = field(default_factory=set)
    """The members of the body at its top; None: it may be any."""
    names: set[str] = field(default_factory=set)
    """Names by which it may ask for a member of the body, at any depth, and perhaps some more."""


Constants = Mapping[str, Callable[[str], bool]]
"""Whether a text is one that is known: a ``zone``, a ``pattern``, and so on."""


def checked(tree: Node, constants: Constants) -> tuple[Reads, list[Finding]]:
    """What the expression reads, and what is wrong with it, in order."""
    check = _Check(constants)
    check.visit(tree, _Scope())
    check.reads.names.update(_names(tree))
    check.findings += [Finding(*each) for each in numbers_refused(tree)]
    return check.reads, sorted(set(check.findings))


class _Scope(NamedTuple):
    """Where a node stands: inside a loop over ``variables``, if any."""

    variables: frozenset[str] = frozenset()
    looping: bool = False


class _Check:
    """Walks over a tree."""

    def __init__(self, constants: Constants) -> None:
        self.reads = Reads()
        self.findings: list[Finding] = []
        self._constants = constants

    def visit(self, node: Node, scope: _Scope) -> None:
        match node:
            case Name():
                self._name(node, scope)
            case Member():
                self._member(node, scope)
            case Call():
                self._call(node, scope)
            case Collection():
                if node.message:
                    self._found(node.at, f"{node.message} cannot be made in a condition")
                self._all(node.parts, scope)
            case Loop():
                self._loop(node, scope)

    def _all(self, nodes: Iterable[Node], scope: _Scope) -> None:
        for each in nodes:
            self.visit(each, scope)

    def _found(self, at: int, message: str) -> None:
        self.findings.append(Finding(at, message))

    # --- names

    def _name(self, node: Name, scope: _Scope) -> None:
        """A name by itself: neither a record, nor all facts."""
        if node.name in scope.variables or node.name in TYPE_NAMES:
            return
        if node.name in RECORDS:
            fields = ", ".join(sorted(RECORDS[node.name]))
            self._found(node.at, f"{node.name} needs one of its fields: {fields}")
        elif node.name == FACTS:
            self._found(node.at, "which fact is read must be written out: facts.NAME")
        elif node.name == BODY:
            self.reads.variables.add(BODY)
            self.reads.members = None
        else:
            close = _near(node.name, {*RECORDS, FACTS, BODY, *scope.variables})
            self._found(node.at, f"undeclared reference to {node.name!r}{close}")

    def _member(self, node: Member, scope: _Scope) -> None:
        if not isinstance(node.of, Name) or node.of.name in scope.variables:
            self.visit(node.of, scope)
        elif node.of.name in RECORDS:
            self._field(node, node.of.name)
        elif node.of.name == FACTS:
            self._fact(node.field)
        elif node.of.name == BODY:
            self._body(node.field)
        else:
            self.visit(node.of, scope)

    def _field(self, node: Member, record: str) -> None:
        if node.field not in RECORDS[record]:
            close = _near(node.field, RECORDS[record])
            self._found(node.at + (not node.tested), f"{record} has no {node.field!r}{close}")
        elif node.tested:  # the compiler would take it for the value
            self._found(node.of.at, f"{record}.{node.field} is always there: has() tells nothing")
        self.reads.variables.add(f"{record}.{node.field}")

    def _fact(self, name: str) -> None:
        self.reads.variables.add(FACTS)
        self.reads.facts.add(name)

    def _body(self, member: str) -> None:
        self.reads.variables.add(BODY)
        if self.reads.members is not None:
            self.reads.members.add(member)

    # --- calls

    def _call(self, node: Call, scope: _Scope) -> None:
        if node.function == INDEX:
            of, index = node.arguments
            if isinstance(of, Name) and of.name not in scope.variables:
                if of.name == FACTS and isinstance(index, Constant) and index.text is not None:
                    return self._fact(index.text)
                if of.name == BODY and isinstance(index, Constant) and index.text is not None:
                    return self._body(index.text)
            if not (isinstance(index, Constant) or _is_known(of) or _is_of(of, frozenset())):
                self._found(index.at, "which member of the body is read must be written out")
        if scope.looping:
            self._in_loop(node, scope)
        self._constant(node)
        return self._all(node.operands, scope)

    def _constant(self, node: Call) -> None:
        """What only an evaluation would find to be wrong, or would do at a high price."""
        if node.function == "matches" and node.operands:
            self._literal(node, node.operands[-1], "pattern", "is no regular expression (RE2)")
        elif node.function == "contains" and node.operands:
            self._sought(node.operands[-1])
        elif node.function in _ZONED and node.arguments:
            self._literal(node, node.arguments[-1], "zone", _BAD_ZONE)
        elif node.function in {"timestamp", "duration"} and len(node.arguments) == 1:
            given = node.arguments[0]
            if isinstance(given, Constant) and given.text is not None:
                self._known(given, node.function, f"is no {node.function}")

    def _sought(self, given: Node) -> None:
        """To look for a text takes as long as both are together, multiplied."""
        if not isinstance(given, Constant) and _path(given) not in _SHORT_TEXTS:
            short = ", ".join(sorted(_SHORT_TEXTS))
            self._found(
                given.at, f"what contains() looks for must be written out, or be one of {short}"
            )

    def _literal(self, node: Call, given: Node, kind: str, complaint: str) -> None:
        """A pattern from outside has any cost; a zone from outside is a file's name."""
        if isinstance(given, Constant) and given.text is not None:
            self._known(given, kind, complaint)
        else:
            self._found(given.at, f"the {kind} of {node.function}() must be written out")

    def _known(self, given: Constant, kind: str, complaint: str) -> None:
        if given.text is not None and not self._constants[kind](given.text):
            self._found(given.at, f"{given.text!r} {complaint}")

    # --- loops

    def _loop(self, node: Loop, scope: _Scope) -> None:
        self.visit(node.over, scope)
        if scope.looping:
            self._found(node.at, "a loop within a loop is not taken: its cost has no bound")
            return
        if isinstance(node.start, Collection):
            self._found(node.at, "map() and filter() are not taken: use exists() or all()")
            return
        hiding = next((name for name in node.variables if name in _ROOTS), None)
        if hiding is not None:
            self._found(node.at, f"a loop's own variable cannot be called {hiding!r}")
        inside = _Scope(frozenset({*node.variables, "@result"}), looping=True)
        self._all(node.steps, inside)

    def _in_loop(self, node: Call, scope: _Scope) -> None:
        """Refuse what searches through the same long text or list once for each element."""
        if node.function in IN_LOOPS:
            return
        if node.function in COMPARISONS:
            if not any(_is_of(each, scope.variables) for each in node.operands):
                message = "compares what is not the loop's own variable: say it outside of the loop"
                self._found(node.at, message)
            return
        if node.function == "matches":
            message = "matches() in a loop is not taken: its cost has no bound"
            self._found(node.at, message)
            return
        searched = node.operands[-1:] if node.function == "@in" else node.operands
        for each in searched:
            if not (_is_of(each, scope.variables) or _path(each) in _SHORT_LISTS):
                name = "in" if node.function == "@in" else node.function.strip("_")
                self._found(node.at, f"{name!r} in a loop may look at the loop's own variable only")
                return


_ROOTS = frozenset({*RECORDS, FACTS, BODY})


def _names(node: Node) -> Iterator[str]:
    """The texts of an expression that the name of a body's member may be compared with.

    Those are the names after dots, and all literals but those that are for something else.
    """
    match node:
        case Constant(text=str(text)):
            yield text
        case Member():
            if not _is_known(node):
                yield node.field
            yield from _names(node.of)
        case Call():
            told = _has_other_literals(node)
            for each in node.operands:
                if not (told and _is_of(each, frozenset())):
                    yield from _names(each)
        case _:
            for each in inner(node):
                yield from _names(each)


def _has_other_literals(node: Call) -> bool:
    """Whether the literals in it are never compared with what comes from the body."""
    if node.function == INDEX:
        return _is_known(node.arguments[0])
    if node.function in COMPARISONS | {"@in", "contains"}:
        return any(map(_is_known, node.operands))
    return node.function in {"matches", "timestamp", "duration"} | _ZONED


def _is_known(node: Node) -> bool:
    """Whether it is of a record, or of facts: nothing of the body is in there."""
    match node:
        case Name():
            return node.name in RECORDS or node.name == FACTS
        case Member():
            return _is_known(node.of)
        case Call():
            return node.function == INDEX and _is_known(node.arguments[0])
    return False


def _is_of(node: Node, variables: frozenset[str]) -> bool:
    """Whether it is a literal, or made of nothing but those."""
    match node:
        case Constant():
            return True
        case Name():
            return node.name in variables
        case Member():
            return _is_of(node.of, variables)
        case Call():
            return all(_is_of(each, variables) for each in node.operands)
        case Collection():
            return all(_is_of(each, variables) for each in node.parts)
        case Loop():
            return False


def _path(node: Node) -> str:
    """``record.field`` where it is that; empty if it is anything else."""
    if isinstance(node, Member) and isinstance(node.of, Name):
        return f"{node.of.name}.{node.field}"
    return ""


def _near(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, sorted(known), 1)
    return f"; did you mean {close[0]!r}?" if close else ""
