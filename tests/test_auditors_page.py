"""The auditor's page is followed to its end, with the recording that others' readers are tried on."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

from support.forked import ran
from vectors.recording import make as vector

PAGE = Path(__file__).parents[1] / "docs" / "how-to" / "audit.md"
HERE = {"SESSION": "run-1", "EXCHANGE": "ex-1", "OLDER": "kept.note", "review": "permit"}
"""What of the page's words is called otherwise in this recording; nobody was asked in it."""


def test_every_command_of_the_page_answers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    handed = Path(vector.__file__).parent
    shutil.copytree(handed / "recordings", tmp_path / "recordings")
    shutil.copy(handed / "checkpoint.note", tmp_path / "kept.note")
    shutil.copy(handed / "site.vkey", tmp_path)
    commands = re.findall(r"^    (jitgate .*)$", PAGE.read_text(), re.MULTILINE)
    commands += re.findall(r"`(jitgate (?:verify|refusals) [^`]*)`", PAGE.read_text())
    answers = {}
    for command in commands:
        written = re.sub("|".join(HERE), lambda word: HERE[word[0]], command)
        answers[command] = done(written)
    assert len(answers) > 8
    assert {command: said for command, (code, said) in answers.items() if code != 0} == {}
    assert "<html" in (tmp_path / "report.html").read_text()
    replayed = next(said for command, (_, said) in answers.items() if " replay " in command)
    assert "ex-1" in replayed


def done(command):
    """How it ended, and what it said; what goes to a file goes there."""
    command, _, file = command.partition(" > ")
    code, out, err = ran(*shlex.split(command)[1:])
    if file:
        Path(file).write_text(out)
    return code, out + err
