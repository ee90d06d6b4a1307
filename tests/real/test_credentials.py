"""Tokens of an org, minted for one call each, before an org that looks at every one of them.

The org is a real authorization server with a checker before it (docs/decisions/0071-*.md): a call
that is carried out came with a token of exactly the operation's scopes, which it had used for
nothing else, and a proof for that very request. The agent is Okta's own SDK.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping

import orjson
import pytest
from real.lending import DEACTIVATE, lending_in
from support.counterparts import ALICE
from support.gateway import wait_for

READ = "client.list_users()"
GROUPS = "client.list_groups()"
WRITE = """client.create_user(models.CreateUserRequest(profile=models.UserProfile(
    firstName="Grace", lastName="Hopper", email="LOGIN", login="LOGIN")))""".replace("\n", "")
PRIVILEGED = (
    f'client.assign_role_to_user("{ALICE}", models.AssignRoleToUserRequest('
    'models.StandardRoleAssignmentSchema(type="USER_ADMIN")))'
)
REVIEWED = f'client.deactivate_user("{ALICE}")'

FAULTS: Mapping[str, tuple[Mapping[str, object], str]] = {
    "it hangs up": ({"token": "down"}, "The token endpoint cannot be asked"),
    "it is cut short": ({"token": "cut"}, "is not one JSON object"),
    "it fails": ({"token": "broken"}, "The token endpoint answered 500"),
    "it grants other scopes": (
        {"token": {"scope": "okta.roles.manage"}},
        "granted other scopes than asked for",
    ),
    "it does not answer": ({"token": "silent"}, "did not answer within 10 s"),
    "it wants ever new nonces": ({"token": "nonces"}, "use_dpop_nonce"),
    "its clock is ahead": ({"clock": 600}, "clock"),
    "its clock is behind": ({"clock": -600}, "clock"),
}
"""What the token endpoint does, how the org is told to, and what the agent is told of it."""


@pytest.fixture(scope="module")
def lending(tmp_path_factory, org):
    org.clear()
    with lending_in(tmp_path_factory.mktemp("lending"), org) as made:
        yield made


@pytest.fixture(scope="module")
def sdk(lending):
    with lending.session() as session:
        yield session


@pytest.fixture(autouse=True)
def from_the_seed(lending):
    """The org is well, the gateway knows its nonce, and no token is under way."""
    lending.org.tell()
    wait_for(lambda: lending.ask("GET", "/api/v1/users").status == 200)
    lending.quiet()
    lending.org.reset()
    lending.org.clear()


def writing(login: str) -> str:
    return WRITE.replace("LOGIN", f"{login}@acme.example")


# --- one call, one token


def test_a_read_and_a_write_each_have_a_token_of_their_own_which_is_revoked(lending, sdk):
    assert sdk.call(READ)["error"] == ""
    assert sdk.call(writing("grace"))["error"] == ""
    lending.quiet()
    assert [(each.method, each.path, each.scope) for each in lending.calls()] == [
        ("GET", "/api/v1/users", "okta.users.read"),
        ("POST", "/api/v1/users", "okta.users.manage"),
    ]
    used = [each.token for each in lending.calls()]
    assert len(set(used)) == 2
    assert [each.token for each in lending.minted()] == used
    assert Counter(each.token for each in lending.revoked()) == Counter(used)


def test_nothing_of_what_the_agent_sends_as_its_own_token_arrives(lending, sdk):
    sdk.call(READ)
    lending.ask("GET", "/api/v1/users")
    fields = [field for each in lending.org.journal() for field in each.fields]
    assert len(lending.calls()) == 2
    assert not [each for each in fields if "dummy" in each or lending.agent in each]


def test_what_is_on_record_of_a_token_is_its_id_its_scopes_and_its_end(lending, sdk):
    sdk.call(writing("ada"))
    lending.quiet()
    (call,) = lending.calls()
    (revoked,) = wait_for(
        lambda: [e for e in lending.gateway.entries("credential.revoked") if e["jti"] == call.token]
    )
    (outcome,) = [
        each
        for each in lending.gateway.entries("outcome")
        if each.get("credential", {}).get("jti") == call.token
    ]
    assert revoked["fingerprint"] == outcome["credential"]["fingerprint"]
    assert outcome["credential"]["app"] == "writer"
    assert outcome["credential"]["scopes"] == ["okta.users.manage"]
    assert 3500 < outcome["credential"]["expires_at"] - time.time() <= 3600


def test_each_risk_has_an_app_of_its_own_which_gets_no_token_but_of_that(lending, sdk):
    for call in (READ, writing("linus"), PRIVILEGED):
        sdk.call(call)
    seen = [(each.client, each.scope) for each in lending.minted()]
    apps = lending.org.apps
    assert seen == [
        (apps["reader"].client_id, "okta.users.read"),
        (apps["writer"].client_id, "okta.users.manage"),
        (apps["privileged"].client_id, "okta.roles.manage"),
    ]


# --- reads may share one


def test_reads_share_a_token_where_a_rule_says_so_and_nothing_else_does(lending, sdk):
    lending.org.tell(reuse=True)
    for call in (GROUPS, GROUPS, READ, READ, GROUPS):
        assert sdk.call(call)["error"] == ""
    groups = [each.token for each in lending.calls() if each.path.endswith("groups")]
    users = [each.token for each in lending.calls() if each.path.endswith("users")]
    assert (len(groups), len(set(groups))) == (3, 1)
    assert (len(users), len(set(users))) == (2, 2)
    assert set(users).isdisjoint(groups)
    for name in ("a", "b"):
        lending.ask("POST", "/api/v1/groups", orjson.dumps({"profile": {"name": name}}))
    made = [each.token for each in lending.calls() if each.method == "POST"]
    assert (len(made), len(set(made))) == (2, 2)
    assert set(made).isdisjoint(groups)


# --- the API wants another nonce


def test_a_call_that_the_api_challenges_is_not_sent_again_but_the_agent_is_told(lending):
    lending.org.rotate()
    body = orjson.dumps({"profile": {"login": "n@acme.example", "email": "n@acme.example"}})
    reply = lending.ask("POST", "/api/v1/users", body)
    assert reply.status == 429
    assert b"did not carry the call out. Send it again." in reply.body
    assert [(each.status, each.reason) for each in lending.journal("/api/v1/users")] == [
        (401, "a proof with a nonce of the org is asked for")
    ]
    assert lending.ask("POST", "/api/v1/users", body).status in {200, 201}
    lending.quiet()


def test_the_sdk_sends_a_challenged_call_again_by_itself(lending, sdk):
    lending.org.rotate()
    assert sdk.call(writing("margaret"))["error"] == ""
    assert lending.journal("/api/v1/users")[0].status == 401
    assert len(lending.calls()) == 1


@pytest.mark.parametrize(("wants", "said"), [(True, 401), (False, 403)])
def test_before_the_first_change_it_is_learned_whether_the_api_wants_nonces(
    lending, tmp_path, wants, said
):
    """By a read that changes nothing, for which the token of the change is good for nothing."""
    groups = [orjson.dumps({"profile": {"name": name}}) for name in ("new", "newer")]
    with lending_in(tmp_path, lending.org) as fresh:
        fresh.org.tell(nonces=wants)
        assert [fresh.ask("POST", "/api/v1/groups", it).status for it in groups] == [201, 201]
        seen = [(each.method, each.path, each.status) for each in fresh.journal("/api/")]
    change = ("POST", "/api/v1/groups", 201)
    assert seen == [("GET", "/api/v1/org", said), change, change]


# --- the token endpoint has faults


def test_no_fault_of_the_token_endpoint_uses_up_what_people_gave_leave_for(lending, sdk):
    """Nor does one keep another target waiting; and the SDK shows what is the matter."""
    approved = False
    for fault, (told, said) in FAULTS.items():
        lending.org.tell(**told)
        sdk.say(REVIEWED)
        if not approved:
            lending.approver.approve(lending.approver.next()["id"])
            approved = True
        assert lending.ask("GET", "/things", host="api.example").status == 200
        if fault == "it does not answer":
            assert sdk.waits
        heard = sdk.heard()
        assert (heard["kind"], said in heard["error"]) == ("OktaAPIError", True), (fault, heard)
    assert lending.calls() == []
    (grant,) = lending.approver.grants()
    assert (grant["uses"], lending.gateway.entries("grant.spent")) == (1, [])
    lending.org.tell()
    assert sdk.call(REVIEWED)["error"] == ""
    assert [each.path for each in lending.calls()] == [DEACTIVATE]
    assert lending.approver.grants() == []
    assert len(lending.gateway.entries("access.opened")) == 1


def test_a_scope_that_the_org_does_not_grant_the_app_is_told_to_the_agent(lending, sdk):
    heard = sdk.call("client.list_applications()")
    assert heard["kind"] == "OktaAPIError"
    assert "invalid_scope" in heard["error"]
    assert lending.journal("/api/") == []


def test_what_cannot_be_revoked_is_revoked_once_the_endpoint_is_back(lending, sdk):
    lending.org.tell(revoke="broken")
    assert sdk.call(READ)["error"] == ""
    (token,) = [each.token for each in lending.minted()]
    wait_for(lambda: len(lending.journal(lending.org.revoke_path)) > 2)
    assert lending.revoked() == []
    lending.org.tell()
    lending.quiet()
    revoked = wait_for(
        lambda: [e for e in lending.gateway.entries("credential.revoked") if e["jti"] == token]
    )
    assert [each["tries"] > 1 for each in revoked] == [True]
