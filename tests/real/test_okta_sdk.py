"""The official Okta SDK, unmodified, with two environment variables and nothing else."""

from __future__ import annotations

from support.counterparts import PORTAL_SECRET
from support.pages import block

SDK = """
import asyncio, json
from okta.client import Client as OktaClient
from okta.exceptions import OktaAPIException
from okta import models

async def main():
    client = OktaClient({
        "orgUrl": "https://acme.okta.example",
        "token": "00dummytoken",
        "raiseException": RAISE,
        "logging": {"enabled": False},
    })
    BODY

print(json.dumps(asyncio.run(main())))
"""


def sdk(estate, body: str, agent: str = "it-agent", *, raises: bool = False):
    lines = "\n    ".join(body.strip().splitlines())
    script = SDK.replace("BODY", lines).replace("RAISE", str(raises))
    return estate.python(script, agent)


def arrivals(estate):
    """What reached the org's API with a proof as it asks for: method, path, scopes, status."""
    return [
        (each.method, each.path, each.scope, each.status)
        for each in estate.org.journal()
        if each.path.startswith("/api/") and not each.wanted_nonce
    ]


def test_the_readmes_program_is_what_it_takes(estate):
    """The program of README.md as it stands, but for the org; it prints who there is."""
    program = block("README.md", "import asyncio").replace("acme.okta.com", "acme.okta.example")
    shown = program.replace("print(error or [", "print(json.dumps([str(error)] if error else [")
    shown = shown.replace(" for user in users])", " for user in users]))")
    assert shown.count("json.dumps") == 1
    assert "alice@acme.example" in estate.python(f"import json\n{shown}")
    assert arrivals(estate) == [("GET", "/api/v1/users", "okta.users.read", 200)]


def test_it_lists_users_and_groups(estate):
    seen = sdk(
        estate,
        """
users, response, error = await client.list_users()
groups, _, group_error = await client.list_groups()
return {
    "errors": [str(each) for each in (error, group_error) if each],
    "users": [user.profile.login for user in users or []],
    "groups": len(groups or []),
}
""",
    )
    assert seen["errors"] == []
    assert "alice@acme.example" in seen["users"]
    assert seen["groups"] >= 1
    assert arrivals(estate) == [
        ("GET", "/api/v1/users", "okta.users.read", 200),
        ("GET", "/api/v1/groups", "okta.groups.read", 200),
    ]


def test_it_creates_a_user(estate):
    seen = sdk(
        estate,
        """
profile = models.UserProfile(
    firstName="Grace", lastName="Hopper", email="grace@acme.example", login="grace@acme.example"
)
request = models.CreateUserRequest(profile=profile)
user, response, error = await client.create_user(request)
users, _, _ = await client.list_users()
return {
    "error": str(error or ""),
    "status": response.status_code,
    "logins": [each.profile.login for each in users],
}
""",
    )
    assert seen["error"] == ""
    assert seen["status"] in {200, 201}
    assert "grace@acme.example" in seen["logins"]
    assert arrivals(estate)[0][:3] == ("POST", "/api/v1/users", "okta.users.manage")


def test_secrets_of_applications_are_masked_and_the_sdk_still_reads_them(estate):
    seen = sdk(
        estate,
        """
apps, response, error = await client.list_applications()
return {
    "error": str(error or ""),
    "secrets": [app.credentials.oauth_client.client_secret for app in apps],
    "labels": [app.label for app in apps],
}
""",
    )
    assert seen["error"] == ""
    assert seen["labels"]
    assert set(seen["secrets"]) == {"****************"}
    assert PORTAL_SECRET not in str(seen)


def test_a_denied_call_raises_the_sdks_own_error_with_our_reason(estate):
    seen = sdk(
        estate,
        """
try:
    await client.assign_role_to_user(
        "00u1", models.AssignRoleToUserRequest(models.StandardRoleAssignmentSchema(type="SUPER_ADMIN"))
    )
except OktaAPIException as error:
    return {"kind": type(error).__name__, "text": str(error)}
return {"kind": None}
""",
        raises=True,
    )
    assert seen["kind"] == "OktaAPIException"
    assert "Administrators are made by people" in seen["text"]
    assert arrivals(estate) == []


def test_a_denied_call_returns_the_sdks_own_error_with_our_reason(estate):
    seen = sdk(
        estate,
        """
error = (await client.delete_group("00g1"))[-1]
return {
    "kind": type(error).__name__,
    "summary": error.message,
    "causes": [each["errorSummary"] for each in error.error_causes],
}
""",
    )
    assert seen["kind"] == "OktaAPIError"
    assert "No rule permits" in seen["summary"]
    assert arrivals(estate) == []


def test_an_agent_of_another_group_is_denied(estate):
    seen = sdk(
        estate,
        """
_, response, error = await client.list_users()
return {"kind": type(error).__name__, "text": str(error)}
""",
        agent="stranger",
    )
    assert seen["kind"] == "OktaAPIError"
    assert "No rule permits" in seen["text"]
    assert estate.org.calls() == []


def test_each_token_had_exactly_the_scope_of_its_operation(estate):
    sdk(estate, "await client.list_users()\nawait client.list_groups()\nreturn {}")
    asked = [each for each in estate.org.journal() if each.path == estate.org.token_path]
    granted = [each.scope for each in asked if not each.wanted_nonce]
    assert granted == ["okta.users.read", "okta.groups.read"]


def test_it_works_with_elliptic_keys_on_both_sides_and_bearer_tokens(elliptic_estate):
    seen = sdk(
        elliptic_estate,
        """
users, response, error = await client.list_users()
return {"error": str(error or ""), "users": len(users or [])}
""",
    )
    assert seen["error"] == ""
    assert seen["users"] >= 2
