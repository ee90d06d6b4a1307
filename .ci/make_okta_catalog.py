"""Make `jitgate/catalogs/okta.csv` from Okta's management operations and from what was reviewed.

    python .ci/make_okta_catalog.py SOURCE.csv OPENAPI.yaml

The source has one line for each operation of the published OpenAPI file, which is the second
argument: method, path, operationId, tag, oauth_scopes (separated by spaces) and
secret_props_reachable_in_2xx (the text of a Python list). Only facts are taken over.

What people decided stands in three tables beside the result, and each must fit the two files to
the last row, or nothing is written:

    okta_risks.csv       the risk class of each operation
    okta_parameters.csv  the parameters that change what an operation means, and the defaults of
                         those for which the OpenAPI file has none
    okta_secrets.csv     what is secret of the fields that this script derives from the OpenAPI
                         file by rules of its own, and the source does not name
"""

from __future__ import annotations

import ast
import csv
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML

from jitgate.catalogs.table import written
from jitgate.core.catalog import CatalogRow
from jitgate.values import Risk

CATALOGS = Path(__file__).parents[1] / "jitgate/catalogs"

PLAIN = frozenset(
    {"after", "code", "expand", "filter", "forDownload", "language", "limit", "sortBy"}
    | {"sortOrder", "state", "templateId"}
)
"""Query parameters of operations that change something, which do not change what that is: pages,
filters, wording. ``code`` and ``state`` are what a callback brings; the code is a secret."""

METHODS = ("get", "put", "post", "patch", "delete")
JSON = re.compile(r"application/(json|[a-z.-]+\+json)")

SECRET_NAME = re.compile(
    "secret|^token|tokens?$|passw|pass_?code|private|api_?key|signing_?key|integrationkey|^tac$|"
    "otp$|pin$|seed|salt|answer|activationurl|reset\\w*url|qrcode|jwe$|authorization_header|"
    "serviceaccountjson|credential$|hash$|assertion$|cookie|nonce|bearer",
    re.IGNORECASE,
)
SECRET_PLACE = re.compile(r"(authScheme|headers\[\]|password|hash)\.value$")


class Description:
    """The OpenAPI file."""

    def __init__(self, path: str) -> None:
        self._root: Mapping[str, Any] = YAML(typ="safe").load(Path(path))
        self.operations: dict[str, Described] = {}
        for place, item in self._root["paths"].items():
            for method in METHODS:
                if method in item:
                    operation = item[method]
                    parameters = [*item.get("parameters", ()), *operation.get("parameters", ())]
                    found = Described(self, method.upper(), place, operation, parameters)
                    self.operations[operation["operationId"]] = found

    def followed(self, node: Mapping[str, Any]) -> Mapping[str, Any]:
        """What a reference leads to; everything else is itself."""
        while "$ref" in node:
            target: Any = self._root
            for part in node["$ref"].removeprefix("#/").split("/"):
                target = target[part.replace("~1", "/").replace("~0", "~")]
            node = target
        return node

    def properties(
        self, node: Mapping[str, Any], place: str = "", seen: frozenset[int] = frozenset()
    ) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
        """Each property that a schema reaches: its name, its place, its schema."""
        schema = self.followed(node)
        if id(schema) in seen:
            return
        seen = seen | {id(schema)}
        mapped = schema.get("discriminator", {}).get("mapping", {}).values()
        parts = [each for word in ("allOf", "oneOf", "anyOf") for each in schema.get(word, ())]
        for part in (*parts, *({"$ref": each} for each in mapped)):
            yield from self.properties(part, place, seen)
        for name, value in schema.get("properties", {}).items():
            yield name, f"{place}.{name}", self.followed(value)
            yield from self.properties(value, f"{place}.{name}", seen)
        for word in ("items", "additionalProperties"):
            if isinstance(schema.get(word), Mapping):
                yield from self.properties(schema[word], f"{place}[]", seen)


class Described(NamedTuple):
    """One operation of the OpenAPI file."""

    description: Description
    method: str
    path: str
    operation: Mapping[str, Any]
    parameters: list[Mapping[str, Any]]

    def query(self) -> dict[str, Mapping[str, Any]]:
        """The schemas of the query's parameters, by their names."""
        followed = [self.description.followed(each) for each in self.parameters]
        return {
            each["name"]: self.description.followed(each.get("schema", {}))
            for each in followed
            if each["in"] == "query"
        }

    def json_body(self) -> Mapping[str, Any] | None:
        """The schema of the JSON body, if it has one."""
        body = self.description.followed(self.operation.get("requestBody", {}))
        kinds = [kind for kind in body.get("content", {}) if JSON.fullmatch(kind)]
        return body["content"][kinds[0]].get("schema", {}) if kinds else None

    def members(self) -> set[str]:
        """The members that the JSON body may have."""
        body = self.json_body()
        found = () if body is None else self.description.properties(body)
        return {name for name, place, _ in found if place.count(".") == 1}

    def secrets(self) -> set[str]:
        """The fields of a successful response that hold secrets, by rules of this script's own."""
        found = set()
        for status, answer in self.operation["responses"].items():
            if str(status).startswith("2"):
                for content in self.description.followed(answer).get("content", {}).values():
                    found |= self._secret_in(content.get("schema", {}))
        return found

    def _secret_in(self, schema: Mapping[str, Any]) -> set[str]:
        return {
            name
            for name, place, value in self.description.properties(schema)
            if value.get("writeOnly")
            or value.get("format") == "password"
            or SECRET_PLACE.search(place)
            or (SECRET_NAME.search(name) and value.get("type") not in {"object", "boolean"})
        }


