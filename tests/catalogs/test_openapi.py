"""What a description comes to: facts, proposals, and what is left out."""

import random

import pytest
from catalogs.described import made, row

from jitgate.catalogs.description import Description
from jitgate.catalogs.openapi import OPERATIONS
from jitgate.catalogs.response_secrets import ResponseSecrets
from jitgate.core.catalog import CatalogRow, OperationTrie
from jitgate.errors import ConfigurationInvalid
from jitgate.values import Risk


def calls(imported):
    return [(each.method, each.template) for each in imported.rows]


def skipped(imported):
    return {each.where: each.what for each in imported.skipped}


def noted(imported):
    return {each.where: each.what for each in imported.notes}


GET = {"get": {"operationId": "getIt"}}

# --- paths


def test_each_method_of_a_path_is_an_operation():
    item = {each: {} for each in ("get", "put", "post", "delete", "options", "head", "patch")}
    item |= {"summary": "x", "parameters": [], "x-more": {}, "GET": {}, "query": {}}
    assert len(made({"/a": item, "x-paths": GET}).rows) == 7


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/a/{b}.json", "a part of its segment"),
        ("/a/{b}...{c}", "a part of its segment"),
        ("/a/{b}:run", "a part of its segment"),
        ("/a/{proxy+}", "a part of its segment"),
        ("/a?b={c}", "holds a query"),
        ("/a?b=c", "holds a query"),
        ("/a#b", "spelled in one way"),
        ("/a//b", "spelled in one way"),
        ("/a/../b", "spelled in one way"),
        ("/a/%2e", "spelled in one way"),
        ("/a/{b}/{b}", "spelled in one way"),
        ("a", "spelled in one way"),
        ("/a;b", "spelled in one way"),
        ("/batch", "hold other calls"),
        ("/v1/$batch", "hold other calls"),
        ("/GraphQL", "hold other calls"),
        ("/rpc/jsonrpc/", "hold other calls"),
    ],
)
def test_a_path_that_names_no_calls_of_its_own_is_left_out(path, why):
    found = made({path: GET, "/fine": GET})
    assert calls(found) == [("GET", "/fine")]
    assert why in skipped(found)[f"GET {path}"]


def test_trace_and_what_is_no_operation_are_left_out():
    found = made({"/a": {"trace": {}, "put": "x", "get": {}}})
    assert calls(found) == [("GET", "/a")]
    assert set(skipped(found)) == {"TRACE /a", "PUT /a"}


def test_a_parameter_with_a_mark_before_it_is_left_out():
    marked = {"name": "b", "in": "path", "style": "matrix"}
    found = made({"/a/{b}": {"get": {"parameters": [marked]}}, "/fine": GET})
    assert "a mark before it" in skipped(found)["GET /a/{b}"]


def test_a_path_may_be_described_elsewhere_in_the_file():
    found = made({"/a": {"$ref": "#/components/pathItems/a"}}, components={"pathItems": {"a": GET}})
    assert calls(found) == [("GET", "/a")]
    for item in ({"$ref": "other.json"}, {"$ref": "#/paths/~1fine", "get": {}}):
        assert skipped(made({"/a": item, "/fine": GET}))["/a"].startswith("what it refers to")


# --- where it is served


@pytest.mark.parametrize(
    ("servers", "prefix"),
    [
        (None, ""),
        ([], ""),
        ([{"url": "https://api.x.com"}], ""),
        ([{"url": "https://api.x.com/"}], ""),
        ([{"url": "https://api.x.com:8443/v2/"}], "/v2"),
        ([{"url": "/v2"}], "/v2"),
        ([{"url": "//api.x.com/v2"}], "/v2"),
        ([{"url": "https://{org}.x.com/v2", "variables": {"org": {"default": "acme"}}}], "/v2"),
        ([{"url": "https://x.com/{v}", "variables": {"v": {"default": "v3"}}}], "/v3"),
        ([{"url": "https://a.x.com/v2"}, {"url": "https://b.x.com/v2"}], "/v2"),
    ],
)
def test_the_base_path_of_the_servers_stands_before_each_path(servers, prefix):
    more = {} if servers is None else {"servers": servers}
    assert calls(made({"/a": GET}, **more)) == [("GET", f"{prefix}/a")]
    assert calls(made({"/a": GET}, prefix="/x/", **more)) == [("GET", "/x/a")]
    assert calls(made({"/a": GET}, prefix="/", **more)) == [("GET", "/a")]


