"""JSON Schemas of the configuration's files, for editors: made of the models that read them.

A schema says what a file may hold, key by key. What can only be seen of several keys or files
together, such as a group that no list names, `jitgate policy check` and `jitgate check` say.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import textwrap
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from jitgate.config.cases import Case
from jitgate.config.masking_cases import MaskingCase
from jitgate.config.masking_schema import Profile
from jitgate.config.schema import Rule, Settings

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_FILES: Mapping[str, tuple[Any, str]] = {
    "jitgate.schema.json": (Settings, "jitgate.yaml"),
    "policy.schema.json": (tuple[Rule, ...], "A policy file of jitgate: a list of rules."),
    "masking.schema.json": (tuple[Profile, ...], "A masking file of jitgate: a list of profiles."),
    "masking-test.schema.json": (
        tuple[MaskingCase, ...],
        "A test file of masking of jitgate: a list of cases.",
    ),
    "policy-test.schema.json": (tuple[Case, ...], "A test file of jitgate: a list of cases."),
}

_OURS = frozenset({"x-kind", "ge", "le"})
"""What stands in the schemas of kinds for this module, or comes there from bounds of another."""


def schemas() -> dict[str, dict[str, Any]]:
    """Each file's schema, by the name of the file to keep it in."""
    found = {}
    for name, (shape, title) in _FILES.items():
        adapter: TypeAdapter[Any] = TypeAdapter(shape)
        made = _clean(adapter.json_schema(schema_generator=_ForEditors))
        found[name] = {"$schema": DIALECT, **made, "title": title}
    return found


class _ForEditors(GenerateJsonSchema):
    """What is written in files: no key without a value, and defaults as they would be written."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        made = super().model_schema(schema)
        keys, told = made.get("properties", {}), _told(schema["cls"])
        for name, field in schema["cls"].model_fields.items():
            key = keys.get(field.alias or name)
            if name in told and key is not None:
                # It counts beside a reference too (JSON Schema 2020-12, section 8.2.3.1).
                key["description"] = told[name]
        return made

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        made = super().default_schema(schema)
        default = made.pop("default", None)
        if default is None or isinstance(default, dict):
            return made  # a section that is left out has the defaults of its keys
        kind = made.get("x-kind")
        return {**made, "default": _SPELLED[kind](default) if kind in _SPELLED else default}


def _told(model: type) -> dict[str, str]:
    """What the docstrings below a section's keys say of them."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(model)))
    body = getattr(tree.body[0], "body", [])
    return {
        field.target.id: " ".join(said.value.value.split())
        for field, said in itertools.pairwise(body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(said, ast.Expr)
        and isinstance(said.value, ast.Constant)
        and isinstance(said.value.value, str)
    }


def _duration(seconds: float) -> str:
    """A duration in the largest unit of which it is a whole number."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        if seconds >= size and seconds % size == 0:
            return f"{int(seconds // size)}{unit}"
    return f"{round(seconds * 1000)}ms"


def _size(count: int) -> str | int:
    """A size in the largest unit of which it is a whole number."""
    for unit, size in (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)):
        if count >= size and count % size == 0:
            return f"{count // size}{unit}"
    return count


def _address(value: tuple[str, int]) -> str:
    host, port = value
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


_SPELLED: Mapping[object, Any] = {"duration": _duration, "size": _size, "address": _address}


def _clean(node: Any) -> Any:
    """Without what is ours, and without titles that only repeat a key."""
    if isinstance(node, list):
        return [_clean(each) for each in node]
    if not isinstance(node, dict):
        return node
    cleaned = {
        name: {key: _clean(each) for key, each in value.items()}
        if name in {"properties", "$defs", "patternProperties"}
        else _clean(value)
        for name, value in node.items()
        if name not in _OURS | {"title"}
    }
    if "patternProperties" in cleaned:
        cleaned["additionalProperties"] = False
    return cleaned
