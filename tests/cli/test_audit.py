import argparse
import json
import shutil
from pathlib import Path

import pytest
from stores.site import START, Site, entry
from vectors.recording import make as vector

from jitgate.cli import audit
from jitgate.values import Body, Entry

VECTOR = Path(vector.__file__).parent
RECORDINGS = VECTOR / "recordings"
FROM_VECTOR = ["--recordings", str(RECORDINGS)]
KEY = ["--key", str(VECTOR / "site.vkey")]
CHECKPOINT = ["--checkpoint", str(VECTOR / "checkpoint.note")]


class Told:
    def __init__(self, code, captured):
        self.code = code
        self.out = captured.out
        self.err = captured.err

    @property
    def content(self):
        return json.loads(self.out)


@pytest.fixture
def jitgate(capsys):
    parser = argparse.ArgumentParser()
    audit.register(parser.add_subparsers(required=True))

    def run(*arguments):
        options = parser.parse_args([str(argument) for argument in arguments])
        return Told(options.handler(options), capsys.readouterr())

    return run


@pytest.fixture
def copy(tmp_path):
    return Path(shutil.copytree(RECORDINGS, tmp_path / "copy"))


# --- sessions


def test_sessions_are_listed_with_what_was_not_completed(jitgate):
    told = jitgate("sessions", *FROM_VECTOR)
    assert told.code == 0
    heading, first, second = told.out.splitlines()
    assert heading.split() == ["SESSION", "SUBJECT", "STARTED", "EXCHANGES", "NOT", "COMPLETED"]
    assert first.split("  ")[0] == "run-1"
    assert "bot-7" in first
    assert first.endswith("1 unknown, 1 denied")
    assert second.split() == ["run-1", "-", "2026-11-24T03:06:01Z", "0"]


def test_sessions_for_a_program_are_exactly_as_documented(jitgate):
    told = jitgate("sessions", *FROM_VECTOR, "--json")
    assert told.code == 0
    assert told.content == json.loads((VECTOR / "sessions.json").read_text())
    assert list(told.content[0]) == ["id", "subject", "started_at", "exchanges"]
    assert list(told.content[0]["exchanges"][0]) == [
        "id",
        "target",
        "action",
        "method",
        "url",
        "effect",
        "rule",
        "status",
        "outcome",
    ]


@pytest.mark.parametrize("command", [["sessions"], ["replay", "x"], ["show", "x"]])
def test_where_there_is_no_recording_that_is_said(jitgate, tmp_path, command):
    told = jitgate(*command, "--recordings", tmp_path)
    assert (told.code, told.out) == (2, "")
    assert told.err == f"There is no recording in {tmp_path}.\n"


@pytest.mark.parametrize("command", [["sessions"], ["replay", "x"], ["show", "x"]])
def test_where_to_read_has_to_be_said_once(jitgate, capsys, command):
    for where in ([], ["--config", "x", "--recordings", "y"]):
        with pytest.raises(SystemExit) as ended:
            jitgate(*command, *where)
        assert ended.value.code == 2
        capsys.readouterr()


# --- replay


def test_a_session_is_replayed_as_a_timeline(jitgate):
    told = jitgate("replay", "run-1", *FROM_VECTOR)
    assert told.code == 0
    wanted = [
        f"  who      bot-7, as https://issuer.example says; {WHO}",
        "  +0.100 s  listUsers on okta  [exchange ex-1]",
        "            GET https://org.example/api/v1/users",
        "            PERMIT by the rule readers: Reading is fine",
        "  +0.300 s  200, completed; 0.125 s; 87 bytes released  [exchange ex-1]",
        "            masked: names 1",
        '                    "weight": 1.10',
        "            DENY by the rule no-admin-grants: Roles are granted by people",
        "            denied-by-policy: Roles are granted by people",
        "  who      nobody: no identity was proved",
    ]
    lines = told.out.splitlines()
    places = [lines.index(line) for line in wanted]
    assert places == sorted(places)


@pytest.mark.parametrize(
    "command", [["sessions"], ["sessions", "--subject", "*"], ["replay", "run-1"]]
)
def test_what_is_no_part_of_the_recording_is_left_out_and_said_to_be(jitgate, copy, command):
    shutil.copytree(copy / "logs" / vector.FIRST, copy / "logs/20991201T000000Z-deadbeef")
    told = jitgate(*command, "--recordings", copy)
    assert told.out == jitgate(*command, "--recordings", RECORDINGS).out
    assert "logs/20991201T000000Z-deadbeef" in told.err