@pytest.mark.parametrize(
    "servers",
    [
        [{"url": "https://x.com/v1"}, {"url": "https://x.com/v2"}],
        [{"url": "v2"}],
        [{"url": "https://x.com/v2?key=1"}],
        [{"url": 7}],
        ["https://x.com"],
    ],
)
def test_a_base_path_that_is_not_plain_must_be_named(servers):
    with pytest.raises(ConfigurationInvalid, match="--prefix"):
        made({"/a": GET}, servers=servers)
    assert calls(made({"/a": GET}, servers=servers, prefix="/v9")) == [("GET", "/v9/a")]


def test_a_prefix_begins_with_a_slash():
    with pytest.raises(ConfigurationInvalid, match="slash"):
        made({"/a": GET}, prefix="v2")


def test_what_another_host_serves_is_left_out_unless_the_target_has_it():
    uploads = {"post": {"servers": [{"url": "https://uploads.x.com/up"}]}}
    paths = {"/a": GET | uploads, "/b": GET | {"servers": [{"url": "https://api.x.com/b"}]}}
    servers = [{"url": "https://api.x.com/v2"}]
    found = made(paths, servers=servers)
    assert calls(found) == [("GET", "/b/b"), ("GET", "/v2/a")]
    assert "another host" in skipped(found)["POST /a"]
    found = made(paths, servers=servers, hosts={"uploads.x.com"})
    assert ("POST", "/up/a") in calls(found)


# --- names


def test_the_name_is_the_operations_id_slashes_and_all():
    assert row(operationId="repos/delete").action == "repos/delete"


def test_what_has_no_id_is_named_after_method_and_path():
    found = made({"/v1/Things/{thingId}/files": {"get": {}}, "/": {"post": {"operationId": " "}}})
    assert [each.action for each in found.rows] == ["post", "get_v_1_things_thing_id_files"]
    assert len(found.notes) == 2


@pytest.mark.parametrize(
    ("given", "action"),
    [("get all\nthings", "get_all_things"), ("get*", "get_"), ("g\x1b[2J", "g_[2J"), (7, "get_a")],
)
def test_an_id_that_is_no_name_becomes_one(given, action):
    assert row(path="/a", operationId=given).action == action
    assert row(path="/a", operationId="x" * 300).action == "get_a"


def test_an_id_that_two_operations_have_is_neithers_and_their_order_does_not_matter():
    paths = {"/a": GET, "/b": GET, "/c": {"get": {"operationId": "other"}}}
    names = {each.template: each.action for each in made(paths).rows}
    assert names == {"/a": "getIt.get_a", "/b": "getIt.get_b", "/c": "other"}
    backwards = made(dict(reversed(paths.items())))
    assert {each.template: each.action for each in backwards.rows} == names
    assert len(backwards.notes) == 2


def test_names_that_are_still_the_same_are_told_apart():
    paths = {"/a-b": GET, "/a_b": GET, "/a.b": GET}
    assert len({each.action for each in made(paths).rows}) == 3


# --- templates that match the same calls


def test_of_two_that_match_the_same_calls_neither_is_taken():
    found = made({"/a/{b}": GET, "/a/{c}": GET, "/fine": GET})
    assert calls(found) == [("GET", "/fine")]
    assert skipped(found)["GET /a/{b}"].endswith("those of /a/{c}")
    assert skipped(found)["GET /a/{c}"].endswith("those of /a/{b}")


def test_of_two_that_match_the_same_calls_the_one_that_people_chose_stays():
    chosen = CatalogRow("GET", "/a/{c}", "getIt")
    found = made({"/a/{b}": GET, "/a/{c}": GET}, present=[chosen])
    assert calls(found) == [("GET", "/a/{c}")]
    assert list(skipped(found)) == ["GET /a/{b}"]


