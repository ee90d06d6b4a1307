"""What is mistyped at the command line is told where it was typed, with what may be meant."""

from __future__ import annotations

import pytest

from jitgate.cli import main


@pytest.mark.parametrize(
    ("words", "usage", "told"),
    [
        (
            ["aprove", "a-1"],
            "jitgate ",
            "there is no 'aprove' (is approve meant?): choose from run",
        ),
        (["policy", "tset"], "jitgate policy ", "there is no 'tset' (is test meant?)"),
        (["xyzzy"], "jitgate ", "there is no 'xyzzy': choose from run"),
        (["approve", "a-1", "--reson", "x"], "jitgate approve ", "--reson x (is --reason meant?)"),
        (["approve", "a-1", "--reas", "x"], "jitgate approve ", "--reas x (is --reason meant?)"),
        (["approve", "a-1", "--reson=x"], "jitgate approve ", "--reson=x (is --reason meant?)"),
        (["deny", "a-1", "--uses", "2"], "jitgate deny ", "unrecognized arguments: --uses 2\n"),
        (["approve", "a-1", "IT-7"], "jitgate approve ", "IT-7 (words that belong together"),
    ],
)
def test_what_is_mistyped_is_told_with_what_may_be_meant(words, usage, told, capsys):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(f"usage: {usage}")
    assert told in said


@pytest.mark.parametrize(
    "words",
    [["mask"], ["mask", "test"], ["identity", "check"], ["policy", "check"], ["policy", "test"]],
)
def test_where_there_is_no_configuration_it_is_said_how_one_is_named(
    words, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    assert "name it with --config FILE" in capsys.readouterr().err
