"""Examples of what an OpenAPI description says that an answer is, small ones and full ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

Node = Mapping[str, Any]

_DEEP = 12
"""Schemas inside of schemas at which nothing more is given that need not be."""


class Fit(NamedTuple):
    """What else a text or number has to fit, which the description at hand does not say."""

    shortest: int = 0
    longest: int = 1000
    least: int = 7
    text: str = ""
    """One that fits, where not every one of the right length does."""
    left_out: bool = False


class Kinds(NamedTuple):
    """By what property it is told what a component is, and what that is by each of its values."""

    property: str = ""
    components: Mapping[str, str] = {}


class Examples:
    """Makes examples; ``fits`` tells how the properties of a component must fit, by its name."""

    def __init__(self, whole: Node, fits: Callable[[str], Mapping[str, Fit]]) -> None:
        self._whole = whole
        self._fits = fits

    def answers(self, operation: Node) -> Iterator[tuple[str, Node]]:
        """The statuses of success that come with JSON, each with its schema."""
        for status, response in operation["responses"].items():
            content = self.followed(response).get("content", {})
            if status.startswith("2") and "application/json" in content:
                yield status, content["application/json"].get("schema", {})

    def made(self, schema: Node, number: int, *, full: bool) -> Any:
        """One example, of several kinds the one of that number; ``full``: with all there may be."""
        return _Making(self, number, full=full).value(schema, "", Fit(), ())

    def kinds(self, schema: Node) -> int:
        """How many kinds of it there are to choose from at its root."""
        return max(1, len(self.kinds_of(schema.get("items", schema)).components))

    def kinds_of(self, schema: Node) -> Kinds:
        """The kinds that there are of what a reference leads to."""
        if "$ref" not in schema:
            return Kinds()
        told = self.followed(schema).get("discriminator", {})
        mapping = told.get("mapping", {})
        components = {value: where.rpartition("/")[2] for value, where in mapping.items()}
        return Kinds(told.get("propertyName", ""), components)

    def followed(self, node: Node) -> Node:
        """What stands where a reference leads, if it is one."""
        while "$ref" in node:
            at: Any = self._whole
            for step in node["$ref"].removeprefix("#/").split("/"):
                at = at[step]
            node = at
        return node

    def properties(self, schema: Node) -> tuple[dict[str, Any], set[str], dict[str, Fit]]:
        """All properties of a schema and of those it is made of, those required, and how they fit."""
        fits = dict(self._fits(_referred(schema)))
        schema = self.followed(schema)
        properties, required = dict[str, Any](), set[str]()
        for part in schema.get("allOf", ()):
            inherited, needed, how = self.properties(part)
            properties |= inherited
            required |= needed
            fits = how | fits
        return (
            properties | schema.get("properties", {}),
            required | set(schema.get("required", ())),
            fits,
        )


def _referred(schema: Node) -> str:
    return str(schema.get("$ref", "")).rpartition("/")[2]


class _Making:
    def __init__(self, of: Examples, number: int, *, full: bool) -> None:
        self._of = of
        self._number = number
        self._full = full

    def value(self, schema: Node, name: str, fit: Fit, around: Sequence[str]) -> Any:
        component = _referred(schema)
        around = (*around, component) if component else around
        kinds = self._of.kinds_of(schema)
        if kinds.components:
            every = sorted(kinds.components)
            kind = every[self._number % len(every)]
            meant = {"$ref": f"#/components/schemas/{kinds.components[kind]}"}
            made = self._object(meant, (*around, kinds.components[kind]))
            return made | {kinds.property: kind}
        schema = self._of.followed(schema)
        if "enum" in schema:
            return schema["enum"][self._number % len(schema["enum"])]
        several = schema.get("oneOf", schema.get("anyOf"))
        if several is not None:
            chosen = self.value(several[self._number % len(several)], name, fit, around)
            more = {key: schema[key] for key in ("properties", "allOf") if key in schema}
            return self._object(more, around) | chosen if more else chosen
        if schema.get("type") == "array" or "items" in schema:
            items = schema.get("items", {})
            size = 1 if self._full and not _is_endless(items, around) else 0
            return [self.value(items, name, Fit(), around)] * size
        if schema.get("type") == "object" or {"properties", "allOf"} & schema.keys():
            return self._members(schema, name, fit, component, around)
        return self._scalar(schema, name, fit)

    def _members(
        self, schema: Node, name: str, fit: Fit, component: str, around: Sequence[str]
    ) -> Any:
        meant = {"$ref": f"#/components/schemas/{component}"} if component else schema
        properties, _, _ = self._of.properties(meant)
        if not properties and "allOf" in schema:  # of something that is no object
            return self.value(next(filter(None, schema["allOf"]), {}), name, fit, around)
        return self._object(meant, around)

    def _object(self, schema: Node, around: Sequence[str]) -> dict[str, Any]:
        properties, required, fits = self._of.properties(schema)
        given = dict[str, Any]()
        for name, each in sorted(properties.items()):
            fit = fits.get(name, Fit())
            optional = self._full and len(around) < _DEEP and not _is_endless(each, around)
            if name in required or (optional and not fit.left_out):
                given[name] = self.value(each, name, fit, around)
        more = self._of.followed(schema).get("additionalProperties")
        if self._full and isinstance(more, dict) and not _is_endless(more, around):
            given["more"] = self.value(more, "more", Fit(), around)
        return given

    def _scalar(self, schema: Node, name: str, fit: Fit) -> Any:
        kind = schema.get("type")
        if kind in ("integer", "number"):
            return fit.least
        if kind == "boolean":
            return True
        if kind != "string":
            return {}
        if schema.get("format") in FORMATS:
            return FORMATS[schema["format"]]
        text = fit.text or f"HuSh of {name}"
        return text[: fit.longest].ljust(fit.shortest, "x")


def _is_endless(schema: Node, around: Sequence[str]) -> bool:
    """Whether it is within itself."""
    inner = schema.get("items", schema)
    return _referred(schema) in around or _referred(inner) in around


FORMATS: Mapping[str, str] = {
    "uri": "https://a.example/HuSh",
    "url": "https://a.example/HuSh",
    "email": "HuSh@b.example",
    "date-time": "2026-01-02T03:04:05.000Z",
    "date": "2026-01-02",
}
"""Texts that are checked for what they are."""