def test_calls_that_two_templates_match_in_part_are_told():
    found = made({"/a/{b}/c": GET, "/a/x/{d}": GET, "/a/x/c": GET, "/a/y/{d}/e": GET})
    assert len(found.rows) == 4
    assert list(noted(found))[-1] == "GET /a/{b}/c and /a/x/{d}"


def test_many_templates_that_match_the_same_calls_are_told_shortly():
    paths = {f"/{{a{number}}}": GET for number in range(3000)} | {"/fine": GET}
    found = made(paths)
    assert len(found.skipped) == 3000
    assert max(len(each.what) for each in found.skipped) < 200


def test_every_row_is_found_as_itself_in_any_order():
    paths = {f"/a/{one}/{two}": GET for one in ("{x}", "b", "c") for two in ("{y}", "d", "e")}
    order = list(paths.items())
    random.Random(7).shuffle(order)
    rows = made(dict(order)).rows
    trie = OperationTrie(rows)
    for each in rows:
        path = each.template.replace("{x}", "zz").replace("{y}", "zz")
        assert trie.lookup("GET", path).row == each


def test_nothing_that_can_be_told_is_refused():
    for paths in ({}, {"/a/{b}.json": GET}, [], None):
        with pytest.raises(ConfigurationInvalid, match="no operation"):
            made(paths)


# --- scopes

SCHEMES = {
    "oauth": {"type": "oauth2"},
    "oidc": {"$ref": "#/components/securitySchemes/elsewhere"},
    "elsewhere": {"type": "openIdConnect"},
    "key": {"type": "apiKey"},
}


@pytest.mark.parametrize(
    ("security", "scopes"),
    [
        ([], ()),
        ([{}], ()),
        ([{"key": []}], ()),
        ([{"key": ["not.a.scope"]}], ()),
        ([{"unknown": ["x"]}], ()),
        ([{"oauth": ["b", "a"]}], ("a", "b")),
        ([{"oauth": ["a", "b"]}, {"oidc": ["c"]}], ("c",)),
        ([{"oauth": ["b"]}, {"oidc": ["a"]}], ("a",)),
        ([{"key": []}, {"oauth": ["a"]}], ("a",)),
        ([{"key": [], "oauth": ["a"], "oidc": ["b"]}], ("a", "b")),
        ([{"oauth": ["a"]}, {}], ()),
        ([{"oauth": "a"}], ()),
    ],
)
def test_the_scopes_are_those_of_the_smallest_way_in(security, scopes):
    assert row(components={"securitySchemes": SCHEMES}, security=security).scopes == scopes


def test_security_that_is_said_for_all_holds_where_nothing_else_is_said():
    more = {"components": {"securitySchemes": SCHEMES}, "security": [{"oauth": ["a"]}]}
    found = made({"/a": {"get": {}, "post": {"security": []}}}, **more)
    assert [each.scopes for each in found.rows] == [("a",), ()]


def test_a_scope_that_is_none_leaves_the_operation_out():
    found = made(
        {
            "/a": {"get": {"security": [{"oauth": ["two words"]}]}},
            "/fine": {"get": {"security": []}},
        },
        components={"securitySchemes": SCHEMES},
    )
    assert calls(found) == [("GET", "/fine")]


# --- bodies and parameters


@pytest.mark.parametrize(
    ("kinds", "json"),
    [
        (["application/json"], True),
        (["application/json; charset=utf-8"], True),
        (["application/scim+json"], True),
        (["*/*"], True),
        (["text/plain", "application/json"], True),
        (["application/octet-stream"], False),
        (["application/jsonish"], False),
        ([], False),
    ],
)
def test_a_body_may_be_json(kinds, json):
    body = {"content": {kind: {} for kind in kinds}}
    assert row("post", requestBody=body).json is json
    shared = {"requestBodies": {"it": body}}
    found = row("post", components=shared, requestBody={"$ref": "#/components/requestBodies/it"})
    assert found.json is json


def query(name, where="query", **schema):
    return {"name": name, "in": where, "schema": schema}


