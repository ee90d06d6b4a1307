"""What the duties that stand in a policy file become, and what is said of them at the start."""

from __future__ import annotations

import orjson
import pytest
from support.gateway import settings, target

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
    bounds = {"per_agent": 1, "per_approver": 2, "denials": 3, "after_denials": 4, "within": "5s"}
    approvals = configured(tmp_path, REVIEW, fatigue=bounds, cool_down="6s").settings.approvals
    assert approvals.restraint == Fatigue(1, 2, 3, 4, 5.0, 6.0)
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
