"""What a target's calls mean: the rows of its catalog, and how a call finds its row.

Everything here reads the path of a request in its canonical spelling (`jitgate.core.operation`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import unquote, unquote_to_bytes

from zope.interface import implementer

from jitgate.core.operation import CanonicalTarget, PathTemplate, canonical_target
from jitgate.core.parameters import in_query
from jitgate.interfaces import ICatalog
from jitgate.values import METHODS, NotCanonical, Operation, Risk

# --- finding the row that a call is of


@dataclass(frozen=True, slots=True)
class CatalogRow:
    """One operation as a catalog describes it."""

    method: str
    template: str
    action: str
    scopes: tuple[str, ...] = ()
    secrets: frozenset[str] = frozenset()
    risk: Risk | None = None
    parameters: tuple[tuple[str, str | None], ...] = ()
    """Those of the query that change what it means, with the target's default."""
    in_body: tuple[str, ...] = ()
    """Members of a JSON body that do."""
    json: bool = False
    """Whether its body is JSON."""
    by_name: bool = False
    """Whether only a rule that names its action, without a wildcard, may let it pass."""
    cleared: frozenset[str] = frozenset()
    """Fields that people looked at and that hold no secret, though they are named as if."""


class OperationMatch(NamedTuple):
    """The row that a call is of, and the percent-decoded values of the template's parameters."""

    row: CatalogRow
    resource: Mapping[str, str]


_End = tuple[CatalogRow, tuple[str, ...]]
"""A row, and the names of its template's parameters."""


class _Node:
    """A place in the trie: where each next segment leads, and the row that ends here."""

    __slots__ = ("end", "fixed", "parameter")

    def __init__(self) -> None:
        self.fixed: dict[str, _Node] = {}
        self.parameter: _Node | None = None
        self.end: _End | None = None


class OperationTrie:
    """Finds a call's row among any number of templates, in time that depends on the path alone.

    A fixed segment goes before a parameter; where that way ends at nothing, the parameter is
    tried after all. Immutable once built. Raises `ValueError` for a template that is none, and
    for two rows that match the same calls.
    """

    def __init__(self, rows: Iterable[CatalogRow]) -> None:
        self._roots: dict[str, _Node] = {}
        self.rows = tuple(rows)
        for row in self.rows:
            self._add(row)
        self.actions = frozenset(row.action for row in self.rows)

    def _add(self, row: CatalogRow) -> None:
        template = PathTemplate(row.template)
        node = self._roots.setdefault(row.method, _Node())
        for segment in template.segments:
            node = _step(node, segment)
        if node.end is not None:
            raise ValueError(f"{row.action} and {node.end[0].action} match the same calls")
        node.end = (row, template.names)

    def lookup(self, method: str, path: str) -> OperationMatch | None:
        """The row that a canonical call is of, or None. Methods and paths are case-sensitive."""
        root = self._roots.get(method)
        if root is None:
            return None
        found = _find(root, path.split("/"))
        if found is None:
            return None
        (row, names), values = found
        if "%" in path:
            values = [
                unquote_to_bytes(value).decode("utf-8") if "%" in value else value
                for value in values
            ]
        return OperationMatch(row, dict(zip(names, values, strict=True)))


def _step(node: _Node, segment: str | None) -> _Node:
    """The node that a segment of a template leads to, made if it is not there yet."""
    if segment is not None:
        return node.fixed.setdefault(segment, _Node())
    if node.parameter is None:
        node.parameter = _Node()
    return node.parameter


def _find(node: _Node, segments: list[str]) -> tuple[_End, list[str]] | None:
    """What the segments lead to, and the parameters' raw values on the way.

    No node is visited twice, so backtracking costs at most the nodes that there are.
    """
    untried: list[tuple[_Node, int, list[str]]] = []
    values: list[str] = []
    at, end = 0, len(segments)
    while True:
        while at < end:
            segment = segments[at]
            at += 1
            fixed, parameter = node.fixed.get(segment), node.parameter if segment else None
            if fixed is not None:
                if parameter is not None:
                    untried.append((parameter, at, [*values, segment]))
                node = fixed
            elif parameter is not None:
                values.append(segment)
                node = parameter
            else:
                break
        else:
            if node.end is not None:
                return node.end, values
        if not untried:
            return None
        node, at, values = untried.pop()


# --- catalogs


