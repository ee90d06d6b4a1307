"""Calls made from an OpenAPI description: each of its operations, with all that it must be given.

It is read here once more, by nobody's catalog: what the gateway knows of an API is held against it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import orjson

METHODS = frozenset({"get", "put", "post", "delete", "patch"})

_DEEP = 20
"""Schemas inside of schemas: what is required of itself could never be given."""

_BOUNDARY = "part-of-a-form"


@dataclass(frozen=True)
class Described:
    """One operation, and one call of it."""

    method: str
    template: str
    action: str
    scopes: tuple[str, ...]
    is_open: bool
    """Whether the description asks for no credential at all."""
    resource: Mapping[str, str]
    query: str
    headers: Mapping[str, str]
    body: bytes
    answers: Mapping[str, tuple[str, ...]]
    """By each status the media types of the answer."""

    @property
    def path(self) -> str:
        """The path of the call."""
        path = self.template
        for name, value in self.resource.items():
            path = path.replace(f"{{{name}}}", quote(value, safe=""))
        return path


class Description:
    """An OpenAPI 3.0 file in JSON."""

    def __init__(self, file: Path) -> None:
        self._whole: dict[str, Any] = orjson.loads(file.read_bytes())
        self.operations = tuple(self._operations())

    def _operations(self) -> Iterator[Described]:
        for template, path in self._whole["paths"].items():
            for method in sorted(METHODS & path.keys()):
                yield self._described(template, method.upper(), path)

    def _described(self, template: str, method: str, path: Mapping[str, Any]) -> Described:
        operation = path[method.lower()]
        parameters = [
            self._followed(each)
            for each in [*path.get("parameters", ()), *operation.get("parameters", ())]
        ]
        given = {
            where: {
                each["name"]: self._text(each["schema"], each["name"])
                for each in parameters
                if each["in"] == where and (where == "path" or each.get("required"))
            }
            for where in ("path", "query", "header")
        }
        kind, body = self._body(operation.get("requestBody"))
        answers = {
            status: tuple(self._followed(each).get("content", ()))
            for status, each in operation["responses"].items()
        }
        return Described(
            method=method,
            template=template,
            action=operation["operationId"],
            scopes=_scopes(operation["security"]),
            is_open=not operation["security"],
            resource=given["path"],
            query=urlencode(given["query"], quote_via=quote),  # "+" would have two readings
            headers=given["header"] | ({"Content-Type": kind} if kind else {}),
            body=body,
            answers=answers,
        )

    def _followed(self, node: Any) -> Any:
        """What stands where a reference leads, if it is one."""
        while "$ref" in node:
            at: Any = self._whole
            for step in node["$ref"].removeprefix("#/").split("/"):
                at = at[step]
            node = at
        return node

    def _text(self, schema: Any, name: str) -> str:
        """A parameter's value: what the schema lists or counts, else its own name with a mark."""
        if "oneOf" in schema:  # of a word and any text: as a word it would be both
            schema = schema["oneOf"][-1]
        value = self._sample(schema)
        if value == _TEXT:
            return f"{name} é.7"
        return str(value).lower() if isinstance(value, bool) else str(value)

    def _body(self, body: Any) -> tuple[str, bytes]:
        """The media type and the bytes of a request's body; nothing where there is none."""
        if body is None:
            return "", b""
        body = self._followed(body)
        kind, content = next(iter(body["content"].items()))
        if not body.get("required") and "oneOf" in self._followed(content["schema"]):
            return "", b""  # nothing else fits one and no other
        if kind == "multipart/form-data":
            return f"{kind}; boundary={_BOUNDARY}", self._form(content["schema"])
        if kind.endswith("json"):
            return kind, orjson.dumps(self._sample(content["schema"]))
        return kind, _TEXT.encode()

    def _form(self, schema: Any) -> bytes:
        """A form (RFC 7578) with a file for each part."""
        parts = [
            f"--{_BOUNDARY}\r\n"
            f'Content-Disposition: form-data; name="{name}"; filename="{name}.bin"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
            f"{_TEXT}\r\n"
            for name in self._followed(schema)["properties"]
        ]
        return "".join([*parts, f"--{_BOUNDARY}--\r\n"]).encode()

    def _sample(self, schema: Any, depth: int = 0) -> Any:
        """A value with nothing but what is required."""
        assert depth < _DEEP, "it is required of itself"
        schema = self._followed(schema)
        if "enum" in schema:
            return schema["enum"][0]
        for one_of in ("oneOf", "anyOf"):
            if one_of in schema:
                schema = {**schema, "allOf": [*schema.get("allOf", ()), schema[one_of][0]]}
        if schema.get("type") == "object" or "properties" in schema or "allOf" in schema:
            return self._object(schema, depth)
        if schema.get("type") == "array":
            return []
        if schema.get("format") in _FORMATS:
            return _FORMATS[schema["format"]]
        return _SAMPLES[schema.get("type", "")]

    def _object(self, schema: Any, depth: int) -> Any:
        properties, required = self._members(schema, depth)
        if not properties and "allOf" in schema:  # of something that is no object
            return self._sample(schema["allOf"][-1], depth + 1)
        given = {name: self._followed(properties.get(name, {})) for name in sorted(required)}
        return {
            name: self._sample(each, depth + 1)
            for name, each in given.items()
            if not each.get("readOnly")
        }

    def _members(self, schema: Any, depth: int) -> tuple[dict[str, Any], set[str]]:
        """All properties of a schema and of those that it is made of, and which are required."""
        assert depth < _DEEP, "it is made of itself"
        schema = self._followed(schema)
        properties: dict[str, Any] = {}
        required: set[str] = set()
        for part in schema.get("allOf", ()):
            inherited, needed = self._members(part, depth + 1)
            properties |= inherited
            required |= needed
        return properties | schema.get("properties", {}), required | set(schema.get("required", ()))


_TEXT = "a text"

_SAMPLES: Mapping[str, object] = {"": {}, "string": _TEXT, "boolean": True, "integer": 7}

_FORMATS: Mapping[str, str] = {
    "uri": "https://a.example/",
    "url": "https://a.example/",
    "email": "a@b.example",
}
"""Texts that are checked for what they are."""


def _scopes(security: list[dict[str, list[str]]]) -> tuple[str, ...]:
    """What a token must have: there is one way to come with one, or none."""
    ways = [each["oauth2"] for each in security if "oauth2" in each]
    assert len(ways) <= 1
    return tuple(sorted(ways[0])) if ways else ()
