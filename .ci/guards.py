"""Removes the line that guards each invariant, one at a time, and shows that its test goes red.

The guards stand in guards.toml. Run from a checkout, in an environment that has the tests'
dependencies: ``python .ci/guards.py [WORD]`` (WORD picks guards).

Each guard is tried in a copy of the tree and in a process of its own. Most of what such a process
would do is to import what no guard changes, so it is forked from one that has imported that.
"""

from __future__ import annotations

import compileall
import multiprocessing
import os
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("jitgate", "tests", "etc", "plugins", "pyproject.toml")
TOGETHER = 2
"""Guards tried at once: as many as the smallest machine has processors."""
PATIENCE = 300
"""Seconds that a guard's test may take."""
IMPORTED = (
    "pytest",
    "hypothesis.strategies",
    "hypothesis.stateful",
    "hypothesis.internal.conjecture.shrinker",
    "twisted.internet.ssl",
    "twisted.internet.tcp",
    "twisted.internet.unix",
    "twisted.internet.endpoints",
    "twisted.internet.process",
    "twisted.internet.epollreactor",
    "twisted.web.client",
    "twisted.web.server",
    "treq",
    "jwt",
    "lxml.etree",
    "signxml.verifier",
    "anyio._backends._asyncio",
    "pydantic.main",
    "pydantic.type_adapter",
    "ruamel.yaml",
    "httptools",
    "orjson",
    "zstandard",
    "sqlite3",
    "psycopg",
    "cel_expr_python.cel",
)
"""What the tests import and no guard changes. Neither jitgate nor a reactor: each has its own."""
LATE = ("-W", "ignore::pytest.PytestAssertRewriteWarning")
"""pytest would have looked at its plugins' own assertions, but they are imported already."""
RED, OTHER = 10, 11
"""What a guard's process ends with when a test failed, and when none did, or none was found.

Neither is 1, which a process ends with that pytest-timeout gave up: a test that goes red only by
waiting for ever costs two minutes, and is to be written so that it does not.
"""
FORKED = multiprocessing.get_context("forkserver")


@dataclass(frozen=True)
class Guard:
    """One line that an invariant hangs on."""

    invariant: str
    file: str
    text: str
    instead: str
    test: str


def guards() -> list[Guard]:
    """Every guard that .ci/guards.toml lists."""
    with Path(__file__).with_suffix(".toml").open("rb") as file:
        return [Guard(**each) for each in tomllib.load(file)["guard"]]


def main(words: Sequence[str]) -> int:
    """Try every guard; returns 1 if one could be removed without a test going red."""
    chosen = [guard for guard in guards() if all(word in guard.invariant for word in words)]
    FORKED.set_forkserver_preload(list(IMPORTED))
    with (
        tempfile.TemporaryDirectory(prefix="guards-") as folder,
        ThreadPoolExecutor(TOGETHER) as pool,
    ):
        tree = Path(folder)
        for name in COPIED:
            _copy(ROOT / name, tree / name)
        _compile(tree, {guard.test.partition("::")[0] for guard in chosen})
        results = list(pool.map(partial(_tried, tree), chosen))
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
    return 0 if all(results) else 1


def _compile(tree: Path, files: Collection[str]) -> None:
    """Leave everything compiled, so that no guard's process has to do it again."""
    compileall.compile_dir(tree / "jitgate", quiet=1)
    # What pytest makes of the tests can be had by collecting them only.
    process = FORKED.Process(
        target=_test, args=(tree, Path(os.devnull), ["--collect-only", *sorted(files)])
    )
    process.start()
    process.join()


def _tried(tree: Path, guard: Guard) -> bool:
    with tempfile.TemporaryDirectory(prefix="guard-") as folder:
        copy, log = Path(folder, "copy"), Path(folder, "log")
        # With the times of the files, so that what is compiled already counts, the one file apart.
        shutil.copytree(tree, copy, copy_function=os.link)
        file = copy / guard.file
        text = file.read_text()
        if text.count(guard.text) != 1:
            return _said(guard, good=False, why=f"does not stand once in {guard.file}")
        file.unlink()  # all others are the same files as in every copy
        file.write_text(text.replace(guard.text, guard.instead))
        process = FORKED.Process(target=_test, args=(copy, log, [guard.test]))
        process.start()
        process.join(PATIENCE)
        process.kill()
        process.join()
        tail = log.read_text()[-300:]
    return _said(guard, good=process.exitcode == RED, why=f"exit code {process.exitcode}: {tail}")


def _test(copy: Path, log: Path, chosen: Sequence[str]) -> None:
    """Run tests in a copy of the tree; what they say goes to ``log``. For a process of its own."""
    with log.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(copy)
    sys.path.insert(0, str(copy))
    sys.dont_write_bytecode = False
    options = ["-q", "-x", "-p", "no:cacheprovider", "--hypothesis-profile=red", *LATE]
    code = pytest.main([*options, *chosen])
    sys.exit(RED if code == pytest.ExitCode.TESTS_FAILED else OTHER)


def _said(guard: Guard, *, good: bool, why: str) -> bool:
    said = f"red as it must be: {guard.invariant}" if good else f"NOT RED: {guard.invariant}: {why}"
    print(said, flush=True)
    return good


def _copy(source: Path, to: Path) -> None:
    if source.is_dir():
        # What is being compiled has such a name for a moment, beside tests that run meanwhile.
        shutil.copytree(source, to, ignore=shutil.ignore_patterns("var", "*.pyc.*"))
    else:
        shutil.copy2(source, to)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
