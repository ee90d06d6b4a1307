"""The one spelling of a call, and the row of a catalog that it is of."""

import string
import timeit
from urllib.parse import quote, unquote_to_bytes

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from jitgate.core.operation import (
    CanonicalTarget,
    Catalog,
    CatalogRow,
    NotCanonical,
    OperationMatch,
    OperationTrie,
    PathCatalog,
    PathTemplate,
    canonical_target,
)
from jitgate.interfaces import ICatalog
from jitgate.values import Risk

# --- the one spelling


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/", "/", ""),
        ("/api/v1/users?limit=2", "/api/v1/users", "limit=2"),
        ("/api/v1/users/", "/api/v1/users/", ""),
        ("/api/v1/users?", "/api/v1/users", ""),
        ("/a?b?c/../d//e;f", "/a", "b?c/../d//e;f"),
        ("/%61%7a%41%5A%30%2d%5F%7e", "/azAZ0-_~", ""),
        ("/users/a%2eb", "/users/a.b", ""),
        ("/users/bob%40acme.com", "/users/bob%40acme.com", ""),
        ("/users/bob@acme.com", "/users/bob@acme.com", ""),
        ("/users/%c3%a9", "/users/%C3%A9", ""),
        ("/users/100%25", "/users/100%25", ""),
        ("/a%20b", "/a%20b", ""),
        ("/...", "/...", ""),
        ("/.well-known/x", "/.well-known/x", ""),
        ("/a..b/.c", "/a..b/.c", ""),
        ("/!$&'()*+,=:@-._~", "/!$&'()*+,=:@-._~", ""),
        ("/x?q=%c3%a9&q=a%2fb&r=%41", "/x", "q=%c3%a9&q=a%2fb&r=%41"),
        ('/x?search="a"<b>[c]{d}|\\^`', "/x", 'search="a"<b>[c]{d}|\\^`'),
        ("/x?q=%00%ff", "/x", "q=%00%ff"),
    ],
)
def test_a_target_has_one_spelling(target, path, query):
    assert canonical_target(target) == CanonicalTarget(path, query)


@pytest.mark.parametrize(
    ("target", "word"),
    [
        ("", "slash"),
        ("?q=1", "slash"),
        ("*", "slash"),
        ("https://acme.okta.com/api", "slash"),
        ("acme.okta.com:443", "slash"),
        ("%2fapi", "slash"),
        ("/a#b", "fragment"),
        ("/a?b#c", "fragment"),
        ("/.", "dot segment"),
        ("/..", "dot segment"),
        ("/a/../b", "dot segment"),
        ("/a/./b", "dot segment"),
        ("/a/..", "dot segment"),
        ("/a/%2e%2E/b", "dot segment"),
        ("/a/.%2e/b", "dot segment"),
        ("/a/%2e", "dot segment"),
        ("/a/..?q", "dot segment"),
        ("//", "empty segment"),
        ("//evil.example/a", "empty segment"),
        ("/a//b", "empty segment"),
        ("/a//", "empty segment"),
        ("/a%2fb", "escaped slash"),
        ("/a%2Fb", "escaped slash"),
        ("/a%5cb", "backslash"),
        ("/a%5Cb", "backslash"),
        ("/a\\b", "backslash"),
        ("/a;b=c", "semicolon"),
        ("/a%3bb", "semicolon"),
        ("/a/..;/b", "semicolon"),
        ("/a\x00", "control"),
        ("/a%00", "control"),
        ("/a%0d%0aX:%20y", "control"),
        ("/a\r\nX: y", "control"),
        ("/a\n", "control"),
        ("/a\x7f", "control"),
        ("/a%7f", "control"),
        ("/a%C2%85b", "control"),
        ("/\xe9", "not ASCII"),
        ("/a\u202eb", "not ASCII"),
        ("/a?\xe9", "not ASCII"),
        ("/a%", "invalid"),
        ("/a%2", "invalid"),
        ("/a%zz", "invalid"),
        ("/a%u0041", "invalid"),
        ("/%%32F", "invalid"),
        ("/%%34%31", "invalid"),
        ("/a?%", "invalid"),
        ("/a?%4", "invalid"),
        ("/a%252fb", "twice"),
        ("/a%252e%252e", "twice"),
        ("/a%25%32%66b", "twice"),
        ("/%c0%ae%c0%ae/", "UTF-8"),
        ("/%c0%af", "UTF-8"),
        ("/%e0%80%af", "UTF-8"),
        ("/%ed%a0%80", "UTF-8"),
        ("/%ff", "UTF-8"),
        ("/%c3", "UTF-8"),
        ("/%f4%90%80%80", "UTF-8"),
        ("/a b", "forbidden"),
        ('/a"b', "forbidden"),
        ("/a<b", "forbidden"),
        ("/a>b", "forbidden"),
        ("/a^b", "forbidden"),
        ("/a`b", "forbidden"),
        ("/a{b}", "forbidden"),
        ("/a|b", "forbidden"),
        ("/a[b]", "forbidden"),
        ("/a?b c", "space"),
        ("/a?b\r\nX: y", "control"),
        ("/a?\x00", "control"),
    ],
)
def test_a_target_with_two_readings_is_refused_with_the_reason(target, word):
    outcome = canonical_target(target)
    assert isinstance(outcome, NotCanonical)
    assert word in outcome.reason


