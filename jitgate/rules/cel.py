"""Conditions in CEL (the Common Expression Language), by its C++ implementation.

An expression is read, checked and compiled once; then it is a pure function of the inquiry. The
library answers an error by a value that Python takes for true: only ``True`` itself is yes.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from cel_expr_python import cel
from zope.interface import implementer

from jitgate.interfaces import ICondition
from jitgate.rules.cel_checks import Finding, Reads, checked
from jitgate.rules.cel_syntax import Call, Node, every, tree_of
from jitgate.rules.cel_values import (
    BODY,
    FACTS,
    TYPES,
    VARIABLES,
    Unreadable,
    body_of,
    facts_of,
)
from jitgate.rules.patterns import matches
from jitgate.values import Inquiry, Operation, Unevaluated

LONGEST = 2000
"""Characters of an expression: more than a person can review at once."""

_ENVIRONMENT = cel.NewEnv(variables=TYPES)

_STRINGS = [cel.Type.STRING, cel.Type.STRING]
_THEIRS, _OURS = "matches", "pattern"
"""What the library's function is called, and ours, which is as long and nobody else's."""
_QUICK = cel.NewEnv(
    variables=TYPES,
    functions=[
        cel.FunctionDecl(
            _OURS,
            [
                cel.Overload(f"{_OURS}_{member}", cel.Type.BOOL, _STRINGS, member, matches)
                for member in (False, True)
            ],
        )
    ],
)


class ConditionInvalid(Exception):
    """An expression that cannot be a condition; `findings` says all that is wrong, and where."""

    def __init__(self, text: str, findings: list[Finding]) -> None:
        super().__init__("; ".join(each.message for each in findings))
        self.text = text
        self.findings = findings

    def described(self, place: Callable[[int], str]) -> list[str]:
        """Each finding with its place in the file (of a character), and a picture that shows it."""
        return [
            f"{place(each.at)}: when: {each.message}\n{_picture(self.text, each.at)}"
            for each in self.findings
        ]


@implementer(ICondition)
class CelCondition:
    """An expression over `cel_values.TYPES` that is true or false. Raises `ConditionInvalid`."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._expression, reads = _compiled(text)
        self.facts = frozenset(reads.facts)
        self._body = BODY in reads.variables
        self._members = None if reads.members is None else frozenset(reads.members)
        self._names = frozenset(reads.names)
        self._parameters = "operation.parameters" in reads.variables
        self._given = [
            (name, VARIABLES[name].value) for name in sorted(reads.variables & {*VARIABLES})
        ]

    def needs_body(self, operation: Operation) -> bool:
        return self._body or (self._parameters and bool(operation.in_body))

    def holds(self, inquiry: Inquiry) -> bool | Unevaluated:
        try:
            given = {name: value(inquiry) for name, value in self._given}
            if self.facts:
                given[FACTS] = facts_of(inquiry, self.facts)
            if self._body:
                given[BODY] = self._body_members(inquiry)
            found = self._expression.eval(None, given)
            answer = found.plain_value()
        except Unreadable as error:
            return Unevaluated(f"{error}")
        except Exception as error:  # noqa: BLE001 (the library raises what it likes, and it denies)
            return Unevaluated(_why(f"{error}"))
        if answer is True or answer is False:
            return answer
        return Unevaluated(_why(answer) if found.type() == cel.Type.ERROR else _NOT_BOOLEAN)

    def _body_members(self, inquiry: Inquiry) -> object:
        """As much of the body as the expression looks at: what is handed over has its price."""
        body = body_of(inquiry, self._names)
        if self._members is None or not isinstance(body, dict):
            return body
        return {name: body[name] for name in self._members if name in body}


_NOT_BOOLEAN = "it is neither true nor false"

_KINDS = (
    ("NOT_FOUND: Key not found", "a member that it reads is not there"),
    ("No matching overloads", "a value is of another type than it takes"),
    ("non-message type", "a value is of another type than it takes"),
    ("Iteration budget exceeded", "a list or a map is too long"),
)


def _why(message: str) -> str:
    """The library's error in our words: its own may hold values of the body."""
    return next((ours for theirs, ours in _KINDS if theirs in message), "its evaluation failed")


# --- compiling


def _compiled(text: str) -> tuple[Any, Reads]:
    """The expression, ready to be evaluated, and what it reads. Raises `ConditionInvalid`."""
    reads, findings = _read(text)
    try:
        expression = _ENVIRONMENT.compile(text)
    except Exception as error:
        told = _told(text, f"{error}")
        if findings:  # the compiler knows unknown names, and what follows from them, as well
            told = [each for each in told if not _FOLLOWS.search(each.message)]
        raise ConditionInvalid(text, sorted({*findings, *told})) from error
    kind = expression.return_type()
    if kind not in (cel.Type.BOOL, cel.Type.DYN):
        name = kind.name().lower()
        findings.append(
            Finding(0, f"a condition must be true or false, and this is of the type {name}")
        )
    if findings:
        raise ConditionInvalid(text, findings)
    return _quick(text) or expression, reads