def test_a_replay_has_the_head_of_what_was_asked_and_of_what_came_back(jitgate, tmp_path):
    site = Site(tmp_path / "recordings")
    asked = {"bytes": 0, "headers": [["X-Asked", "yes"]]}
    told = {"exchange": "ex-1", "session": "s", "request": asked}
    records = site.run()
    records.append([Entry("outcome", START, {**told, "response": {"headers": [["X-Got", "no"]]}})])
    records.close()
    lines = [
        line.strip() for line in jitgate("replay", "s", "--recordings", site.folder).out.split("\n")
    ]
    at = lines.index("request head:")
    assert lines[at : at + 4] == ["request head:", "X-Asked: yes", "response head:", "X-Got: no"]


def test_one_exchange_is_replayed_alone(jitgate):
    told = jitgate("replay", "ex-3", *FROM_VECTOR)
    assert told.code == 0
    assert "ex-3" in told.out
    assert "ex-1" not in told.out
    assert "Tunnel" not in told.out


def test_a_replay_for_a_program_is_the_entries(jitgate):
    told = jitgate("replay", "ex-1", *FROM_VECTOR, "--json")
    assert [(one["log"], one["seq"], one["type"]) for one in told.content] == [
        (vector.FIRST, 2, "decision"),
        (vector.FIRST, 3, "outcome"),
    ]


@pytest.mark.parametrize("command", ["replay", "show"])
def test_what_is_not_there_is_said_in_a_sentence(jitgate, command):
    told = jitgate(command, "nobody", *FROM_VECTOR)
    assert (told.code, told.out) == (2, "")
    assert "'nobody' in this recording: give its whole id" in told.err


WHO = "groups it-agents; acts for alice@example.com"
HOSTILE = "\x1b[2J\x1b]0;owned\x07\r\n\u202egpj.exe\u200b\x9b31m\x00\u2028"


@pytest.fixture
def hostile(tmp_path):
    """A recording in which everything that an agent or a target can choose is hostile."""
    site = Site(tmp_path / "recordings")
    records = site.run()
    subject = {"issuer": HOSTILE, "id": HOSTILE, "groups": [HOSTILE], "humans": [HOSTILE]}
    common = {"exchange": "e" + HOSTILE, "session": "s" + HOSTILE, "subject": subject}
    tunnel = common | {
        "authority": HOSTILE,
        "result": HOSTILE,
        "denial": HOSTILE,
        "detail": HOSTILE,
    }
    operation = dict.fromkeys(("target", "action", "method", "url"), HOSTILE)
    decision = common | {
        "operation": operation,
        "effect": HOSTILE,
        "rule": HOSTILE,
        "reason": HOSTILE,
    }
    outcome = common | {"status": HOSTILE, "outcome": HOSTILE, "why": HOSTILE,
                        "masks": {HOSTILE: HOSTILE},
                        "masked": [{"path": HOSTILE, "rule": HOSTILE, "hmac": HOSTILE}, HOSTILE], "credential": {HOSTILE: HOSTILE},
                        "user_agent_tokens": [HOSTILE]}  # fmt: skip
    text = HOSTILE.encode()
    bodies = {
        "request" + HOSTILE: Body(text, 999, complete=False),
        "response": Body(json.dumps({HOSTILE: [HOSTILE]}, ensure_ascii=False).encode(), 99, True),
        "binary": Body(b"\xff\xfe\x1b[31m\x80", 7, True),
    }
    records.append(
        [
            Entry("tunnel", START, tunnel),
            Entry("decision", START, decision),
            Entry("decision", START, decision | {"operation": None, "request": operation}),
            Entry("outcome", START, outcome, bodies),
            Entry("x" + HOSTILE, START, common),
            Entry("refused", START, common | {"denial": HOSTILE, "detail": HOSTILE}),
        ]
    )
    records.close()
    return site.folder


@pytest.mark.parametrize(
    "command",
    [["sessions"], ["replay", "s" + HOSTILE], ["show", "e" + HOSTILE], ["show", "run-1:4"],
     ["replay", HOSTILE], ["sessions", "--json"], ["replay", "s" + HOSTILE, "--json"]],
)  # fmt: skip
def test_what_others_wrote_is_shown_and_never_obeyed(jitgate, hostile, command):
    told = jitgate(*command, "--recordings", hostile)
    assert told.code == (2 if HOSTILE in command else 0)
    for line in (told.out + told.err).split("\n"):
        assert line.isprintable(), repr(line)
    assert "owned" in told.out + told.err


def test_a_long_body_is_cut_in_a_timeline_and_whole_when_shown(jitgate, tmp_path):
    site = Site(tmp_path / "recordings")
    records = site.run()
    data = json.dumps({"long": "x" * 5000, "many": list(range(1000))}).encode()
    records.append([entry(1, body=data, kind="outcome")])
    records.close()
    replayed = jitgate("replay", "s", "--recordings", site.folder)
    assert len(replayed.out) < 3000
    assert "more characters" in replayed.out
    assert "965 more lines: jitgate show run-1:1" in replayed.out
    shown = jitgate("show", "run-1:1", "--recordings", site.folder)
    assert "x" * 5000 in shown.out
    assert "999" in shown.out


