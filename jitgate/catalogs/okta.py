"""What Okta's management calls mean, from the data file beside this module.

The file holds each operation of Okta's published OpenAPI description (2026.06.3), as
`jitgate.catalogs.table` tells. `.ci/make_okta_catalog.py` makes it.
"""

from __future__ import annotations

import functools
from importlib import resources

from jitgate.catalogs.table import read_rows
from jitgate.core.operation import Catalog, CatalogRow, OperationTrie

_DATA_FILE = "okta.csv"


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
