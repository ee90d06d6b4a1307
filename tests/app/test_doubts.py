"""What is no error in rules and can hardly be meant is said, and nothing else is."""

from __future__ import annotations

import re

import pytest
from support.offline import Laptop, rule

from jitgate.app.doubts import doubts

PERMITS = rule("permits", "permit", targets=["okta"], actions=["getUser"], mask="plain")


@pytest.fixture
def said(tmp_path):
    """What is said of these rules, without the places where they stand."""
    laptop = Laptop(tmp_path)

    def of(*rules, file="rules.yaml"):
        laptop.policy(*rules, file=file)
        made = laptop.made()
        return [
            re.sub(r"/\S+/", "", each)
            for each in doubts(made.configuration, made.policy, made.targets)
        ]

    return of


def test_of_rules_that_match_and_count_nothing_is_said(said):
    assert said(PERMITS, rule("denies", "deny", groups=["hr"])) == []


@pytest.mark.parametrize(
    ("tests", "part"),
    [
        ({"groups": []}, "match.groups is empty and matches nothing"),
        ({"issuers": ["https://idp.example/"]}, "none of match.issuers is configured"),
        ({"targets": ["okta"], "methods": ["OPTIONS"]}, "meets its targets, methods together"),
        ({"actions": ["getUser"], "methods": ["POST"]}, "meets its actions, methods together"),
        ({"targets": ["things"], "risk": ["read"]}, "meets its targets, risk together"),
        ({"targets": ["okta"], "paths": ["/v1/things"]}, "meets its targets, paths together"),
        ({"targets": ["okta"], "paths": ["/api/v1/users/{id}/x"]}, "targets, paths together"),
    ],
)
def test_a_rule_that_never_matches_is_named_with_the_reason(said, tests, part):
    (one,) = said(PERMITS, rule("never", "permit", **tests))
    assert one.startswith("rules.yaml:2: rule never: ")
    assert part in one


@pytest.mark.parametrize(
    "tests",
    [
        {"actions": ["getUser"], "methods": ["HEAD"]},
        {"targets": ["okta"], "paths": ["/api/v1/users/{id}"]},
        {"targets": ["okta"], "paths": ["/api/v1/users/me"]},
        {"targets": ["okta"], "paths": ["/{a}/{b}/{c}"]},
        {"targets": ["things"], "paths": ["/v1/things"], "methods": ["PATCH"]},
        {"issuers": ["https://idp.example", "https://other.example"]},
    ],
)
def test_one_that_may_match_is_not(said, tests):
    assert said(PERMITS, rule("may", "permit", **tests)) == []


DENIES = {"targets": ["okta"], "actions": ["getUser", "list*"]}


@pytest.mark.parametrize(
    ("denies", "permits", "dead"),
    [
        (DENIES, {"targets": ["okta"], "actions": ["getUser"]}, True),
        (DENIES, {"actions": ["listUsers"], "groups": ["hr"]}, True),
        (DENIES, {"targets": ["okta"], "actions": ["get*"]}, False),
        (DENIES | {"groups": ["hr"]}, {"actions": ["getUser"]}, False),
        (DENIES | {"groups": ["hr", "it"]}, {"actions": ["getUser"], "groups": ["it"]}, True),
        (DENIES | {"groups": ["it"]}, {"actions": ["getUser"], "groups": ["it", "hr"]}, False),
        (DENIES | {"agents": ["a*"]}, {"actions": ["getUser"], "agents": ["ab"]}, False),
        (DENIES | {"agents": ["a*"]}, {"actions": ["getUser"], "agents": ["a*"]}, True),
        (DENIES | {"methods": ["HEAD"]}, {"actions": ["getUser"]}, False),
        (DENIES | {"methods": ["GET"]}, {"actions": ["getUser"]}, True),  # it means HEAD as well
        ({}, {"actions": ["getUser"], "paths": ["/api/v1/users/{id}"]}, True),
        ({"paths": ["/a"]}, {"targets": ["things"], "paths": ["/a", "/b"]}, False),
        ({"paths": ["/a", "/b"]}, {"targets": ["things"], "paths": ["/b"]}, True),
    ],
)
def test_a_rule_whose_calls_are_all_denied_never_counts(said, denies, permits, dead):
    of_profile = rule("other", "permit", targets=["things"], groups=["x"], mask="plain")
    found = said(
        rule("denies", "deny", **denies),
        rule("asks", "review", **permits),
        *(() if denies in ({}, {"paths": ["/a", "/b"]}) else (of_profile,)),
    )
    found = [each for each in found if "rule asks" in each]
    assert [("denies (rules.yaml:1) denies all that it matches" in each) for each in found] == [
        True
    ] * dead


@pytest.mark.parametrize(
    ("tests", "part"),
    [
        ({"actions": ["createUser", "deactivateUser"]}, "all that it matches may change something"),
        ({"targets": ["things"], "methods": ["POST"]}, "all that it matches may change something"),
        ({"targets": ["things"]}, "the credential of its targets is one and the same"),
        ({"targets": ["okta", "things"], "actions": ["createUser", "GET"]}, "one and the same"),
    ],
)
def test_a_reuse_that_does_nothing_is_said(said, tests, part):
    (one,) = said(PERMITS, rule("reuses", "permit", reuse="5m", **tests))
    assert one.startswith("rules.yaml:2: rule reuses: reuse does nothing: ")
    assert part in one


@pytest.mark.parametrize(
    "tests",
    [
        {"actions": ["createUser", "getUser"], "reuse": "5m"},
        {"actions": ["get*"], "methods": ["HEAD"], "reuse": "1s"},
        {"reuse": "5m"},
        {"targets": ["things"], "reuse": "0s"},  # as it would be without it
    ],
)
def test_one_that_does_something_is_not(said, tests):
    assert said(PERMITS, rule("reuses", "permit", **tests)) == []


def test_a_profile_that_no_rule_names_is_said(said):
    (one,) = said(rule("permits", "permit"))
    assert one.startswith("masking.yaml:1: profile plain: no rule of a policy file masks by it")
