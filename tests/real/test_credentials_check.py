"""What apps were granted is found out from a real authorization server, and no token stays."""

from __future__ import annotations

import json
import subprocess
import sys

import orjson
import pytest
from real.lending import APPS, credential
from support.counterparts import Org
from support.gateway import settings, target

POLICY = [
    {
        "name": "agents-read",
        "reason": "They may look",
        "match": {"targets": ["okta"], "actions": ["listUsers", "listGroups", "listApplications"]},
        "effect": "permit",
    },
    {
        "name": "people-look",
        "reason": "Who comes is looked at",
        "match": {"targets": ["okta"], "actions": ["createUser", "deactivateUser"]},
        "effect": "review",
        "approvers": {"groups": ["it-leads"]},
    },
]


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    """What the command says of each app, its exit status, and what the org saw meanwhile."""
    folder = tmp_path_factory.mktemp("checked")
    with Org.start(folder, algorithm="ES256", apps=APPS) as org:
        okta = {"name": "okta", "hosts": [org.host], "catalog": "okta"}
        okta |= {"credential": credential(org)}
        made = settings(folder, folder / "jwks.json", [target(org.port, org.ca, **okta)])
        made["approvals"] = {"groups": {"it-leads": ["alice@acme.example"]}}
        (folder / "jwks.json").write_bytes(orjson.dumps({"keys": []}))
        (folder / "policy.yaml").write_bytes(orjson.dumps(POLICY))
        (folder / "jitgate.yaml").write_bytes(orjson.dumps(made))
        words = ["credentials", "check", "--json", "--config", str(folder / "jitgate.yaml")]
        done = subprocess.run(
            [sys.executable, "-m", "jitgate", *words], capture_output=True, timeout=300, check=False
        )
        assert done.stderr == b""
        told = {each["app"]: each for each in json.loads(done.stdout)}
        yield told, done.returncode, org.journal()


def test_each_app_has_exactly_what_it_was_granted(checked):
    told, code, _ = checked
    found = {
        name: {each["scope"] for each in app["scopes"] if each["granted"]}
        for name, app in told.items()
    }
    assert found == {name: set(scopes) for name, scopes in APPS.items()}
    assert code == 1  # each of them lacks something, or has too much


def test_what_rules_need_and_what_none_does_are_told_apart(checked):
    told, _, _ = checked
    of_app = {
        name: {each["scope"]: (each["granted"], each["rules"]) for each in app["scopes"]}
        for name, app in told.items()
    }
    assert of_app["reader"]["okta.apps.read"] == (False, ["agents-read"])
    assert of_app["writer"]["okta.groups.manage"] == (True, [])
    assert of_app["privileged"]["okta.users.manage"] == (True, ["people-look"])


def test_every_token_was_revoked_before_the_next_was_asked_for_and_none_was_used(checked):
    _, _, journal = checked
    assert {each.path for each in journal} == {Org.token_path, Org.revoke_path}
    given = [each for each in journal if each.status == 200]
    assert len(given) > 2 * len(APPS)
    for minted, revoked in zip(given[::2], given[1::2], strict=True):
        assert (minted.path, revoked.path) == (Org.token_path, Org.revoke_path)
        assert minted.token == revoked.token is not None
