"""Make `tests/real/okta.json` from Okta's published OpenAPI file: the facts of it, and no text.

    python .ci/make_okta_description.py SOURCE.yaml > tests/real/okta.json

Kept are paths, methods, names of operations, parameters, media types, names and types of
properties, and what an operation asks of whoever calls it. Descriptions, titles, examples and
extensions are left out, and so are components that nothing refers to. The result is OpenAPI as
before, one path or component a line.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

Node = dict[str, Any]

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")

SCHEMA_FACTS = ("$ref", "type", "format", "enum", "required", "nullable", "readOnly", "writeOnly")
"""What is taken as it stands."""

ONE = ("items", "additionalProperties", "not")
SEVERAL = ("allOf", "oneOf", "anyOf")


def schema(source: Any) -> Any:
    """A schema's names and types. ``additionalProperties`` may be a plain yes or no."""
    if not isinstance(source, dict):
        return source
    if "$ref" in source:
        return {"$ref": source["$ref"]}
    found = only(source, *SCHEMA_FACTS)
    if "properties" in source:
        found["properties"] = {name: schema(each) for name, each in source["properties"].items()}
    for key in ONE:
        if key in source:
            found[key] = schema(source[key])
    for key in SEVERAL:
        if key in source:
            found[key] = [schema(each) for each in source[key]]
    if "discriminator" in source:
        found["discriminator"] = only(source["discriminator"], "propertyName", "mapping")
    return found


def only(source: Node, *keys: str) -> Node:
    """These members, where they are there."""
    return {key: source[key] for key in keys if key in source}


def content(source: Node) -> Node:
    """Media types, with the schema of each."""
    return {kind: {"schema": schema(each.get("schema", {}))} for kind, each in source.items()}


def parameter(source: Node) -> Node:
    """Where a parameter stands, how it is written, and what type it has."""
    if "$ref" in source:
        return only(source, "$ref")
    found = only(source, "name", "in", "required", "style", "explode", "allowReserved")
    if "content" in source:
        return found | {"content": content(source["content"])}
    return found | {"schema": schema(source.get("schema", {}))}


def body(source: Node) -> Node:
    """A request's body."""
    if "$ref" in source:
        return only(source, "$ref")
    return only(source, "required") | {"content": content(source["content"])}


def response(source: Node) -> Node:
    """A response's body. OpenAPI insists on a description, so there is one without a word."""
    if "$ref" in source:
        return only(source, "$ref")
    found: Node = {"description": ""}
    if "content" in source:
        found["content"] = content(source["content"])
    return found


def operation(source: Node) -> Node:
    """One operation."""
    found = only(source, "operationId", "security")
    if "parameters" in source:
        found["parameters"] = [parameter(each) for each in source["parameters"]]
    if "requestBody" in source:
        found["requestBody"] = body(source["requestBody"])
    found["responses"] = {status: response(each) for status, each in source["responses"].items()}
    return found


def path(source: Node) -> Node:
    """All that one path has."""
    found: Node = {method: operation(source[method]) for method in METHODS if method in source}
    if "parameters" in source:
        found["parameters"] = [parameter(each) for each in source["parameters"]]
    return found


def schemes(source: Node) -> Node:
    """How calls are authorized, each scheme with the names of its scopes alone."""
    found: dict[str, Node] = {}
    for name, each in source.items():
        kept = only(each, "type", "name", "in", "scheme")
        if "flows" in each:
            kept["flows"] = {
                flow: only(how, "authorizationUrl", "tokenUrl")
                | {"scopes": dict.fromkeys(how["scopes"], "")}
                for flow, how in each["flows"].items()
            }
        found[name] = kept
    return found


def references(node: Any) -> Iterator[str]:
    """Every reference in what has been reduced: where to, each as often as it stands."""
    if isinstance(node, dict):
        # A property may be called so as well: then what it holds is a schema.
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for each in node.values():
            yield from references(each)
        mapping = node.get("discriminator", {})
        if isinstance(mapping, dict):
            yield from mapping.get("mapping", {}).values()
    elif isinstance(node, list):
        for each in node:
            yield from references(each)


def referred(paths: Node, components: Mapping[str, Node]) -> dict[str, Node]:
    """The components that the paths come to, by references of references too."""
    waiting = list(references(paths))
    found: dict[str, Node] = {}
    while waiting:
        _, _, kind, name = waiting.pop().split("/")
        if name not in found.setdefault(kind, {}):
            found[kind][name] = components[kind][name]
            waiting += references(found[kind][name])
    return found


def reduced(source: Node) -> Node:
    """The whole description."""
    paths = {name: path(each) for name, each in source["paths"].items()}
    reducers = {
        "schemas": schema,
        "parameters": parameter,
        "requestBodies": body,
        "responses": response,
    }
    components = {
        kind: {name: reduce(each) for name, each in source["components"].get(kind, {}).items()}
        for kind, reduce in reducers.items()
    }
    return {
        "openapi": source["openapi"],
        "info": {"title": "", "version": source["info"]["version"]},
        "paths": paths,
        "components": referred(paths, components)
        | {"securitySchemes": schemes(source["components"]["securitySchemes"])},
    }


def written(node: Any, depth: int) -> str:
    """JSON with a line for each member down to a depth, in the order of their names."""
    if depth == 0 or not isinstance(node, dict):
        return json.dumps(node, sort_keys=True, separators=(",", ":"))
    members = (f"{json.dumps(key)}:{written(node[key], depth - 1)}" for key in sorted(node))
    return "{\n" + ",\n".join(members) + "\n}"


def main(source: str) -> None:
    """Write the reduction to standard output."""
    whole = YAML(typ="safe").load(Path(source))
    made = reduced(whole)
    top = [
        f"{json.dumps(key)}:{written(made[key], {'paths': 1, 'components': 2}.get(key, 0))}"
        for key in made
    ]
    print("{\n" + ",\n".join(top) + "\n}")


if __name__ == "__main__":
    main(sys.argv[1])
