"""The docs' examples, for tests that run them as they stand.

A page is named as from the root of the project. What a test changes in an example before it runs
it (a host, a folder) stands in the test.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jitgate.cli import main

ROOT = Path(__file__).parents[2]
PAGES = [
    page
    for page in (ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md")))
    if not {"decisions", "reference", "changes"} & set(page.relative_to(ROOT).parts)
]
"""Those that people read from the top; the reference is made of the code."""

CODE = re.compile(
    r"^(?P<by> *)```(?P<kind>\w*)\n(?P<fenced>.*?)^(?P=by)```$"
    r"|(?<=\n\n)(?P<indented>(?: {4}[^\n]*\n|\n(?= {4}))+)",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """An example; ``kind`` is what stands behind its fence, an empty text if it has none."""

    page: str
    kind: str
    text: str

    @property
    def first(self) -> str:
        """Its first line."""
        return self.text.partition("\n")[0]


@cache
def blocks(page: str) -> tuple[Block, ...]:
    """All examples of a page."""
    found = CODE.finditer((ROOT / page).read_text())
    return tuple(
        Block(page, each["kind"] or "", textwrap.dedent(each["fenced"] or each["indented"]))
        for each in found
    )


def block(page: str, begins: str) -> str:
    """The text of the one example that begins so."""
    (found,) = (each.text for each in blocks(page) if each.text.startswith(begins))
    return found


def span(page: str, begins: str) -> str:
    """What stands between backticks in a sentence, and begins so; the first of them."""
    text = CODE.sub("", (ROOT / page).read_text())
    spans: list[str] = re.findall("`([^`\n]*)`", text)
    return next(each for each in spans if each.startswith(begins))


def steps(text: str) -> list[tuple[str, str]]:
    """Each command behind a prompt, with what it is said to print."""
    found = (each.partition("\n") for each in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:])
    return [(command, printed) for command, _, printed in found]


def commands(text: str) -> list[str]:
    """Each line to be typed, without what is said of it behind a ``#``."""
    joined = text.replace("\\\n", " ").splitlines()
    return [line for each in joined if (line := re.sub(r"\s+# .*$", "", each).strip())]


def differs(expected: str, said: str, never_the_same: str = r"(?!)") -> str | None:
    """What is said, unless it is what is expected.

    A line of ``...`` stands for any lines, and ``...`` in a line for anything in it, blanks for
    any number of them. ``never_the_same`` is what differs each time.
    """

    def alike(text: str) -> str:
        return re.sub(r" +", " ", re.sub(never_the_same, "0", text)).rstrip()

    pattern = re.escape(alike(expected))
    pattern = re.sub(r"(?m)^\\\.\\\.\\\.\\?\n", r"(?:.*\n)*?", pattern)
    pattern = re.sub(r"\\\.\\\.\\\.|…", ".*?", pattern)
    return None if re.fullmatch(pattern, alike(said)) else said


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


def typed(command: str, folder: Path, env: Mapping[str, str] | None = None) -> Done:
    """A line that is typed in a folder. One of jitgate's alone runs in this process: it is quick.

    ``<`` and ``>`` lead to files, as in a shell.
    """
    words = shlex.split(command)
    if words[0] != "jitgate" or {"|", "&&", ";"} & set(words):
        return shell(command, folder, env)
    into, given = _taken(words, ">"), _taken(words, "<")
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    kept = (Path.cwd(), dict(os.environ), sys.stdin)
    os.chdir(folder)
    os.environ.update({"COLUMNS": "160", **(env or {})})
    try:
        with (
            Path(given or os.devnull).open() as sys.stdin,
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            code = main(words[1:])
    except SystemExit as ended:
        code = int(ended.code or 0)
    finally:
        os.chdir(kept[0])
        os.environ.clear()
        os.environ.update(kept[1])
        sys.stdin = kept[2]
    said, wrong = (each.buffer.getvalue().decode() for each in (out, err))
    if into:
        (folder / into).write_text(said)
    return Done(code, "" if into else said, wrong)


def _taken(words: list[str], sign: str) -> str | None:
    if sign not in words:
        return None
    at = words.index(sign)
    _, file = words.pop(at), words.pop(at)
    return file


def shell(command: str, folder: Path, env: Mapping[str, str] | None = None) -> Done:
    """What a shell does, for which ``jitgate`` and ``python`` are those that run this test."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={**os.environ, "PATH": path, "COLUMNS": "160", **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def listed() -> Iterator[Block]:
    """Every example of every page."""
    for page in PAGES:
        yield from blocks(str(page.relative_to(ROOT)))