_URL_PIECES = st.sampled_from(
    [*"/.%?#;\\@: aA1~", "%2e", "%2F", "%5c", "%25", "%41", "%c3%a9", "%00", "..", "\xe9", "é"]
)
_TARGETS = st.text() | st.lists(_URL_PIECES).map(lambda pieces: "/" + "".join(pieces))


@given(_TARGETS)
@example("/%25%32%66")
@example("/%25%34%31")
@example("/%%34%31")
def test_the_spelling_of_a_spelling_is_itself(target):
    once = canonical_target(target)
    if isinstance(once, CanonicalTarget):
        spelled = once.path + (f"?{once.query}" if once.query else "")
        assert canonical_target(spelled) == once


@given(_TARGETS, st.booleans())
@example("/../a?b", False)
@example("/./?b", False)
@example("/..", False)
@example("/a?b#", False)
@example("/a?_method=b", False)
def test_what_is_plain_is_spelled_as_what_is_looked_at_piece_by_piece(rest, merging):
    """An escape of a letter is the letter, but nothing with an escape in it is plain."""
    plain = canonical_target("/x" + rest, merging=merging)
    assert canonical_target("/%78" + rest, merging=merging) == plain


@given(_TARGETS)
def test_a_spelling_decodes_to_the_same_path_and_nowhere_else(target):
    outcome = canonical_target(target)
    if isinstance(outcome, CanonicalTarget):
        raw_path = target.partition("?")[0]
        assert unquote_to_bytes(outcome.path) == unquote_to_bytes(raw_path)
        decoded = unquote_to_bytes(outcome.path).decode("utf-8")
        assert not set(decoded.split("/")) & {".", ".."}
        assert "\\" not in decoded
        assert decoded.count("/") == raw_path.count("/")
        assert not any(ord(character) < 0x20 for character in decoded)


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/v1.0//me", "/v1.0/me"),
        ("/a///b//c//", "/a/b/c/"),
        ("/a//?b=//", "/a/"),
        ("/a/b", "/a/b"),
    ],
)
def test_empty_segments_inside_a_path_are_merged_where_that_is_asked_for(target, path):
    outcome = canonical_target(target, merging=True)
    assert isinstance(outcome, CanonicalTarget)
    assert outcome.path == path


@pytest.mark.parametrize(
    "target", ["//", "//evil.example/a", "///a", "/a//../b", "/a//%2e/b", "/a/%2F/b", "/.//a"]
)
def test_merging_makes_nothing_legal_that_has_two_readings(target):
    assert isinstance(canonical_target(target, merging=True), NotCanonical)


@given(_TARGETS)
@example("/a//b///c")
def test_the_merged_spelling_is_a_spelling_of_its_own(target):
    merged = canonical_target(target, merging=True)
    if isinstance(merged, CanonicalTarget):
        assert "//" not in merged.path
        spelled = merged.path + (f"?{merged.query}" if merged.query else "")
        assert canonical_target(spelled) == merged


