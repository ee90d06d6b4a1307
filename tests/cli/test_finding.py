import argparse
import json
from pathlib import Path

import pytest
from stores.site import START, Site, entry
from vectors.recording import make as vector

from jitgate.cli import audit
from jitgate.cli.finding import wanted
from jitgate.stores.facets import FACETS
from jitgate.stores.lines import timestamp
from jitgate.values import Body, Entry

RECORDINGS = Path(vector.__file__).parent / "recordings"
HOSTILE = 'x" OR text:*\x1b[2J\x1b]0;owned\x07\r\n\u202egpj\x7f\x9b31m\0'
NOW = START + 86_400


def parsed(*arguments):
    parser = argparse.ArgumentParser()
    audit.register(parser.add_subparsers(required=True))
    return parser.parse_args([str(each) for each in ("sessions", *arguments)])


@pytest.fixture
def find(capsys, tmp_path):
    """Runs `jitgate sessions` with an index of its own: the exit code, what it said, errors."""

    def run(*arguments, recordings=RECORDINGS):
        options = parsed(*arguments, "--recordings", recordings, "--index", tmp_path / "index")
        code = options.handler(options)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_every_facet_has_an_option():
    options = vars(parsed("--config", "x"))
    assert {name for name in FACETS if name in options} == set(FACETS)


def test_what_is_found_is_listed_with_the_exchanges_that_fit(find):
    code, out, err = find("--action", "assign*", "--decision", "deny", "--json")
    assert (code, err) == (0, "")
    (session,) = json.loads(out)
    assert list(session) == ["id", "subject", "started_at", "exchanges"]
    assert [exchange["id"] for exchange in session["exchanges"]] == ["ex-3"]


def test_words_are_found_in_what_came_back(find):
    assert find("--text", "bob@example.com")[1].splitlines()[1].split()[0] == "run-1"
    assert find("--text", '"bob example" listUsers')[0] == 0
    assert find("--text", '"example bob"')[0] == 1
    assert find("--text", "bob", "--text", "groups")[0] == 1


def test_the_exchanges_that_were_found_are_listed_behind_the_sessions(find):
    assert find("--action", "list*")[1].splitlines()[3:] == [
        "EXCHANGE  ACTION              DECISION  STATUS          SESSION",
        "ex-1      listUsers on okta   permit    200, completed  run-1",
        "ex-2      listGroups on okta  permit    -, unknown      run-1",
    ]


def test_of_many_exchanges_the_first_are_listed(find, tmp_path):
    site = Site(tmp_path / "recordings")
    run = site.run()
    run.append([entry(number) for number in range(103)])
    run.close()
    out = find("--status", "unknown", recordings=site.folder)[1]
    assert out.endswith("\nex-99     - on -  -         -, unknown  s\n… 3 more exchanges: --json\n")


def test_a_class_of_statuses_is_written_as_it_is_spoken(find):
    (session,) = json.loads(find("--status", "4xx", "--json")[1])
    assert [exchange["id"] for exchange in session["exchanges"]] == ["ex-3"]
    assert find("--status", "5XX")[0] == 1
    (session,) = json.loads(find("--status", "4xx", "--status", "200", "--json")[1])
    assert [exchange["id"] for exchange in session["exchanges"]] == ["ex-1", "ex-3"]


def test_a_decision_that_policy_never_says_is_refused(find, capsys):
    with pytest.raises(SystemExit) as ended:
        find("--decision", "denied")
    assert ended.value.code == 2
    capsys.readouterr()


def test_where_nothing_is_found_the_answer_is_no(find):
    assert find("--approver", "eve") == (1, "", "No session has what you look for.\n")
    assert find("--approver", "eve", "--json") == (1, "[]\n", "")


