"""Which maskers look at a response: what is in doubt is masked, what is unknown denies."""

from __future__ import annotations

import pytest
from zope.interface.verify import verifyObject

from jitgate.core.profiles import (
    SENSITIVE,
    MarkedFields,
    MaskingProfile,
    maskers_for,
    passes,
)
from jitgate.errors import RuleFault
from jitgate.interfaces import IMasker
from jitgate.maskers.names import NameMasker
from jitgate.values import Decision, Effect, Obligation, Operation

MARKED = frozenset({"client_secret"})
NAMES = NameMasker("names", ("*token*",))
PROFILES = {
    "both": MaskingProfile("both", (NAMES,)),
    "names-only": MaskingProfile("names-only", (NAMES,), catalog=False),
    "says-so": MaskingProfile("says-so", (NAMES,), catalog=False, passes=("getA*", "other")),
}


def call(*masks, secrets=MARKED, action="getApp"):
    operation = Operation(
        "okta", action, {}, "GET", "a.example:443", "/api/v1/apps/1", secrets=secrets
    )
    duties = tuple(Obligation("mask", mask) for mask in masks)
    return operation, Decision(Effect.PERMIT, "the-rule", "They may.", "v1", duties)


def asked(*masks, secrets=MARKED):
    operation, decision = call(*masks, secrets=secrets)
    return [masker.name for masker in maskers_for(operation, decision, PROFILES)]


@pytest.mark.parametrize(
    ("masks", "secrets", "action", "so"),
    [
        (["says-so"], MARKED, "getApp", True),
        (["says-so"], MARKED, "getaApp", False),
        (["says-so", "none"], MARKED, "other", True),
        (["says-so", "catalog"], (), "getApp", True),
        (["says-so", "catalog"], MARKED, "getApp", False),
        (["says-so", "both"], (), "getApp", False),
        (["both"], (), "getApp", False),
        ([], MARKED, "getApp", False),
    ],
)
def test_what_cannot_be_looked_at_passes_where_all_that_hide_say_that_it_holds_nothing(
    masks, secrets, action, so
):
    operation, decision = call(*masks, secrets=frozenset(secrets), action=action)
    assert passes(operation, decision, PROFILES) is so


@pytest.mark.parametrize(
    ("masks", "maskers"),
    [
        ((), ["catalog"]),
        (("catalog",), ["catalog"]),
        (("none",), []),
        (("both",), ["catalog", "names"]),
        (("names-only",), ["names"]),
        (("none", "both"), ["catalog", "names"]),
        (("names-only", "catalog"), ["catalog", "names"]),
        (("both", "names-only"), ["catalog", "names"]),
    ],
)
def test_every_profile_that_is_named_adds_its_maskers(masks, maskers):
    assert asked(*masks) == maskers


def test_nothing_has_to_be_looked_at_where_nothing_is_marked_and_no_profile_named():
    assert asked(secrets=frozenset()) == []


@pytest.mark.parametrize("name", ["other", "", None, 7, ("both",), ["both"]])
def test_a_profile_that_does_not_exist_denies(name):
    with pytest.raises(RuleFault, match="the-rule"):
        asked(name)


@pytest.mark.parametrize(
    "field",
    [
        "password",
        "newPassword",
        "PASSPHRASE",
        "passCode",
        "client_secret",
        "clientSecret",
        "access_token",
        "sessionToken",
        "privateKey",
        "private_key",
        "api_key",
        "apiKey",
        "answer",
        "k",
        "otp",
    ],
)
def test_what_any_api_calls_a_secret_is_kept_out_of_the_record(field):
    assert SENSITIVE.hides(field)


@pytest.mark.parametrize("field", ["name", "id", "email", "keyword", "kid", "login", "pin_code_id"])
def test_what_is_no_secret_stays_in_the_record(field):
    assert not SENSITIVE.hides(field)


@pytest.mark.parametrize("masker", [SENSITIVE, MarkedFields(MARKED)], ids=["sensitive", "marked"])
def test_both_provide_the_port(masker):
    assert verifyObject(IMasker, masker)
    assert masker.mask("password", "hunter2") is None