@given(st.text(min_size=1))
def test_every_escaping_of_a_segment_has_the_same_spelling(text):
    encoded = quote(text, safe="", errors="surrogatepass")
    everything = "".join(f"%{byte:02x}" for byte in text.encode(errors="surrogatepass"))
    first, second = canonical_target(f"/{encoded}"), canonical_target(f"/{everything}")
    assert first == second


def test_a_reason_never_repeats_the_target():
    outcome = canonical_target("/hunter2/../x")
    assert isinstance(outcome, NotCanonical)
    assert "hunter2" not in outcome.reason


# --- templates


@pytest.mark.parametrize(
    ("template", "path", "matches"),
    [
        ("/v1/things/{id}", "/v1/things/7", True),
        ("/v1/things/{id}", "/v1/things/a%20b", True),
        ("/v1/things/{id}", "/v1/things/", False),
        ("/v1/things/{id}", "/v1/things/7/", False),
        ("/v1/things/{id}", "/v1/things", False),
        ("/v1/things/{id}", "/v1/Things/7", False),
        ("/v1/things/{id}", "/v1/things/7/parts", False),
        ("/v1/things/{id}", "x/v1/things/7", False),
        ("/v1/things/", "/v1/things/", True),
        ("/v1/things/", "/v1/things", False),
        ("/", "/", True),
        ("/", "/a", False),
        ("/{a}", "/", False),
        ("/{a}/{b}", "/x/y", True),
    ],
)
def test_a_template_matches_whole_segments(template, path, matches):
    assert PathTemplate(template).matches(path) is matches


@pytest.mark.parametrize(
    "template",
    [
        "",
        "v1/things",
        "/v1//things",
        "/v1/../things",
        "/v1/{id",
        "/v1/{}",
        "/v1/x{id}",
        "/v1/{id}.json",
        "/v1/{a}{b}",
        "/v1/{a}/{a}",
        "/v1/%41",
        "/v1/a b",
        "/v1/é",
        "/v1?x=1",
        "/v1/*#",
        "x/{id}",
    ],
)
def test_a_template_that_could_match_no_canonical_path_is_refused(template):
    with pytest.raises(ValueError, match=r"template|twice"):
        PathTemplate(template)


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


def test_the_server_as_a_whole_is_a_target_for_options_alone():
    assert canonical_target("*", "OPTIONS") == CanonicalTarget("*", "")
    assert isinstance(canonical_target("*", "GET"), NotCanonical)
    assert isinstance(canonical_target("*?x", "OPTIONS"), NotCanonical)
    operation = PathCatalog("things").operation("a.example:443", "OPTIONS", "*", "")
    assert operation.url == "https://a.example"


@pytest.mark.parametrize(
    "name",
    [
        "_method",
        "%5F%6Dethod",
        "%5fm%65thod",
        "_meth%6fd",
        "_METHOD",
        "_method[]",
        "+_method",
        "%20_method",
        "%00_method",
        "_method%5B0%5D",
    ],
)
@pytest.mark.parametrize("before", ["", "a=b&", "a;"])
def test_a_query_that_overrides_the_method_is_refused_in_every_spelling(name, before):
    assert isinstance(canonical_target(f"/a?{before}{name}=DELETE"), NotCanonical)


@pytest.mark.parametrize("query", ["method=x", "the_method=x", "_methods=x", "a=_method", "a_b=c"])
def test_other_names_with_a_method_in_them_are_no_override(query):
    assert canonical_target(f"/a?{query}") == CanonicalTarget("/a", query)


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
    ],
)
def test_without_a_catalog_a_call_that_holds_calls_is_unknown(path):
    target = canonical_target(path)
    assert isinstance(target, CanonicalTarget)
    for method in ("GET", "POST"):
        assert PathCatalog("things").operation("a.example", method, target.path, "") is None
    assert PathCatalog("things").named("a.example", "POST", {"path": target.path}) is None


@pytest.mark.parametrize("path", ["/", "/batches", "/batch/7", "/graphql-schema", "/v1/$batch/x"])
def test_without_a_catalog_other_calls_are_known(path):
    assert PathCatalog("things").operation("a.example", "POST", path, "") is not None


def test_a_catalog_knows_what_it_knows():
    catalog = Catalog("x", OperationTrie([CatalogRow("POST", "/graphql", "query")]))
    assert catalog.operation("a.example", "POST", "/graphql", "").action == "query"