def table(name: str) -> list[dict[str, str]]:
    """The rows of one of the reviewed tables."""
    with (CATALOGS / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def stop(problems: Iterable[str]) -> None:
    """End with every problem, if there is one."""
    found = sorted(problems)
    if found:
        raise SystemExit("\n".join(found))


def risks(names: set[str]) -> dict[str, Risk]:
    """The reviewed class of each operation; each has one, and no other thing has."""
    rows = table("okta_risks.csv")
    found = {row["operation"]: Risk(row["risk"]) for row in rows}
    stop(
        [f"okta_risks.csv: {name} has no row" for name in names - set(found)]
        + [f"okta_risks.csv: there is no operation {name}" for name in set(found) - names]
        + (["okta_risks.csv: an operation stands twice"] if len(found) < len(rows) else [])
    )
    return found


def parameters(
    described: Mapping[str, Described],
) -> tuple[dict[str, dict[str, str | None]], dict[str, list[str]]]:
    """The reviewed parameters of each operation, of its query with their defaults and of its body.

    Each parameter that the OpenAPI file gives to an operation that changes something has a row, or
    is plain.
    """
    problems: list[str] = []
    query: dict[str, dict[str, str | None]] = {}
    body: dict[str, list[str]] = {}
    for row in table("okta_parameters.csv"):
        name, parameter, default = row["operation"], row["parameter"], row["default"] or None
        where = f"okta_parameters.csv: {name}, {parameter}:"
        if name not in described:
            problems.append(f"{where} there is no such operation")
        elif parameter.startswith("body:"):
            member = parameter.removeprefix("body:")
            if member not in described[name].members():
                problems.append(f"{where} its body has no such member")
            body.setdefault(name, []).append(member)
        else:
            schema = described[name].query().get(parameter)
            said = schema.get("default") if schema is not None else None
            said = str(said).lower() if isinstance(said, bool) else said and str(said)
            if schema is None and default is None:
                problems.append(f"{where} the OpenAPI file does not know it: it needs a default")
            if said is not None and default is not None:
                problems.append(f"{where} the OpenAPI file says the default")
            if schema and schema.get("type") == "boolean" and said is default is None:
                problems.append(f"{where} a boolean needs a default")
            query.setdefault(name, {})[parameter] = said or default
    problems += [
        f"{name}: does {parameter} change what it means? okta_parameters.csv does not have it"
        for name, each in described.items()
        if each.method != "GET"
        for parameter in set(each.query()) - PLAIN - set(query.get(name, ()))
    ]
    stop(problems)
    return query, body


def secrets(
    sourced: Mapping[str, set[str]], derived: Mapping[str, set[str]]
) -> dict[str, set[str]]:
    """The secret fields of each operation: those of the source, and what was decided beyond.

    What is decided as secret for a named operation is so even if no file says that it has it.
    """
    decided: dict[str, list[tuple[set[str], bool]]] = {}
    for row in table("okta_secrets.csv"):
        answer = (set(row["operations"].split()), {"yes": True, "no": False}[row["secret"]])
        decided.setdefault(row["field"], []).append(answer)
    problems, used, found = set[str](), set[str](), {}
    for name, fields in derived.items():
        found[name] = set(sourced[name])
        problems |= {
            f"{name}: the source calls {field} secret, and it was not derived"
            for field in sourced[name] - fields
        }
        for field in fields - sourced[name]:
            answers = [yes for whose, yes in decided.get(field, ()) if name in whose]
            answers = answers or [yes for whose, yes in decided.get(field, ()) if "*" in whose]
            if len(answers) != 1:
                problems.add(f"{name}: is {field} secret? okta_secrets.csv does not say, or twice")
            used.add(field)
            found[name] |= {field} if answers == [True] else set()
        named = {each for each in decided if any(yes and name in its for its, yes in decided[each])}
        used |= named
        found[name] |= named
    problems |= {f"okta_secrets.csv: {field} decides nothing" for field in set(decided) - used}
    stop(problems)
    return found


def main(source: str, openapi: str) -> None:
    """Write the data file in the order of path and method."""
    with Path(source).open(encoding="utf-8", newline="") as file:
        rows = {row["operationId"]: row for row in csv.DictReader(file, strict=True)}
    described = Description(openapi).operations
    calls = {name: (each.method, each.path) for name, each in described.items()}
    if calls != {name: (row["method"], row["path"]) for name, row in rows.items()}:
        raise SystemExit("the two files do not hold the same operations")
    risk, (query, body) = risks(set(rows)), parameters(described)
    sourced = {
        name: set(ast.literal_eval(row["secret_props_reachable_in_2xx"] or "[]"))
        for name, row in rows.items()
    }
    secret = secrets(sourced, {name: each.secrets() for name, each in described.items()})
    catalog = [
        CatalogRow(
            row["method"],
            row["path"],
            name,
            tuple(sorted(row["oauth_scopes"].split())),
            frozenset(secret[name]),
            risk[name],
            tuple(sorted(query.get(name, {}).items())),
            tuple(sorted(body.get(name, ()))),
            described[name].json_body() is not None,
        )
        for name, row in rows.items()
    ]
    (CATALOGS / "okta.csv").write_text(written(catalog), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