def test_without_anything_to_find_no_index_is_made(find, tmp_path):
    assert find()[0] == 0
    assert not (tmp_path / "index").exists()


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-11-24", "2026-11-24T00:00:00.000000Z"),
        ("2026-11-24T02:06", "2026-11-24T02:06:00.000000Z"),
        ("2026-11-24T02:06:00Z", "2026-11-24T02:06:00.000000Z"),
        ("2026-11-24T02:06:00+02:00", "2026-11-24T00:06:00.000000Z"),
        ("2h", timestamp(NOW - 7200)),
        ("999999999d", "1970-01-01T00:00:00.000000Z"),
        ("9999-12-31T23:59:59-12:00", "9999-12-31T23:59:59.000000Z"),
    ],
)
def test_times_are_instants_days_or_so_long_ago(text, instant):
    options = parsed("--config", "x", "--since", text, "--until", text)
    found = wanted(options, NOW)
    assert (found.since, found.until) == (instant, instant)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--since", "\x1bnever"], "'\\x1bnever' is no time"),
        (["--until", "2026-13-01"], "is no time"),
        (["--text", "--- !"], "no word"),
        (["--text", ""], "no word"),
        (["--text", 'jane ""'], "no word"),
    ],
)
def test_what_cannot_be_meant_is_refused(find, options, said):
    code, out, err = find(*options)
    assert (code, out) == (2, "")
    assert said in err
    assert err.rstrip("\n").isprintable()


def test_an_index_in_the_recording_is_refused(find, tmp_path, capsys):
    options = parsed("--text", "x", "--recordings", RECORDINGS, "--index", RECORDINGS / "logs")
    assert options.handler(options) == 2
    assert "An index is no part of a recording" in capsys.readouterr().err


def test_where_none_is_kept_that_is_said(capsys, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    options = parsed("--text", "bob", "--recordings", RECORDINGS)
    assert options.handler(options) == 0
    assert "So this one is made anew; --index DIR keeps it." in capsys.readouterr().err


@pytest.fixture
def hostile(tmp_path):
    """A recording in which everything that an agent or a target can choose is hostile."""
    site = Site(tmp_path / "recordings")
    run = site.run()
    common = {"session": HOSTILE, "exchange": HOSTILE, "subject": {"issuer": "i", "id": HOSTILE}}
    operation = {"target": HOSTILE, "action": HOSTILE, "method": "GET", "url": HOSTILE * 2000}
    hits = [{"path": f"$['{HOSTILE}']", "rule": HOSTILE, "hmac": "9f"}]
    deep = b"[" * 50_000 + b"]" * 50_000
    bodies = {
        "response": Body(HOSTILE.encode() + b"\xff\xfe", 99, complete=True),
        "deep": Body(deep, len(deep), complete=True),
        "halves": Body(b'"\\ud800 findme"', 15, complete=True),
        "digits": Body(b"9" * 5000, 5000, complete=True),
    }
    answered = {**common, "access_request": "a", "approver": HOSTILE}
    run.append(
        [
            Entry("decision", START, {**common, "operation": operation, "effect": HOSTILE}),
            Entry("access.answered", START, answered),
            Entry(
                "outcome",
                START,
                {**common, "status": 200, "outcome": HOSTILE, "masked": hits, "masks": {HOSTILE: 1}},
                bodies,
            ),
            Entry("outcome", START, {"session": "odd", "exchange": "e", "masked": 7, "masks": [], "status": True, "outcome": {}, "operation": 3}),
        ]
    )  # fmt: skip
    run.close()
    return site.folder


@pytest.mark.parametrize(
    "options",
    [
        ["--subject", HOSTILE], ["--target", HOSTILE], ["--action", HOSTILE],
        ["--approver", HOSTILE], ["--status", HOSTILE],
        ["--masked", HOSTILE], ["--text", HOSTILE], ["--text", "findme"], ["--text", "9" * 5000],
        ["--subject", "x*", "--json"],
    ],
)  # fmt: skip
def test_what_others_wrote_is_found_shown_and_never_obeyed(find, hostile, options):
    code, out, err = find(*options, recordings=hostile)
    assert (code, err) == (0, "")
    assert all(line.isprintable() for line in out.split("\n"))
    assert "owned" in out
    assert "odd" not in out
