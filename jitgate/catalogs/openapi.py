"""Makes the rows of a catalog from a description of an API: what is a fact, and what is proposed.

Facts are method, path, name, scopes and the kind of the body. Risk, the parameters that change what
a call means, and the fields that hold secrets are proposed, for people to look through. What could
be taken for two things is left out, and said: a call without a row is denied.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from jitgate.catalogs.apart import call, made_name, named_apart, told_apart
from jitgate.catalogs.description import Description, Node, Said, listed, members, node, text_of
from jitgate.catalogs.overlaps import crossing
from jitgate.catalogs.response_secrets import ResponseSecrets, is_json
from jitgate.catalogs.servers import Base, base_of, common_base
from jitgate.catalogs.table import flaw, problem_of_name
from jitgate.catalogs.wording import proposed_risk
from jitgate.core.catalog import CatalogRow, holds_calls
from jitgate.core.operation import PathTemplate
from jitgate.errors import ConfigurationInvalid
from jitgate.values import METHODS, SAFE_METHODS

OPERATIONS = 50_000
"""Of one description; Microsoft's for Graph has some 16,000."""


CROSSINGS = 1000
"""How many pairs of templates with calls in common are told; GitHub's description has 43."""


class Imported(NamedTuple):
    """What a description comes to."""

    rows: tuple[CatalogRow, ...]
    skipped: tuple[Said, ...]
    """Operations without a row, and why."""
    notes: tuple[Said, ...]


class _Operation(NamedTuple):
    """One operation as it is described, where it stands."""

    method: str
    path: str
    template: str
    content: Node
    parameters: Sequence[Node]

    @property
    def where(self) -> str:
        return f"{self.method} {self.path}"


class _Skipped(Exception):
    """Why an operation gets no row."""


_FORMS = {"?": "the path holds a query", "{": "a parameter is only a part of its segment"}
_PARAMETER = re.compile(r"\A\{[A-Za-z0-9_.$-]+\}\Z")
_CROSSING = "some calls are of both forms: the gateway takes the one that is fixed first"
_OAUTH = frozenset({"oauth2", "openIdConnect"})


def imported(
    description: Description,
    *,
    prefix: str | None = None,
    hosts: Collection[str] = (),
    present: Iterable[CatalogRow] = (),
) -> Imported:
    """The rows of every operation that can be told from all others.

    ``prefix`` goes before each path instead of the base path of the servers; ``hosts`` are those of
    the target, without ports, beside those that the description names for all of it.
    Of two rows for the same calls the one that is ``present`` already stays, else neither. Raises
    `ConfigurationInvalid` where nothing can be made of the description.
    """
    return _Import(description, prefix, hosts).made({call(row) for row in present})


