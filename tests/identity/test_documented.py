"""The entries that docs/identity shows take the tokens they are for, and nobody else's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.jwts import SigningKey, jwk_set
from twisted.internet.task import Clock

from jitgate.config import load
from jitgate.config.believing import trust_of
from jitgate.identity.keys import KeySet
from jitgate.identity.oidc import OidcVerifier
from jitgate.values import Refusal, Subject

PAGES = Path(__file__).parents[2] / "docs" / "identity"
NOW = 1_800_000_000
KEY = SigningKey.rs256("k1")
AROUND = """
state: ./var
targets:
  - {name: api, hosts: [api.example], catalog: none, credential: {type: none}}
policy: [./policy.yaml]
"""

TENANT = "11111111-2222-3333-4444-555555555555"
API = "99999999-8888-7777-6666-555555555555"
AGENT = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
POD = {"namespace": "agents", "serviceaccount": {"name": "it-agent", "uid": "u-1"}}
ACCOUNT = "system:serviceaccount:agents:it-agent"
OKTA_CLIENT = "0oa1it2agent3client4id"

CASES = {
    "okta-0": (
        {"aud": "jitgate", "sub": OKTA_CLIENT, "cid": OKTA_CLIENT, "groups": "it-agents"},
        {"it-agents"},
        ("bob@acme.com",),
        {"cid": "0oaanother"},
    ),
    "entra-0": (
        {
            "aud": API,
            "sub": AGENT,
            "oid": AGENT,
            "tid": TENANT,
            "ver": "2.0",
            "azp": "c-1",
            "azpacr": "2",
            "idtyp": "app",
            "roles": ["it-agents"],
        },
        {"it-agents"},
        ("bob@acme.com",),
        {"idtyp": "user"},
    ),
    "entra-1": (
        {
            "aud": f"api://{API}",
            "sub": AGENT,
            "oid": AGENT,
            "tid": TENANT,
            "ver": "1.0",
            "appid": "c-1",
            "appidacr": "1",
            "idtyp": "app",
            "roles": ["it-agents"],
        },
        {"it-agents"},
        (),
        {"appidacr": "0"},
    ),
    "github-actions-0": (
        {
            "aud": "jitgate",
            "sub": "repo:acme/it-agent:environment:jitgate",
            "repository": "acme/it-agent",
            "repository_owner_id": "12345678",
            "repository_id": "87654321",
            "environment": "jitgate",
            "ref": "refs/heads/main",
            "event_name": "workflow_dispatch",
        },
        {"acme/it-agent"},
        (),
        {"repository_owner_id": "666"},
    ),
    "kubernetes-0": (
        {"aud": ["jitgate"], "sub": ACCOUNT, "kubernetes.io": POD},
        {ACCOUNT, "agents"},
        ("bob@acme.com",),
        {"kubernetes.io": POD | {"namespace": "other"}},
    ),
    "kubernetes-1": (
        {"aud": ["jitgate"], "sub": ACCOUNT, "kubernetes.io": POD},
        {ACCOUNT, "agents"},
        (),
        {"kubernetes.io": {}},
    ),
    "others-0": (
        {
            "aud": "https://jitgate.acme.com",
            "sub": "c-1@clients",
            "azp": "c-1",
            "gty": "client-credentials",
            "permissions": ["it-agents"],
        },
        {"it-agents"},
        (),
        {"gty": "password"},
    ),
    "others-1": (
        {
            "aud": "jitgate",
            "sub": "u-1",
            "azp": "it-agent",
            "typ": "Bearer",
            "realm_access": {"roles": ["it-agents"]},
        },
        {"it-agents"},
        (),
        {"typ": "ID"},
    ),
    "others-2": (
        {"aud": ["jitgate"], "sub": "spiffe://acme.com/agents/it-agent"},
        {"spiffe://acme.com/agents/it-agent"},
        (),
        {"sub": "spiffe://acme.com/web"},
    ),
}
"""By page and number: claims of a token, its groups and humans, and a claim of somebody else's."""


def issuer_of(name, folder):
    page, _, number = name.rpartition("-")
    blocks = re.findall(
        r"^```yaml\n(.*?)^```$", (PAGES / f"{page}.md").read_text(), re.MULTILINE | re.DOTALL
    )
    (folder / "policy.yaml").write_text("[]")
    (folder / "jitgate.yaml").write_text(blocks[int(number)] + AROUND)
    return load(folder / "jitgate.yaml").settings.identity.issuers[0]


class Keys:
    """The one key, of whoever the issuer is."""

    async def key(self, key_id, algorithm):
        return KeySet.read(jwk_set(KEY.jwk())).find(key_id, algorithm)


def verified(issuer, claims):
    clock = Clock()
    clock.advance(NOW)
    algorithms = frozenset(issuer.algorithms)
    verifier = OidcVerifier(trust_of(issuer), algorithms=algorithms, keys=Keys(), clock=clock)
    whole = {"iss": issuer.issuer, "iat": NOW, "exp": NOW + 600, "jti": "j-1", **claims}
    try:
        verifier.verify(KEY.sign(whole)).send(None)
    except StopIteration as answer:
        return answer.value
    raise AssertionError("it waited")


@pytest.mark.parametrize("name", CASES)
def test_a_documented_entry_takes_its_agents_token(name, tmp_path):
    claims, groups, humans, _ = CASES[name]
    outcome = verified(issuer_of(name, tmp_path), claims)
    assert isinstance(outcome, Subject), outcome
    assert (outcome.id, outcome.groups, outcome.humans) == (claims["sub"], groups, humans)


@pytest.mark.parametrize("name", CASES)
def test_a_documented_entry_takes_nobody_elses_of_the_same_issuer(name, tmp_path):
    claims, _, _, strange = CASES[name]
    issuer = issuer_of(name, tmp_path)
    assert isinstance(verified(issuer, claims | strange), Refusal)
    for claim in issuer.required:
        top = claim.removeprefix("/").partition("/")[0]
        rest = {each: value for each, value in claims.items() if each != top}
        assert isinstance(verified(issuer, rest), Refusal), claim


def test_every_entry_that_is_documented_is_tried():
    shown = {
        f"{page.stem}-{number}"
        for page in PAGES.glob("*.md")
        for number in range(page.read_text().count("```yaml\n"))
    }
    assert shown == set(CASES)
