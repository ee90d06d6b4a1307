"""What calls to an Okta org mean, from the data files beside this module.

One holds each operation of Okta's published OpenAPI description of its management API (2026.06.3),
as `jitgate.catalogs.table` tells; `.ci/make_okta_catalog.py` makes it. The other was written by
hand: the endpoints at which the org hands out tokens. Those are for people and programs that sign
in, not for agents that act by the gateway's credentials, so no rule lets them pass by a wildcard.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from importlib import resources

from jitgate.catalogs.table import read_rows, version_of
from jitgate.core.catalog import Catalog, CatalogRow, OperationTrie

_MANAGEMENT = "okta.csv"
_OAUTH = "okta_oauth.csv"


def load_okta(target: str) -> Catalog:
    """The catalog of a target that is an Okta org. Raises `ValueError` for a damaged file."""
    return Catalog(target, _trie())


@functools.cache
def _trie() -> OperationTrie:
    """Built once: it is immutable, and the same for every org."""
    return OperationTrie((*okta_rows(), *oauth_rows()))


@functools.cache
def okta_version() -> str:
    """A digest of all that this knows."""
    return version_of(_trie().rows)


def okta_rows() -> tuple[CatalogRow, ...]:
    """Every operation of the management API. Raises `ValueError` for a damaged file."""
    return _rows(_MANAGEMENT)


def oauth_rows() -> tuple[CatalogRow, ...]:
    """The org's OAuth endpoints, each by name alone. Raises `ValueError` for a damaged file."""
    return tuple(replace(row, by_name=True) for row in _rows(_OAUTH))


def _rows(file: str) -> tuple[CatalogRow, ...]:
    return read_rows(resources.files(__package__).joinpath(file).read_text("utf-8").splitlines())
