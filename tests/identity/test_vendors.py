"""Tokens as each vendor makes them, and what is made of them."""

import json
from pathlib import Path

import pytest
from support.jwts import SigningKey, jwk_set
from twisted.internet.task import Clock

from jitgate.identity.claims import Trust
from jitgate.identity.keys import KeySet
from jitgate.identity.oidc import OidcVerifier
from jitgate.identity.vendors import VENDORS, discovered_at
from jitgate.values import Refusal, Subject

NOW = 1_800_000_000
KEY = SigningKey.rs256("k1")
CASES = json.loads((Path(__file__).parents[1] / "vectors/tokens/vendors.json").read_text())


class Keys:
    """The one key."""

    async def key(self, key_id, algorithm):
        return KeySet.read(jwk_set(KEY.jwk())).find(key_id, algorithm)


def verified(case, **changes):
    """What is made of a case's token, with claims changed, or taken away where they are None."""
    clock = Clock()
    clock.advance(NOW)
    settings = dict(case["trust"])
    vendor = VENDORS[settings.pop("profile")]
    required = {name: tuple(values) for name, values in settings.pop("required", {}).items()}
    groups = settings.pop("groups", None)
    trust = Trust(
        vendor=vendor,
        required=required,
        groups=groups and tuple(groups),
        also_for=frozenset(settings.pop("also_for", ())),
        **settings,
    )
    claims = {"iat": NOW, "exp": NOW + 3600, **case["claims"], **changes}
    claims = {name: value for name, value in claims.items() if value is not None}
    header = json.dumps({"alg": "RS256", "kid": "k1", **case["header"]}).encode()
    token = KEY.signed(header, json.dumps(claims).encode())
    verifier = OidcVerifier(trust, algorithms=frozenset({"RS256"}), keys=Keys(), clock=clock)
    try:
        verifier.verify(token).send(None)
    except StopIteration as answer:
        return answer.value
    raise AssertionError("it waited")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_vendors_token_proves_its_subject(case):
    outcome = verified(case)
    assert isinstance(outcome, Subject), outcome
    wanted = case["subject"]
    assert outcome.id == wanted["id"]
    assert outcome.agent == wanted.get("agent")
    assert outcome.groups == set(wanted.get("groups", []))
    assert outcome.humans == tuple(wanted.get("humans", []))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_an_address_in_a_vendors_token_is_a_human_of_the_agent(case):
    outcome = verified(case, email="eve@acme.example", email_verified=False)
    assert "eve@acme.example" in outcome.humans
    outcome = verified(case, act={"sub": "a-1", "email": "eve@acme.example"})
    assert {"a-1", "eve@acme.example"} <= set(outcome.humans)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
@pytest.mark.parametrize("typ", ["logout+jwt", "dpop+jwt", "secevent+jwt", "rt+jwt", "text/jwt"])
def test_a_token_of_another_kind_is_refused(case, typ):
    outcome = verified(case | {"header": {"typ": typ}})
    assert isinstance(outcome, Refusal)
    assert "typ" in outcome.detail


def named(name):
    return next(case for case in CASES if case["name"] == name)


@pytest.mark.parametrize("name", ["Entra v1, application", "Entra v2, delegated"])
def test_entra_sets_typ_on_every_token(name):
    assert "typ" in verified(named(name) | {"header": {}}).detail


@pytest.mark.parametrize(
    ("name", "changes", "reason"),
    [
        ("Entra v2, application", {"tid": "22222222-0000-0000-0000-000000000000"}, "tid"),
        ("Entra v2, application", {"tid": None}, "tid"),
        ("Entra v2, application", {"tid": ""}, "tid"),
        ("Entra v2, application", {"ver": "1.0"}, "ver is not 2.0"),
        ("Entra v1, application", {"ver": None}, "ver is not 1.0"),
        ("Entra v2, delegated", {"hasgroups": True}, "overage"),
        (
            "Entra v2, delegated",
            {"groups": None, "_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {}}},
            "overage",
        ),
        ("GitHub Actions", {"repository_owner_id": "667"}, "repository_owner_id"),
        ("GitHub Actions", {"repository_owner_id": 666}, "repository_owner_id"),
        ("GitHub Actions", {"repository_owner_id": None}, "repository_owner_id"),
        ("Auth0", {"aud": ["jitgate", "https://stranger.example"]}, "others as well"),
        ("Keycloak", {"typ": "Refresh"}, "typ claim"),
    ],
)
def test_what_a_vendor_promises_is_held_to(name, changes, reason):
    outcome = verified(named(name), **changes)
    assert isinstance(outcome, Refusal)
    assert reason in outcome.detail


def test_groups_that_are_elsewhere_do_not_matter_where_others_are_asked_for():
    case = named("Keycloak")
    assert isinstance(verified(case, _claim_names={"groups": "src1"}), Subject)


def test_where_discovery_is_asked_for():
    assert discovered_at(VENDORS["okta"], "https://acme.okta.com") == "https://acme.okta.com"
    v1 = "https://sts.windows.net/11111111-0000-0000-0000-000000000000/"
    place = "https://login.microsoftonline.com/11111111-0000-0000-0000-000000000000"
    assert discovered_at(VENDORS["entra-v1"], v1) == place
