"""What a configuration decides is told without a gateway, and without any of its keys."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.offline import SETTINGS, Laptop, rule, told
from twisted.internet.task import Clock

from jitgate.app import make_service
from jitgate.app.in_force import made
from jitgate.app.offline import BUILT_IN, offline
from jitgate.config import load
from jitgate.errors import ConfigurationInvalid
from jitgate.proxy.internal import AUTHORITY
from jitgate.values import Denial, Effect

ETC = Path(__file__).parents[2] / "etc" / "jitgate.yaml"
ALL = rule("all", "permit")


@pytest.fixture
def laptop(tmp_path):
    its = Laptop(tmp_path)
    its.policy(ALL)
    return its


def test_no_key_and_no_certificate_need_be_there(laptop):
    assert told(laptop.made(), "GET", "https://things.example/a").effect is Effect.PERMIT
    assert not (laptop.folder / "state").exists()


def test_the_version_and_the_rules_are_those_that_a_gateway_has():
    here, there = offline(ETC), made(load(ETC), Clock())
    assert here.policy.version == there.version
    assert [each.name for each in here.policy.rules] == [
        each.name for each in there.decided["policy"].rules
    ]
    assert {name: target.name for name, target in here.targets.items()} == {
        AUTHORITY: "jitgate.internal",
        **{name: target.name for name, target in there.targets.items()},
    }


@pytest.mark.parametrize(
    ("method", "url", "denial"),
    [
        ("GET", "https://things.example/a", None),
        ("GET", "https://THINGS.example:443/a", None),
        ("GET", "https://things.example:8443", None),
        ("GET", "https://acme.okta.example/api/v1/users?limit=2", None),
        ("OPTIONS", "https://things.example", None),
        ("GET", "https://jitgate.internal/ca.pem", None),
        ("GET", "https://things.example:444/a", Denial.TARGET_UNKNOWN),
        ("GET", "https://other.example/a", Denial.TARGET_UNKNOWN),
        ("GET", "https://things.example./a", Denial.MALFORMED),
        ("GET", "https://user@things.example/a", Denial.MALFORMED),
        ("GET", "http://things.example/a", Denial.MALFORMED),
        ("GET", "https://things.example/a b", Denial.MALFORMED),
        ("GET", "https://things.example/a\r\nX: y", Denial.MALFORMED),
        ("GET", "https://things.example/\u00e9", Denial.MALFORMED),
        ("GET", "https://things.example/\u20ac", Denial.MALFORMED),
        ("GET", "https://things.example/a/../b", Denial.MALFORMED),
        ("GET", "https://things.example/a?_method=DELETE", Denial.MALFORMED),
        ("get", "https://things.example/a", Denial.MALFORMED),
        ("CONNECT", "https://things.example/a", Denial.MALFORMED),
        ("GET", f"https://things.example/{'a' * 70000}", Denial.HEAD_TOO_LARGE),
        ("GET", "https://acme.okta.example/api/v1/userz", Denial.OPERATION_UNKNOWN),
        ("GET", "https://acme.okta.example/api//v1/users", Denial.MALFORMED),
        ("GET", "https://things.example/a//b", None),
    ],
)  # fmt: skip
def test_a_call_is_read_as_the_gateway_reads_it(laptop, method, url, denial):
    trial = told(laptop.made(), method, url)
    assert (trial.denial, trial.effect is Effect.PERMIT) == (denial, denial is None)


@pytest.mark.parametrize(
    ("headers", "denial"),
    [
        ((("X-Trace", "1"),), None),
        ((("X-HTTP-Method-Override", "DELETE"),), Denial.MALFORMED),
        ((("Content-Encoding", "gzip"),), Denial.MALFORMED),
        ((("Host", "other.example"),), Denial.MALFORMED),
        ((("Transfer-Encoding", "gzip"),), Denial.MALFORMED),
        ((("X", "a\r\nX-HTTP-Method-Override: DELETE"),), Denial.MALFORMED),
    ],
)
def test_so_are_its_fields(laptop, headers, denial):
    trial = told(laptop.made(), "POST", "https://things.example/a", headers=headers, body=b"x")
    assert trial.denial is denial


def test_it_is_known_where_each_rule_stands(laptop):
    plugin = laptop.folder / "plugin.py"
    plugin.write_text(
        "from zope.interface import implementer\n"
        "from jitgate.interfaces import IRule\n"
        "@implementer(IRule)\n"
        "class Mine:\n"
        "    name, version = 'mine', '1'\n"
        "    def judge(self, inquiry): return None\n"
        "def plugin(options): return Mine()\n"
    )
    laptop.settings(plugins=[{"file": "plugin.py"}])
    where = laptop.made().where
    assert where == {
        "all": f"{laptop.folder}/policy/rules.yaml:1",
        "mine": str(plugin),
        "jitgate-internal": BUILT_IN,
    }


def test_every_problem_is_told_at_once(laptop):
    laptop.settings(plugins=[{"file": "none.py"}])
    laptop.policy(
        rule("one", "permit", actions=["listUserz"]),
        rule("two", "review", approvers={"groups": ["lead"]}),
        {"name": "three"},
    )
    laptop.masking([{"profile": "plain", "maskers": ["none"]}])
    with pytest.raises(ConfigurationInvalid) as caught:
        laptop.made()
    said = "\n".join(caught.value.problems)
    for part in ("rules.yaml:3: 2.reason: this is missing", "none.py", "masking.yaml:1: profile"):
        assert part in said
    laptop.policy(
        rule("one", "permit", actions=["listUserz"]),
        rule("two", "review", approvers={"groups": ["lead"]}),
    )
    with pytest.raises(ConfigurationInvalid) as caught:
        laptop.made()
    said = "\n".join(caught.value.problems)
    assert (
        "rules.yaml:1: rule one: no action 'listUserz' is known; did you mean 'listUsers'?" in said
    )
    assert "rules.yaml:2: rule two: no group 'lead' in approvals.groups; did you mean" in said


def test_a_profile_that_lets_pass_what_there_is_not_is_told(laptop):
    laptop.masking([{"profile": "one", "names": ["x"], "passes": ["listUserz", "listGroups"]}])
    with pytest.raises(ConfigurationInvalid) as caught:
        laptop.made()
    (problem,) = caught.value.problems
    assert problem.endswith(
        "masking.yaml:1: profile one: passes: no action 'listUserz' is known; "
        "did you mean 'listUsers'?"
    )
    laptop.masking([{"profile": "one", "names": ["x"], "passes": ["listU*", "listGroups"]}])
    laptop.made()


def test_a_gateway_would_not_start_by_the_same_files(laptop):
    """It needs the keys; that is what `jitgate check` is for."""
    with pytest.raises(ConfigurationInvalid) as caught:
        make_service(load(laptop.config), Clock())
    assert any("elsewhere" in each for each in caught.value.problems)


# --- a credential in a query or a body


def keyed(laptop, **carried):
    """A target whose credential is there."""
    (_, things) = SETTINGS["targets"]
    credential = {"type": "static", "value": "file:elsewhere", **carried}
    laptop.settings(targets=[{**things, "credential": credential}])
    laptop.policy(
        rule("all", "permit"),
        {**rule("not-own", "deny"), "when": 'operation.query.contains("key=")'},
        rule("no-drops", "deny", methods=["DELETE"]),
    )
    return laptop.made()


def test_what_an_agent_sends_for_it_in_the_query_is_no_part_of_the_call(laptop):
    site = keyed(laptop, query="key")
    trial = told(site, "GET", "https://things.example/a?key=own&b=1")
    assert (trial.effect, trial.operation.query) == (Effect.PERMIT, "b=1")
    assert told(site, "GET", "https://things.example/a?KEY=own").refusal.denial is Denial.MALFORMED


JSON = (("Content-Type", "application/json"),)


@pytest.mark.parametrize(
    ("method", "body", "headers", "effect", "refused"),
    [
        ("POST", b'{"key": "own"}', JSON, Effect.PERMIT, None),
        ("POST", None, JSON, Effect.PERMIT, None),
        ("POST", b"[]", JSON, Effect.DENY, Denial.MALFORMED),
        ("POST", b"x", (), Effect.DENY, Denial.MALFORMED),
        ("GET", None, (), Effect.DENY, Denial.MALFORMED),
        ("DELETE", b"x", (), Effect.DENY, None),
    ],
)
def test_a_call_that_has_no_body_for_it_is_told_to_be_refused(
    laptop, method, body, headers, effect, refused
):
    site = keyed(laptop, body="key")
    trial = told(site, method, "https://things.example/a", body=body, headers=headers)
    assert trial.effect is effect
    assert (trial.refusal and trial.refusal.denial) is refused


FORM = (("Content-Type", "application/x-www-form-urlencoded"),)
PARTS = (("Content-Type", "multipart/form-data; boundary=x"),)


@pytest.mark.parametrize(
    ("place", "query", "body", "headers", "effect"),
    [
        ("query", "", b"key=own", FORM, Effect.DENY),
        ("query", "", b'{"key": "own"}', JSON, Effect.DENY),
        ("query", "", b"--x--", PARTS, Effect.DENY),
        ("query", "", b"a=1", FORM, Effect.PERMIT),
        ("query", "", None, FORM, Effect.PERMIT),
        ("body", "?key=own", b"a=1", FORM, Effect.DENY),
        ("body", "?a=1", b"a=1", FORM, Effect.PERMIT),
    ],
)
def test_its_name_in_the_other_place_is_told_to_be_refused(
    laptop, place, query, body, headers, effect
):
    site = keyed(laptop, **{place: "key"})
    url = f"https://things.example/a{query}"
    trial = told(site, "POST", url, body=body, headers=headers)
    assert trial.effect is effect
    refused = trial.refusal and trial.refusal.denial
    assert refused is (Denial.MALFORMED if effect is Effect.DENY else None)


def test_a_websocket_is_tried_by_its_own_url(laptop):
    targets = [dict(each) for each in SETTINGS["targets"]]
    targets[1]["websocket"] = {"paths": ["/v1/{room}"], "protocols": ["chat"]}
    laptop.settings(targets=targets)
    laptop.policy(
        {
            "name": "rooms",
            "reason": "They may talk.",
            "match": {"paths": ["/v1/{room}", "/v2/{room}"]},
            "when": "has(operation.parameters.upgrade)",
            "effect": "permit",
        }
    )
    here = laptop.made()
    tried = told(here, "GET", "wss://things.example/v1/room")
    assert (tried.effect, tried.decision.rule) == (Effect.PERMIT, "rooms")
    plain = told(here, "GET", "https://things.example/v1/room")
    assert plain.effect is Effect.DENY
    elsewhere = told(here, "GET", "wss://things.example/v2/room")
    assert elsewhere.refusal.denial is Denial.MALFORMED
    assert told(here, "POST", "wss://things.example/v1/room").refusal.denial is Denial.MALFORMED