def test_parameters_that_choose_among_a_few_things_are_proposed():
    parameters = [
        query("activate", type="boolean", default=True),
        query("dry", type=["boolean", "null"]),
        query("mode", enum=["a", "b"], default="a"),
        query("level", enum=[1, 2], default=2),
        query("odd", enum=["a b"], default="a b"),
        query("only", const="x"),
        query("limit", type="integer"),
        query("trace", where="header", type="boolean"),
        query("two words", type="boolean"),
        query("a=b", type="boolean"),
        {"$ref": "#/components/parameters/shared"},
    ]
    shared = {"parameters": {"shared": query("force", type="boolean", default=False)}}
    found = row("post", components=shared, parameters=parameters)
    assert dict(found.parameters) == {
        "activate": "true",
        "dry": None,
        "mode": "a",
        "level": "2",
        "odd": None,
        "only": None,
        "force": "false",
    }
    assert row("get", components=shared, parameters=parameters).parameters == ()


def test_an_operations_parameter_goes_before_its_paths():
    item = {
        "parameters": [query("a", type="boolean"), query("b", type="boolean")],
        "post": {"parameters": [query("a", type="integer")]},
    }
    assert made({"/x": item}).rows[0].parameters == (("b", None),)


# --- secrets


def response(schema, status="200", kind="application/json"):
    return {status: {"content": {kind: {"schema": schema}}}}


def secrets(schema, components=None, **how):
    return row(components=components, responses=response(schema, **how)).secrets


TEXT = {"type": "string"}
HOLDER = {"properties": {"token": TEXT}}


@pytest.mark.parametrize(
    "schema",
    [
        HOLDER,
        {"items": HOLDER},
        {"properties": {"a": {"properties": {"b": HOLDER}}}},
        {"allOf": [{}, HOLDER]},
        {"oneOf": [{}, HOLDER]},
        {"anyOf": [{}, HOLDER]},
        {"additionalProperties": HOLDER},
        {"patternProperties": {"x.*": HOLDER}},
        {"prefixItems": [HOLDER]},
        {"if": {}, "then": HOLDER},
        {"if": {}, "else": HOLDER},
        {"dependentSchemas": {"x": HOLDER}},
        {"$ref": "#/components/schemas/holder"},
        {"$ref": "#/components/schemas/around"},
        {"$ref": "#/components/schemas/empty", "properties": {"token": TEXT}},
        {"discriminator": {"mapping": {"a": "#/components/schemas/holder"}}},
        {"discriminator": {"mapping": {"a": "holder"}}},
        {"properties": {"token": {"$ref": "#/components/schemas/text"}}},
        {"properties": {"token": {"allOf": [{"$ref": "#/components/schemas/text"}]}}},
        {"properties": {"token": {}}},
        {"properties": {"token": {"type": ["string", "null"]}}},
        {"properties": {"token": {"type": "array", "items": TEXT}}},
        {"properties": {"token": {"type": "object", "x-secret": True}}},
    ],
)
def test_a_secret_is_found_wherever_it_is_held(schema):
    again = {"properties": {"again": {"$ref": "#/components/schemas/around"}}}
    around = {"allOf": [HOLDER, again]}
    shared = {"schemas": {"holder": HOLDER, "around": around, "empty": {}, "text": TEXT}}
    assert secrets(schema, shared) == {"token"}


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"token": TEXT | {"writeOnly": True}}},
        {"properties": {"token": {"type": "boolean"}}},
        {"properties": {"tokens": {"type": "integer"}}},
        {"properties": {"token": {"type": "object"}}},
        {"properties": {"token": TEXT | {"enum": ["a"]}}},
        {"properties": {"nextPageToken": TEXT}},
        {"properties": {"token_type": TEXT}},
        {"properties": {"$ref": "#/components/schemas/holder"}},
        {"example": HOLDER, "examples": [HOLDER], "default": HOLDER, "enum": [HOLDER]},
        {"example": {"$ref": "#/components/schemas/holder"}},
        {"example": {"$ref": "https://evil.example/x"}},
        {"not": HOLDER},
    ],
)
def test_what_is_no_secret_of_the_response_is_not_marked(schema):
    found = made(
        {"/a": {"get": {"responses": response(schema)}}}, components={"schemas": {"holder": HOLDER}}
    )
    assert found.rows[0].secrets == frozenset()
    assert "evil.example" not in str(found.notes)


