"""The shipped rule: nobody becomes an administrator through the gateway."""

from __future__ import annotations

import pytest

from jitgate import plugins
from jitgate.catalogs.okta import okta_rows
from jitgate.core.policy import NEEDS_BODY
from jitgate.flow.stopwatch import Meter, Stopwatch
from jitgate.flow.watching import LONGEST, watched_rule
from jitgate.interfaces import IConcernedRule
from jitgate.shipped import shipped
from jitgate.testing import provided
from jitgate.testing.rules import RuleContract
from jitgate.values import Effect, Inquiry, Operation, Subject

FILE = shipped("plugins") / "no_admin_grants.py"
SUBJECT = Subject("https://idp.example", "bot-7", frozenset({"admins"}), 1000.0)


def judged(action, **options):
    (rule,) = plugins.load(FILE, options).provides
    operation = Operation("okta", action, {}, "POST", "a.example:443", "/")
    verdict = rule.judge(Inquiry(operation, SUBJECT, 0.0))
    return None if verdict is None else verdict.effect


class TestItsPromises(RuleContract):
    def make(self):
        (rule,) = provided(FILE)
        return rule

    def others(self):
        return provided(FILE, actions=["deleteUser"])


def test_every_action_that_it_names_is_one_that_the_catalog_knows():
    """A name that Okta does not use would deny nothing."""
    (rule,) = plugins.load(FILE, {}).provides
    assert rule._denied <= {row.action for row in okta_rows()}


NO_GRANT = {
    "optIn",
    "optOut",
    "subscribeByNotificationTypeRole",
    "unsubscribeByNotificationTypeRole",
}
"""What needs the scope for roles, and gives nobody any: who manages them, who gets which mail."""

GRANTING = [
    row.action
    for row in okta_rows()
    if row.method in {"POST", "PUT", "PATCH"}
    and ("okta.roles.manage" in row.scopes or "/roles" in row.template)
    and row.action not in NO_GRANT
]
SETTINGS = [
    "assignClientPrivilegesSetting",
    "updateAutoAssignAdminAppSetting",
    "updateThirdPartyAdminSetting",
]


def test_the_table_below_is_not_empty():
    assert len(GRANTING) >= 25
    assert {"assignGroupTargetRoleForClient", "replaceResourceSetResource"} < set(GRANTING)


@pytest.mark.parametrize("action", [*GRANTING, *SETTINGS])
def test_an_operation_that_gives_a_role_or_widens_one_is_denied(action):
    assert judged(action) is Effect.DENY


@pytest.mark.parametrize("action", ["listUsers", "getUser", "listAssignedRolesForUser"])
def test_it_says_nothing_of_all_else(action):
    assert judged(action) is None


def test_more_actions_can_be_named():
    assert judged("deleteUser", actions=["deleteUser"]) is Effect.DENY


def test_its_version_tells_its_options_apart():
    versions = {
        plugins.load(FILE, {"actions": actions}).provides[0].version
        for actions in ([], ["a"], ["b"])
    }
    assert len(versions) == 3


@pytest.mark.parametrize("options", [{"action": ["x"]}, {"actions": "x"}, {"actions": [1]}])
def test_options_that_it_does_not_know_stop_the_start(options):
    with pytest.raises(plugins.PluginInvalid, match="action"):
        plugins.load(FILE, options)


@pytest.mark.parametrize(
    ("body", "denied"),
    [
        (b'{"profile":{"login":"a@b.example"}}', False),
        (b'{"profile":{},"groupIds":["00g1"]}', True),
        (b'{"profile":{},"group\\u0049ds":["00g1"]}', True),
        (b'{"groupids":[],"profile":{}}', True),
        (b'{"groupIds":["00g1"],"groupIds":[]}', True),
        (b"[]", True),
        (b'["groupIds"]', True),
        (b"", True),
        (b"{", True),
        (b"\xff", True),
        (b"[" * 5000, True),
        (b'{"profile":{"groupIds":[]}}', False),
    ],
)
def test_a_new_user_is_put_into_no_group(body, denied):
    rule = plugins.load(FILE, {}).provides[0]
    create = Operation("okta", "createUser", {}, "POST", "a.example:443", "/")
    assert rule.judge(Inquiry(create, SUBJECT, 0.0)) is NEEDS_BODY
    verdict = rule.judge(Inquiry(create, SUBJECT, 0.0, body))
    assert (verdict is not None and verdict.effect is Effect.DENY) is denied


def test_no_call_but_those_that_it_denies_or_looks_into_concerns_it():
    rule = plugins.load(FILE, {"actions": ["deleteUser"]}).provides[0]
    assert IConcernedRule.providedBy(rule)
    for row in okta_rows():
        concerned = row.action in rule._denied or row.action == "createUser"
        assert rule.concerns("okta", row.action, row.method, row.risk) is concerned


@pytest.mark.parametrize("unit", [b'"%x":1', b'"%x":{"a":1}', b'"%x":[[],[]]'])
def test_no_body_of_an_agent_s_switches_it_off(unit):
    create = Operation("okta", "createUser", {}, "POST", "a.example:443", "/")
    rule = watched_rule(plugins.load(FILE, {}).provides[0], Stopwatch(Meter()))
    for size in (LONGEST, 1024 * 1024):
        members = (unit % number for number in range(size // (len(unit) + 6)))
        body = b"{" + b",".join(members) + b"}"
        for _ in range(5):
            rule.judge(Inquiry(create, SUBJECT, 0.0, body, True))
    assert rule.off is None
