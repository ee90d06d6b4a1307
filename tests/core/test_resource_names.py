"""Which read tells what a resource is called, and which member of its answer is the name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitgate.catalogs.okta import load_okta
from jitgate.core.catalog import Catalog, CatalogRow, OperationTrie, PathCatalog
from jitgate.core.json_masking import JsonMasker
from jitgate.core.profiles import MarkedFields
from jitgate.core.resource_names import (
    CUT,
    HIDDEN,
    MEMBERS,
    NAME_CHARS,
    NAMELESS,
    NameReads,
    name_in,
)
from jitgate.values import Operation, ResourceName, Risk

AUTHORITY = "acme.okta.example:443"


def found(catalog, method, path):
    operation = catalog.operation(AUTHORITY, method, path, "")
    reads = NameReads(catalog, AUTHORITY).of(operation)
    return {name: (read.action, read.path) for name, read in reads}


@pytest.fixture(scope="module")
def okta():
    return load_okta("okta")


@pytest.mark.parametrize(
    ("method", "path", "names"),
    [
        (
            "POST",
            "/api/v1/users/00u1/lifecycle/deactivate",
            {"id": ("getUser", "/api/v1/users/00u1")},
        ),
        (
            "PUT",
            "/api/v1/groups/00g1/users/00u1",
            {
                "groupId": ("getGroup", "/api/v1/groups/00g1"),
                "userId": ("getUser", "/api/v1/users/00u1"),
            },
        ),
        (
            "DELETE",
            "/api/v1/apps/0oa1/users/00u1",
            {
                "appId": ("getApplication", "/api/v1/apps/0oa1"),
                "userId": ("getApplicationUser", "/api/v1/apps/0oa1/users/00u1"),
            },
        ),
        (
            "DELETE",
            "/api/v1/users/00u1/roles/r1",
            {
                "userId": ("getUser", "/api/v1/users/00u1"),
                "roleAssignmentId": ("getUserAssignedRole", "/api/v1/users/00u1/roles/r1"),
            },
        ),
        ("POST", "/api/v1/users", {}),
    ],
)
def test_oktas_own_catalog_tells_the_read(okta, method, path, names):
    assert found(okta, method, path) == names


def test_every_read_that_is_found_is_a_plain_read_of_what_the_path_leads_to(okta):
    seen = 0
    reads = NameReads(okta, AUTHORITY)
    for sample in okta.samples(AUTHORITY):
        path = sample.path.replace("{", "").replace("}", "")
        operation = okta.operation(AUTHORITY, sample.method, path, "")
        for name, read in reads.of(operation):
            seen += 1
            assert (read.method, read.risk, read.query) == ("GET", Risk.READ, "")
            assert list(read.resource.values())[-1] == operation.resource[name]
            assert read.path.rpartition("/")[2] == operation.resource[name]
    assert seen > 400


def catalog(*rows):
    every = [CatalogRow(method, path, action, risk=risk) for method, path, action, risk in rows]
    return Catalog("things", OperationTrie(every))


def row(method, path, action, risk=Risk.READ):
    return method, path, action, risk


def test_a_number_within_something_else_is_not_looked_up_as_another_things():
    """``id`` names anything: only the very path says what that is."""
    rows = [
        row("GET", "/projects/{id}", "getProject"),
        row("POST", "/users/{id}/stop", "stopUser", Risk.WRITE),
        row("POST", "/orgs/{org}/projects/{id}", "moveProject", Risk.WRITE),
    ]
    assert found(catalog(*rows), "POST", "/users/5/stop") == {}
    assert found(catalog(*rows), "POST", "/orgs/acme/projects/5") == {}


def test_a_thing_that_is_reached_by_itself_too_is_one_of_the_same_api():
    one = row("GET", "/v1/users/{id}", "getUser")
    two = row("GET", "/v2/users/{id}", "getUserAgain")
    top = row("GET", "/users/{id}", "getAnyUser")
    put = row("PUT", "/v1/teams/{team}/users/{userId}", "addUser", Risk.WRITE)
    path = "/v1/teams/t/users/7"
    assert found(catalog(one, two, put), "PUT", path) == {"userId": ("getUser", "/v1/users/7")}
    assert found(catalog(two, put), "PUT", path) == {}
    assert found(catalog(one, top, put), "PUT", path) == {}  # which of the two nobody can tell


def test_a_thing_with_a_read_of_its_own_is_not_read_as_another():
    """Whatever that read is for: a policy's rule is no rule of a group."""
    rows = [
        row("GET", "/rules/{id}", "getRule"),
        row("GET", "/policies/{policyId}/rules/{ruleId}", "getPolicyRule", Risk.PRIVILEGED),
        row("DELETE", "/policies/{policyId}/rules/{ruleId}", "drop", Risk.WRITE),
    ]
    assert found(catalog(*rows), "DELETE", "/policies/1/rules/2") == {}


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("userId", True),
        ("user_id", True),
        ("user", True),
        ("id", False),
        ("userAssignmentId", False),
        ("targetUserId", False),
    ],
)
def test_a_parameter_is_taken_for_a_thing_of_a_collection_by_its_name(name, is_one):
    rows = [
        row("GET", "/users/{id}", "getUser"),
        row("PUT", f"/teams/{{team}}/users/{{{name}}}", "addUser", Risk.WRITE),
    ]
    assert bool(found(catalog(*rows), "PUT", "/teams/t/users/7")) is is_one


