"""What the Okta SDK makes of masked answers: its models load them as they load what was not masked.

The examples are made from the schemas of Okta's published description (`okta.json`): of every
operation that answers with JSON, one with what is required, and of each kind of answer that there
is one with all that there may be.
"""

from __future__ import annotations

from collections import Counter
from functools import cache
from pathlib import Path
from typing import NamedTuple

import orjson
import pytest
from ruamel.yaml import YAML
from support.examples import Examples
from support.okta_models import answered, fits, loaded

from jitgate.catalogs.okta import okta_rows
from jitgate.core.hiding import Hand
from jitgate.core.json_body import masked
from jitgate.core.profiles import MarkedFields
from jitgate.maskers.detectors import DetectorMasker
from jitgate.maskers.names import NameMasker
from jitgate.values import How

ROOT = Path(__file__).parents[2]
DESCRIPTION = orjson.loads(Path(__file__).with_name("okta.json").read_bytes())
SECRETS = {row.action: row.secrets for row in okta_rows()}
NAMES = next(
    profile["names"]
    for profile in YAML(typ="safe").load(ROOT / "etc" / "masking" / "okta.yaml")
    if profile["profile"] == "okta"
)

NOT_LOADED = {
    "AttackProtectionAuthenticatorSettings": "an object is taken for a list",
    "AuthenticatorBase": "a kind is not known, and a number has another bound",
    "AuthenticatorMethodBase": "an enum is written in another case",
    "DeviceAssurance": "numbers and times have other bounds",
    "ExecuteInlineHook200Response": "an empty object is of several kinds at once",
    "GetJwk200Response": "kinds are told apart by what need not be there",
    "GetSsfStreams200Response": "an object is taken for another",
    "ListJwk200ResponseInner": "kinds are told apart by what need not be there",
    "ListRolesForClient200ResponseInner": "an object is of several kinds at once",
    "OAuth2ClientJsonSigningKeyResponse": "what need not be there is asked for",
    "Policy": "kinds are not known",
    "PolicyRule": "kinds are not known, and an enum is written in another case",
    "User": "lists are taken for objects",
    "UserFactor": "an object is of several kinds at once",
    "UserLockoutSettings": "an object is taken for a list",
    "WellKnownURIsRoot": "objects are taken for texts",
}
"""Why the SDK does not load some examples of these, though the description says that they may be."""

BROKEN = {
    How.REPLACE: set[str](),
    How.LAST4: {"LogStream"},
    How.HASH: {"LogStream"},
    How.DROP: {"LogStream", "APIServiceIntegrationInstanceSecret"},
}
"""What the SDK does not load when it is masked so: a token must be a UUID, and others be there."""


class Example(NamedTuple):
    """What an operation answers, and as what the SDK takes it."""

    action: str
    body: bytes
    status: str
    types: dict[str, str]


@pytest.fixture(autouse=True)
def from_the_seed():
    """Nothing here is of the estate that other tests seed anew."""


@pytest.fixture(scope="module")
def examples():
    made, types = Examples(DESCRIPTION, cache(fits)), answered()
    return [
        Example(operation["operationId"], body, status, types[operation["operationId"].lower()])
        for path in DESCRIPTION["paths"].values()
        for operation in path.values()
        if isinstance(operation, dict) and operation["operationId"].lower() in types
        for status, schema in made.answers(operation)
        for body in (
            orjson.dumps(made.made(schema, 0, full=False)),
            *(orjson.dumps(made.made(schema, n, full=True)) for n in range(made.kinds(schema))),
        )
    ]


@pytest.fixture(scope="module")
def fair(examples):
    """Those that the SDK loads as they are."""
    return [each for each in examples if problem(each, each.body) is None]


def problem(example, body):
    """Why the SDK does not load a body, None if it does."""
    try:
        loaded(body, example.status, example.types)
    except Exception as error:  # noqa: BLE001 (whatever it is, it is what the agent meets)
        return f"{type(error).__name__}: {error}"
    return None


@cache
def maskers(marked, how):
    """What the profile that is shipped has, and detectors."""
    return (
        MarkedFields(marked, how=how),
        NameMasker("names", NAMES, how),
        DetectorMasker("detectors", ["jwt", "private-key", "okta-token"], how),
    )


def hidden(example, how):
    """An example as an agent sees it, and each of the values that are hidden in it."""
    hand = Hand(bytes.hex, session=lambda _: "0" * 64)
    out = masked(example.body, maskers(SECRETS[example.action], how), hand)
    return out, [bytes.fromhex(each.digest) for each in hand.hits]


def model(example):
    """What the SDK loads it as."""
    return example.types[example.status].removeprefix("List[").rstrip("]")


def test_there_are_examples_of_every_operation_that_the_sdk_knows(examples, fair):
    known = {each.action for each in examples}
    assert len(known) == 523
    assert known - {each.action for each in fair} == {
        "activateOAuth2ClientJsonWebKey",
        "addJwk",
        "getJwk",
    }


def test_few_examples_are_not_loaded_as_they_are(examples, fair):
    left = [each for each in examples if each not in fair]
    assert {model(each) for each in left} == NOT_LOADED.keys()
    assert len(left) < len(examples) / 15


@pytest.mark.parametrize("how", BROKEN)
def test_the_sdk_loads_what_is_masked(fair, how):
    broken, seen = set(), Counter()
    for each in fair:
        body, values = hidden(each, how)
        seen.update(values)
        assert values or body == each.body
        assert not any(value in body for value in values if value.startswith(b'"HuSh'))
        if problem(each, body) is not None:
            broken.add(model(each))
    assert broken == BROKEN[how]
    assert seen.total() > 200
    assert len(seen) > 20


def test_what_models_are_picky_about_is_among_it(fair):
    shown = b"".join(hidden(each, How.REPLACE)[0] for each in fair)
    assert b'"token":"00000000-0000-4000-8000-000000000000"' in shown
    assert b'"qrcode":{"href":"****************"}' in shown