class _Import:
    """One description on its way to rows."""

    def __init__(
        self, description: Description, prefix: str | None, hosts: Collection[str]
    ) -> None:
        self._description = description
        self._root: Base = common_base(description.content.get("servers"), prefix)
        self._hosts = {*hosts, *self._root.hosts}
        self._secrets = ResponseSecrets(description)
        schemes = node(node(description.content.get("components")).get("securitySchemes"))
        self._oauth = {
            name
            for name, scheme in members(schemes)
            if text_of(description.resolved(scheme).get("type")) in _OAUTH
        }
        self._skipped: list[Said] = []
        self._notes: list[Said] = []

    def made(self, present: Collection[tuple[str, str]]) -> Imported:
        rows = [row for each in self._operations() if (row := self._row(each)) is not None]
        rows, alike = told_apart(rows, present)
        self._skipped += alike
        rows, renamed = named_apart(rows)
        self._notes += renamed
        rows = [row for row in rows if self._fits(row)]
        self._notes += [
            Said(_CROSSING, each) for each in itertools.islice(crossing(rows), CROSSINGS)
        ]
        for reference, why in self._description.unfollowed.items():
            self._notes.append(Said(f"a reference {why}", reference))
        if not rows:
            why = f": {self._skipped[0].what}" if self._skipped else ""
            raise ConfigurationInvalid([f"it describes no operation that can be told apart{why}"])
        rows.sort(key=lambda row: (row.template, row.method))
        return Imported(tuple(rows), tuple(self._skipped), tuple(self._notes))

    def _operations(self) -> Iterator[_Operation]:
        count = 0
        for path, item in members(self._description.content.get("paths")):
            if path.startswith("x-"):
                continue
            described = self._description.resolved(item)
            if "$ref" in node(item) and (len(node(item)) > 1 or not described):
                self._skipped.append(Said("what it refers to is not there, or not all", path))
                continue
            for method, content in members(described):
                if method.upper() not in METHODS | {"TRACE"} or method != method.lower():
                    continue
                count += 1
                if count > OPERATIONS:
                    raise ConfigurationInvalid([f"it has more than {OPERATIONS} operations"])
                try:
                    yield self._operation(method.upper(), path, described, content)
                except _Skipped as why:
                    self._skipped.append(Said(f"{why}", f"{method.upper()} {path}"))

    def _operation(self, method: str, path: str, item: Node, content: object) -> _Operation:
        """Raises `_Skipped` where no row could be for its calls alone."""
        if method not in METHODS:
            raise _Skipped("this method is never forwarded")
        if not isinstance(content, dict):
            raise _Skipped("no operation stands there")
        servers = content.get("servers") or item.get("servers")
        base = self._root if servers is None else self._own_base(servers)
        operation = _Operation(
            method, path, base.path + path, content, self._parameters(item, content)
        )
        if holds_calls(path):
            raise _Skipped("its calls hold other calls, which nobody would see")
        _check_template(operation.template)
        return operation

    def _own_base(self, servers: object) -> Base:
        bases = [base_of(each) for each in listed(servers)]
        ours = [
            each
            for each in bases
            if each is not None and (not each.hosts or not self._hosts.isdisjoint(each.hosts))
        ]
        if not ours:
            raise _Skipped("another host serves it, which is none of the target's")
        if len({each.path for each in ours}) > 1:
            raise _Skipped("its servers have different base paths")
        return ours[0]

    def _parameters(self, item: Node, content: Node) -> list[Node]:
        """Those of the operation, which go before those of its path."""
        found: dict[tuple[str, str], Node] = {}
        for each in [*listed(item.get("parameters")), *listed(content.get("parameters"))]:
            parameter = self._description.resolved(each)
            found[text_of(parameter.get("in")), text_of(parameter.get("name"))] = parameter
        return list(found.values())

    # --- one row

    def _row(self, operation: _Operation) -> CatalogRow | None:
        try:
            self._check_path_parameters(operation)
            scopes = self._scopes(operation.content)
            action = self._action(operation)
        except _Skipped as why:
            self._skipped.append(Said(f"{why}", operation.where))
            return None
        fixed = [part for part in operation.path.split("/") if part and part[0] != "{"]
        safe = operation.method in SAFE_METHODS
        return CatalogRow(
            operation.method,
            operation.template,
            action,
            scopes,
            frozenset(self._writable(operation, sorted(self._secrets.of(operation.content)))),
            proposed_risk(operation.method, fixed, action, scopes),
            () if safe else tuple(self._changing(operation)),
            (),
            self._takes_json(operation.content),
        )

    def _check_path_parameters(self, operation: _Operation) -> None:
        for each in operation.parameters:
            if each.get("in") != "path":
                continue
            if text_of(each.get("style")) in {"matrix", "label"}:
                raise _Skipped("a parameter of its path is written with a mark before it")
            if each.get("x-multi-segment") is True:
                self._notes.append(
                    Said("calls with a slash in a parameter are not recognised", operation.where)
                )

    def _action(self, operation: _Operation) -> str:
        given = operation.content.get("operationId")
        if not isinstance(given, str) or not given.strip():
            self._notes.append(Said("named after method and path: it has no id", operation.where))
            return made_name(operation.method, operation.path)
        name = re.sub(r"[\s*?]", "_", "".join(c if c.isprintable() else "_" for c in given))
        if problem_of_name(name) is not None:
            name = made_name(operation.method, operation.path)
        if name != given:
            self._notes.append(Said("named otherwise: its id is no name", operation.where))
        return name

    def _scopes(self, content: Node) -> tuple[str, ...]:
        """Of the ways in that are described, the one with the fewest scopes.

        Ways without OAuth (a key, say) have no scopes to be smallest by; only where nothing else is
        there, or none is needed at all, no scope is.
        """
        wanted = content.get("security", self._description.content.get("security"))
        ways = [each for each in listed(wanted) if isinstance(each, dict)]
        by_oauth: list[tuple[str, ...]] = [
            _sorted(scope for name in self._oauth & set(way) for scope in listed(way[name]))
            for way in ways
            if not self._oauth.isdisjoint(way)
        ]
        if {} in ways or not by_oauth:
            return ()
        return min(by_oauth, key=lambda scopes: (len(scopes), scopes))

    def _takes_json(self, content: Node) -> bool:
        body = self._description.resolved(content.get("requestBody"))
        return any(is_json(kind) for kind, _ in members(body.get("content")))

    def _changing(self, operation: _Operation) -> Iterator[tuple[str, str | None]]:
        """The parameters that may change what it means: those that choose among a few things."""
        for each in operation.parameters:
            name, schema = each.get("name"), self._description.resolved(each.get("schema"))
            if each.get("in") != "query" or not isinstance(name, str):
                continue
            if "boolean" not in [schema.get("type"), *listed(schema.get("type"))] and not (
                "enum" in schema or "const" in schema
            ):
                continue
            if not name.isprintable() or re.search(r"[\s=]|\Abody:|\A\Z", name):
                self._notes.append(
                    Said(
                        "a parameter's name cannot be written: rules do not see it", operation.where
                    )
                )
                continue
            yield name, _as_sent(schema.get("default"))

    def _writable(self, operation: _Operation, names: Sequence[str]) -> Iterator[str]:
        for name in names:
            if name.isprintable() and name and " " not in name and not name.startswith("-"):
                yield name
            else:
                self._notes.append(
                    Said("a secret's name cannot be written: mask it by a profile", operation.where)
                )

    def _fits(self, row: CatalogRow) -> bool:
        why = flaw(row)
        if why is not None:
            self._skipped.append(Said(why, f"{row.method} {row.template}"))
        return why is None


def _sorted(scopes: Iterable[object]) -> tuple[str, ...]:
    """Raises `_Skipped` for what is no scope."""
    found = {scope if isinstance(scope, str) else "" for scope in scopes}
    if "" in found:
        raise _Skipped("one of its scopes is no text")
    return tuple(sorted(found))


def _check_template(template: str) -> None:
    """Raises `_Skipped` where a path is no template of canonical ones."""
    try:
        PathTemplate(template)
    except ValueError as error:
        bare = "/".join(_PARAMETER.sub("", segment) for segment in template.split("/"))
        for mark, why in _FORMS.items():
            if mark in bare:
                raise _Skipped(why) from error
        raise _Skipped("no path that is spelled in one way alone is of this form") from error


def _as_sent(default: object) -> str | None:
    """A default as it would stand in a query; None where it is none that can be written."""
    if isinstance(default, bool):
        return "true" if default else "false"
    sent = text_of(default)
    return sent if sent.isprintable() and sent and " " not in sent else None
