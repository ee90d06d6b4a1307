"""Rules of files become what decides; what is wrong in a condition is told at its character."""

from __future__ import annotations

import textwrap

import orjson
import pytest
from support.gateway import settings, target

from jitgate.app.callees import callees_of
from jitgate.app.problems import Problems
from jitgate.app.provided import Provided
from jitgate.app.rules import decided
from jitgate.config import read_all
from jitgate.core.policy import NEEDS_BODY
from jitgate.errors import ConfigurationInvalid
from jitgate.values import Effect, Inquiry, Observed, Operation, Subject

SUBJECT = Subject("https://idp.example", "bot-7", frozenset({"it-agents"}), 600.0)


def policy_of(tmp_path, text):
    """The policy of one file; raises what is wrong with it."""
    (tmp_path / "policy.yaml").write_text(textwrap.dedent(text), "utf-8")
    made = settings(tmp_path, tmp_path / "jwks.json", [target(1, tmp_path / "ca.pem")])
    file = tmp_path / "jitgate.yaml"
    file.write_bytes(orjson.dumps({**made, "policy": ["policy.yaml"]}))
    configuration, found = read_all(file)
    problems = Problems(found)
    callees = callees_of(configuration.settings, Provided((), problems), problems)
    policy = decided(configuration, (), callees, problems)["policy"]
    problems.raise_any()
    return policy


def operation(tmp_path_target="things", **changes):
    told = {"action": "", "resource": {}, "method": "GET", "path": "/things", "json": True}
    return Operation(tmp_path_target, authority="api.example:443", **{**told, **changes})


RULES = """\
- name: own
  reason: Their own
  match: {}
  when: operation.path.startsWith("/" + subject.id)
  effect: permit
- name: careful
  reason: Not large
  match: {methods: [POST]}
  when: |
    has(body.amount) &&
      body.amount > 100
  effect: deny
- name: tried
  reason: Too late
  mode: observe
  match: {}
  when: environment.time >= timestamp("1970-01-01T01:00:00Z")
  effect: deny
"""


def test_conditions_and_rules_that_are_tried_out_decide_as_they_are_written(tmp_path):
    policy = policy_of(tmp_path, RULES)
    own = Inquiry(operation(path="/bot-7/x"), SUBJECT, 0.0)
    assert policy.decide(own).effect is Effect.PERMIT
    assert policy.decide(own._replace(operation=operation())).effect is Effect.DENY
    late = policy.decide(own._replace(now=7200.0))
    assert (late.effect, late.rule) == (Effect.PERMIT, "own")
    assert late.observed == (("tried", Observed(Effect.DENY, "Too late")),)
    posted = own._replace(operation=operation(method="POST", path="/bot-7/x"))
    assert policy.decide(posted) is NEEDS_BODY
    for body, rule in (
        (b'{"amount": 100}', "own"),
        (b'{"amount": 101}', "careful"),
        (b"", "careful"),
    ):
        decision = policy.decide(posted._replace(body=body, is_json=True))
        assert decision.rule == rule


def test_the_policys_version_tells_conditions_and_modes(tmp_path):
    texts = [RULES, RULES.replace("100", "101"), RULES.replace("  mode: observe\n", "")]
    assert len({policy_of(tmp_path, text).version for text in texts}) == 3


def problems_of(tmp_path, text):
    with pytest.raises(ConfigurationInvalid) as caught:
        policy_of(tmp_path, text)
    return [each.replace(f"{tmp_path.resolve()}/", "") for each in caught.value.problems]


def test_what_is_wrong_in_a_condition_is_told_with_line_column_and_caret(tmp_path):
    found = problems_of(
        tmp_path,
        """\
        - name: quoted
          reason: Why
          match: {}
          when: 'operaton.resource["userId"] != ''a'' && subject.idd == "x"'
          effect: deny
        - name: block
          reason: Why
          match: {}
          effect: deny
          when: |
            operation.path == "日本" ||
              operation.path == 1
        - name: good
          reason: Why
          match: {}
          when: operation.path == "x"
          effect: deny
        """,
    )
    assert found == [
        (
            "policy.yaml:4:10: when: undeclared reference to 'operaton'; did you mean 'operation'?\n"
            '  operaton.resource["userId"] != \'a\' && subject.idd == "x"\n'
            "  ^"
        ),
        (
            "policy.yaml:4:58: when: subject has no 'idd'; did you mean 'id'?\n"
            '  operaton.resource["userId"] != \'a\' && subject.idd == "x"\n'
            "                                                ^"
        ),
        (
            "policy.yaml:12:22: when: found no matching overload for '_==_' applied to '(string, int)'\n"
            "    operation.path == 1\n"
            "                   ^"
        ),
    ]


def test_a_rule_that_cannot_be_read_hides_nothing_that_is_wrong_in_others(tmp_path):
    found = problems_of(
        tmp_path,
        """\
        - {name: a, reason: b, match: {mehtods: [GET]}, effect: deny}
        - {name: b, reason: b, match: {}, effect: deny, when: operation.pth == "x"}
        - {name: c, reason: b, match: {}, effect: denies}
        - {name: d, reason: b, match: {actions: [nothing]}, effect: deny}
        """,
    )
    assert [each.partition(": ")[0] for each in found] == [
        "policy.yaml:1",
        "policy.yaml:3",
        "policy.yaml:2:65",
        "policy.yaml:4",
    ]


def test_a_picture_is_aligned_below_wide_characters(tmp_path):
    (problem,) = problems_of(
        tmp_path,
        '- {name: a, reason: b, match: {}, effect: deny, when: "\\"日本\\" == operation.pth"}\n',
    )
    place, line, caret = problem.split("\n")
    assert place.startswith("policy.yaml:1:76: ")
    assert line == '  "日本" == operation.pth'
    assert caret == " " * (2 + len('"____" == operation.')) + "^"


def test_a_rule_whose_condition_and_actions_are_wrong_is_told_both(tmp_path):
    found = problems_of(
        tmp_path,
        "- {name: a, reason: b, match: {actions: [nothing]}, effect: deny, when: operation.pth == 1}\n",
    )
    assert len(found) == 2


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("when:", "a value was expected"),
        ("when: ''", "at least 1 character"),
        ("when: true", "when: text was expected"),
        ("when: [a]", "when: text was expected"),
        ("mode: watch", "mode: input should be 'enforce' or 'observe'"),
        ("mode:", "mode: "),
    ],
)
def test_what_is_no_condition_and_no_mode_is_refused(tmp_path, line, says):
    (problem,) = problems_of(
        tmp_path, f"- name: a\n  reason: b\n  match: {{}}\n  effect: deny\n  {line}\n"
    )
    assert problem.startswith("policy.yaml:")
    assert says in problem


def test_no_rule_is_called_what_stands_where_no_rule_decided(tmp_path):
    text = "- {name: default, reason: So, match: {}, effect: deny}\n"
    with pytest.raises(ConfigurationInvalid) as caught:
        policy_of(tmp_path, text)
    (problem,) = caught.value.problems
    assert "policy.yaml:1" in problem
    assert "'default'" in problem
