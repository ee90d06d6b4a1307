"""What auditors are told to type answers, with the recording that others' readers are tried on."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from support.pages import block, blocks, commands, typed
from vectors.recording import make as vector

HANDED = Path(vector.__file__).parent
HERE = {
    "SESSION": "run-1",
    "EXCHANGE": "ex-1",
    "ENTRY": "ex-1",
    "january.note": "older.note",
    "OLDER": "kept.note",
    "review": "permit",
    "OLD": "older.note",
    "FILE": "kept.note",
    "DIR": "recordings",
    "[PATH]": "recordings",
    "[--follow] [--after LOG:SEQ]": "--after 20261124T020600Z-11111111:1",
    "20261124T020600Z-1f2e3d4c:17": "20261124T020600Z-11111111:1",
}
"""What the pages' words are called in this recording, in which nobody was asked."""

NOTHING = ("No session has what you look for.", "Nobody was refused so.", "[]")
"""What a search for somebody who is not in this recording says, having understood it."""

TOLD = {
    "docs/how-to/audit.md": None,
    "docs/export.md": None,
    "docs/configuration.md": "jitgate proof",
    "docs/auditing.md": ("jitgate sessions", "jitgate refusals"),
    "README.md": "jitgate sessions",
}
"""The pages, and how those of their examples begin that are for auditors; None: all."""


@pytest.fixture
def desk(tmp_path):
    shutil.copytree(HANDED / "recordings", tmp_path / "recordings")
    shutil.copy(HANDED / "checkpoint.note", tmp_path / "kept.note")
    shutil.copy(tmp_path / "recordings/checkpoints/000000000004.note", tmp_path / "older.note")
    shutil.copy(HANDED / "site.vkey", tmp_path)
    return tmp_path


def answers(desk, told):
    """What each command says; all must succeed."""
    said = {}
    for command in told:
        here = re.sub("|".join(map(re.escape, HERE)), lambda word: HERE[word[0]], command)
        done = typed(here, desk)
        empty = done.code == 1 and (done.err or done.out).startswith(NOTHING)
        assert done.code == 0 or empty, f"{here}\n{done.out}{done.err}"
        said[command] = done.out
    return said


@pytest.mark.parametrize("page", TOLD)
def test_every_command_of_the_page_answers(page, desk):
    told = [
        command
        for each in blocks(page)
        if TOLD[page] is None or each.text.startswith(TOLD[page])
        for command in commands(each.text)
    ]
    assert len(told) > 2
    said = answers(desk, told)
    for written in desk.glob("*.*"):
        assert written.stat().st_size, written
    replayed = [each for command, each in said.items() if " replay " in command]
    assert all("ex-1" in each for each in replayed)


def test_what_the_auditors_page_says_within_its_sentences_answers_too(desk):
    page = Path(__file__).parents[1] / "docs" / "how-to" / "audit.md"
    told = re.findall(r"`(jitgate (?:verify|refusals) [^`]*)`", page.read_text())
    assert told
    answers(desk, told)


def test_a_proof_has_the_form_that_is_shown(desk):
    """docs/recording-format.md: a checkpoint, and the proof that a log grew from it."""
    anything = re.escape("<root, base64>"), re.escape("<hash, base64>")
    base64 = r"[A-Za-z0-9+/]+=*"
    note = block("docs/recording-format.md", "jitgate/test-vector\n")
    shown = re.escape(note).replace(anything[0], base64)
    shown = re.sub(r"<base64\\ of.*>", base64, shown)
    assert re.fullmatch(shown, (desk / "older.note").read_text())
    made = typed("jitgate proof consistency older.note recordings --key site.vkey", desk).out
    shown = re.escape(block("docs/recording-format.md", "old 4"))
    shown = shown.replace(anything[1], base64).replace(re.escape("...\n"), r"(.*\n)*")
    assert re.fullmatch(shown.replace(f"{base64}\\\n{base64}", f"({base64}\n)*{base64}"), made), (
        made
    )


def test_what_a_crash_left_behind_is_explained_as_it_is_shown(desk):
    shown = block("docs/recording-format.md", '{"file":').strip().replace(" ", "")
    lines = "".join(each.read_text() for each in desk.glob("recordings/**/*.jsonl"))
    assert shown.partition("...")[0] in lines


def test_the_files_are_called_as_they_are_shown(desk):
    """Those of docs/recording-format.md; ``<writer>`` is the name of a run's log."""
    _, *shown = block("docs/recording-format.md", "recordings/").splitlines()
    for line in shown:
        place = line.split()[0].replace("<writer>", "*")
        kind = re.sub(r"\d{12}", "*", place)
        if not place.endswith(".leaves"):  # nothing was deleted here
            assert list((desk / "recordings").glob(kind)), line
