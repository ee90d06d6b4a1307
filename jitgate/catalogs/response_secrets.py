"""Which fields of an operation's successful response hold secrets, as its schemas have it.

A schema is looked at once, however often and by whatever way it is reached, so that cycles end and
what is shared is cheap.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from jitgate.catalogs.description import Description, Node, listed, members, node
from jitgate.catalogs.wording import names_a_secret
from jitgate.errors import ConfigurationInvalid

LOOKS = 20_000_000
"""Schemas looked at for all operations together; GitHub's 1,223 take less than a tenth of it."""

_ONE = (
    "additionalProperties",
    "contains",
    "else",
    "if",
    "items",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
)
_MANY = ("allOf", "anyOf", "oneOf", "prefixItems")
_NAMED = ("dependentSchemas", "patternProperties")
_TOGETHER = ("allOf", "anyOf", "oneOf")
"""The keywords under which one schema says more of the same value."""

_NUMBERS = frozenset({"integer", "number"})
"""A code may be a number; one named ``tokens`` counts them."""

_SAYS_SECRET = re.compile(r"x-(?:.*-)?(?:secret|sensitive|confidential)\Z", re.IGNORECASE)
_SUCCESS = re.compile(r"2(?:[0-9][0-9]|XX)\Z", re.IGNORECASE)
_JSON = re.compile(r"[^/]+/(?:[^;]+\+)?(?:json|ndjson|json-seq)\s*(?:;|\Z)|\*/\*", re.IGNORECASE)


def is_json(kind: str) -> bool:
    """Whether a media type is JSON, or may be."""
    return _JSON.match(kind) is not None


class ResponseSecrets:
    """Finds them for one description, in so many looks at schemas."""

    def __init__(self, description: Description, looks: int = LOOKS) -> None:
        self._description = description
        self._looks = looks
        self._known: dict[int, frozenset[str]] = {}

    def of(self, operation: Node) -> frozenset[str]:
        """The names of the fields. Raises `ConfigurationInvalid` past so many looks."""
        responses = dict(members(operation.get("responses")))
        successes = [status for status in responses if _SUCCESS.match(status)]
        found: set[str] = set()
        for status in successes or ["default"]:
            response = self._description.resolved(responses.get(status))
            for kind, content in members(response.get("content")):
                if is_json(kind):
                    found |= self._within(node(content).get("schema"))
        return frozenset(found)

    def _within(self, schema: object) -> frozenset[str]:
        start = self._description.resolved(schema)
        if id(start) not in self._known:
            self._known[id(start)] = frozenset(self._walked(schema))
        return self._known[id(start)]

    def _walked(self, schema: object) -> Iterator[str]:
        for each in self._reached(schema, self._parts):
            for name, value in members(each.get("properties")):
                if self._is_secret(name, value):
                    yield name

    def _is_secret(self, name: str, value: object) -> bool:
        kinds: set[str] = set()
        says = fixed = False
        for part in self._reached(value, self._same):
            if part.get("writeOnly") is True:
                return False
            kinds |= _kinds(part) | _kinds(self._description.resolved(part.get("items")))
            says = says or part.get("format") == "password" or _says_secret(part)
            fixed = fixed or "enum" in part or "const" in part
        if says:
            return True
        counts = name.endswith("s") and not kinds.isdisjoint(_NUMBERS) and "string" not in kinds
        holds_one = "string" in kinds or not kinds - {"null", "array"} - _NUMBERS
        return holds_one and not counts and not fixed and names_a_secret(name)

    def _reached(self, schema: object, parts: Any) -> Iterator[Node]:
        """The schemas that one leads to, itself too, each once."""
        seen: set[int] = set()
        ahead = [schema]
        while ahead:
            each = ahead.pop()
            if not isinstance(each, dict) or id(each) in seen:
                continue
            seen.add(id(each))
            self._looks -= 1
            if self._looks < 0:
                raise ConfigurationInvalid(["its schemas are too entangled to be looked through"])
            yield each
            ahead += parts(each)

    def _same(self, schema: Node) -> Iterator[object]:
        """Those that say more of the same value: what is referred to, beside its siblings."""
        if isinstance(reference := schema.get("$ref"), str):
            yield self._description.referred(reference)
        for keyword in _TOGETHER:
            yield from listed(schema.get(keyword))

    def _parts(self, schema: Node) -> Iterator[object]:
        """Those, and all that describe what is within."""
        yield from self._same(schema)
        for _, value in members(schema.get("properties")):
            yield value
        for keyword in _ONE:
            yield schema.get(keyword)
        for keyword in _MANY:
            yield from listed(schema.get(keyword))
        for keyword in _NAMED:
            for _, value in members(schema.get(keyword)):
                yield value
        for _, reference in members(node(schema.get("discriminator")).get("mapping")):
            if isinstance(reference, str):
                inside = "/" in reference or reference.startswith("#")
                named = reference if inside else f"#/components/schemas/{reference}"
                yield self._description.referred(named)


def _kinds(schema: Node) -> set[str]:
    """The types that a schema names: one (3.0), or several (3.1)."""
    kind = schema.get("type")
    return {each for each in [kind, *listed(kind)] if isinstance(each, str)}


def _says_secret(schema: Node) -> bool:
    return any(value is True and _SAYS_SECRET.match(name) for name, value in members(schema))
