"""A description is read within bounds, whatever stands in it, and nothing else is."""

import json
from itertools import pairwise

import pytest
from catalogs.described import api
from hypothesis import given
from hypothesis import strategies as st

from jitgate.catalogs.description import (
    JSON_BYTES,
    REFERENCES,
    YAML_BYTES,
    Description,
    described,
    read_description,
)
from jitgate.catalogs.openapi import imported
from jitgate.errors import ConfigurationInvalid


def refused(data: bytes) -> str:
    with pytest.raises(ConfigurationInvalid) as caught:
        described(data)
    return str(caught.value)


def test_json_and_yaml_are_the_same():
    text = b"openapi: 3.1.0\npaths:\n  /a:\n    get:\n      responses: {200: {description: yes}}\n"
    found = described(text).content
    assert found["paths"]["/a"]["get"]["responses"] == {200: {"description": "yes"}}
    assert described(b"\xef\xbb\xbf" + api({})).content["paths"] == {}


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "keys with values"),
        (b"[1]", "keys with values"),
        (b"{]", "line 1: this is no JSON"),
        (b"a: [\n", "line 2"),
        (b"\xff\xfe", "UTF-8"),
        (b'{"openapi": "3.0.0", "openapi": "3.0.1"}', "'openapi' stands twice"),
        (b"openapi: 3.0.0\nopenapi: 3.0.1\n", "duplicate key"),
        (b'{"swagger": "2.0"}', "swagger: 2.0"),
        (b'{"openapi": "3.2.0"}', "openapi: 3.2.0"),
        (b'{"openapi": "3.10"}', "openapi: 3.10"),
        (b"openapi: !!python/object/apply:os.system [id]\n", "could not determine a constructor"),
        (b'{"a": ' + b"9" * 5000 + b"}", "digits"),
        (b'{"a":' * 100_000, "too deeply"),
        (b"a: " + b"[" * 500, "too deeply"),
        (b"openapi: 3.0.0\nx: &a {b: 1}\ny:\n  <<: *a\n", "line 4: merge keys"),
    ],
)
def test_what_is_no_description_is_refused_with_the_reason(data, why):
    assert why in refused(data)


def test_a_description_that_is_too_long_is_refused():
    assert "64 MiB" in refused(b"{" + b" " * JSON_BYTES)
    assert "the one in JSON" in refused(b"#" * (YAML_BYTES + 1))


def test_aliases_of_aliases_cost_nothing():
    lines = ["openapi: 3.0.0", "paths: {/a: {get: {responses: {200: {content: "]
    lines[-1] += "{application/json: {schema: {allOf: *z}}}}}}}}"
    bomb = ["a: &a [{type: string}]"]
    for before, after in zip("abcdefghijklmnopqrstuvwxy", "bcdefghijklmnopqrstuvwxyz", strict=True):
        bomb.append(f"{after}: &{after} [{{allOf: *{before}}}, {{anyOf: *{before}}}]")
    description = described("\n".join([lines[0], *bomb, lines[1]]).encode())
    assert len(imported(description).rows) == 1


BOMB = "\n".join(
    [
        "a: &a [x]",
        *(f"{b}: &{b} [*{a}, *{a}, *{a}, *{a}]" for a, b in pairwise("abcdefghijklmnopqrst")),
    ]
)


@pytest.mark.parametrize(
    "rest",
    [
        "openapi: *t",
        "openapi: 2\nswagger: *t",
        "openapi: 3.1\nservers: [{url: 'https://x/{v}', variables: {v: {default: *t}}}]\npaths: {/a: {get: {}}}",
        "openapi: 3.1\npaths: {/a: {get: {parameters: [{in: *t, name: *t, style: *t, schema: *t}]}}}",
        "openapi: 3.1\npaths: {/a: {post: {parameters: [{in: query, name: x, schema: {enum: *t, default: *t}}]}}}",
        "openapi: 3.1\npaths: {/a: {get: {operationId: *t, summary: *t, servers: *t, responses: *t}}}",
        "openapi: 3.1\npaths: {/a: {get: {responses: {200: *t, default: {content: {application/json: {schema: *t}}}}}}}",
        (
            "openapi: 3.1\ncomponents: {securitySchemes: {o: {type: oauth2}, p: {type: *t}}}\n"
            "security: [{o: *t}]\npaths: {/a: {get: {}}}"
        ),
        "openapi: 3.1\npaths: {/a: {? *t : {}, ? [0xfffff, *t] : {}, get: {}}}",
        "openapi: 3.1\npaths: {/a: {0x" + "f" * 9000 + ": {}, get: {}}}",
        "openapi: 3.1\npaths: {/a: {$ref: '#/t/" + "9" * 9000 + "'}}",
    ],
)
def test_what_is_large_only_once_it_is_written_out_never_is(rest):
    try:
        found = imported(described(f"{BOMB}\n{rest}\n".encode()))
    except ConfigurationInvalid:
        return
    assert len(found.rows) == 1