# --- show


def test_an_entry_is_shown_whole_with_its_bodies(jitgate):
    told = jitgate("show", f"{vector.FIRST}:3", *FROM_VECTOR)
    assert told.code == 0
    assert told.out.startswith(f"{vector.FIRST}:3  2026-11-24T02:06:01.300000Z  outcome\n{{\n")
    assert '\n  "status": 200,\n' in told.out
    assert told.out.endswith('      "secret": "[masked]"\n    }\n  ]\n')


def test_a_body_of_which_only_the_beginning_is_on_record_is_said_to_be_that(jitgate, tmp_path):
    site = Site(tmp_path / "recordings")
    records = site.run()
    outcome = {"exchange": "ex-1", "session": "s"}
    bodies = {"response": Body(b"the begin", 1000, complete=False)}
    records.append([Entry("outcome", START, outcome, bodies)])
    records.close()
    told = jitgate("show", "ex-1", "--body", "response", "--recordings", site.folder)
    assert (told.code, told.out) == (2, "the begin")
    assert "9 of 1000 bytes" in told.err


@pytest.mark.parametrize("arguments", [["show", "run-1:1"], ["show", "run-1:1", "--json"]])
def test_what_is_nested_too_deep_to_be_shown_is_told(jitgate, tmp_path, arguments):
    site = Site(tmp_path / "recordings")
    site.run().close()
    path = site.folder / "logs/run-1/000000000000.jsonl"
    path.chmod(0o600)
    deep = '{"seq":1,"time":"2027-01-01T00:00:00.000000Z","type":"x","deep":'
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(lines[0] + deep + "[" * 1000 + "]" * 1000 + "}\n")
    told = jitgate(*arguments, "--recordings", site.folder)
    assert told.code == 2
    assert "nested" in told.err


def test_what_retention_has_deleted_is_said_to_be_deleted(jitgate, tmp_path):
    site = Site(tmp_path / "recordings")
    records = site.run()
    told = {"log": "run-1", "first": 0, "entries": 5, "leaves": "00"}
    records.tell(Entry("segment.deleted", site.now(), told))
    records.close()
    (site.folder / "logs/run-1/000000000000.jsonl").unlink()
    shown = jitgate("show", "run-1:4", "--recordings", site.folder)
    assert shown.code == 2
    assert "run-1:4 was deleted by retention." in shown.err
    assert "deleted 1 segment:" in jitgate("sessions", "--recordings", site.folder).err
    assert "No entry" in jitgate("show", "run-1:5", "--recordings", site.folder).err


def test_all_entries_of_an_exchange_are_shown(jitgate):
    told = jitgate("show", "ex-1", *FROM_VECTOR, "--json")
    assert [one["type"] for one in told.content] == ["decision", "outcome"]


def test_an_entry_of_the_site_log_is_shown(jitgate):
    assert "site.close" in jitgate("show", "site:9", *FROM_VECTOR).out


def test_a_body_that_was_changed_is_told_and_not_shown(jitgate, copy):
    path = copy / "logs" / vector.FIRST / "000000000000.bodies"
    path.write_bytes(b"x" + path.read_bytes()[1:])
    told = jitgate("show", "ex-1", "--recordings", copy)
    assert "response body: cannot be read: the frame's bytes are not those" in told.out
    assert "bob@example.com" not in told.out


# --- verify


def test_a_whole_recording_is_verified(jitgate):
    told = jitgate("verify", RECORDINGS, *KEY, *CHECKPOINT)
    assert told.code == 0
    assert (
        told.out.splitlines()[-1]
        == "  result      Verified: every entry and every body is as it was written."
    )
    assert told.err == ""


def test_without_a_checkpoint_from_elsewhere_it_is_said_what_that_means(jitgate):
    told = jitgate("verify", RECORDINGS, *KEY)
    assert told.code == 0
    assert "if all of this is an older copy" in told.out
    assert "--checkpoint FILE" in told.out
    assert "--checkpoint" not in jitgate("verify", RECORDINGS, *KEY, *CHECKPOINT).out


def test_a_changed_recording_is_told_with_file_and_entry(jitgate, copy):
    path = copy / "logs" / vector.FIRST / "000000000000.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"seq":2', b'"seq":7'))
    told = jitgate("verify", copy, *KEY, *CHECKPOINT)
    assert told.code == 1
    where = f"  TAMPERED    logs/{vector.FIRST}/000000000000.jsonl, entry 2: "
    assert f"{where}seq 7 stands in the place of 2" in told.out.splitlines()
    assert "  result      TAMPERED: " in told.out


