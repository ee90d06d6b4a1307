"""Every management operation of Okta is recognised as itself, and nothing else is recognised."""

import re
from collections import Counter

import pytest
from zope.interface.verify import verifyObject

from jitgate.catalogs.okta import load_okta, okta_rows
from jitgate.catalogs.table import read_rows
from jitgate.core.operation import CanonicalTarget, CatalogRow, canonical_target
from jitgate.interfaces import ICatalog
from jitgate.values import Operation

ORG = "acme.okta.com"
ROWS = okta_rows()
CATALOG = load_okta("okta")


def _ask(method: str, path: str) -> Operation | None:
    return CATALOG.operation(ORG, method, path, "")


def _filled(template: str) -> tuple[str, dict[str, str]]:
    """The template with a value of its own for each parameter, and those values."""
    values = {name: f"{name}-7" for name in re.findall(r"\{(.*?)\}", template)}
    return template.format(**values), values


def test_the_file_holds_every_operation():
    assert len(ROWS) == 732
    assert len({row.action for row in ROWS}) == 732
    assert Counter(len(row.scopes) for row in ROWS) == {1: 718, 2: 5, 0: 9}
    assert sum(1 for row in ROWS if row.secrets) == 45


def _as_itself(row: CatalogRow) -> bool:
    path, values = _filled(row.template)
    assert canonical_target(path) == CanonicalTarget(path, "")
    return _ask(row.method, path) == Operation(
        target="okta",
        action=row.action,
        resource=values,
        method=row.method,
        authority=ORG,
        path=path,
        scopes=row.scopes,
        secrets=row.secrets,
    )


def test_each_operation_is_recognised_as_itself():
    assert [row.action for row in ROWS if not _as_itself(row)] == []


def _known_neighbours(row: CatalogRow) -> list[str]:
    path, _ = _filled(row.template)
    neighbours = (
        path + "/",
        path + "/no/such/operation",
        "/no-such-prefix" + path,
        path[1:],
        path.swapcase(),
    )
    return [neighbour for neighbour in neighbours if _ask(row.method, neighbour)]


def test_the_neighbours_of_an_operation_are_unknown():
    assert [known for row in ROWS for known in _known_neighbours(row)] == []


def test_an_unknown_method_is_unknown_on_every_path():
    for row in ROWS:
        path, _ = _filled(row.template)
        for method in ("TRACE", "CONNECT", "PROPFIND", row.method.lower()):
            assert _ask(method, path) is None


def test_a_head_needs_what_the_get_needs():
    for row in ROWS:
        if row.method == "GET":
            operation = _ask("HEAD", _filled(row.template)[0])
            assert operation is not None
            assert (operation.action, operation.scopes) == (row.action, row.scopes)
            assert operation.method == "HEAD"
            assert not operation.changes


def test_a_call_that_agents_make_is_known_by_its_name_scopes_and_secrets():
    operation = _ask("POST", "/api/v1/users/00u1/lifecycle/activate")
    assert operation is not None
    assert operation.action == "activateUser"
    assert operation.resource == {"id": "00u1"}
    assert operation.scopes == ("okta.users.manage",)
    assert operation.secrets == {"activationToken", "activationUrl"}


def test_a_fixed_name_is_not_taken_for_an_id():
    operation = _ask("GET", "/api/v1/groups/rules")
    assert operation is not None
    assert operation.action == "listGroupRules"


def test_an_empty_id_is_no_id():
    assert _ask("DELETE", "/api/v1/users/") is None
    assert _ask("POST", "/api/v1/users//lifecycle/deactivate") is None


def test_the_catalog_provides_the_port():
    assert verifyObject(ICatalog, CATALOG)


_HEAD = "method,path,operation,risk,scopes,parameters,body,secrets"


def test_a_line_is_read_as_one_row():
    (row,) = read_rows([_HEAD, "GET,/a/{b},getA,,x.read y.read,,,key token"])
    assert row == CatalogRow(
        "GET", "/a/{b}", "getA", ("x.read", "y.read"), frozenset({"key", "token"})
    )


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["GET,/a,getA,,,,,"],
        ["path,method,operation,risk,scopes,parameters,body,secrets"],
        [_HEAD, "GET,/a,getA,,,,"],
        [_HEAD, "GET,/a,getA,,,,,,"],
        [_HEAD, "GET,/a,,,,,,"],
        [_HEAD, "GET,/a,getA,mild,,,,"],
        [_HEAD, "GET,/a,getA,,,,xml,"],
        [_HEAD, "GET,/a,getA,,,body:x,,"],
        [_HEAD, ""],
    ],
)
def test_a_damaged_file_is_refused(lines):
    with pytest.raises(ValueError, match="catalog's file"):
        read_rows(lines)
