"""What the duties that stand in a policy file become, and what is said of them at the start."""

from __future__ import annotations

import orjson
import pytest
from support.counterparts import TestCA
from support.gateway import settings, target
from twisted.internet.task import Clock

from jitgate.app import in_force
from jitgate.app.callees import callees_of
from jitgate.app.notices import notices
from jitgate.app.problems import Problems
from jitgate.app.provided import Provided
from jitgate.app.rules import decided
from jitgate.config import load
from jitgate.core.fatigue import Fatigue
from jitgate.errors import ConfigurationInvalid
from jitgate.values import Budget, Escalation, Obligation, Per, Quorum

REVIEW = {
    "name": "looked-at",
    "reason": "Looked at.",
    "match": {},
    "effect": "review",
    "approvers": {"groups": ["leads"]},
}
PERMIT = {"name": "free", "reason": "Free.", "match": {}, "effect": "permit"}
ITSELF = {name: value for name, value in REVIEW.items() if name != "approvers"} | {"auto": True}


def configured(folder, rule, **approvals):
    (folder / "policy.yaml").write_bytes(orjson.dumps([rule]))
    (folder / "jwks.json").write_bytes(orjson.dumps({"keys": []}))
    (folder / "ca.pem").touch()
    okta = {"catalog": "okta", "name": "okta"}
    groups = {"groups": {"leads": ["alice@acme.com"], "security": ["carol@acme.com"]}}
    written = settings(
        folder,
        folder / "jwks.json",
        [target(443, folder / "ca.pem", **okta)],
        approvals=groups | approvals,
    )
    (folder / "jitgate.yaml").write_bytes(orjson.dumps(written, option=orjson.OPT_INDENT_2))
    return load(folder / "jitgate.yaml")


def made(configuration):
    problems = Problems()
    callees = callees_of(configuration.settings, Provided((), problems), problems)
    policy = decided(configuration, (), callees, problems)["policy"]
    problems.raise_any()
    return policy.rules[0].verdict.obligations


@pytest.mark.parametrize(
    ("rule", "duty"),
    [
        (REVIEW | {"hold": "20s"}, Obligation("hold", 20.0)),
        (REVIEW | {"hold": "0s"}, Obligation("hold", 0.0)),
        (PERMIT | {"record": "head"}, Obligation("record", "head")),
        (PERMIT | {"reuse": "5m"}, Obligation("reuse", 300.0)),
        (PERMIT | {"reuse": "1h"}, Obligation("reuse", 3600.0)),
        (PERMIT | {"reuse": "0s"}, Obligation("reuse", 0.0)),
        (ITSELF, Obligation("auto", True)),
        (
            PERMIT | {"budget": {"uses": 5, "within": "1h", "per": "target"}},
            Obligation("budget", Budget("free", 5, 3600.0, Per.TARGET)),
        ),
        (
            REVIEW
            | {
                "approvers": [
                    {"groups": ["leads"], "quorum": 2},
                    {
                        "groups": ["leads"],
                        "escalate": [{"after": "5m", "groups": ["security"]}],
                        "reason": "required",
                        "denials": 2,
                    },
                ]
            },
            Obligation(
                "approvers",
                Quorum(("leads",), 1, (Escalation(300.0, ("security",)),), reason=True, denials=2),
            ),
        ),
        (
            REVIEW | {"budget": [{"uses": 5, "within": "1h"}]},
            Obligation("budget", Budget("looked-at", 5, 3600.0, Per.SUBJECT)),
        ),
    ],
)
def test_what_is_written_becomes_a_duty(tmp_path, rule, duty):
    assert duty in made(configured(tmp_path, rule))


def test_what_is_not_written_does_not(tmp_path):
    assert [each.name for each in made(configured(tmp_path, REVIEW))] == ["approvers"]


def test_a_rule_has_no_call_held_longer_than_any_is(tmp_path):
    configuration = configured(tmp_path, REVIEW | {"hold": "31s"}, hold="30s")
    with pytest.raises(ConfigurationInvalid) as caught:
        made(configuration)
    (problem,) = caught.value.problems
    assert problem.startswith(f"{tmp_path / 'policy.yaml'}:1: rule looked-at: hold is longer than")
    assert made(configured(tmp_path, REVIEW | {"hold": "30s"}, hold="30s"))


def test_every_quorum_of_a_list_is_a_duty(tmp_path):
    rule = REVIEW | {"approvers": [{"groups": ["leads"]}, {"groups": ["security"], "quorum": 2}]}
    values = [each.value for each in made(configured(tmp_path, rule))]
    assert values == [(("leads",), 1), (("security",), 2)]


