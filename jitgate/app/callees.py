"""What must be known of each target to name its calls: read once, for policy and for the calls."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jitgate.app.problems import Problems
from jitgate.catalogs.okta import load_okta
from jitgate.catalogs.table import read_file, written
from jitgate.config import schema
from jitgate.core.operation import Catalog, OperationTrie, PathCatalog
from jitgate.interfaces import ICatalog


@dataclass(frozen=True, slots=True)
class Callee:
    """One target, as `jitgate.core.naming.Named` wants to know it."""

    name: str
    catalog: ICatalog
    declared: frozenset[bytes] = frozenset()
    merges: bool = False
    version: str = ""
    """A digest of what its catalog's file says; none of those that come with the gateway."""


Callees = Mapping[str, Callee | None]
"""By the names of targets; None where the catalog cannot be had, which is a problem."""


def callees_of(settings: schema.Settings, problems: Problems) -> Callees:
    """How calls to each target are named; nothing is opened for it but the catalogs."""
    return {
        target.name: problems.attempt(target.where, _callee, target) for target in settings.targets
    }


def _callee(target: schema.Target) -> Callee:
    """Raises `ConfigurationInvalid` for a file that is no catalog."""
    catalog, version = _catalog(target)
    declared = frozenset(name.lower().encode() for name in target.headers)
    return Callee(target.name, catalog, declared, target.catalog == "none", version)


def _catalog(target: schema.Target) -> tuple[ICatalog, str]:
    if target.catalog == "none":
        return PathCatalog(target.name), ""
    if target.catalog == "okta":
        return load_okta(target.name), ""
    rows = read_file(Path(target.catalog))
    version = hashlib.sha256(written(rows).encode()).hexdigest()
    return Catalog(target.name, OperationTrie(rows)), version
