"""The bar of what takes long: it moves on a terminal, goes before anything is said, and is silent
elsewhere."""

import io
import re
import sys
from pathlib import Path

import pytest
from vectors.recording import make as vector

from jitgate.cli import main

VECTOR = Path(vector.__file__).parent


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def verify(monkeypatch):
    def run(stream):
        monkeypatch.setattr(sys, "stderr", stream)
        code = main(["verify", str(VECTOR / "recordings"), "--key", str(VECTOR / "site.vkey")])
        return code, stream.getvalue()

    return run


def test_it_shows_how_much_is_verified_and_is_gone_at_the_end(verify, capsys):
    code, drawn = verify(Terminal())
    percents = [int(each) for each in re.findall(r"(\d+) %", drawn)]
    assert (code, percents[-1]) == (0, 100)
    assert percents == sorted(set(percents))
    assert len(percents) > 5
    assert drawn.endswith("\r")
    assert drawn.split("\r")[-2].strip() == ""


def test_where_there_is_no_terminal_nothing_is_drawn(verify, capsys):
    assert verify(io.StringIO()) == (0, "")
