"""What a call is: its one canonical spelling, and the operation that a catalog knows it as.

Everything here reads the path of a request in its canonical spelling, which `canonical_target`
alone makes. What it refuses has two readings somewhere between here and the target, and a call
with two readings could be approved as one and carried out as the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import quote, unquote, unquote_plus, unquote_to_bytes

from zope.interface import implementer

from jitgate.core.parameters import in_query
from jitgate.interfaces import ICatalog
from jitgate.values import METHODS, NotCanonical, Operation, Risk

# --- the one spelling


class CanonicalTarget(NamedTuple):
    """An origin-form request target (RFC 9112, section 3.2.1) in its one spelling.

    The path is as RFC 3986, section 6.2.2 normalises it; the query is byte for byte as it came,
    without the "?". An empty query is the same as none.
    """

    path: str
    query: str


_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_INVALID_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")

# Read over a path whose escapes are canonical already. The first that is found is the reason, so
# the order is from the plain to the subtle. The last one allows by list (pchar of RFC 3986,
# section 3.3, without ";"), so that what nobody thought of is refused as well.
_REFUSED_IN_PATH = (
    (re.compile(r"\A(?!/)"), "The path does not begin with a slash."),
    (re.compile(r"#"), "The target holds a fragment."),
    (re.compile(r"[^\x00-\x7f]"), "The path holds a byte that is not ASCII."),
    (re.compile(r"[\x00-\x1f\x7f]|%[01]|%7F"), "The path holds a control character."),
    (re.compile(r"\\|%5C"), "The path holds a backslash."),
    (re.compile(r"%2F"), "The path holds an escaped slash."),
    (re.compile(r";|%3B"), "The path holds a semicolon."),
    (re.compile(r"%25[0-9A-Fa-f]{2}"), "The path is percent-escaped twice."),
    (re.compile(r"//"), "The path has an empty segment."),
    (re.compile(r"/\.{1,2}(?:/|\Z)"), "The path has a dot segment."),
    (re.compile(r"[^A-Za-z0-9\-._~!$&'()*+,=:@/%]"), "The path holds a forbidden character."),
)
_REFUSED_IN_QUERY = (
    (re.compile(r"#"), "The target holds a fragment."),
    (re.compile(r"[^\x00-\x7f]"), "The query holds a byte that is not ASCII."),
    (re.compile(r"[\x00-\x20\x7f]"), "The query holds a space or a control character."),
)
_PLAIN = re.compile(
    r"(/|(?:/(?!\.{1,2}(?:[/?]|\Z))[A-Za-z0-9\-._~!$&'()*+,=:@]++)+/?)(?:\?([!\"$&-~]*+))?"
)
"""What is canonical as it stands, but for the names in its query: the path, and the query."""

_SEPARATOR = re.compile("[&;]")
_BLANK = "\x00\t\n\v\f\r "
_C1_CONTROL = re.compile(r"[\x80-\x9f]")
_EMPTY_SEGMENTS = re.compile(r"(?<=[^/])/{2,}")
"""Not those at the beginning: "//host/path" has a second reading (RFC 3986, section 4.2)."""


def canonical_target(
    target: str, method: str = "GET", *, merging: bool = False
) -> CanonicalTarget | NotCanonical:
    """The one spelling of a request target, or why it is refused.

    "*" stands for the server as a whole, of which OPTIONS alone can ask (RFC 9112, 3.2.4).

    Escapes of unreserved characters are decoded and the rest upper-cased; ``merging`` makes one
    slash of several inside a path, which are refused otherwise. Nothing else is changed, and what
    would need more (dot segments, RFC 3986, section 6.2.2.3) is refused. The spelling of a
    spelling is itself, and it is all that is decided on and sent.
    """
    if target == "*" and method == "OPTIONS":
        return CanonicalTarget("*", "")
    plain = _PLAIN.fullmatch(target)
    if plain is not None:
        path, query = plain[1], plain[2] or ""
        reason = _reason_in_names(query)
        return CanonicalTarget(path, query) if reason is None else NotCanonical(reason)
    return _carefully(target, merging=merging)


def _carefully(target: str, *, merging: bool) -> CanonicalTarget | NotCanonical:
    """The one spelling of a target that is not plain, or the first reason against it."""
    # Before anything is decoded: in "%%32F" decoding would make a valid escape of an invalid one.
    if _INVALID_ESCAPE.search(target):
        return NotCanonical("The target holds an invalid percent escape.")
    path, _, query = target.partition("?")
    if "%" in path:
        path = _ESCAPE.sub(_canonical_escape, path)
    if merging:
        path = _EMPTY_SEGMENTS.sub("/", path)
    reason = (
        _first_reason(path, _REFUSED_IN_PATH)
        or _first_reason(query, _REFUSED_IN_QUERY)
        or _reason_in_escapes(path)
        or _reason_in_names(query)
    )
    return CanonicalTarget(path, query) if reason is None else NotCanonical(reason)


def _canonical_escape(escape: re.Match[str]) -> str:
    character = chr(int(escape[0][1:], 16))
    return character if character in _UNRESERVED else escape[0].upper()


def _first_reason(text: str, refused: tuple[tuple[re.Pattern[str], str], ...]) -> str | None:
    for pattern, reason in refused:
        if pattern.search(text):
            return reason
    return None


def _reason_in_escapes(path: str) -> str | None:
    """What is wrong with the text that the path's escapes stand for."""
    if "%" not in path:
        return None
    try:
        text = unquote_to_bytes(path).decode("utf-8")
    except UnicodeDecodeError:
        return "The path's escapes are not UTF-8."
    return "The path holds a control character." if _C1_CONTROL.search(text) else None


