"""What must be known of each target to name its calls: read once, for policy and for the calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jitgate.app.problems import Problems
from jitgate.app.provided import Provided
from jitgate.catalogs.okta import load_okta, okta_version
from jitgate.catalogs.table import read_file, version_of
from jitgate.config import schema
from jitgate.config.credential_schema import StaticCredential, VaultCredential
from jitgate.core.catalog import Catalog, OperationTrie, PathCatalog
from jitgate.core.operation import PathTemplate
from jitgate.core.websocket import NONE, WebSockets
from jitgate.interfaces import ICatalog
from jitgate.provided import ProvidedCatalog


@dataclass(frozen=True, slots=True)
class Callee:
    """One target, as `jitgate.core.naming.Named` wants to know it."""

    name: str
    catalog: ICatalog
    declared: frozenset[bytes] = frozenset()
    merges: bool = False
    query_name: str | None = None
    body_name: str | None = None
    websockets: WebSockets = NONE
    version: str = ""
    """A digest of the catalog's rows, where it has any."""


Callees = Mapping[str, Callee | None]
"""By the names of targets; None where the catalog cannot be had, which is a problem."""


def callees_of(settings: schema.Settings, provided: Provided, problems: Problems) -> Callees:
    """How calls to each target are named; nothing is opened for it but the catalogs."""
    return {
        target.name: problems.attempt(target.where, _callee, target, provided)
        for target in settings.targets
    }


def declared(target: schema.Target) -> frozenset[bytes]:
    """The request fields, in lower case, that the target takes beside the usual ones."""
    return frozenset(name.lower().encode() for name in target.headers)


def _callee(target: schema.Target, provided: Provided) -> Callee | None:
    """Raises `ConfigurationInvalid` for a file that is no catalog."""
    found = _catalog(target, provided)
    if found is None:
        return None
    catalog, version = found
    query, body = _placed(target.credential)
    merges = target.catalog == "none"
    taken = _websockets(target.websocket)
    return Callee(target.name, catalog, declared(target), merges, query, body, taken, version)


def _websockets(taken: schema.WebSocket | None) -> WebSockets:
    if taken is None:
        return NONE
    return WebSockets(tuple(map(PathTemplate, taken.paths)), frozenset(taken.protocols))


def _placed(credential: schema.Credential) -> tuple[str | None, str | None]:
    """The names under which a credential is in a query, and in a body."""
    if isinstance(credential, VaultCredential):
        return credential.carried.query, credential.carried.body
    if isinstance(credential, StaticCredential):
        return credential.query, credential.body
    return None, None


def _catalog(target: schema.Target, provided: Provided) -> tuple[ICatalog, str] | None:
    if isinstance(target.catalog, schema.FromPlugin):
        name = target.catalog.plugin
        catalog = provided.named(ICatalog, name, target.where)
        return None if catalog is None else (ProvidedCatalog(target.name, name, catalog), "")
    if target.catalog == "none":
        return PathCatalog(target.name), ""
    if target.catalog == "okta":
        return load_okta(target.name), okta_version()
    rows = read_file(Path(target.catalog))
    return Catalog(target.name, OperationTrie(rows)), version_of(rows)
