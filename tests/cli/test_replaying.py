import argparse
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from stores.site import START, Site, crash, entry
from vectors.recording import make as vector

from jitgate.cli import audit, replaying
from jitgate.cli.replaying import LOOK_SECONDS
from jitgate.errors import StateUnusable
from jitgate.values import Body, Entry

RECORDINGS = Path(vector.__file__).parent / "recordings"
COMMON = {"session": "run-7", "subject": {"issuer": "i", "id": "bot-7"}}


@pytest.fixture
def replay(capsys):
    """Replays with a sleep that is told of and takes no time; what it returns, prints and slept."""

    def run(folder, *arguments, sleep=None):
        parser = argparse.ArgumentParser()
        audit.register(parser.add_subparsers(required=True))
        options = parser.parse_args(["replay", *arguments, "--recordings", str(folder)])
        slept = []

        def asleep(seconds):
            slept.append(seconds)
            if sleep is not None:
                sleep(len(slept))

        code = replaying.replay(options, asleep)
        captured = capsys.readouterr()
        return code, captured.out, captured.err, slept

    return run


# --- in its own time


def test_each_entry_comes_so_long_after_the_one_before(replay):
    code, out, _, slept = replay(RECORDINGS, "ex-1", "--speed", "1")
    assert code == 0
    assert [round(each, 3) for each in slept] == [0, 0.2]
    assert out == replay(RECORDINGS, "ex-1")[1]