def _reason_in_names(query: str) -> str | None:
    """Frameworks take a parameter ``_method`` for the method, in whatever spelling it comes."""
    if "_" not in query and "%5" not in query:
        return None
    for part in _SEPARATOR.split(query):
        name = unquote_plus(part.partition("=")[0]).strip(_BLANK).lower()
        if name == "_method" or name.startswith("_method["):
            return "The query overrides the method."
    return None


# --- templates of paths

_IN_SEGMENTS = "!$&'()*+,=:@~"
"""What stands in a segment as it is (pchar of RFC 3986, section 3.3), but for ";"."""

_PARAMETER = re.compile(r"\{([A-Za-z0-9_.$-]+)\}")


@dataclass(frozen=True, slots=True)
class PathTemplate:
    """A path in which a whole segment may be a parameter: ``/v1/things/{id}``.

    Fixed segments match letter by letter, a parameter matches any one segment but an empty one,
    and a trailing slash matches only a trailing slash. Raises `ValueError` where the text is no
    such template, or could match no canonical path.
    """

    text: str
    segments: tuple[str | None, ...] = field(init=False, repr=False)
    """What stands between the slashes, the nothing before the first one too; None: a parameter."""
    names: tuple[str, ...] = field(init=False, repr=False)
    """The parameters' names in order."""

    def __post_init__(self) -> None:
        parts = [(part, _PARAMETER.fullmatch(part)) for part in self.text.split("/")]
        names = tuple(parameter[1] for _, parameter in parts if parameter)
        sample = "/".join("x" if parameter else part for part, parameter in parts)
        if canonical_target(sample) != CanonicalTarget(sample, ""):
            raise ValueError(f"{self.text!r} is not a template of a canonical path")
        if len(set(names)) != len(names):
            raise ValueError(f"{self.text!r} names a parameter twice")
        segments = tuple(None if parameter else part for part, parameter in parts)
        object.__setattr__(self, "segments", segments)
        object.__setattr__(self, "names", names)

    def filled(self, resource: Mapping[str, str]) -> str:
        """The path with these parameters, percent-encoded. Raises `KeyError` if one is missing."""
        values = iter(self.names)
        return "/".join(
            segment if segment is not None else quote(resource[next(values)], safe=_IN_SEGMENTS)
            for segment in self.segments
        )

    def matches(self, path: str) -> bool:
        """Whether a canonical path is of this template."""
        if not self.names:
            return path == self.text
        parts = path.split("/")
        if len(parts) != len(self.segments):
            return False
        for part, segment in zip(parts, self.segments, strict=True):
            if part != segment if segment is not None else not part:
                return False
        return True


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


HOLDING_CALLS = frozenset({"$batch", "batch", "graphql", "jsonrpc", "rpc"})
"""How paths end, in lower case, at which one call is sent that holds others."""


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
        if _last_segment(path) in HOLDING_CALLS:
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


def _last_segment(path: str) -> str:
    """What a path ends with, decoded and in lower case; a trailing slash does not count."""
    return unquote(path.rstrip("/").rpartition("/")[2]).lower()


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
