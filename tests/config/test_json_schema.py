"""The schemas for editors, read by a validator that nobody here wrote: they say what is taken."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from pydantic import TypeAdapter, ValidationError
from ruamel.yaml import YAML

from jitgate.config import kinds
from jitgate.config.json_schema import schemas
from jitgate.config.masking_schema import Profile
from jitgate.config.schema import Rule, Settings

ETC = Path(__file__).parents[2] / "etc"
SCHEMAS = schemas()
SHIPPED = [
    ("jitgate.schema.json", "jitgate.yaml"),
    ("policy.schema.json", "policy/*.yaml"),
    ("masking.schema.json", "masking/*.yaml"),
    ("masking-test.schema.json", "masking/tests/*.yaml"),
    ("policy-test.schema.json", "policy/tests/*.yaml"),
]


def as_json(file):
    """The file as an editor reads it: JSON's types, keys as text."""
    return json.loads(json.dumps(YAML(typ="safe", pure=True).load(file.read_text())))


def problems(name, content):
    return [each.message for each in Draft202012Validator(SCHEMAS[name]).iter_errors(content)]


@pytest.mark.parametrize("name", SCHEMAS)
def test_each_is_a_schema(name):
    Draft202012Validator.check_schema(SCHEMAS[name])


@pytest.mark.parametrize(("name", "files"), SHIPPED)
def test_what_is_shipped_is_of_its_schema(name, files):
    found = sorted(ETC.glob(files))
    assert found
    for file in found:
        assert problems(name, as_json(file)) == []


def test_a_group_may_be_kept_elsewhere():
    groups = {"a": ["alice@acme.example"], "b": {"from": "slack", "group": "S0123"}}
    assert problems("jitgate.schema.json", SETTINGS | {"approvals": {"groups": groups}}) == []


RULE = {"name": "a", "reason": "So.", "match": {}, "effect": "deny"}
SETTINGS = as_json(ETC / "jitgate.yaml")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("policy.schema.json", RULE),
        ("policy.schema.json", [RULE | {"effekt": "deny"}]),
        ("policy.schema.json", [RULE | {"effect": "allow"}]),
        ("policy.schema.json", [RULE | {"mask": None}]),
        ("policy.schema.json", [RULE | {"match": {"risk": ["high"]}}]),
        ("policy.schema.json", [RULE | {"grant": {"life": 300}}]),
        ("policy.schema.json", [{"name": "a"}]),
        ("policy.schema.json", [RULE | {"effect": "permit", "reuse": 300}]),
        ("policy.schema.json", [RULE | {"effect": "permit", "reuse": "5"}]),
        ("masking.schema.json", [{"profile": "A"}]),
        ("masking.schema.json", [{"profile": "a", "detectors": ["jwts"]}]),
        ("masking.schema.json", [{"profile": "a", "paths": ["a.b"]}]),
        ("masking.schema.json", [{"profile": "a", "how": "remove"}]),
        ("jitgate.schema.json", SETTINGS | {"approvals": {"hold": "55"}}),
        ("jitgate.schema.json", SETTINGS | {"approvals": {"review_body": "1MB"}}),
        ("jitgate.schema.json", SETTINGS | {"control": {"approvers": {"alice": "alice@a.com"}}}),
        ("jitgate.schema.json", SETTINGS | {"approvals": {"groups": {"a": []}}}),
        ("jitgate.schema.json", SETTINGS | {"approvals": {"groups": {"a": {"source": "b"}}}}),
        ("jitgate.schema.json", SETTINGS | {"targets": []}),
        ("policy-test.schema.json", [{"request": {}, "expect": {"effect": "deny"}}]),
    ],
)
def test_what_is_not_taken_is_not_of_the_schema(name, content):
    assert problems(name, content)


WRITTEN = [
    "55s", "2m", "500ms", "1 h", "1.5h", "", "1w", "64KiB", "64kb", "1GiB", "-1", "0", "127.0.0.1:80",
    "[::1]:80", "localhost:x", "localhost", "file:./key", "./key", "env:A_KEY", "env:1A", "env:", "credential:a-key", "credential:a/b", "https://a.example", "http://a",
    "X-Custom", "a b", "alice@acme.example", " ", {"issuer": "i", "id": "u"}, {"issuer": "i"},
    {"issuer": "i", "id": "u", "x": 1}, 5, -5, 1.5, True, None, [], [1],
]  # fmt: skip
KINDS = [
    "Duration",
    "Size",
    "Secret",
    "FilePath",
    "Address",
    "HttpsUrl",
    "HeaderName",
    "Person",
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("written", WRITTEN, ids=repr)
def test_what_is_taken_is_of_the_schema(kind, written):
    """A schema may take more than is taken, since it cannot compute; never less."""
    adapter = TypeAdapter(getattr(kinds, kind))
    try:
        adapter.validate_python(written, strict=True)
    except ValidationError:
        return
    assert Draft202012Validator(adapter.json_schema()).is_valid(written)


@pytest.mark.parametrize("kind", ["Duration", "Secret", "HeaderName", "Person"])
@pytest.mark.parametrize("written", WRITTEN, ids=repr)
def test_of_simple_kinds_nothing_else_is(kind, written):
    adapter = TypeAdapter(getattr(kinds, kind))
    if Draft202012Validator(adapter.json_schema()).is_valid(written):
        adapter.validate_python(written, strict=True)


def test_defaults_stand_as_they_would_be_written():
    found = SCHEMAS["jitgate.schema.json"]["$defs"]
    assert found["Approvals"]["properties"]["hold"]["default"] == "55s"
    assert found["Approvals"]["properties"]["review_body"]["default"] == "1MiB"
    assert found["Listen"]["properties"]["proxy"]["default"] == "127.0.0.1:8080"
    for section in found.values():
        for key in section.get("properties", {}).values():
            if "default" in key:
                assert Draft202012Validator({**key, "$defs": found}).is_valid(key["default"])


def test_docstrings_tell_what_sections_and_keys_mean():
    case = SCHEMAS["policy-test.schema.json"]["$defs"]
    assert case["Caller"]["description"] == "Who calls, as the agent's token would prove it."
    assert case["Call"]["properties"]["url"]["description"].startswith(
        "As the agent would write it"
    )
    for model, name in (
        (Settings, "jitgate.schema.json"),
        (Rule, "policy.schema.json"),
        (Profile, "masking.schema.json"),
    ):
        told = {each.get("description") for each in SCHEMAS[name]["$defs"].values()}
        assert model.__doc__ in told | {SCHEMAS[name].get("description")}