def test_it_goes_faster_and_no_pause_is_longer_than_is_said(replay):
    *_, slept = replay(RECORDINGS, "run-1", "--speed", "10", "--pause", "2s")
    assert [round(each, 3) for each in slept] == [0, 0.01, 0.02, 0.07, 2, 0.1, 0.01, 0]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--speed", "0"], "above 0"),
        (["--speed", "-1"], "above 0"),
        (["--speed", "nan"], "above 0"),
        (["--speed", "inf"], "above 0"),
        (["--speed", "1", "--json"], "give one of them"),
        (["--speed", "1", "--pause", "soon"], "a duration"),
        (["--pause", "1s"], "goes with --speed"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(replay, options, said):
    with pytest.raises(StateUnusable, match=said):
        replay(RECORDINGS, "run-1", *options)


def test_a_time_that_no_calendar_has_does_not_end_a_replay(tmp_path, replay):
    site = Site(tmp_path / "recordings")
    run = site.run()
    run.append([entry(1), entry(2)])
    crash(run)
    path = site.folder / "logs/run-1/000000000000.jsonl"
    path.chmod(0o600)
    path.write_bytes(path.read_bytes().replace(b"2026-11-24T02:06:02", b"9999-99-99T99:99:99"))
    code, out, *_ = replay(site.folder, "s", "--speed", "1")
    assert code == 0
    assert "         ?  An operation" in out


# --- while it goes on


def decision(number, **more):
    return Entry(
        "decision", START, {**COMMON, "exchange": f"x-{number}", "effect": "permit", **more}
    )


def outcome(number):
    body = Body(b'{"n":1}', 7, complete=True)
    fields = {"session": "run-7", "exchange": f"x-{number}", "status": 200, "outcome": "completed"}
    return Entry("outcome", START, fields, {"response": body})


@pytest.fixture
def live(tmp_path):
    site = Site(tmp_path / "recordings")
    run = site.run()
    yield site.folder, run
    crash(run)


def test_a_live_session_is_followed_until_its_run_ends(live, replay):
    folder, run = live
    run.append([decision(1)])
    steps = {
        1: lambda: run.append([outcome(1)]),
        2: lambda: run.append([decision(2)]),
        4: run.close,
    }
    code, out, _, slept = replay(
        folder, "run-7", "--follow", sleep=lambda count: steps.get(count, lambda: None)()
    )
    assert code == 0
    assert slept == [LOOK_SECONDS] * 4
    told = [line for line in out.splitlines() if line.startswith(("Session", "  +"))]
    assert [line[12:24] for line in told[1:]] == ["An operation", "200, complet", "An operation"]
    assert '"n": 1' in out
    assert out.endswith("\n\nClosed: the gateway's run has ended.\n")


def test_an_exchange_is_followed_until_its_outcome(live, replay):
    folder, run = live
    run.append([decision(1), decision(2)])
    code, out, _, slept = replay(
        folder, "x-1", "--follow", sleep=lambda _: run.append([outcome(1)])
    )
    assert (code, slept) == (0, [LOOK_SECONDS])
    assert out.endswith("\n\nClosed: the exchange has its outcome.\n")
    assert "x-2" not in out


def test_ctrl_c_ends_it_in_order(live, replay):
    folder, run = live
    run.append([decision(1)])

    def pressed(_):
        raise KeyboardInterrupt

    code, out, err, _ = replay(folder, "run-7", "--follow", sleep=pressed)
    assert (code, err) == (0, "")
    assert out.endswith("\n\n")
    assert replay(folder, "run-7", "--speed", "1", sleep=pressed)[0] == 0


def test_a_real_ctrl_c_ends_a_real_one(live):
    folder, run = live
    run.append([decision(1)])
    command = [sys.executable, "-m", "jitgate", "replay", "run-7", "--follow"]
    with subprocess.Popen(
        [*command, "--recordings", folder],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        for line in process.stdout:
            if "[exchange x-1]" in line:
                break
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    assert (process.returncode, err) == (0, "")


def test_what_has_not_begun_is_waited_for_while_a_run_goes_on(live, replay):
    folder, run = live
    steps = {1: lambda: run.append([decision(1)]), 2: run.close}
    _, out, *_ = replay(folder, "run-7", "--follow", sleep=lambda count: steps[count]())
    assert "Nothing is on record yet of run-7." in out
    assert "[exchange x-1]" in out
    with pytest.raises(StateUnusable, match="is called 'nobody'"):
        replay(folder, "nobody", "--follow")


def test_a_program_follows_one_object_a_line(live, replay):
    folder, run = live
    run.append([decision(1, reason="\x1b[2J\x7f\u202e\n")])
    _, out, err, _ = replay(folder, "run-7", "--follow", "--json", sleep=lambda _: run.close())
    (line,) = out.splitlines()
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["exchange"] == "x-1"
    assert err == "Closed: the gateway's run has ended.\n"


def test_one_name_under_two_subjects_is_told_apart(live, replay):
    folder, run = live
    other = {"subject": {"issuer": "i", "id": "mallory"}}
    run.append([decision(1), decision(2, **other), outcome(1)])
    _, out, *_ = replay(folder, "run-7", "--follow", sleep=lambda _: run.close())
    who = [line.split()[1] for line in out.splitlines() if line.startswith("  who")]
    assert who == ["bot-7,", "mallory,", "bot-7,"]


def test_what_could_not_be_made_durable_is_taken_back(tmp_path, replay):
    site = Site(tmp_path / "recordings")
    run = site.run()
    site.disk.failing = "sync"
    with pytest.raises(OSError, match="error"):
        run.append([decision(1)])

    def mended(count):
        site.disk.failing = None
        (run.recover if count == 1 else run.close)()

    _, out, *_ = replay(site.folder, "run-7", "--follow", sleep=mended)
    assert "The last 1 entries of run-1 could not be made durable: they do not count" in out


# --- at a terminal


def test_what_the_locale_has_no_letters_for_is_an_escape(live):
    folder, run = live
    run.append([decision(1, reason="漢 …")])
    told = subprocess.run(
        [sys.executable, "-m", "jitgate", "replay", "x-1", "--recordings", folder],
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "PERMIT: \\u6f22 \\u2026" in told.stdout


class Terminal(io.TextIOWrapper):
    """Standard output as a terminal of so many columns has it."""

    def __init__(self, columns, monkeypatch):
        super().__init__(io.BytesIO(), encoding="utf-8", write_through=True)
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setattr(sys, "stdout", self)

    def isatty(self):
        return True

    @property
    def lines(self):
        return self.buffer.getvalue().decode().split("\n")


HOSTILE = "  +0.000 s  PERMIT\r\n\x1b[2K\u202e" + "PERMIT by the rule readers " * 40


@pytest.fixture
def hostile(tmp_path):
    site = Site(tmp_path / "recordings")
    run = site.run()
    text = Body((" " * 300 + HOSTILE).encode(), 9, complete=False)
    nested = Body(b"[" * 200 + b'"' + b"x" * 300 + b'"' + b"]" * 200, 9, complete=False)
    common = {"session": HOSTILE, "exchange": "x", "subject": {"id": HOSTILE, "issuer": HOSTILE}}
    run.append(
        [
            Entry("decision", START, {**common, "effect": HOSTILE, "reason": HOSTILE}),
            Entry(
                "outcome",
                START,
                {**common, "why": HOSTILE, "response": {"headers": [["x", HOSTILE], [HOSTILE], 7]}},
                {"request": text, "response": nested},
            ),
        ]
    )
    run.close()
    return site.folder


@pytest.mark.parametrize("columns", [40, 80, 133])
@pytest.mark.parametrize("command", [["replay", "x"], ["show", "x"], ["sessions"]])
def test_nothing_is_wider_than_the_terminal_and_all_of_it_keeps_to_its_margin(
    hostile, monkeypatch, columns, command
):
    terminal = Terminal(columns, monkeypatch)
    parser = argparse.ArgumentParser()
    audit.register(parser.add_subparsers(required=True))
    options = parser.parse_args([*command, "--recordings", str(hostile)])
    assert options.handler(options) == 0
    for line in terminal.lines:
        assert line.isprintable()
        assert len(line) <= columns, line
    if command[0] == "replay":
        steps = [line for line in terminal.lines if line.startswith("  +")]
        assert [line.startswith("  +0.") for line in steps] == [True, True]
        ours = ("Session ", "  who ", "  started ", "  +0.", " " * 10)
        assert all(line.startswith(ours) for line in terminal.lines if line)


def test_a_bodys_bytes_go_to_no_terminal(monkeypatch, capsys):
    parser = argparse.ArgumentParser()
    audit.register(parser.add_subparsers(required=True))
    arguments = ["show", "ex-1", "--body", "response", "--recordings", str(RECORDINGS)]
    options = parser.parse_args(arguments)
    terminal = Terminal(80, monkeypatch)
    assert options.handler(options) == 2
    assert terminal.lines == [""]
    assert capsys.readouterr().err == (
        "A terminal would obey what is in a body: send it to a file.\n"
    )


def test_a_bodys_bytes_are_written_as_they_are(capfdbinary):
    parser = argparse.ArgumentParser()
    audit.register(parser.add_subparsers(required=True))
    arguments = ["show", "ex-1", "--body", "response", "--recordings", str(RECORDINGS)]
    options = parser.parse_args(arguments)
    assert options.handler(options) == 0
    assert capfdbinary.readouterr().out == vector.USERS


def test_a_body_that_is_not_there_is_said(capsys):
    parser = argparse.ArgumentParser()
    audit.register(parser.add_subparsers(required=True))
    arguments = ["show", "ex-1", "--body", "x\x1b", "--recordings", str(RECORDINGS)]
    options = parser.parse_args(arguments)
    assert options.handler(options) == 2
    assert capsys.readouterr().err == "Of these entries 0 have a body 'x\\x1b'; one must.\n"
