"""`jitgate refusals`: what was refused outside of any session is found and listed."""

import argparse
import json

import pytest
from stores.site import START, Site, entry

from jitgate.cli import audit
from jitgate.values import Entry

HOSTILE = "\x1b]0;owned\x07\u202e"


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path / "recordings")
    records = made.run()
    for number, (kind, fields) in enumerate(
        [
            ("tunnel", {"peer": "192.0.2.7:1", "session": "s", "result": "admitted"}),
            (
                "tunnel",
                {
                    "peer": "192.0.2.7:2",
                    "session": "s",
                    "authority": "api.example:443",
                    "result": "refused",
                    "denial": "token-refused",
                    "detail": HOSTILE,
                },
            ),
            ("refused", {"peer": "[2001:db8::1]:3", "denial": "token-missing", "detail": "None."}),
            ("refused", {"peer": "192.0.2.7", "denial": None, "why": "Often.", "left_out": 40}),
            (
                "control.refused",
                {
                    "uid": 1001,
                    "pid": 7,
                    "person": "eve@acme.com",
                    "command": "approve",
                    "why": "No.",
                },
            ),
            ("admin.refused", {"peer": "192.0.2.8:4", "why": None}),
            ("connections.dropped", {"count": 7, "share": 3}),
            ("reload", {"result": "refused"}),
        ]
    ):
        records.append([Entry(kind, START + number, fields), entry(number)])
    records.close()
    return made


@pytest.fixture
def refusals(site, capsys):
    parser = argparse.ArgumentParser()
    audit.register(parser.add_subparsers(required=True))

    def run(*words):
        options = parser.parse_args(["refusals", *words, "--recordings", str(site.folder)])
        code = options.handler(options)
        return code, capsys.readouterr()

    return run


def test_all_of_them_are_listed_and_nothing_else_by_time(refusals, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    code, told = refusals()
    assert code == 0
    heading, *rows = told.out.splitlines()
    assert heading.split() == ["TIME", "ENTRY", "TYPE", "WHO", "WHY", "MORE", "LEFT", "OUT"]
    assert [row.split()[2] for row in rows] == [
        "tunnel",
        "refused",
        "refused",
        "control.refused",
        "admin.refused",
        "connections.dropped",
    ]
    assert "api.example:443: token-refused: " in rows[0]
    assert HOSTILE not in told.out
    assert rows[2].split()[-1] == "40"
    assert "eve@acme.com" in rows[3]
    assert "approve: No." in rows[3]
    assert "7 connections made room" in rows[5]


WANTED = [
    (["--who", "192.0.2.7"], 2),
    (["--who", "192.0.2.?:*"], 2),
    (["--who", "2001:db8::1"], 1),
    (["--who", "EVE@acme.com"], 1),
    (["--who", "1001"], 1),
    (["--type", "*.refused"], 2),
    (["--type", "tunnel", "--type", "refused"], 3),
    (["--type", "tunnel", "--who", "1001"], 0),
    (["--since", "2026-11-24T02:06:04Z"], 3),
    (["--until", "2026-11-24T02:06:02Z"], 1),
    (["--since", "2031-01-01"], 0),
]


@pytest.mark.parametrize(("words", "many"), WANTED)
def test_they_are_found_by_who_by_type_and_by_time(refusals, words, many):
    code, told = refusals(*words, "--json")
    assert len(json.loads(told.out)) == many
    assert code == int(not many)


def test_a_program_gets_the_entries_as_they_are(refusals):
    (found,) = json.loads(refusals("--type", "control.*", "--json")[1].out)
    assert found["log"] == "run-1"
    assert (found["uid"], found["command"]) == (1001, "approve")


def test_nobody_is_said_to_be_nobody(refusals):
    code, told = refusals("--who", "nobody@acme.com")
    assert (code, told.out, told.err) == (1, "", "Nobody was refused so.\n")


def test_what_is_no_time_is_said(refusals):
    code, told = refusals("--since", "yesterday")
    assert code == 2
    assert "is no time" in told.err
