"""The file that a catalog is kept in: one line an operation, to be read by people and compared.

Its columns: method, path template, operation, risk (`jitgate.values.Risk`; empty: not said), the
OAuth scopes that it needs, the parameters that change what it means, the kind of its body (``json``
or nothing), and the fields of a successful response that hold secrets. Lists are separated by
spaces. A parameter stands as ``name``, as ``name=default`` where the target takes that for one left
out, or as ``body:name`` where it is a member of a JSON body. A field with a ``-`` before it was
looked at and holds no secret, whatever a description of the API may say.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from jitgate.core.catalog import CatalogRow
from jitgate.core.operation import PathTemplate
from jitgate.errors import ConfigurationInvalid
from jitgate.values import METHODS, Risk

COLUMNS = ("method", "path", "operation", "risk", "scopes", "parameters", "body", "secrets")

FILE_BYTES = 16 * 1024 * 1024
"""Of a catalog's file; Okta's has 84 KB."""

NAME_CHARS = 200
"""Characters of an operation's name: it stands before people, in records and in tokens."""

PROBLEMS_TOLD = 20
"""How many problems of one file are told: in a file that is none, every line is one."""

Shape = tuple[str, tuple[str | None, ...]]
"""A method, and a template without the names of its parameters: which calls a row is for."""

_IN_BODY = "body:"
_CLEARED = "-"
_RISKS = {each.value: each for each in Risk}

_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+\Z")
"""A scope-token (RFC 6749, section 3.3)."""


class Damaged(ValueError):
    """What is wrong with the lines of a catalog: each problem with the number of its line."""

    def __init__(self, problems: Sequence[tuple[int, str]]) -> None:
        told = "; ".join(f"line {line}: {problem}" for line, problem in problems)
        super().__init__(f"in the catalog's file: {told}")
        self.problems = tuple(problems)