def test_what_is_not_witnessed_is_two_unless_it_is_allowed(jitgate):
    older = RECORDINGS / "checkpoints" / "000000000004.note"
    told = jitgate("verify", RECORDINGS, *KEY, "--checkpoint", older)
    assert told.code == 2
    assert "not yet witnessed: 14 entries, from 2026-11-24T02:06:02.000000Z to " in told.out
    allowed = jitgate("verify", RECORDINGS, *KEY, "--checkpoint", older, "--allow-unwitnessed")
    assert allowed.code == 0


def test_the_answer_for_a_program_has_it_all(jitgate, copy):
    path = copy / "logs" / vector.FIRST / "000000000000.bodies"
    path.write_bytes(b"x" + path.read_bytes()[1:])
    told = jitgate("verify", RECORDINGS, copy, *KEY, *CHECKPOINT, "--json")
    good, bad = told.content
    assert told.code == 1
    assert (good["path"], good["result"], good["findings"]) == (str(RECORDINGS), "verified", [])
    assert good["checkpoint"]["size"] == 10
    assert good["checkpoint"]["outside"] is True
    assert good["unwitnessed"]["entries"] == 0
    assert (bad["path"], bad["result"]) == (str(copy), "tampered")
    assert bad["findings"][0]["severity"] == "tampered"
    assert bad["findings"][0]["entry"] == 3


def test_one_bad_recording_of_several_makes_the_answer_no(jitgate, copy, tmp_path):
    (copy / "site" / "extra").touch()
    (tmp_path / "empty").mkdir()
    assert jitgate("verify", RECORDINGS, copy, tmp_path / "empty", *KEY).code == 1
    assert jitgate("verify", RECORDINGS, tmp_path / "empty", *KEY).code == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([RECORDINGS], "Give the public key with --key FILE"),
        (KEY, "Give the PATH of a recording"),
        (["/nowhere", *KEY], "There is no folder /nowhere."),
        ([RECORDINGS, "--key", "/nowhere"], "/nowhere cannot be read (No such file"),
        ([RECORDINGS, "--key", VECTOR / "README.md"], "does not hold a public key"),
        ([RECORDINGS, *KEY, "--checkpoint", "/nowhere"], "/nowhere cannot be read (No such file"),
        (
            [RECORDINGS, *KEY, "--checkpoint", VECTOR / "site.vkey"],
            "site.vkey holds a public key and no checkpoint",
        ),
    ],
)
def test_what_keeps_verify_from_an_answer_is_said_in_a_sentence(jitgate, arguments, said):
    told = jitgate("verify", *arguments)
    assert (told.code, told.out) == (2, "")
    assert said in told.err
    assert told.err.count("\n") == 1


def test_the_key_is_never_taken_from_the_recording(jitgate, copy):
    shutil.copy(VECTOR / "site.vkey", copy / "site.vkey")
    assert jitgate("verify", copy).code == 2
    assert jitgate("verify", copy, *KEY).code == 1


def test_what_a_hostile_recording_says_is_not_obeyed(jitgate, copy):
    (copy / "logs" / "x\x1b[2J").mkdir()
    told = jitgate("verify", copy, *KEY)
    assert told.code == 1
    assert "\x1b" not in told.out


# --- from a configuration


@pytest.fixture
def config(tmp_path):
    """The configuration that ships, over a state folder with the vector's recording in it."""
    folder = Path(shutil.copytree(Path(__file__).parents[2] / "etc", tmp_path / "etc"))
    shutil.rmtree(folder / "var", ignore_errors=True)
    shutil.copytree(RECORDINGS, folder / "var" / "recordings")
    shutil.copy(VECTOR / "site.vkey", folder / "var" / "site.vkey")
    return ["--config", str(folder / "jitgate.yaml")]


@pytest.mark.parametrize(
    "command", [["sessions"], ["replay", "run-1"], ["show", "ex-1"], ["verify"]]
)
def test_a_configuration_says_where_the_recording_is_and_which_key(jitgate, config, command):
    told = jitgate(*command, *config)
    assert told.err == ""
    assert told.code == 0


@pytest.mark.parametrize(
    "command", [["sessions"], ["replay", "run-1"], ["show", "ex-1"], ["verify"]]
)
def test_a_wrong_configuration_is_told_and_nothing_read(jitgate, tmp_path, command):
    (tmp_path / "jitgate.yaml").write_text("stat: ./var\n")
    told = jitgate(*command, "--config", tmp_path / "jitgate.yaml")
    assert (told.code, told.out) == (2, "")
    assert f"{tmp_path / 'jitgate.yaml'}" in told.err
