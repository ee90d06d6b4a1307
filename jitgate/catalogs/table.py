"""The file that a catalog is kept in: one line an operation, to be read by people and compared.

Its columns: method, path template, operation, risk (`jitgate.values.Risk`; empty: not said), the
OAuth scopes that it needs, the parameters that change what it means, the kind of its body (``json``
or nothing), and the fields of a successful response that hold secrets. Lists are separated by
spaces. A parameter stands as ``name``, as ``name=default`` where the target takes that for one left
out, or as ``body:name`` where it is a member of a JSON body.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from jitgate.core.operation import CatalogRow
from jitgate.values import Risk

COLUMNS = ("method", "path", "operation", "risk", "scopes", "parameters", "body", "secrets")

_IN_BODY = "body:"


def read_rows(lines: Iterable[str]) -> tuple[CatalogRow, ...]:
    """The operations in the lines of a file. Raises `ValueError` where one is not whole."""
    reader = csv.reader(lines, strict=True)
    if next(reader, None) != list(COLUMNS):
        raise ValueError("the catalog's file does not begin with the names of its columns")
    return tuple(_row(fields, reader.line_num) for fields in reader)


def written(rows: Iterable[CatalogRow]) -> str:
    """The file of these operations, in the order of path and method."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in sorted(rows, key=lambda each: (each.template, each.method)):
        parameters = [
            name if default is None else f"{name}={default}" for name, default in row.parameters
        ]
        parameters += [f"{_IN_BODY}{name}" for name in row.in_body]
        writer.writerow(
            [
                row.method,
                row.template,
                row.action,
                "" if row.risk is None else row.risk.value,
                " ".join(row.scopes),
                " ".join(parameters),
                "json" if row.json else "",
                " ".join(sorted(row.secrets)),
            ]
        )
    return text.getvalue()


def _row(fields: list[str], line: int) -> CatalogRow:
    if len(fields) != len(COLUMNS) or not all(fields[:3]):
        raise ValueError(f"line {line} of the catalog's file does not hold one operation")
    method, path, action, risk, scopes, parameters, body, secrets = fields
    risks = {each.value: each for each in Risk}
    if risk and risk not in risks:
        known = ", ".join(risks)
        raise ValueError(f"line {line} of the catalog's file: the risk is one of {known}")
    if body not in {"", "json"}:
        raise ValueError(f"line {line} of the catalog's file: the body is json, or left out")
    named = parameters.split()
    in_query = [each.partition("=") for each in named if not each.startswith(_IN_BODY)]
    in_body = tuple(each[len(_IN_BODY) :] for each in named if each.startswith(_IN_BODY))
    if in_body and body != "json":
        raise ValueError(f"line {line} of the catalog's file: only a JSON body has parameters")
    names = [name for name, _, _ in in_query] + list(in_body)
    if len({name.casefold() for name in names}) < len(names):
        raise ValueError(f"line {line} of the catalog's file: a parameter stands twice")
    return CatalogRow(
        method,
        path,
        action,
        tuple(scopes.split()),
        frozenset(secrets.split()),
        risks.get(risk),
        tuple((name, default if said else None) for name, said, default in in_query),
        in_body,
        body == "json",
    )
