"""What others say that exports must be: npm's har-schema, and OCSF's schema as PyPI carries it.

har-schema 2.0.0 has JSON Schemas for HAR 1.2; ocsf-json-schema 1.2.0 makes one of OCSF's own schema
files, in which an attribute that the class does not have is an error.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from jsonschema import Draft6Validator, Draft202012Validator  # type: ignore[import-untyped]
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema
from referencing import Registry
from referencing.jsonschema import DRAFT6
from support.counterparts import npm_packages

HAR_FOLDER = Path(__file__).parents[1] / "real" / "har"
OCSF = "1.8.0"


def har_problems(archive: object) -> list[str]:
    """What har-schema has against it."""
    return [f"{each.json_path}: {each.message}" for each in _har().iter_errors(archive)]


def ocsf_problems(event: object) -> list[str]:
    """What OCSF's API Activity has against it."""
    return [f"{each.json_path}: {each.message}" for each in _ocsf().iter_errors(event)]


@lru_cache
def _har() -> Draft6Validator:
    folder = npm_packages(HAR_FOLDER) / "node_modules" / "har-schema" / "lib"
    schemas: dict[str, Any] = {
        file.name: json.loads(file.read_text()) for file in folder.glob("*.json")
    }
    resources = ((name, DRAFT6.create_resource(each)) for name, each in schemas.items())
    registry: Registry[Any] = Registry().with_resources(resources)
    formats = Draft6Validator.FORMAT_CHECKER
    return Draft6Validator(schemas["har.json"], registry=registry, format_checker=formats)


@lru_cache
def _ocsf() -> Draft202012Validator:
    made = OcsfJsonSchemaEmbedded(get_ocsf_schema(version=OCSF))
    name = made.lookup_class_name_from_uid(class_uid=6003)
    schema = made.get_class_schema(class_name=name, profiles=["security_control"])
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)
