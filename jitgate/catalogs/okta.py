"""What Okta's management calls mean, from the data file beside this module.

The file holds, for each operation of Okta's published OpenAPI description (2026.06.3): method,
path template, operation, the OAuth scopes that it needs, and the fields of a successful response
that hold secrets. `.ci/make_okta_catalog.py` makes it.
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Iterable
from importlib import resources

from jitgate.core.operation import Catalog, CatalogRow, OperationTrie

_DATA_FILE = "okta.csv"
_COLUMNS = ["method", "path", "operation", "scopes", "secrets"]


def load_okta(target: str) -> Catalog:
    """The catalog of a target that is an Okta org. Raises `ValueError` for a damaged file."""
    return Catalog(target, _trie())


@functools.cache
def _trie() -> OperationTrie:
    """Built once: it is immutable, and the same for every org."""
    return OperationTrie(okta_rows())


def okta_rows() -> tuple[CatalogRow, ...]:
    """Every operation that the data file holds. Raises `ValueError` for a damaged file."""
    text = resources.files(__package__).joinpath(_DATA_FILE).read_text("utf-8")
    return read_rows(text.splitlines())


def read_rows(lines: Iterable[str]) -> tuple[CatalogRow, ...]:
    """The operations in the lines of a data file. Raises `ValueError` where one is not whole."""
    reader = csv.reader(lines, strict=True)
    if next(reader, None) != _COLUMNS:
        raise ValueError("the data file does not begin with the names of its columns")
    return tuple(_row(fields, reader.line_num) for fields in reader)


def _row(fields: list[str], line: int) -> CatalogRow:
    if len(fields) != len(_COLUMNS) or not all(fields[:3]):
        raise ValueError(f"line {line} of the data file does not hold one operation")
    method, path, action, scopes, secrets = fields
    return CatalogRow(method, path, action, tuple(scopes.split()), frozenset(secrets.split()))