@pytest.mark.parametrize(
    ("how", "marked"),
    [
        ({"status": "201"}, True),
        ({"status": "2XX"}, True),
        ({"status": "default"}, True),
        ({"status": "400"}, False),
        ({"kind": "application/hal+json"}, True),
        ({"kind": "text/html"}, False),
    ],
)
def test_successes_in_json_are_looked_at(how, marked):
    assert bool(secrets(HOLDER, **how)) is marked


def test_a_password_by_its_format_is_a_secret_whatever_its_name():
    assert secrets({"properties": {"x": TEXT | {"format": "password"}}}) == {"x"}


def test_a_code_may_be_a_number():
    assert secrets({"properties": {"otp": {"type": "integer"}}}) == {"otp"}


def test_a_response_elsewhere_is_told():
    found = made({"/a": {"get": {"responses": response({"$ref": "other.json#/a"})}}})
    assert "nothing is fetched" in noted(found)["other.json#/a"]


def test_a_secret_whose_name_cannot_be_written_is_told():
    found = made({"/a": {"get": {"responses": response({"properties": {"my token": TEXT}})}}})
    assert found.rows[0].secrets == frozenset()
    assert "mask it by a profile" in noted(found)["GET /a"]


def test_schemas_are_looked_through_within_bounds():
    wide = {"properties": {f"a{number}_token": {} for number in range(40)}}
    operation = {"responses": response(wide)}
    assert len(ResponseSecrets(Description({}), 100).of(operation)) == 40
    with pytest.raises(ConfigurationInvalid, match="entangled"):
        ResponseSecrets(Description({}), 50).of(operation)


def test_a_description_has_so_many_operations_and_no_more():
    item = {each: {} for each in ("get", "put", "post", "delete", "patch")}
    with pytest.raises(ConfigurationInvalid, match="more than 50000 operations"):
        made({f"/a{number}": item for number in range(OPERATIONS // 5 + 1)})


# --- risk


@pytest.mark.parametrize(
    ("method", "path", "name", "risk"),
    [
        ("get", "/users", "listUsers", Risk.READ),
        ("head", "/users", "headUsers", Risk.READ),
        ("get", "/users/{id}/roles", "listRoles", Risk.READ),
        ("get", "/logout", "logout", Risk.WRITE),
        ("get", "/users/{id}/activate", "x", Risk.WRITE),
        ("get", "/a", "keys/rotate-key", Risk.PRIVILEGED),
        ("get", "/a", "deleteEverything", Risk.DESTRUCTIVE),
        ("post", "/users", "createUser", Risk.WRITE),
        ("post", "/search", "searchUsers", Risk.WRITE),
        ("put", "/users/{role}", "putUser", Risk.WRITE),
        ("put", "/users/{id}/roles/{role}", "assign", Risk.PRIVILEGED),
        ("post", "/x", "createApiKey", Risk.PRIVILEGED),
        ("post", "/webhooks", "x", Risk.PRIVILEGED),
        ("post", "/policies", "x", Risk.PRIVILEGED),
        ("patch", "/log_access", "x", Risk.PRIVILEGED),
        ("delete", "/users/{id}", "x", Risk.DESTRUCTIVE),
        ("delete", "/users/{id}/roles", "x", Risk.DESTRUCTIVE),
        ("post", "/users/{id}/purge", "x", Risk.DESTRUCTIVE),
        ("post", "/x", "wipeDevice", Risk.DESTRUCTIVE),
        ("post", "/remove-token", "createRemoveToken", Risk.PRIVILEGED),
    ],
)
def test_a_risk_is_proposed_by_method_and_words(method, path, name, risk):
    assert row(method, path, operationId=name).risk is risk


def test_a_get_whose_scope_is_for_more_than_reading_writes():
    shared = {"securitySchemes": SCHEMES}
    for scope, risk in (
        ("x.read", Risk.READ),
        ("x.manage", Risk.WRITE),
        ("admin:x", Risk.WRITE),
        ("Directory.Read.All", Risk.READ),
    ):
        found = row(components=shared, security=[{"oauth": [scope]}])
        assert found.risk is risk
