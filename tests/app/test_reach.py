"""Which calls rules may let pass at all, whoever makes them."""

from __future__ import annotations

import pytest
from support.offline import Laptop, rule

from jitgate.app.reach import kinds_of, let_pass

READS = rule("reads", "permit", targets=["okta"], risk=["read"])
ASKS = rule("asks", "review", targets=["okta"], actions=["createUser"])


@pytest.fixture
def passing(tmp_path):
    """The actions that may go under these rules, with the names of the rules."""
    laptop = Laptop(tmp_path)

    def of(*rules):
        laptop.policy(*rules)
        made = laptop.made()
        kinds = kinds_of(made.configuration, made.targets)
        found = let_pass(made.configuration, made.policy, kinds)
        return {kind.action: names for kind, names in found.items()}

    return of


def test_what_rules_permit_and_what_they_ask_people_about_may_go(passing):
    found = passing(READS, ASKS)
    assert found["getUser"] == ("reads",)
    assert found["createUser"] == ("asks",)
    assert "deleteUser" not in found


def test_all_rules_are_named_that_let_a_call_pass(passing):
    assert passing(READS, rule("more", "permit", actions=["getUser"]))["getUser"] == (
        "reads",
        "more",
    )


@pytest.mark.parametrize(
    ("denies", "goes"),
    [
        (rule("denies", "deny", actions=["createUser"]), False),
        (rule("denies", "deny", targets=["okta"]), False),
        (rule("denies", "deny", actions=["create*"], groups=["hr"]), True),
        (rule("denies", "deny", actions=["createUser"], methods=["PUT"]), True),
        (rule("denies", "deny", actions=["createUser"]) | {"when": "has(body.credentials)"}, True),
        (rule("denies", "deny", actions=["createUser"]) | {"mode": "observe"}, True),
    ],
)
def test_what_a_rule_denies_whatever_else_is_so_does_not(passing, denies, goes):
    assert ("createUser" in passing(ASKS, denies)) is goes


@pytest.mark.parametrize(
    "idle",
    [
        rule("idle", "permit", actions=["createUser"]) | {"mode": "observe"},
        rule("idle", "permit", actions=["createUser"], groups=[]),
        rule("idle", "permit", actions=["createUser"], issuers=["https://other.example"]),
        rule("idle", "deny", actions=["createUser"]),
    ],
)
def test_a_rule_that_lets_nothing_pass_counts_for_nothing(passing, idle):
    assert "createUser" not in passing(READS, idle)


def test_a_kind_has_the_scopes_that_its_calls_need(tmp_path):
    laptop = Laptop(tmp_path)
    laptop.policy(READS)
    made = laptop.made()
    kinds = {each.action: each for each in kinds_of(made.configuration, made.targets)}
    assert kinds["getUser"].scopes == ("okta.users.read",)
    assert not kinds["getUser"].changes
    assert kinds["createUser"].scopes == ("okta.users.manage",)
    assert kinds["createUser"].changes
