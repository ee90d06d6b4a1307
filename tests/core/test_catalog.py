"""A call finds the row of the catalog that it is of, and no other."""

import string
import timeit
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from jitgate.core.catalog import Catalog, CatalogRow, OperationMatch, OperationTrie, PathCatalog
from jitgate.core.operation import CanonicalTarget, NotCanonical, PathTemplate, canonical_target
from jitgate.interfaces import ICatalog
from jitgate.values import Risk

# --- the trie


def _trie(*calls: str) -> OperationTrie:
    rows = [call.split(" ") for call in calls]
    return OperationTrie(CatalogRow(method, path, f"{method} {path}") for method, path in rows)


def _found(trie: OperationTrie, method: str, path: str) -> tuple[str, dict[str, str]] | None:
    match = trie.lookup(method, path)
    return None if match is None else (match.row.template, dict(match.resource))


def test_a_parameter_gives_its_decoded_value():
    trie = _trie("GET /users/{userId}/apps/{appId}")
    assert _found(trie, "GET", "/users/bob%40acme.com/apps/%C3%A9") == (
        "/users/{userId}/apps/{appId}",
        {"userId": "bob@acme.com", "appId": "é"},
    )


def test_a_fixed_segment_goes_before_a_parameter():
    trie = _trie("GET /users/{id}", "GET /users/me")
    assert _found(trie, "GET", "/users/me") == ("/users/me", {})
    assert _found(trie, "GET", "/users/you") == ("/users/{id}", {"id": "you"})


def test_a_fixed_segment_that_leads_nowhere_gives_way_to_a_parameter():
    trie = _trie("GET /a/b/c", "GET /a/{x}/d", "GET /{p}/b/{q}/e")
    assert _found(trie, "GET", "/a/b/d") == ("/a/{x}/d", {"x": "b"})
    assert _found(trie, "GET", "/a/b/c/e") == ("/{p}/b/{q}/e", {"p": "a", "q": "c"})
    assert _found(trie, "GET", "/a/b/e") is None


def test_a_value_tried_on_a_dead_way_is_not_kept():
    trie = _trie("GET /{a}/x/{b}/end", "GET /{a}/{c}/y/other")
    assert _found(trie, "GET", "/1/x/y/other") == ("/{a}/{c}/y/other", {"a": "1", "c": "x"})


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/users/"),
        ("GET", "/users/7/"),
        ("GET", "/users"),
        ("GET", "/Users/7"),
        ("GET", "/users/7/more"),
        ("get", "/users/7"),
        ("POST", "/users/7"),
        ("HEAD", "/users/7"),
        ("", "/users/7"),
        ("GET", ""),
        ("GET", "/"),
    ],
)
def test_what_is_not_in_the_trie_is_not_found(method, path):
    assert _trie("GET /users/{id}").lookup(method, path) is None


def test_rows_of_the_same_shape_are_refused():
    with pytest.raises(ValueError, match="match the same calls"):
        _trie("GET /users/{id}", "GET /users/{userId}")


def test_the_same_path_under_two_methods_is_two_operations():
    trie = _trie("GET /users/{id}", "DELETE /users/{userId}")
    assert _found(trie, "GET", "/users/7") == ("/users/{id}", {"id": "7"})
    assert _found(trie, "DELETE", "/users/7") == ("/users/{userId}", {"userId": "7"})


_PATHS = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=4)


def _by_rank(templates: set[str], path: str) -> str | None:
    """The template that a plain reading of the rule picks: fixed before parameter, left first."""
    fits = [text for text in templates if PathTemplate(text).matches(path)]
    rank = lambda text: [segment is None for segment in PathTemplate(text).segments]
    return min(fits, key=rank, default=None)


@given(
    st.sets(st.lists(st.sampled_from(["a", "b", "{}"]), min_size=1, max_size=4).map(tuple)),
    _PATHS,
)
def test_the_trie_agrees_with_a_search_through_all_templates(shapes, segments):
    templates = {
        "".join(f"/{{p{at}}}" if part == "{}" else f"/{part}" for at, part in enumerate(shape))
        for shape in shapes
    }
    path = "/" + "/".join(segments)
    trie = OperationTrie(CatalogRow("GET", text, text) for text in templates)
    match = trie.lookup("GET", path)
    assert (match.row.template if match else None) == _by_rank(templates, path)


@given(
    st.text(alphabet=string.printable + "é\u202e", min_size=1).filter(
        lambda text: text not in {".", ".."}
    )
)
def test_a_parameter_gives_back_what_was_escaped(value):
    target = canonical_target("/users/" + quote(value, safe=""))
    if isinstance(target, CanonicalTarget):
        assert _found(_trie("GET /users/{id}"), "GET", target.path) == (
            "/users/{id}",
            {"id": value},
        )


def test_a_lookup_among_a_thousand_templates_is_a_matter_of_microseconds():
    trie = _trie(*(f"GET /api/v1/kind{n}/{{a}}/sub{n}/{{b}}" for n in range(1000)))
    lookup = lambda: trie.lookup("GET", "/api/v1/kind777/00u1abc/sub777/00x")
    assert lookup() is not None
    best = min(timeit.repeat(lookup, number=2000, repeat=5)) / 2000
    assert best < 50e-6  # Ten times what it takes: a search through all of them costs 300 µs.


# --- catalogs

