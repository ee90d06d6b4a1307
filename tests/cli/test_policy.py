"""`jitgate policy`: what an operator and a CI job get to see, and what the exit status says."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.offline import ISSUER, SETTINGS, Laptop, rule

from jitgate.cli import main

ROOT = Path(__file__).parents[2]
USERS = "https://acme.okta.example/api/v1/users"
IT = {"sub": "bot-7", "groups": ["it-agents"]}
READS = rule("reads", "permit", actions=["listUsers"], groups=["it-agents"], mask="plain")
ASKS = rule("asks", "review", actions=["deactivateUser"], grant={"life": "10m"})
DENIES = rule("denies", "deny", targets=["things"], paths=["/admin"])
LIST = {"request": {"method": "GET", "url": USERS, "as": IT}, "expect": {"effect": "permit"}}


class Desk(Laptop):
    """Where an operator runs the command."""

    def __init__(self, folder, capsys):
        super().__init__(folder)
        self.capsys = capsys
        self.policy(READS, ASKS, DENIES)

    def run(self, command, *arguments):
        """What the command says, and its exit status."""
        words = list(map(str, arguments))
        code = main(["policy", command, "--config", str(self.config), *words])
        captured = self.capsys.readouterr()
        return code, captured.out.replace(f"{self.folder}/", ""), captured.err

    def told(self, command, *arguments):
        code, out, err = self.run(command, "--json", *arguments)
        assert err == ""
        return code, json.loads(out)

    def explained(self, *arguments):
        return self.told("explain", *arguments, "--as", "bot-7", "--group", "it-agents")


@pytest.fixture
def desk(tmp_path, capsys):
    return Desk(tmp_path, capsys)


# --- check


def test_check_counts_what_is_right_and_tells_its_version(desk):
    code, out, err = desk.run("check")
    assert (code, err) == (0, "")
    assert out.startswith(
        "jitgate.yaml: 3 rules (1 permit, 1 ask people, 1 deny), 1 masking profile, 2 targets. Policy "
    )


def test_check_says_all_that_is_wrong_with_its_line(desk):
    desk.policy(rule("one", "permit", actions=["x"]), rule("two", "permit", targets=["okto"]))
    code, out, err = desk.run("check")
    assert (code, out) == (2, "")
    assert "rules.yaml:1: rule one: no action 'x' is known" in err
    assert "rules.yaml:2: rule two: no target 'okto'; did you mean 'okta'?" in err
    code, told = desk.told("check")
    assert (code, len(told["problems"])) == (2, 2)


def test_check_says_that_those_who_are_deactivated_are_not_enough(desk):
    left = {"approvals": {**SETTINGS["approvals"], "inactive": ["Alice@acme.example"]}}
    desk.settings(**left)
    desk.policy(READS, ASKS | {"approvers": {"groups": ["leads"], "quorum": 2}})
    _, out, _ = desk.run("check")
    assert "rule asks: 2 people must approve, and 1 can: its calls will expire." in out


def test_check_says_what_can_hardly_be_meant_and_fails_for_it_only_if_asked(desk):
    desk.policy(READS, ASKS | {"approvers": {"groups": ["leads"], "quorum": 3}})
    code, out, _ = desk.run("check")
    assert code == 0
    assert "doubt: policy/rules.yaml:2: rule asks: 3 people must approve, and 2 can" in out
    assert desk.run("check", "--strict")[0] == 1
    desk.policy(READS, ASKS)
    desk.settings(approvals={"groups": {"leads": ["alice@acme.example"]}})
    assert desk.run("check", "--strict")[0] == 0


# --- test


def test_all_cases_pass_and_the_rules_that_none_touches_are_named(desk):
    desk.cases(LIST)
    code, out, err = desk.run("test")
    assert (code, err) == (0, "")
    assert "No case touches these rules:\n  asks  policy/rules.yaml:2\n  denies  " in out
    assert "1 case: 1 passed, 0 failed. 3 rules: 1 touched, 1 decided one. Policy " in out
    assert desk.run("test", "--strict")[0] == 1
    _, told = desk.told("test")
    assert [(each["rule"], each["touched"], each["decided"]) for each in told["rules"]] == [
        ("reads", 1, 1),
        ("asks", 0, 0),
        ("denies", 0, 0),
    ]


CASES = [
    ({"effect": "permit", "rule": "reads", "reason": "reads", "action": "listUsers"}, []),
    ({"effect": "permit", "obligations": {"mask": "plain"}}, []),
    ({"effect": "permit", "obligations": {"mask": ["plain"]}}, []),
    ({"effect": "permit", "resource": {}}, []),
    ({"effect": "review"}, ["effect"]),
    ({"effect": "deny"}, ["denial"]),
    ({"denial": "fault"}, ["denial"]),
    ({"effect": "permit", "rule": "default"}, ["rule"]),
    ({"effect": "permit", "reason": "Reads"}, ["reason"]),
    ({"effect": "permit", "obligations": {"mask": "none"}}, ["obligations.mask"]),
    ({"effect": "permit", "obligations": {"mask": ["plain", "catalog"]}}, ["obligations.mask"]),
    ({"effect": "permit", "obligations": {"mask": []}}, ["obligations.mask"]),
    ({"effect": "permit", "obligations": {"grant": {"uses": 1}}}, ["obligations.grant"]),
    ({"effect": "permit", "observed": {"reads": "deny"}}, ["observed.reads"]),
    ({"effect": "permit", "action": "getUser"}, ["action"]),
    ({"effect": "permit", "risk": "destructive"}, ["risk"]),
    ({"effect": "permit", "resource": {"id": "1"}}, ["resource"]),
]


@pytest.mark.parametrize(("expect", "differs"), CASES, ids=lambda each: json.dumps(each))
def test_all_that_is_expected_must_be_so(desk, expect, differs):
    desk.cases({**LIST, "expect": expect})
    code, told = desk.told("test")
    assert code == (1 if differs else 0)
    assert [each["what"] for one in told["failed"] for each in one["differences"]] == differs


@pytest.mark.parametrize(
    ("grant", "code"),
    [
        ({"life": "10m"}, 0),
        ({"uses": 1, "life": 600}, 0),
        ({"uses": 1, "life": 600.0}, 0),
        ({"life": "9m"}, 1),
        ({"life": "soon"}, 1),
        ({"uses": True}, 1),
        ({"use": 1}, 1),
        ([{"life": "10m"}], 0),
        ([{"life": "10m"}, {"life": "10m"}], 0),
    ],
)
def test_what_a_grant_gives_is_expected_as_rules_write_it(desk, grant, code):
    call = {"method": "POST", "url": f"{USERS}/u1/lifecycle/deactivate", "as": IT}
    approvers = {"groups": ["leads"], "quorum": 1}
    expect = {"effect": "review", "obligations": {"grant": grant, "approvers": approvers}}
    desk.cases({"request": call, "expect": expect})
    assert desk.run("test")[0] == code


def test_whom_a_rule_asks_is_told_and_expected_with_all_that_it_says(desk):
    step = {"after": "5m", "groups": ["one"]}
    asked = {"groups": ["leads"], "escalate": [step], "reason": "required", "denials": 2}
    desk.policy(READS, ASKS | {"approvers": asked})
    code, told = desk.explained("POST", f"{USERS}/u1/lifecycle/deactivate")
    assert code == 0
    assert told["obligations"][0]["value"] == {
        "groups": ["leads"],
        "quorum": 1,
        "escalate": [{"after": 300.0, "groups": ["one"]}],
        "reason": "required",
        "denials": 2,
    }
    assert told["approvers"] == [
        (
            "1 of leads, after 5 min of one too, with a reason, 2 must deny: "
            "alice@acme.example, x@acme.example"
        )
    ]
    call = {"method": "POST", "url": f"{USERS}/u1/lifecycle/deactivate", "as": IT}
    for reason, status in (("required", 0), ("optional", 1)):
        expect = {"effect": "review", "obligations": {"approvers": {"reason": reason}}}
        desk.cases({"request": call, "expect": expect})
        assert desk.run("test")[0] == status


def test_what_never_reaches_policy_does_not_pass_for_its_denial(desk):
    """Else a test of a deny with a mistake in its path would pass for ever."""
    call = {"method": "GET", "url": f"{USERS}z", "as": IT}
    desk.cases({"request": call, "expect": {"effect": "deny"}})
    code, out, _ = desk.run("test")
    assert code == 1
    assert "came     refused, operation-unknown" in out
    assert "If that is meant, expect {denial: operation-unknown}." in out
    desk.cases({"request": call, "expect": {"effect": "deny", "denial": "operation-unknown"}})
    assert desk.run("test")[0] == 0


def test_a_failing_case_shows_each_rule_that_had_a_part_in_it(desk):
    desk.policy(READS, DENIES, rule("nobody", "deny", actions=["list*"]))
    desk.cases(LIST | {"name": "agents read", "expect": {"effect": "permit", "rule": "denies"}})
    code, out, _ = desk.run("test")
    assert code == 1
    lines = [line.split() for line in out.splitlines()]
    assert "FAILED  policy/tests/cases.yaml:1: agents read" in out
    assert "effect: expected permit" in out
    assert "came     deny, by nobody: nobody." in out
    assert ["reads", "overridden", "permit", "policy/rules.yaml:1", "mask", "plain"] in lines
    assert ["nobody", "decides", "deny", "policy/rules.yaml:3"] in lines
    assert ["denies", "does", "not", "apply"] in [line[:4] for line in lines]
    assert "1 other rule does not apply." in out


BODIED = """
from zope.interface import implementer
from jitgate.core.policy import NEEDS_BODY
from jitgate.interfaces import IRule
from jitgate.values import Effect, Verdict