@pytest.mark.parametrize("risk", [Risk.WRITE, Risk.PRIVILEGED, Risk.DESTRUCTIVE])
def test_a_get_that_does_more_than_read_is_none(risk):
    rows = [row("GET", "/keys/{id}", "rollKey", risk), row("DELETE", "/keys/{id}", "drop", risk)]
    assert found(catalog(*rows), "DELETE", "/keys/7") == {}


def test_a_list_that_is_called_like_the_thing_is_not_the_thing():
    rows = [
        row("GET", "/users/{id}/groups", "listGroups"),
        row("PUT", "/users/{id}/{what}", "put", Risk.WRITE),
    ]
    assert found(catalog(*rows), "PUT", "/users/groups/groups") == {}


def test_nothing_is_found_where_no_catalog_tells_what_a_path_is():
    operation = PathCatalog("things").operation(AUTHORITY, "POST", "/users/1/stop", "")
    assert list(NameReads(PathCatalog("things"), AUTHORITY).of(operation)) == []


def test_an_escaped_value_stays_escaped(okta):
    reads = found(okta, "POST", "/api/v1/users/a%2Fb/lifecycle/suspend")
    assert reads == {"id": ("getUser", "/api/v1/users/a%2Fb")}


def test_what_a_plugin_shows_that_is_no_template_is_passed_over():
    class Odd(PathCatalog):
        def samples(self, authority):
            return [Operation("things", "GET", {}, "GET", authority, "not a path")]

    assert NameReads(Odd("things"), AUTHORITY)._templates == {}


# --- the name in an answer

JANE = {"id": "00u1", "profile": {"login": "jane@acme.com", "displayName": "Jane"}}


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        (JANE, "jane@acme.com"),
        ({"profile": {"email": "j@acme.com", "name": "x"}}, "j@acme.com"),
        ({"profile": {"name": "IT Leads"}, "label": "x"}, "IT Leads"),
        ({"label": "Wiki", "name": "oidc_client"}, "Wiki"),
        ({"credentials": {"userName": "jane"}}, "jane"),
        ({"profile": {"login": 7, "name": " "}, "name": "seven"}, "seven"),
        ({"profile": ["login"], "displayName": "d"}, "d"),
    ],
)
def test_the_best_name_is_taken(answer, name):
    assert name_in(answer, answer) == ResourceName(name)


@pytest.mark.parametrize("answer", [None, [], "jane", 7, {}, {"name": None}, {"name": ""}, [JANE]])
def test_without_a_name_there_is_none(answer):
    assert name_in(answer, answer) == NAMELESS


def test_a_masked_name_is_not_shown_and_another_may_be():
    masked = {"profile": JANE["profile"] | {"login": "****"}}
    assert name_in(JANE, masked) == ResourceName("Jane")
    assert name_in(JANE, {"profile": "****"}) == HIDDEN
    assert name_in({"name": "x"}, {}) == HIDDEN


def test_a_long_name_is_cut_with_a_mark():
    exact, long = "n" * NAME_CHARS, "n" * (NAME_CHARS + 1)
    assert name_in({"name": exact}, {"name": exact}).name == exact
    assert name_in({"name": long}, {"name": long}).name == exact + CUT


_LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=300)
_KEYS = st.sampled_from(sorted({key for path in MEMBERS for key in path})) | st.text(max_size=5)
_JSON = st.recursive(
    _LEAVES, lambda inner: st.lists(inner) | st.dictionaries(_KEYS, inner), max_leaves=12
)


@given(_JSON)
def test_whatever_is_answered_a_name_is_a_short_text_of_it_or_there_is_a_reason(answer):
    told = name_in(answer, answer)
    if told.name is None:
        assert told == NAMELESS
    else:
        assert 0 < len(told.name) <= NAME_CHARS + len(CUT)
        assert told.why == ""
        assert _holds(answer, told.name.removesuffix(CUT))


@given(_JSON, st.frozensets(_KEYS))
def test_no_name_passes_that_the_maskers_hide(answer, fields):
    import orjson  # noqa: PLC0415 (as the look-up reads it)

    try:
        data = orjson.dumps(answer)
    except orjson.JSONEncodeError:  # a lone surrogate, a huge number: no answer brings it
        return
    masker = JsonMasker([MarkedFields(fields)])
    shown = orjson.loads(masker.feed(data) + masker.finish())
    told = name_in(orjson.loads(data), shown)
    if told.name is not None:
        assert _holds(shown, told.name.removesuffix(CUT))


def _holds(content, start):
    if isinstance(content, str):
        return content.startswith(start)
    inner = content.values() if isinstance(content, dict) else content
    return isinstance(content, dict | list) and any(_holds(each, start) for each in inner)