def _quick(text: str) -> Any:
    """The expression with our own `matches`; None where it has none, or cannot be had so.

    The library lets nobody replace a function, so ours is called by another name, in the text.
    What stands directly before a call's parenthesis is its name.
    """
    ours, found = text, [each.at for each in _calls(text, _THEIRS)]
    if not found or any(text[at - len(_THEIRS) : at] != _THEIRS for at in found):
        return None
    for at in found:
        ours = ours[: at - len(_THEIRS)] + _OURS + ours[at:]
    return _QUICK.compile(ours)


def _calls(text: str, function: str) -> list[Call]:
    return [
        each for each in every(_tree(text)) if isinstance(each, Call) and each.function == function
    ]


def _read(text: str) -> tuple[Reads, list[Finding]]:
    """What the expression reads, and what our own checks find."""
    odd = next((at for at, each in enumerate(text) if _is_odd(each)), None)
    if odd is not None:
        found = Finding(odd, "a control character cannot stand here; write it as an escape")
        raise ConditionInvalid(text, [found])
    if len(text) > LONGEST:
        message = f"a condition has {LONGEST} characters at most, and this has {len(text)}"
        raise ConditionInvalid(text, [Finding(LONGEST, message)])
    try:
        return checked(_tree(text), _KNOWN)
    except RecursionError as error:
        raise ConditionInvalid(text, [Finding(0, _TOO_DEEP)]) from error
    except ValueError as error:
        raise ConditionInvalid(text, [Finding(0, f"cannot be read: {error}")]) from error
    except RuntimeError as error:
        raise ConditionInvalid(text, _told(text, f"{error}")) from error


def _tree(text: str) -> Node:
    return tree_of(_ENVIRONMENT.compile(text, disable_check=True).serialize())


def _is_odd(character: str) -> bool:
    """The library ends a text at its first NUL, and counts lines by LF alone."""
    return unicodedata.category(character) in {"Cc", "Cs"} and character not in "\n\t"


_TOO_DEEP = "is nested too deeply"
_FOLLOWS = re.compile(r"undeclared reference|\*error\*")
_ERROR = re.compile(r"ERROR: <input>:(-?[0-9]+):(-?[0-9]+): ([^\n]*)")


def _told(text: str, message: str) -> list[Finding]:
    """The findings that the library's message tells: lines and columns count from 1."""
    if "recursion" in message:
        return [Finding(0, _TOO_DEEP)]
    found = []
    for line, column, what in _ERROR.findall(message):
        at = _offset(text, int(line), int(column))
        if at is not None:
            found.append(Finding(at, _worded(what)))
    return found or [Finding(0, "is no expression that can be compiled")]


def _offset(text: str, line: int, column: int) -> int | None:
    """The character at a line and column; None for those that stand for nowhere."""
    lines = text.split("\n")
    if not 1 <= line <= len(lines):
        return None
    return min(sum(len(each) + 1 for each in lines[: line - 1]) + column - 1, len(text.rstrip()))


_OUT_OF_PLACE = re.compile(
    "(?:token recognition error at: '|mismatched input '|extraneous input ')(.+)'", re.DOTALL
)
_SIGNS = (
    (("=",), ": what is equal is asked by =="),
    (("and", "AND"), ": it is written &&"),
    (("or", "OR"), ": it is written ||"),
)
"""What is written in other languages, and how it is here."""


def _worded(what: str) -> str:
    """Without what speaks of the compiler's inside, or lists all that could stand here."""
    what = what.removesuffix(" [INVALID_ARGUMENT]").removesuffix(" (in container '')")
    what = what.removeprefix("Syntax error: ").partition(" expecting ")[0]
    what = what.replace("mismatched input '<EOF>'", "something is missing at the end")
    what = what.replace("at '<EOF>'", "at the end")
    matched = _OUT_OF_PLACE.fullmatch(what)
    if matched is None:
        return what
    meant = next((sign for words, sign in _SIGNS if matched[1].strip() in words), "")
    return f"{matched[1].strip()} cannot stand here{meant}"


class _Trial(NamedTuple):
    """An expression in which a text stands where it will stand, to see whether it is good."""

    expression: Any

    def is_good(self, text: str) -> bool:
        if "\0" in text:
            return False
        try:
            given = {"text": text, "now": datetime(2026, 1, 1, tzinfo=UTC)}
            return isinstance(self.expression.eval(None, given).plain_value(), bool)
        except Exception:  # noqa: BLE001 (whatever it raises: it is not good)
            return False


_TRIALS = cel.NewEnv(variables={"text": cel.Type.STRING, "now": cel.Type.TIMESTAMP})

_KNOWN: Mapping[str, Callable[[str], bool]] = {
    kind: _Trial(_TRIALS.compile(expression)).is_good
    for kind, expression in {
        "pattern": "'a'.matches(text)",
        "zone": "now.getHours(text) >= 0",
        "timestamp": "timestamp(text) < now",
        "duration": "duration(text) < duration('1s')",
    }.items()
}


# --- showing


def _picture(text: str, at: int) -> str:
    """The line of the expression, and a mark under the character."""
    begin = text.rfind("\n", 0, at) + 1
    line = text[begin:].partition("\n")[0].replace("\t", " ")
    blank = sum(map(_width, line[: at - begin]))
    return f"  {line}\n  {' ' * blank}^"


def _width(character: str) -> int:
    """How many columns a terminal gives it."""
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