@implementer(IRule)
class Bodied:
    name, version = "bodied", "1"
    def judge(self, inquiry):
        if inquiry.operation.target != "things" or inquiry.body == b"none of it":
            return None
        if inquiry.body is None:
            return NEEDS_BODY
        if inquiry.is_json and inquiry.body == b'{"a": 1}' and inquiry.now == %r:
            return Verdict(Effect.PERMIT, f"{inquiry.subject.humans} {inquiry.facts}")
        return Verdict(Effect.DENY, "Not so.")

def plugin(options):
    return Bodied()
"""


@pytest.fixture
def bodied(desk):
    (desk.folder / "bodied.py").write_text(BODIED % 1_767_614_400.0)
    desk.settings(plugins=[{"file": "bodied.py"}])
    return desk


@pytest.mark.parametrize(
    ("more", "effect"),
    [
        ({"body": {"a": 1}}, "permit"),
        ({"body": '{"a": 1}', "headers": {"content-type": "application/json"}}, "permit"),
        ({"body": '{"a": 1}'}, "deny"),
        ({"body": {"a": 1}, "headers": {"Content-Type": "text/plain"}}, "deny"),
        ({"body": ""}, "deny"),
        ({"body": {"a": 1}, "at": "2026-01-05T13:00:00+01:00"}, "permit"),
        ({"body": {"a": 1}, "at": "2026-01-05T13:00:01+01:00"}, "deny"),
        ({"method": "GET"}, "deny"),
    ],
)
def test_a_case_says_when_it_is_made_and_with_which_body(bodied, more, effect):
    call = {"method": "POST", "url": "https://things.example/a", "as": IT, **more}
    bodied.cases({"request": call, "expect": {"effect": effect}})
    code, out, _ = bodied.run("test")
    assert code == 0, out


def test_a_case_says_whom_it_acts_for_and_what_is_known(bodied):
    call = {"method": "POST", "url": "https://things.example/a", "body": {"a": 1}}
    bodied.cases(
        {
            "request": {**call, "as": IT},
            "expect": {"effect": "permit", "reason": "('bob@acme.example',) {}"},
        },
        {
            "request": {**call, "as": IT | {"humans": ["x"]}, "facts": {"ticket": {"open": None}}},
            "expect": {"effect": "permit", "reason": "('x',) {'ticket': {'open': None}}"},
        },
    )
    code, out, _ = bodied.run("test")
    assert code == 0, out


def test_what_depends_on_a_body_that_a_case_does_not_give_fails(bodied):
    call = {"method": "POST", "url": "https://things.example/a", "as": IT}
    for effect in ("permit", "deny", "review"):
        bodied.cases({"request": call, "expect": {"effect": effect}})
        code, out, _ = bodied.run("test")
        assert code == 1
        assert "it depends on the body, which is not given: give the case a body" in out


def test_a_test_file_is_read_strictly_and_every_error_has_its_line(desk):
    desk.cases(
        LIST | {"expects": {}},
        {"request": {"method": "GET", "url": USERS, "as": {"subject": "x"}}, "expect": {}},
    )
    desk.cases({**LIST, "expect": {"effect": "permit", "denial": "fault"}}, file="more.yaml")
    code, out, err = desk.run("test")
    assert (code, out) == (2, "")
    for part in (
        "cases.yaml:1: 0.expects: unknown key",
        "cases.yaml:2: 1.request.as.sub: this is missing",
        "cases.yaml:2: 1.expect: effect was expected",
        "more.yaml:1: 0.expect: denial does not go with effect: permit",
    ):
        assert part in err


def test_an_issuer_that_nobody_configured_is_told_with_the_case(desk):
    call = LIST["request"] | {"as": IT | {"issuer": "agent"}}
    desk.cases({"request": call, "expect": {"effect": "permit"}})
    code, _, err = desk.run("test")
    assert code == 2
    assert "cases.yaml:1: no issuer 'agent' is configured; did you mean 'agents'?" in err
    for issuer in ("agents", ISSUER):
        call = LIST["request"] | {"as": IT | {"issuer": issuer}}
        desk.cases({"request": call, "expect": {"effect": "permit"}})
        assert desk.run("test")[0] == 0


def test_without_cases_nothing_can_be_told(desk):
    code, _, err = desk.run("test")
    assert code == 2
    assert "There are no cases" in err


def test_files_that_are_named_are_taken_instead(desk):
    desk.cases({**LIST, "expect": {"effect": "deny"}})
    other = desk.write("other.yaml", [LIST])
    assert desk.run("test")[0] == 1
    assert desk.run("test", other)[0] == 0
    code, _, err = desk.run("test", desk.folder / "none.yaml")
    assert code == 2
    assert "none.yaml: cannot be read" in err


def test_a_case_cannot_write_on_the_terminal_where_others_write(desk):
    desk.cases(LIST | {"name": "a\u001b[2K\u202eb", "expect": {"effect": "deny"}})
    code, out, _ = desk.run("test")
    assert code == 1
    assert "\x1b" not in out
    assert "\u202e" not in out


# --- explain


def test_explain_tells_the_decision_the_operation_and_each_rule_s_part(desk):
    url = f"{USERS}/u1/lifecycle/deactivate"
    code, told = desk.explained("POST", url)
    assert code == 0
    assert (told["effect"], told["rule"], told["denial"]) == ("review", "asks", None)
    assert told["operation"]["action"] == "deactivateUser"
    assert told["operation"]["scopes"] == ["okta.users.manage"]
    assert told["obligations"] == [
        {"name": "approvers", "value": {"groups": ["leads"], "quorum": 1}},
        {"name": "grant", "value": {"uses": 1, "life": 600.0}},
        {"name": "mask", "value": "catalog"},
    ]
    assert told["approvers"] == ["1 of leads: alice@acme.example"]  # bob is the agent's owner
    assert told["waits"].startswith("held for 55 s, then told (429)")
    parts = {part["rule"]: part for part in told["parts"]}
    assert parts["asks"]["part"] == "decides"
    assert parts["asks"]["where"].endswith("rules.yaml:2")
    assert parts["reads"]["why"] == "actions: deactivateUser is none of listUsers"
    assert parts["denies"]["why"] == "targets: okta is none of things"
    code, out, _ = desk.run("explain", "POST", url, "--as", "bot-7", "--group", "it-agents")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert code == 0
    assert "decision review, by asks: asks." in lines
    assert "approval 1 of leads: alice@acme.example" in lines
    assert "grant 1 use in 10 min" in lines
    assert "asks decides review policy/rules.yaml:2 1 of leads; 1 use in 10 min" in lines
    assert lines.index("RULE PART EFFECT WHERE WHY, OR WITH WHAT") + 1 == lines.index(
        "asks decides review policy/rules.yaml:2 1 of leads; 1 use in 10 min"
    )


@pytest.mark.parametrize(
    ("call", "code", "effect"),
    [
        (["GET", USERS], 0, "permit"),
        (["GET", f"{USERS}z"], 1, "deny"),
        (["GET", "https://things.example/admin"], 1, "deny"),
        (["GET", "https://other.example/"], 1, "deny"),
        (["POST", "https://things.example/x"], 1, "deny"),
    ],
)
def test_the_exit_status_is_the_answer(desk, call, code, effect):
    assert desk.explained(*call)[0] == code
    assert desk.explained(*call)[1]["effect"] == effect


def test_explain_says_where_it_is_known_who_could_approve_and_check_doubts_nothing(desk):
    """Nobody is asked offline: neither tells who is a member."""
    groups = {**SETTINGS["approvals"]["groups"], "duty": {"from": "rota", "group": "nights"}}
    desk.settings(approvals={**SETTINGS["approvals"], "groups": groups})
    desk.policy(READS, ASKS | {"approvers": {"groups": ["duty"], "quorum": 3}})
    _, told = desk.explained("POST", f"{USERS}/u1/lifecycle/deactivate")
    assert told["approvers"] == ["3 of duty: whoever is in nights of rota"]
    code, out, _ = desk.run("check")
    assert code == 0
    assert not any(each in out for each in ("duty", "people must approve"))


def test_explain_tells_for_how_long_a_token_serves_such_calls_and_for_which_it_does_not(desk):
    desk.policy(rule("any", "permit", actions=["getUser", "createUser"], reuse="5m"))
    base = ["explain", "--as", "bot-7"]
    _, out, _ = desk.run(*base, "GET", f"{USERS}/u1")
    assert "also         reuse 5 min\n" in out
    assert "  reuse 5 min\n" in out.partition("WITH WHAT")[2]
    _, out, _ = desk.run(*base, "POST", USERS)
    assert "also         reuse 5 min, which is not for a call that may change something\n" in out
    _, told = desk.explained("GET", f"{USERS}/u1")
    assert {"name": "reuse", "value": 300.0} in told["obligations"]


def test_explain_takes_a_body_from_a_file_or_from_standard_input(bodied, monkeypatch):
    call = ["POST", "https://things.example/a", "--at", "2026-01-05T12:00:00Z"]
    call += ["--header", "Content-Type: application/json"]
    code, told = bodied.explained(*call)
    assert (code, told["effect"]) == (2, None)
    assert [p["part"] for p in told["parts"] if p["rule"] == "bodied"] == ["needs the body"]
    (bodied.folder / "body").write_text('{"a": 1}')
    assert bodied.explained(*call, "--body", str(bodied.folder / "body"))[0] == 0
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"a": 2}')))
    assert bodied.explained(*call, "--body", "-")[0] == 1
    code, told = bodied.explained(
        *call, "--body", str(bodied.folder / "body"), "--fact", 'ticket={"open": true}'
    )
    assert told["reason"] == "('bob@acme.example',) {'ticket': {'open': True}}"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--at", "noon"], "--at: a time with its zone was expected"),
        (["--at", "2026-01-05T12:00:00"], "--at: a time with its zone was expected"),
        (["--header", "X-Trace"], "--header: 'NAME: VALUE' was expected"),
        (["--fact", "ticket=open"], "--fact: NAME=JSON was expected"),
        (["--fact", "ticket=[]"], "--fact: NAME=JSON was expected"),
        (["--issuer", "agent"], "no issuer 'agent' is configured; did you mean 'agents'?"),
        (["--body", "/none/there"], "/none/there: No such file or directory."),
    ],
)
def test_what_was_written_wrongly_is_told(desk, arguments, said):
    code, out, err = desk.run("explain", "GET", USERS, "--as", "bot-7", *arguments)
    assert (code, out) == (2, "")
    assert said in err


def test_explain_tells_what_is_masked(desk):
    _, told = desk.explained("GET", USERS)
    assert told["masks"][0] == "by plain: *secret"
    _, told = desk.explained("GET", "https://jitgate.internal/")
    assert told["masks"] == []


def test_programs_that_act_for_somebody_are_told_apart(desk):
    desk.policy(rule("for-bob", "permit", subjects=["bob"], agents=["tool"]))
    base = ["explain", "GET", "https://things.example/a", "--as", "bob"]
    assert desk.run(*base)[0] == 1
    code, out, _ = desk.run(*base, "--agent", "tool", "--human", "bob@acme.example")
    assert code == 0
    assert "acts for     bob@acme.example" in out


# --- schema


def test_schemas_are_written_to_a_folder_or_shown(tmp_path, capsys):
    assert main(["policy", "schema"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert main(["policy", "schema", "--out", str(tmp_path / "schemas")]) == 0
    written = {file.name: json.loads(file.read_text()) for file in (tmp_path / "schemas").iterdir()}
    assert written == shown


# --- what is shipped


def test_the_shipped_policy_is_right_and_every_rule_of_it_is_tested(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("JITGATE_CONFIG", raising=False)
    assert main(["policy", "check", "--strict"]) == 0, capsys.readouterr().out
    assert main(["policy", "test", "--strict"]) == 0, capsys.readouterr().out


def test_help_is_quick_and_loads_none_of_it():
    program = (
        "import sys; from jitgate.cli import main\n"
        "try: main(['policy', 'test', '--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit(any(name in sys.modules for name in ('pydantic', 'twisted', 'ruamel.yaml')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
