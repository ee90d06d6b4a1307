"""docs/tutorial.md is walked as it stands: its program is run, its commands are typed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.pages import block

PAGE = (Path(__file__).parents[1] / "docs" / "tutorial.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
NEVER_THE_SAME = re.compile(
    r"127\.0\.0\.1:\d+|\b[as]-[0-9a-f]{16}|00u[0-9a-f]+|\d+ m?s\b|\d+ min|\d{4}-\d\d-\d\dT[\d:]+Z"
    r"|\d\d:\d\d:\d\d(?= UTC)|\b[0-9a-f]{64}\b"
)


def steps(block):
    """Each command of a block with what it is said to print."""
    return [(each.partition("\n")[0], each.partition("\n")[2]) for each in block.split("$ ")[1:]]


README = block("README.md", "Access request ")
"""How a request is shown: of the same call, in another run."""

CONSOLE = [steps(text) for kind, text in BLOCKS if kind == "console"]


def same(expected, said):
    """Whether it is what is expected: ``...`` is anything, and so is what differs each time."""
    pattern = ".*".join(re.escape(alike(part)) for part in expected.split("...\n"))
    return re.fullmatch(pattern, alike(said), re.DOTALL) is not None


def alike(text):
    passed = re.sub(r"\d+ min( \d+ s)?", "0 min", text)
    return re.sub(r" +", " ", NEVER_THE_SAME.sub("0", passed))


def environment():
    """In which ``jitgate`` and ``python`` are those that run this test."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "COLUMNS": "160"}


@contextmanager
def begun(command, folder):
    """A command that goes on, in a group of its own, which gets Ctrl-C."""
    process = subprocess.Popen(
        ["sh", "-c", f"exec {command}"],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
        process.stdout.close()


def typed(command, folder):
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout + done.stderr


def lines_until(process, last):
    """What it prints up to a line that holds something."""
    said = ""
    for line in process.stdout:
        said += line
        if last in line:
            break
    return said


@pytest.mark.timeout(300)  # an SDK is imported, and people are waited for, on a busy machine
def test_the_tutorial_is_as_it_is_told(tmp_path):
    install, [(demo, invited)], [(agent, printed)], answering, auditing = CONSOLE
    assert [command for command, _ in install][2] == "pip install jitgate okta"
    (program,) = (text for kind, text in BLOCKS if kind == "python")
    (tmp_path / "my_agent.py").write_text(program)
    with begun(demo, tmp_path) as gateway:
        said = lines_until(gateway, "change one and start again")
        assert same(invited, said), said
        proxy = re.search(r"the gateway +(http://\S+)", said)[1]
        asking = re.sub(r"http://127\.0\.0\.1:\d+", proxy, agent)
        with begun(asking, tmp_path) as waiting:
            said = lines_until(waiting, "is to leave")
            assert same(printed, said), said
            said = ""
            while "waiting" not in said:  # until the gateway has held the call
                said = typed(answering[0][0], tmp_path)
            assert same(answering[0][1], said), said
            (request,) = re.findall(r"^a-[0-9a-f]+", said, re.MULTILINE)
            asked = typed(f"jitgate requests {request} --config try/etc/jitgate.yaml", tmp_path)
            assert same(README, asked.partition("\n\n  jitgate approve")[0] + "\n"), asked
            said = typed(re.sub(r"a-[0-9a-f]+", request, answering[1][0]), tmp_path)
            assert same(answering[1][1], said), said
            assert waiting.stdout.read() == "and has left.\n"
            assert waiting.wait(30) == 0
    assert "and has left.\n" in (text for kind, text in BLOCKS if kind == "text")
    said = typed(auditing[0][0], tmp_path)
    assert same(auditing[0][1], said), said
    (session,) = re.findall(r"^s-[0-9a-f]+", said, re.MULTILINE)
    for command, expected in auditing[1:]:
        said = typed(re.sub(r"s-[0-9a-f]+", session, command), tmp_path)
        assert same(expected, said), said
