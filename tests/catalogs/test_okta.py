"""Every management operation of Okta is recognised as itself, and nothing else is recognised."""

import re
from collections import Counter

import pytest
from zope.interface.verify import verifyObject

from jitgate.catalogs.okta import load_okta, oauth_rows, okta_rows
from jitgate.catalogs.table import read_rows
from jitgate.core.catalog import CatalogRow
from jitgate.core.operation import CanonicalTarget, canonical_target
from jitgate.core.policy import Policy
from jitgate.interfaces import ICatalog
from jitgate.rules.match import Criteria, MatchRule
from jitgate.values import Effect, Inquiry, Operation, Risk, Subject, Verdict

AGENT = Subject("https://idp.example", "bot-7", frozenset({"it-agents"}), 1000.0)
ORG = "acme.okta.com"
ROWS = okta_rows()
OAUTH = oauth_rows()
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
    assert sum(1 for row in ROWS if row.secrets) == 94
    assert sum(1 for row in ROWS if row.json) == 211


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
        risk=row.risk,
        parameters={name: said for name, said in row.parameters if said is not None},
        in_body=row.in_body,
        json=row.json,
        by_name=row.by_name,
    )


def test_each_operation_is_recognised_as_itself():
    assert [row.action for row in (*ROWS, *OAUTH) if not _as_itself(row)] == []


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
    assert [known for row in (*ROWS, *OAUTH) for known in _known_neighbours(row)] == []


def test_an_unknown_method_is_unknown_on_every_path():
    for row in (*ROWS, *OAUTH):
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


# --- what is secret


@pytest.mark.parametrize(
    ("action", "fields"),
    [
        ("createApplication", {"client_secret"}),
        ("createOAuth2ClientSecret", {"client_secret", "secret_hash"}),
        ("activateUser", {"activationToken", "activationUrl"}),
        ("expirePasswordWithTempPassword", {"tempPassword"}),
        ("expirePassword", {"tempPassword"}),
        ("resetPassword", {"resetPasswordUrl"}),
        ("enrollFactor", {"sharedSecret", "qrcode", "passCode", "nextPassCode"}),
        ("verifyFactor", {"correctAnswer"}),
        ("createIdentityProvider", {"privateKey", "apiKey", "client_secret"}),
        ("createEmailServer", {"password", "clientSecret", "privateKey"}),
        ("createPushProvider", {"tokenSigningKey", "serviceAccountJson"}),
        ("createCaptchaInstance", {"secretKey"}),
        ("createTacAuthenticatorEnrollment", {"tac"}),
        ("createAppServiceAccount", {"password"}),
        ("createLogStream", {"token"}),
        ("createChildOrg", {"token"}),
        ("listSocialAuthTokens", {"token"}),
        ("createSsfStream", {"authorization_header"}),
        ("createEventHook", {"value"}),
        ("createInlineHook", {"value"}),
        ("changePassword", {"answer", "salt", "value"}),
        ("oauthToken", {"access_token", "refresh_token", "id_token"}),
        ("registerOAuthClient", {"client_secret", "registration_access_token"}),
        ("oauthDeviceAuthorize", {"device_code"}),
    ],
)
def test_what_is_known_to_be_secret_is_marked(action, fields):
    (row,) = [row for row in (*ROWS, *OAUTH) if row.action == action]
    assert fields <= row.secrets


def test_where_profiles_have_attributes_of_any_name_only_what_is_returned_is_marked():
    marked = {row.action: row.secrets for row in ROWS}
    assert marked["getUser"] == marked["listUsers"] == frozenset()
    assert marked["listApplications"] == {"client_secret"}


def test_nothing_but_what_may_hold_a_secret_is_marked():
    words = Counter(field for row in ROWS for field in row.secrets)
    assert set(words) == {
        *("activationToken", "activationUrl", "answer", "apiKey", "authorization_header"),
        *("clientSecret", "client_secret", "correctAnswer", "deviceToken", "nextPassCode"),
        *("passCode", "password", "privateKey", "qrcode", "resetPasswordUrl", "salt"),
        *("secretKey", "secret_hash", "serviceAccountJson", "sharedSecret", "tac"),
        *("tempPassword", "token", "tokenSigningKey", "value"),
    }


# --- the org's own OAuth endpoints


def test_the_endpoints_where_tokens_are_handed_out_are_known_and_pass_by_name_alone():
    assert len(OAUTH) == 44
    assert all(row.by_name for row in OAUTH)
    assert not any(row.by_name for row in ROWS)
    assert {row.action for row in OAUTH}.isdisjoint(row.action for row in ROWS)


@pytest.mark.parametrize(
    ("method", "path", "action"),
    [
        ("POST", "/oauth2/v1/token", "oauthToken"),
        ("POST", "/oauth2/default/v1/token", "customOAuthToken"),
        ("POST", "/oauth2/v1/introspect", "oauthIntrospect"),
        ("POST", "/oauth2/v1/revoke", "oauthRevoke"),
        ("GET", "/oauth2/v1/authorize", "oauthAuthorize"),
        ("GET", "/oauth2/v1/keys", "listOAuthKeys"),
        ("HEAD", "/oauth2/aus1/v1/keys", "listCustomOAuthKeys"),
        ("POST", "/oauth2/v1/par", "oauthPushAuthorizationRequest"),
        ("POST", "/oauth2/v1/clients", "registerOAuthClient"),
        ("GET", "/.well-known/openid-configuration", "getOpenIdConfiguration"),
        ("GET", "/oauth2/v1/clients/0oa1/roles", "listRolesForClient"),
    ],
)
def test_an_endpoint_is_known_by_its_name(method, path, action):
    operation = _ask(method, path)
    assert operation is not None
    assert operation.action == action
    assert operation.by_name is (action != "listRolesForClient")


@pytest.mark.parametrize(
    "criteria",
    [
        Criteria(),
        Criteria(groups=("it-agents",)),
        Criteria(actions=("*",)),
        Criteria(actions=("oauth*", "*Token", "oauthToke?")),
        Criteria(risk=tuple(Risk)),
        Criteria(paths=("/oauth2/v1/token",), methods=("POST",)),
    ],
)
@pytest.mark.parametrize("effect", [Effect.PERMIT, Effect.REVIEW])
def test_no_rule_lets_an_endpoint_pass_by_a_wildcard(criteria, effect):
    inquiry = Inquiry(_ask("POST", "/oauth2/v1/token"), AGENT, 0.0)
    rule = MatchRule("wide", criteria, Verdict(effect, "They may."))
    assert rule.judge(inquiry) is None
    decision = Policy((rule,), "1", frozenset({"mask", "grant"})).decide(inquiry)
    assert decision.effect is Effect.DENY


def test_a_rule_that_names_an_endpoint_lets_it_pass_and_one_that_denies_need_not():
    inquiry = Inquiry(_ask("POST", "/oauth2/v1/token"), AGENT, 0.0)
    named = Criteria(actions=("list*", "oauthToken"))
    permitted, denied = Verdict(Effect.PERMIT, "They may."), Verdict(Effect.DENY, "Never.")
    assert MatchRule("named", named, permitted).judge(inquiry) == permitted
    assert MatchRule("wide", Criteria(actions=("*",)), denied).judge(inquiry) == denied


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
        [_HEAD, "PUT,/a,getA,,,x x=1,,"],
        [_HEAD, "PUT,/a,getA,,,x body:X,json,"],
        [_HEAD, "GET,/a,getA,,,body:x,,"],
        [_HEAD, ""],
    ],
)
def test_a_damaged_file_is_refused(lines):
    with pytest.raises(ValueError, match="catalog's file"):
        read_rows(lines)