def read_file(file: Path) -> tuple[CatalogRow, ...]:
    """The operations in a file. Raises `ConfigurationInvalid` with every problem, and its line."""
    try:
        with file.open("rb") as opened:
            data = opened.read(FILE_BYTES + 1)
        if len(data) > FILE_BYTES:
            raise ConfigurationInvalid([f"{file}: a catalog has {FILE_BYTES >> 20} MiB at most"])
        return read_rows(io.StringIO(data.decode("utf-8"), newline=""))
    except OSError as error:
        raise ConfigurationInvalid([f"{file}: cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigurationInvalid([f"{file}: is not UTF-8"]) from error
    except Damaged as error:
        told = [f"{file}:{line}: {problem}" for line, problem in error.problems[:PROBLEMS_TOLD]]
        if len(error.problems) > PROBLEMS_TOLD:
            told.append(f"{file}: and {len(error.problems) - PROBLEMS_TOLD} more problems")
        raise ConfigurationInvalid(told) from error


def read_rows(lines: Iterable[str]) -> tuple[CatalogRow, ...]:
    """The operations in the lines of a file. Raises `Damaged`, a `ValueError`, if any is not."""
    reader = csv.reader(lines, strict=True)
    rows: list[tuple[int, CatalogRow]] = []
    problems: list[tuple[int, str]] = []
    try:
        if next(reader, None) != list(COLUMNS):
            raise Damaged([(1, f"the names of its columns were expected: {','.join(COLUMNS)}")])
        for fields in reader:
            try:
                rows.append((reader.line_num, _row(fields)))
            except ValueError as error:
                problems.append((reader.line_num, f"{error}"))
    except csv.Error as error:
        problems.append((reader.line_num, f"this is no CSV: {error}"))
    problems += _repeated(rows)
    if problems:
        raise Damaged(sorted(problems))
    return tuple(row for _, row in rows)


def written(rows: Iterable[CatalogRow]) -> str:
    """The file of these operations, in the order of path and method."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in sorted(rows, key=lambda each: (each.template, each.method)):
        secrets = [*sorted(row.secrets), *(f"{_CLEARED}{name}" for name in sorted(row.cleared))]
        writer.writerow(
            [
                row.method,
                row.template,
                row.action,
                "" if row.risk is None else row.risk.value,
                " ".join(row.scopes),
                " ".join(parameters_of(row)),
                "json" if row.json else "",
                " ".join(secrets),
            ]
        )
    return text.getvalue()


def version_of(rows: Iterable[CatalogRow]) -> str:
    """A digest of the rows, whatever their order."""
    return hashlib.sha256(written(rows).encode()).hexdigest()


def parameters_of(row: CatalogRow) -> list[str]:
    """The parameters that change what it means, as they are written."""
    in_query = [
        name if default is None else f"{name}={default}" for name, default in row.parameters
    ]
    return in_query + [f"{_IN_BODY}{name}" for name in row.in_body]


def shape(row: CatalogRow) -> Shape:
    """Which calls a row is for: two rows of one shape are for the same."""
    return row.method, PathTemplate(row.template).segments


def flaw(row: CatalogRow) -> str | None:
    """Why a row cannot stand in a file, if it cannot."""
    try:
        [again] = read_rows(io.StringIO(written([row]), newline=""))
    except Damaged as error:
        return error.problems[0][1]
    return None if again == row else "what it holds cannot be written"


def _row(fields: list[str]) -> CatalogRow:
    """Raises `ValueError` where the fields are not those of one operation."""
    if len(fields) != len(COLUMNS) or not all(fields[:3]):
        raise ValueError("this is not one operation: method, path and operation are wanted")
    if not all(each.isprintable() for each in fields):
        raise ValueError("this holds a character that cannot be seen")
    method, path, action, risk, scopes, parameters, body, secrets = fields
    if method not in METHODS:
        raise ValueError(f"the method is one of {', '.join(sorted(METHODS))}")
    PathTemplate(path)  # raises where it is none
    if problem := problem_of_name(action):
        raise ValueError(problem)
    if risk and risk not in _RISKS:
        raise ValueError(f"the risk is one of {', '.join(_RISKS)}, or left out")
    if body not in {"", "json"}:
        raise ValueError("the body is json, or left out")
    in_query, in_body = _parameters(parameters, body)
    hidden, cleared = _fields(secrets)
    return CatalogRow(
        method,
        path,
        action,
        _scopes(scopes),
        frozenset(hidden),
        _RISKS.get(risk),
        in_query,
        in_body,
        body == "json",
        cleared=frozenset(cleared),
    )


def _parameters(
    parameters: str, body: str
) -> tuple[tuple[tuple[str, str | None], ...], tuple[str, ...]]:
    """Those of the query, each with its default, and those of the body, whose kind that is."""
    named = _listed("parameter", parameters)
    in_query = tuple(_query_parameter(each) for each in named if not each.startswith(_IN_BODY))
    in_body = tuple(each.removeprefix(_IN_BODY) for each in named if each.startswith(_IN_BODY))
    if not all(in_body) or (in_body and body != "json"):
        raise ValueError("only a JSON body has parameters, and each has a name")
    _once("parameter", [name.casefold() for name in (*(name for name, _ in in_query), *in_body)])
    return in_query, in_body


def _fields(secrets: str) -> tuple[list[str], list[str]]:
    """Those that hold secrets, and those that were looked at and hold none."""
    named = _listed("field", secrets)
    hidden = [each for each in named if not each.startswith(_CLEARED)]
    cleared = [each[1:] for each in named if each.startswith(_CLEARED)]
    if not all(cleared):
        raise ValueError("a field that holds no secret has no name")
    _once("field", [*hidden, *cleared])
    return hidden, cleared


def problem_of_name(action: str) -> str | None:
    """Why this can be no operation's name, if it cannot.

    In a rule ``*`` and ``?`` stand for others, so that a name which holds one could not be meant.
    """
    if len(action) > NAME_CHARS:
        return f"an operation's name has {NAME_CHARS} characters at most"
    if not action or not action.isprintable() or re.search(r"[\s*?]", action):
        return "an operation's name holds no space, no * and no ?"
    return None


def _query_parameter(written_as: str) -> tuple[str, str | None]:
    name, said, default = written_as.partition("=")
    if not name:
        raise ValueError("a parameter has no name")
    return name, default if said else None


def _scopes(scopes: str) -> tuple[str, ...]:
    listed = _listed("scope", scopes)
    if not all(map(_SCOPE.match, listed)):
        raise ValueError("a scope is made of ASCII characters, and of no quotes or backslashes")
    return tuple(listed)


def _listed(kind: str, text: str) -> list[str]:
    """What is separated by spaces."""
    listed = text.split(" ") if text else []
    if not all(listed):
        raise ValueError(f"each {kind} is separated by one space from the next")
    _once(kind, listed)
    return listed


def _once(kind: str, names: Sequence[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"the {kind} {name!r} stands more than once")
        seen.add(name)


def _repeated(rows: Iterable[tuple[int, CatalogRow]]) -> Iterator[tuple[int, str]]:
    """Rows for the same calls, or of the same name: which one counts nobody could say."""
    shapes: dict[Shape, int] = {}
    names: dict[str, int] = {}
    for line, row in rows:
        first = shapes.setdefault(shape(row), line)
        if first != line:
            yield line, f"line {first} is for the same calls"
        first = names.setdefault(row.action, line)
        if first != line:
            yield line, f"the operation {row.action!r} stands in line {first} already"