def test_a_value_that_holds_itself_is_looked_at_once():
    text = b"""openapi: 3.0.0
paths:
  /a:
    get:
      responses: {200: {content: {application/json: {schema: &s {properties: {token: {type: string}, x: *s}}}}}}
"""
    assert imported(described(text)).rows[0].secrets == {"token"}


def test_the_file_is_named_where_it_is_wrong(tmp_path):
    file = tmp_path / "api.json"
    with pytest.raises(ConfigurationInvalid, match=f"{file}: cannot be read"):
        read_description(file)
    file.write_text("{}")
    with pytest.raises(ConfigurationInvalid, match=f"{file}: a description by OpenAPI"):
        read_description(file)


# --- references


def test_a_reference_is_a_pointer_into_the_file():
    there = {"type": "string"}
    description = Description({"a/b": {"c~d": [there]}, "e f": there})
    assert description.referred("#/a~1b/c~0d/0") is there
    assert description.referred("#/e%20f") is there
    assert description.unfollowed == {}


@pytest.mark.parametrize(
    ("reference", "why"),
    [
        ("https://evil.example/a.json", "nothing is fetched"),
        ("file:///etc/passwd", "nothing is fetched"),
        ("other.yaml#/a", "nothing is fetched"),
        ("#anchor", "no place"),
        ("#/nowhere", "leads to nothing"),
        ("#/a/7", "leads to nothing"),
        ("#/a/x", "leads to nothing"),
        ("#/text", "leads to nothing"),
    ],
)
def test_a_reference_that_leads_nowhere_is_noted(reference, why):
    description = Description({"a": [{}], "text": "x"})
    assert description.resolved({"$ref": reference}) == {}
    assert why in description.unfollowed[reference]


def test_references_in_a_circle_end():
    description = Description({"a": {"$ref": "#/b"}, "b": {"$ref": "#/a"}})
    assert description.resolved({"$ref": "#/a"}) == {}
    assert "circle" in str(description.unfollowed)
    chain = {f"{n}": {"$ref": f"#/{n + 1}"} for n in range(REFERENCES * 2)}
    assert Description(chain).resolved(chain["0"]) == {}


# --- whatever it is

KEYS = st.sampled_from(
    [
        *("paths", "/a", "/a/{b}", "get", "post", "parameters", "responses", "200", "content"),
        *("application/json", "schema", "properties", "token", "$ref", "allOf", "items", "name"),
        *("in", "security", "servers", "url", "operationId", "requestBody", "type", "enum"),
        *("style", "scheme", "oauth", "x-multi-segment"),
        *("components", "securitySchemes", "discriminator", "mapping", "default", "variables"),
    ]
)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(
        ["#/paths", "#/components", "#", "/v2", "https://x.example/v", "query", "path"]
    ),
)
ANY = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=40,
)
OPERATION = st.dictionaries(KEYS, ANY, max_size=6)
PATHS = st.dictionaries(
    st.one_of(
        st.sampled_from(["/a", "/a/{b}", "/{c}/b", "x-y", "/a.{b}", ""]), st.text(max_size=6)
    ),
    st.one_of(st.dictionaries(st.sampled_from(["get", "post", "$ref"]), OPERATION | ANY), ANY),
    max_size=5,
)


@given(
    st.one_of(
        ANY, st.fixed_dictionaries({"paths": PATHS}, optional={"components": ANY, "servers": ANY})
    )
)
def test_any_json_is_imported_or_refused(value):
    content = {**value, "openapi": "3.1.0"} if isinstance(value, dict) else value
    try:
        found = imported(described(json.dumps(content).encode()))
    except ConfigurationInvalid:
        return
    assert found.rows


@given(st.binary(max_size=80) | st.text(max_size=80).map(str.encode))
def test_any_bytes_are_read_or_refused(data):
    for each in (data, b"openapi: 3.0.0\n" + data, b"{" + data):
        try:
            described(each)
        except ConfigurationInvalid:
            continue