@implementer(ICatalog)
class Catalog:
    """What one target's calls mean, by a trie of all the operations that it has.

    A HEAD is the GET of the same path (RFC 9110, section 9.3.2): it needs the same scopes and
    tells of the same resource, unless the catalog has a row of its own for it.
    """

    def __init__(self, target: str, trie: OperationTrie) -> None:
        self._target = target
        self._trie = trie
        self.actions = trie.actions

    def samples(self, authority: str) -> Iterable[Operation]:
        for row in self._trie.rows:
            names = PathTemplate(row.template).names
            resource = {name: f"{{{name}}}" for name in names}
            parameters = {name: said for name, said in row.parameters if said is not None}
            call = (authority, row.method, row.template, "")
            yield self._of(OperationMatch(row, resource), call, parameters)

    def operation(
        self, authority: str, method: str, path: str, query: str
    ) -> Operation | NotCanonical | None:
        found = self._trie.lookup(method, path)
        if found is None and method == "HEAD":
            found = self._trie.lookup("GET", path)
        if found is None:
            return None
        parameters = in_query(found.row.parameters, query)
        if isinstance(parameters, NotCanonical):
            return parameters
        return self._of(found, (authority, method, path, query), parameters)

    def named(self, authority: str, action: str, resource: Mapping[str, str]) -> Operation | None:
        for row in self._trie.rows:
            if row.action == action and set(PathTemplate(row.template).names) == set(resource):
                path = PathTemplate(row.template).filled(resource)
                return _as_named(self, (authority, row.method, path), action, resource)
        return None

    def _of(
        self,
        found: OperationMatch,
        call: tuple[str, str, str, str],
        parameters: Mapping[str, str],
    ) -> Operation:
        row = found.row
        authority, method, path, query = call
        return Operation(
            target=self._target,
            action=row.action,
            resource=found.resource,
            method=method,
            authority=authority,
            path=path,
            query=query,
            scopes=row.scopes,
            secrets=row.secrets,
            risk=row.risk,
            parameters=parameters,
            in_body=row.in_body,
            json=row.json,
            by_name=row.by_name,
        )


HOLDING_CALLS = frozenset({"$batch", "graphql", "graphiql", "jsonrpc", "json-rpc", "xmlrpc"})
"""Segments of paths, up to a dot, at which one call is sent that holds others."""

ENDS_HOLDING_CALLS = HOLDING_CALLS | {"batch", "rpc", "mcp"}
"""Those that say so only at the end of a path, or before a version; elsewhere they name things."""

_PERHAPS = re.compile("%|batch|graphi?ql|rpc|mcp", re.IGNORECASE)
"""Without any of these none of them is there."""

_VERSION = re.compile(r"v[0-9]+[a-z0-9]*\Z")


def holds_calls(path: str) -> bool:
    """Whether other calls may be sent in one to that path, or to one that a server reads alike."""
    if not _PERHAPS.search(path):
        return False
    text = unicodedata.normalize("NFKC", unquote(path)).casefold()
    segments = [each.strip(" .").partition(".")[0] for each in text.split("/") if each.strip(" .")]
    while segments and _VERSION.match(segments[-1]):
        segments.pop()
    return bool(segments) and (
        segments[-1] in ENDS_HOLDING_CALLS or not HOLDING_CALLS.isdisjoint(segments)
    )


@implementer(ICatalog)
class PathCatalog:
    """The catalog of a target that has none: every call is an operation named by its method.

    Its resource is the whole path, so that a grant for a scope is for nothing beside it. A path by
    whose end calls are known that hold other calls is none that is known: what those would do,
    nobody looks at.
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self.actions = METHODS

    def samples(self, authority: str) -> Iterable[Operation]:
        return ()

    def operation(self, authority: str, method: str, path: str, query: str) -> Operation | None:
        if holds_calls(path):
            return None
        return Operation(
            target=self._target,
            action=method,
            resource={"path": path},
            method=method,
            authority=authority,
            path=path,
            query=query,
        )

    def named(self, authority: str, action: str, resource: Mapping[str, str]) -> Operation | None:
        path = resource.get("path", "") if action in METHODS else ""
        return _as_named(self, (authority, action, path), action, resource)


def _as_named(
    catalog: ICatalog, call: tuple[str, str, str], action: str, resource: Mapping[str, str]
) -> Operation | None:
    """The operation that a call is, if it is the one that was named and has one spelling alone."""
    authority, method, path = call
    if canonical_target(path, method) != CanonicalTarget(path, ""):
        return None
    found = catalog.operation(authority, method, path, "")
    if not isinstance(found, Operation):
        return None
    return found if (found.action, dict(found.resource)) == (action, dict(resource)) else None
