"""What the docs have typed that changes a machine or asks a vendor is not run: it is looked through.

Each tool is asked by its own ``--help`` whether it knows what is given to it, and a shell whether
it can read the line. A tool that is not there, or is not the tests' to install, is left out: what
it is told stands in its vendor's manual.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from support.pages import ROOT, block, commands, listed, span

CHANGING = {
    "README.md": ["pip install . &&", "pip install '.[test]'", "jitgate exec --token-file"],
    "docs/credentials.md": ["umask"],
    "docs/deployment.md": ["useradd", "podman build", "kubectl create"],
    "docs/how-to/release.md": ["pip install"],
    "docs/identity/entra.md": ["az account"],
    "docs/identity/github-actions.md": ["gh api"],
    "docs/identity/kubernetes.md": [
        *("kubectl get --raw /.well", "kubectl get --raw /openid"),
        *("kubectl create namespace", "kubectl create token"),
    ],
    "docs/identity/others.md": ["spire-server", "spire-agent"],
    "docs/several-gateways.md": ["pip install"],
    "docs/write-once.md": ["install -d", "install -m", "aws s3"],
}
"""By page, how such an example begins."""

SETPRIV = {"README.md": [span("README.md", "jitgate exec ...").partition(" -- ")[2]]}
THERE = {"useradd", "install", "systemctl", "pip", "python", "setpriv", "podman", "kubectl"}
"""Whose help is looked at, where they are there: a vendor's may be not."""


def simple(text):
    """Each simple command of an example, as words."""
    for line in commands(text):
        words = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
        words.whitespace_split = True
        command = []
        for word in [*words, ";"]:
            if set(word) <= set("|&;<>"):
                if command:
                    yield command
                command = []
            else:
                command.append(word)


@cache
def manual(*command, asking=("--help",)):
    done = subprocess.run(
        [*command, *asking], capture_output=True, text=True, timeout=60, check=False
    )
    return done.stdout + done.stderr


def told(tool, words):
    """The help that belongs to a command, and what of the words is an option of it."""
    words = words[: words.index("--")] if "--" in words else words
    options = [word.partition("=")[0] for word in words if re.match("--?[a-z]", word)]
    if tool == "python":
        module = words[words.index("-m") + 1]
        return manual(sys.executable, "-m", module), [each for each in options if each != "-m"]
    if tool == "pip":
        return manual(sys.executable, "-m", "pip", words[0]), options
    verbs = [word for word in words[:3] if re.fullmatch("[a-z]+", word)]
    if tool == "kubectl":
        return manual(tool, *verbs) + manual(tool, "options", asking=()), options
    return manual(tool), options


def tool_of(command):
    return re.sub(r"^python[\d.]+$", "python", Path(command[0]).name)


LOOKED_AT = [
    pytest.param(command, id=f"{page}: {' '.join(command)[:60]}")
    for page, begins in CHANGING.items()
    for text in [*(block(page, each) for each in begins), *SETPRIV.get(page, ())]
    for command in simple(text)
    if tool_of(command) in THERE and shutil.which(tool_of(command))
]


@pytest.mark.parametrize("command", LOOKED_AT)
def test_a_tool_knows_what_it_is_given(command):
    tool = tool_of(command)
    help_, options = told(tool, command[1:])
    for option in options:
        assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", help_), option
    if tool == "systemctl":
        assert re.search(rf"^ +{command[1]}\b", help_, re.MULTILINE)


def test_most_of_it_is_looked_at():
    assert len(LOOKED_AT) > 15


def test_the_files_that_are_put_in_place_are_those_that_come_with_it():
    text = "".join(block("docs/deployment.md", each) for each in CHANGING["docs/deployment.md"])
    text += block("docs/how-to/release.md", "pip install")
    text += block("docs/write-once.md", "install -m")
    named = set(re.findall(r"(?<![\w/.:-])(?:etc/deploy/)?([\w-]+\.(?:txt|service))\b", text))
    assert named == {path.name for path in (ROOT / "etc" / "deploy").iterdir()} & named
    assert len(named) == 4
    assert (ROOT / "etc" / "deploy" / "Containerfile").exists()


SHELL = [each for each in listed() if each.kind in {"", "sh"}]


def test_a_shell_can_read_each_line_that_is_typed():
    typed = [
        line
        for each in SHELL
        for line in [each.text]
        if re.match(r"(?:[\w./-]+/)?(?:jitgate|curl|pip|kubectl|sudo|install|export|umask) ", line)
        or line.startswith(("#!/bin/sh", "useradd", "python -", "("))
    ]
    assert len(typed) > 40
    for text in typed:
        done = subprocess.run(
            ["bash", "-n"], input=text, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, ""), text