@pytest.mark.parametrize(
    ("step", "says"),
    [
        (
            {"after": "10m", "groups": ["security"]},
            "it would ask more people after 600 s, when its",
        ),
        ({"after": "5m", "groups": ["securty"]}, "no group 'securty' in approvals.groups"),
        ({"after": "0s", "groups": ["security"]}, "after"),
        ({"after": "5m", "groups": []}, "groups"),
    ],
)
def test_who_is_asked_as_well_is_asked_in_time_and_is_somebody(tmp_path, step, says):
    rule = REVIEW | {"approvers": {"groups": ["leads"], "escalate": [step]}}
    with pytest.raises(ConfigurationInvalid) as caught:
        made(configured(tmp_path, rule))
    assert says in caught.value.problems[0]


def test_how_often_people_are_asked_can_be_set(tmp_path):
    bounds = {"per_agent": 1, "per_approver": 2, "denials": 3, "after_denials": 4, "alike": 7}
    bounds |= {"within": "5s"}
    approvals = configured(tmp_path, REVIEW, fatigue=bounds, cool_down="6s").settings.approvals
    assert approvals.restraint == Fatigue(1, 2, 3, 4, 5.0, 6.0, 7)
    assert configured(tmp_path, REVIEW).settings.approvals.restraint == Fatigue()


@pytest.mark.parametrize(
    ("rule", "covered"),
    [
        (REVIEW, None),  # 3 x 55 s and 2 x 217.5 s between: all of it
        (REVIEW | {"hold": "10s"}, 570),  # 3 x 10 s and 2 x 270 s: a grant's life less 30 s
        (REVIEW | {"hold": "10s", "grant": {"life": "330s"}}, None),
        (ITSELF, None),
        (ITSELF | {"grant": {"life": "40s"}}, None),
    ],
)
def test_the_start_says_where_an_sdk_gives_up_too_soon(tmp_path, rule, covered):
    said = [each for each in notices(configured(tmp_path, rule)) if "an Okta SDK asks" in each]
    if covered is None:
        assert said == []
    else:
        (notice,) = said
        assert f"rule looked-at: an Okta SDK asks for {covered} s at most" in notice


# --- service apps


def test_a_risk_that_no_service_app_is_for_is_told(tmp_path):
    (tmp_path / "jwks.json").write_bytes(orjson.dumps({"keys": []}))
    app = {"name": "a", "client_id": "c", "key_id": "k", "private_key": "file:k.pem"}
    credential = {"type": "okta", "org": "https://acme.okta.com", "apps": [app]}
    far = target(443, tmp_path / "ca.pem", catalog="okta", credential=credential)
    for risks, told in (
        (["read", "write"], ["privileged or destructive"]),
        (["read", "write", "privileged", "destructive"], []),
    ):
        app["risks"] = risks
        written = settings(tmp_path, tmp_path / "jwks.json", [far])
        (tmp_path / "jitgate.yaml").write_bytes(orjson.dumps(written))
        said = [each for each in notices(load(tmp_path / "jitgate.yaml")) if "no app" in each]
        assert [each.partition("risk is ")[2] for each in said] == [
            f"{each}: they are denied." for each in told
        ]


def test_a_key_of_a_service_app_that_cannot_be_used_is_told_with_its_line(tmp_path):
    (tmp_path / "jwks.json").write_bytes(orjson.dumps({"keys": []}))
    (tmp_path / "bad.pem").touch(mode=0o600)
    (tmp_path / "bad.pem").write_text("hunter2")
    app = {"client_id": "c", "key_id": "k", "risks": ["read"]}
    apps = [
        app | {"name": "one", "private_key": "file:bad.pem"},
        app | {"name": "two", "private_key": "file:missing.pem"},
    ]
    credential = {"type": "okta", "org": "https://acme.okta.com", "apps": apps}
    far = target(443, TestCA.create(tmp_path, name="org").pem, catalog="okta")
    written = settings(tmp_path, tmp_path / "jwks.json", [far | {"credential": credential}])
    file = tmp_path / "jitgate.yaml"
    file.write_bytes(orjson.dumps(written, option=orjson.OPT_INDENT_2))
    lines = file.read_text().splitlines()
    places = [at for at, line in enumerate(lines) if '"client_id"' in line]  # of the brace
    with pytest.raises(ConfigurationInvalid) as caught:
        in_force.made(load(file), Clock())
    told = [each for each in caught.value.problems if ".pem" in each or "private key" in each]
    assert [each.split(": ")[0] for each in told] == [f"{file}:{place}" for place in places]
    assert "hunter2" not in f"{caught.value}"
