"""`jitgate mask`: what an operator sees of a response beforehand, and what the exit status says."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.offline import Laptop, rule

from jitgate.cli import main
from jitgate.cli.mask_expected import holds

ROOT = Path(__file__).parents[2]
PROFILES = [
    {"profile": "plain", "names": ["*secret"], "paths": ["$.pin"], "detectors": ["bearer"]},
    {"profile": "marked", "secrets": "catalog"},
    {"profile": "hashed", "names": ["*secret"], "how": "hash"},
    {"profile": "strict", "names": ["*secret"], "how": "deny"},
]
STARS = "*" * 16


class Desk(Laptop):
    """Where an operator runs the command."""

    def __init__(self, folder, capsys, monkeypatch):
        super().__init__(folder)
        self._capsys, self._monkeypatch = capsys, monkeypatch
        self.policy(rule("reads", "permit", actions=["listUsers"]))
        self.masking(PROFILES)

    def mask(self, body, *arguments, profile="plain"):
        """What goes on of a body, what is said of it, and the exit status."""
        file = self.folder / "body"
        file.write_bytes(body.encode() if isinstance(body, str) else body)
        with file.open("rb") as opened:
            self._monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(opened))
            words = ["--profile", profile] if profile else []
            return self._run(*words, *arguments)

    def told(self, body, *arguments, profile="plain"):
        """The same, of what is said the JSON."""
        code, out, err = self.mask(body, "--json", *arguments, profile=profile)
        return code, out, json.loads(err)

    def test(self, *cases, options=()):
        """What is said of cases, and the exit status."""
        (self.folder / "tests").mkdir(exist_ok=True)
        self.write("tests/cases.yaml", cases)
        return self._run("test", *options)

    def _run(self, *arguments):
        words = list(map(str, arguments))
        code = main(["mask", *words, "--config", str(self.config)])
        captured = self._capsys.readouterr()
        return code, captured.out.decode(), captured.err.decode().replace(f"{self.folder}/", "")


@pytest.fixture
def desk(tmp_path, capsysbinary, monkeypatch):
    return Desk(tmp_path, capsysbinary, monkeypatch)


# --- mask


def test_it_shows_the_body_as_an_agent_would_see_it_and_why(desk):
    body = '{"id": 1.10, "a": {"client_secret": "hush"}, "pin": 5, "n": "bearer 0123456789abcdef"}'
    code, out, err = desk.mask(body)
    assert code == 0
    assert out == body.replace('"hush"', f'"{STARS}"').replace("5,", "0,").replace(
        "0123456789abcdef", STARS
    )
    assert err.splitlines() == [
        "VALUES  RULE          HOW      PATH",
        "1       plain         replace  $['a']['client_secret']",
        "1       plain         replace  $['pin']",
        "1       plain/bearer  replace  $['n']",
        "The body is taken for application/json: --content-type or --head says it otherwise.",
        "3 values are hidden: 2 by plain, 1 by plain/bearer.",
    ]


def test_no_hidden_value_is_told(desk):
    body = '{"a": {"client_secret": "hush"}, "n": "bearer 0123456789abcdef"}'
    for arguments in ((), ("--json",)):
        _, out, err = desk.mask(body, *arguments)
        assert "hush" not in out + err
        assert "0123456789abcdef" not in out + err


def test_values_of_a_list_that_are_alike_are_one_row(desk):
    body = json.dumps([{"secret": "a", "['7']": {"b[3]": {"secret": "b"}}}] * 3)
    _, _, err = desk.mask(body)
    assert "3       plain  replace  $[*]['secret']\n" in err
    assert "3       plain  replace  $[*]['[\\'7\\']']['b[3]']['secret']\n" in err


def test_the_names_of_others_cannot_write_to_the_terminal(desk):
    _, _, err = desk.mask('{"\\u001b[2J\\r": {"secret": "a"}}')
    assert "\x1b" not in err
    assert "\r" not in err


def test_with_nothing_hidden_not_a_byte_differs(desk):
    code, out, err = desk.mask(' {"a": 1.10, "a": 1e400} \n')
    assert (code, out) == (0, ' {"a": 1.10, "a": 1e400} \n')
    assert err.endswith("Nothing is hidden.\n")


@pytest.mark.parametrize(
    ("arguments", "body", "why"),
    [
        ((), '{"a": ', "Withheld: not JSON at byte"),
        (("--content-type", "text/html"), "<p>", "text/html is not looked at"),
        (("--content-type", "application/json; charset=x"), "{}", "Withheld: "),
    ],
)
def test_what_would_be_withheld_is(desk, arguments, body, why):
    code, out, err = desk.mask(body, *arguments)
    assert (code, out) == (1, "")
    assert why in err


def test_a_profile_that_denies_withholds_by_name(desk):
    code, out, err = desk.mask('{"secret": "hush"}', profile="strict")
    assert (code, out) == (1, "")
    assert "strict" in err
    assert "hush" not in err


def test_what_goes_wrong_behind_the_beginning_cuts_it_short(desk):
    body = "[" + '{"id": 1},' * 100_000
    code, out, err = desk.mask(body)
    assert code == 1
    assert body.startswith(out)
    assert len(out) > len(body) / 2
    assert f"Cut short after {len(out)} bytes: " in err


def test_a_call_says_what_its_catalog_marks(desk):
    body = '{"credentials": {"oauthClient": {"client_secret": "hush"}}}'
    code, out, told = desk.told(body, profile="marked")
    assert (code, out, told["unmarked"]) == (0, body, True)
    call = ("--target", "okta", "--action", "getApplication")
    code, out, told = desk.told(body, *call, profile="marked")
    assert (code, told["unmarked"]) == (0, False)
    assert out == body.replace("hush", STARS)
    assert told["masked"] == [
        {
            "path": "$['credentials']['oauthClient']['client_secret']",
            "rule": "catalog",
            "how": "replace",
        }
    ]
    assert desk.mask(body, *call, profile="catalog")[1] == out


def test_without_a_call_the_catalog_is_said_not_to_count(desk):
    _, _, err = desk.mask("{}", profile="marked")
    assert "What the catalog marks as secret is not known without a call" in err
    assert "not known without a call" not in desk.mask("{}")[2]


def test_a_head_is_read_as_the_gateway_reads_one_and_its_fields_are_looked_at(desk):
    head = desk.folder / "head"
    head.write_bytes(
        b"HTTP/1.1 302 Found\r\nLocation: /b\r\n\r\n"
        b"HTTP/1.1 201 Created\r\nContent-Type: application/x-ndjson\r\nContent-Encoding: gzip\r\n"
        b"Content-Length: 7\r\nX-Api-Secret: hush\r\nLink: </a?my_secret=hush>\r\n\r\n"
    )
    body = gzip.compress(b'{"secret": "hush"}\n{"id": 2}\n')
    code, out, told = desk.told(body, "--head", head)
    assert (code, out) == (0, f'{{"secret": "{STARS}"}}\n{{"id": 2}}\n')
    assert told["status"] == 201
    assert "hush" not in json.dumps(told)
    assert "Content-Encoding" not in dict(told["headers"])
    assert len(told["masked"]) == 3


@pytest.mark.parametrize("version", ["2", "3", "2.0"])
def test_a_head_of_curl_over_http_2_is_read(desk, version):
    head = desk.folder / "head.txt"
    head.write_text(f"HTTP/{version} 200 \r\ncontent-type: application/json\r\n\r\n")
    code, out, _ = desk.mask('{"client_secret":"hush"}', "--head", head)
    assert code == 0
    assert "hush" not in out


@pytest.mark.parametrize("charset", ["utf-8", "utf-16", "utf-16-be", "utf-32", "utf-32-le"])
def test_what_must_be_absent_is_looked_for_in_every_charset(charset):
    for text in ('{"a":"hush"}', '{"a":"h\\u0075sh"}'):
        assert holds(text.encode(charset), "hush")
    assert not holds('{"a":"control"}'.encode(charset), "hush")


def test_a_head_that_is_none_could_not_be_told(desk):
    head = desk.folder / "head"
    head.write_bytes(b"HTTP/1.1 200 OK\nContent-Length: 1\nContent-Length: 2\n")
    code, out, err = desk.mask("{}", "--head", head)
    assert (code, out) == (2, "")
    assert err.startswith("head: ")


def test_equal_values_are_hashed_alike(desk):
    body = '[{"secret": "a"}, {"secret": "b"}, {"secret": "a"}]'
    _, out, told = desk.told(body, profile="hashed")
    first, second, third = (each["secret"] for each in json.loads(out))
    assert first == third != second
    assert first.startswith("hmac:")
    assert told["masked"][0]["how"] == "hash"


def test_digests_are_told_only_under_a_key(desk):
    body = '[{"secret": "a"}, {"secret": "b"}, {"secret": "a"}]'
    _, out, told = desk.told(body, profile="hashed")
    assert not any("hmac" in each for each in told["masked"])
    key = desk.folder / "site.key"
    key.write_bytes(b"a site's own key")
    _, keyed, told = desk.told(body, "--key", key, profile="hashed")
    assert keyed != out
    digests = [each["hmac"] for each in told["masked"]]
    assert digests[0] == digests[2] != digests[1]


def test_the_report_goes_where_it_is_asked_for(desk):
    file = desk.folder / "report.json"
    code, _, err = desk.mask('{"secret": "a"}', "--report", file)
    assert code == 0
    assert "1 value is hidden: 1 by plain." in err
    assert json.loads(file.read_text())["counts"] == {"plain": 1}


@pytest.mark.parametrize(
    ("arguments", "profile", "why"),
    [
        ((), None, "Name who masks: --profile P"),
        ((), "plian", "There is no masking profile 'plian'; did you mean 'plain'?"),
        (("--target", "okta"), "plain", "--target and --action go together"),
        (
            ("--target", "okta", "--action", "getApplicatoin"),
            "plain",
            "There is no action of okta 'getApplicatoin'; did you mean 'getApplication'?",
        ),
        (("--target", "okto", "--action", "a"), "plain", "There is no target 'okto'"),
        (("--content-type", "a\nb"), "plain", "--content-type: "),
    ],
)
def test_what_cannot_be_told_is_said(desk, arguments, profile, why):
    code, out, err = desk.mask("{}", *arguments, profile=profile)
    assert (code, out) == (2, "")
    assert why in err


def test_a_pipe_is_let_through_as_it_comes(desk):
    """The first piece is out before the last is in: nothing waits for the end."""
    command = [sys.executable, "-m", "jitgate", "mask", "--profile", "plain"]
    command += ["--config", str(desk.config)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0) as process:
        process.stdin.write(b"[" + b'{"secret": "hush"},' * 5000)
        first = process.stdout.read(1024)
        rest, err = process.communicate(b"1]")
    assert process.returncode == 0
    assert json.loads(first + rest)[0] == {"secret": STARS}
    assert b"hush" not in first + rest
    assert b"5000 values are hidden: 5000 by plain. The paths of the first 1000 are told." in err


# --- mask test


def case(body, expect, **response):
    return {"response": {"profile": "plain", "body": body, **response}, "expect": expect}


GOOD = case(
    '{"secret": "hush", "id": "jane"}',
    {
        "masked": [{"path": "$['secret']", "rule": "plain"}],
        "body": f'{{"secret": "{STARS}", "id": "jane"}}',
        "absent": ["hush"],
        "kept": ["jane"],
    },
)


def test_cases_that_come_out_as_expected_pass(desk):
    code, out, err = desk.test(GOOD, case({"a": 1}, {"masked": [], "body": {"a": 1}}))
    assert (code, err) == (0, "")
    assert out.endswith("2 cases: 2 passed, 0 failed. 4 profiles: 1 named.\n")


def test_with_strict_a_profile_that_no_case_names_fails(desk):
    code, out, _ = desk.test(GOOD, options=["--strict"])
    assert code == 1
    assert "No case names these profiles:\n  marked  masking.yaml:2\n" in out.replace(
        f"{desk.folder}/", ""
    )


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        (case({"secret": 1}, {"masked": []}), "masked: expected nothing more"),
        (case({"a": 1}, {"masked": [{"path": "$['a']"}]}), """masked: expected ["$['a']"]"""),
        (
            case({"secret": 1}, {"masked": [{"path": "$['secret']", "rule": "marked"}]}),
            """came     ["$['secret'] by plain"]""",
        ),
        (case([{"secret": 1}] * 2, {"masked": [{"path": "$[0]['secret']"}]}), "$[1]['secret']"),
        (case({"a": True}, {"body": {"a": 1}}), 'body: expected {"a": 1}'),
        (case('{"a": 1.10}', {"body": '{"a": 1.1}'}), 'came     {"a": 1.10}'),
        (case({"a": "hush"}, {"absent": ["hush"]}), "absent: expected hush"),
        (case('{"a": "h\\u0075sh"}', {"absent": ["hush"]}), "absent: expected hush"),
        (case('{"a": "{\\"a\\": \\"h\\\\u0075sh\\"}"}', {"absent": ["hush"]}), "it is there"),
        (case({"a": "h%75sh"}, {"absent": ["hush"]}), "absent: expected hush"),
        (case({}, {"absent": ["hush"]}, headers={"X-A": "hush"}), "absent: expected hush"),
        (case({"secret": "hush"}, {"kept": ["hush"]}), "kept: expected hush"),
        (case("{", {"absent": ["hush"]}), "withheld: expected it is sent"),
        (case({}, {"withheld": True}), "withheld: expected that it is withheld"),
        (case("{", {"withheld": "charset"}), "came     not JSON at byte 1"),
    ],
)
def test_a_case_that_does_not_come_out_as_expected_fails(desk, wrong, line):
    code, out, _ = desk.test(GOOD, wrong)
    assert code == 1
    assert "FAILED  " in out
    assert "tests/cases.yaml:2: application/json by plain" in out
    assert line in out
    code, out, _ = desk.test(GOOD, wrong, options=["--json"])
    told = json.loads(out)
    assert (code, told["cases"], len(told["failed"])) == (1, 2, 1)
    assert told["failed"][0]["differences"]


def test_all_that_is_wrong_with_cases_is_said_at_once_with_its_line(desk):
    bad = [
        case("{}", {"masked": []}, profile="plian"),
        case("{}", {"masked": []}, target="okta", action="x"),
        case("{}", {"masked": []}, headers={"a b": "c"}),
        {**case("{}", {"masked": []}), "response": {"profile": "plain", "file": "no.json"}},
    ]
    code, out, err = desk.test(*bad)
    assert (code, out) == (2, "")
    assert [line.split(": ")[0] for line in err.splitlines()] == [
        f"tests/cases.yaml:{number}" for number in (1, 2, 3, 4)
    ]


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (case("{}", {}), "something was expected of"),
        (case("{}", {"mask": []}), "unknown key"),
        (case("{}", {"withheld": True, "kept": ["a"]}), "of what is withheld nothing is kept"),
        (case("{}", {"masked": []}, target="okta"), "target and action go together"),
        (case("{}", {"masked": []}, file="a.json"), "either body or file"),
        (case("{}", {"masked": []}, profile=[]), "profile"),
    ],
)
def test_cases_are_read_strictly(desk, wrong, why):
    code, out, err = desk.test(GOOD, wrong)
    assert (code, out) == (2, "")
    assert err.startswith("tests/cases.yaml:2: ")
    assert why in err


def test_a_file_is_the_body_as_it_is(desk):
    (desk.folder / "tests").mkdir()
    (desk.folder / "tests" / "body.gz").write_bytes(gzip.compress(b'{"secret": 1}'))
    answer = {"profile": "plain", "file": "body.gz", "headers": {"Content-Encoding": "gzip"}}
    code, out, _ = desk.test({"response": answer, "expect": {"body": '{"secret": 0}'}})
    assert code == 0
    assert "1 case: 1 passed" in out


def test_without_cases_it_could_not_be_told(desk):
    code, _, err = desk.test()
    assert code == 2
    assert "There are no cases" in err


def test_what_is_shipped_passes_its_own_cases(capsys):
    assert main(["mask", "test", "--strict", "--config", str(ROOT / "etc" / "jitgate.yaml")]) == 0
    assert " 0 failed. 1 profile: 1 named." in capsys.readouterr().out
