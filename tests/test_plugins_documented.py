"""docs/plugins.md is walked as it stands: its files are written, its commands run and say that."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "plugins.md"
WALK = PAGE.read_text().split("## From nothing")[1].split("\n## ")[0]
STEP = re.compile(r"^(?:`([\w.]+)`:\n\n)?```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INSTALLING = "$ python3 -m venv venv\n$ . venv/bin/activate\n$ pip install 'jitgate[testing]'\n"
"""What whoever runs this has done."""


def matches(expected, said):
    """Whether it is what is expected, in which ``...`` stands for anything."""
    parts = [re.escape(part) for part in expected.split("...")]
    return re.fullmatch(".*".join(parts), said, re.DOTALL) is not None


def test_the_ten_minutes_are_as_they_are_told(tmp_path):
    commands = 0
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for name, kind, text in STEP.findall(WALK):
        if kind != "console":
            (tmp_path / name).write_text(text)
            continue
        if text == INSTALLING:
            continue
        for step in text.split("$ ")[1:]:
            command, _, expected = step.partition("\n")
            done = subprocess.run(
                ["sh", "-c", command],
                cwd=tmp_path,
                env={**os.environ, "PATH": path},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=100,
                check=False,
            )
            assert matches(expected, done.stdout), f"{command}\n{done.stdout}"
            commands += 1
    assert commands == 7