_ROWS = (
    CatalogRow(
        "GET", "/users/{id}", "getUser", ("okta.users.read",), frozenset({"activationToken"})
    ),
    CatalogRow("DELETE", "/users/{id}", "deleteUser", ("okta.users.manage",)),
    CatalogRow("HEAD", "/files/{id}", "probeFile"),
    CatalogRow("GET", "/files/{id}", "getFile"),
)


@pytest.fixture
def catalog():
    return Catalog("okta", OperationTrie(_ROWS))


def test_a_call_becomes_the_operation_that_the_catalog_knows(catalog):
    operation = catalog.operation("acme.okta.com", "GET", "/users/a%40b", "expand=x")
    assert operation.target == "okta"
    assert operation.action == "getUser"
    assert operation.resource == {"id": "a@b"}
    assert operation.scopes == ("okta.users.read",)
    assert operation.secrets == frozenset({"activationToken"})
    assert operation.method == "GET"
    assert operation.url == "https://acme.okta.com/users/a%40b?expand=x"


def test_a_call_that_the_catalog_does_not_know_is_no_operation(catalog):
    assert catalog.operation("acme.okta.com", "PATCH", "/users/7", "") is None
    assert catalog.operation("acme.okta.com", "GET", "/users", "") is None
    assert catalog.operation("acme.okta.com", "HEAD", "/users", "") is None


def test_a_head_is_the_get_of_the_same_path(catalog):
    operation = catalog.operation("acme.okta.com", "HEAD", "/users/7", "")
    assert (operation.action, operation.method) == ("getUser", "HEAD")
    assert operation.scopes == ("okta.users.read",)


def test_a_head_of_its_own_goes_before_the_get(catalog):
    assert catalog.operation("acme.okta.com", "HEAD", "/files/7", "").action == "probeFile"


def test_a_head_is_never_taken_for_another_method():
    catalog = Catalog("okta", OperationTrie([CatalogRow("DELETE", "/users/{id}", "deleteUser")]))
    assert catalog.operation("acme.okta.com", "HEAD", "/users/7", "") is None


def test_without_a_catalog_every_call_is_named_by_its_method():
    operation = PathCatalog("things").operation("api.example", "PUT", "/v1/things/7", "a=b")
    assert (operation.target, operation.action, operation.method) == ("things", "PUT", "PUT")
    assert operation.resource == {"path": "/v1/things/7"}
    assert operation.scopes == ()
    assert operation.secrets == frozenset()
    assert operation.url == "https://api.example/v1/things/7?a=b"


@pytest.mark.parametrize("provider", [Catalog("x", OperationTrie([])), PathCatalog("x")])
def test_both_catalogs_provide_the_port(provider):
    assert verifyObject(ICatalog, provider)


def test_a_match_is_a_plain_value():
    row = _ROWS[1]
    assert OperationTrie([row]).lookup("DELETE", "/users/7") == OperationMatch(row, {"id": "7"})


# --- parameters that change what a call means


_CREATE = CatalogRow(
    "POST",
    "/users",
    "createUser",
    risk=Risk.WRITE,
    parameters=(("activate", "true"), ("nextLogin", None)),
    in_body=("groupIds",),
    json=True,
    by_name=True,
)


def test_parameters_of_the_query_are_part_of_the_operation():
    catalog = Catalog("okta", OperationTrie([_CREATE]))
    plain = catalog.operation("a.example", "POST", "/users", "")
    assert plain.parameters == {"activate": "true"}
    assert (plain.risk, plain.in_body, plain.json, plain.by_name) == (
        Risk.WRITE,
        ("groupIds",),
        True,
        True,
    )
    staged = catalog.operation("a.example", "POST", "/users", "x=1&activate=false&nextLogin=y")
    assert staged.parameters == {"activate": "false", "nextLogin": "y"}
    (sample,) = catalog.samples("a.example")
    assert sample.parameters == {"activate": "true"}


def test_a_parameter_with_two_readings_makes_the_call_none():
    catalog = Catalog("okta", OperationTrie([_CREATE]))
    query = "activate=false&activate=true"
    assert isinstance(catalog.operation("a.example", "POST", "/users", query), NotCanonical)


# --- calls that hold calls


@pytest.mark.parametrize(
    "path",
    [
        "/graphql",
        "/api/GraphQL",
        "/graphql/",
        "/v1.0/$batch",
        "/v1.0/%24batch",
        "/batch",
        "/rpc",
        "/a/jsonrpc",
        "/json-rpc",
        "/batch/v1",
        "/graphql%20",
        "/%EF%BD%87raphql",
        "/v1/graphql.",
        "/graphql.json",
        "/xmlrpc.php",
        "/mcp",
        "/v1/$batch/x",
        "/graphql/things",
    ],
)
def test_without_a_catalog_a_call_that_holds_calls_is_unknown(path):
    target = canonical_target(path)
    assert isinstance(target, CanonicalTarget)
    for method in ("GET", "POST"):
        assert PathCatalog("things").operation("a.example", method, target.path, "") is None
    assert PathCatalog("things").named("a.example", "POST", {"path": target.path}) is None


@pytest.mark.parametrize(
    "path", ["/", "/batches", "/batch/7", "/graphql-schema", "/v1", "/v1/rpc/eth"]
)
def test_without_a_catalog_other_calls_are_known(path):
    assert PathCatalog("things").operation("a.example", "POST", path, "") is not None


def test_a_catalog_knows_what_it_knows():
    catalog = Catalog("x", OperationTrie([CatalogRow("POST", "/graphql", "query")]))
    assert catalog.operation("a.example", "POST", "/graphql", "").action == "query"
