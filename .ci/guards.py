"""Removes the line that guards each invariant, one at a time, and shows that its test goes red.

The guards stand in guards.toml. Run from a checkout, in an environment that has the tests'
dependencies: ``python .ci/guards.py [WORD]`` (WORD picks guards).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("jitgate", "tests", "etc", "plugins", "pyproject.toml")
TOGETHER = 2
"""Guards tried at once: as many as the smallest machine has processors."""


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
    with ThreadPoolExecutor(TOGETHER) as pool:
        results = list(pool.map(_tried, chosen))
    bad = [said for good, said in results if not good]
    print(f"{len(results) - len(bad)} passed, {len(bad)} failed")
    return 1 if bad else 0


def _tried(guard: Guard) -> tuple[bool, str]:
    with tempfile.TemporaryDirectory(prefix="guard-") as folder:
        copy = Path(folder)
        for name in COPIED:
            _copy(ROOT / name, copy / name)
        file = copy / guard.file
        text = file.read_text()
        if text.count(guard.text) != 1:
            return _said(guard, good=False, why=f"does not stand once in {guard.file}")
        file.write_text(text.replace(guard.text, guard.instead))
        code, tail = _tested(copy, guard.test)
    # 1 is pytest's "tests failed"; anything else says that they did not even run.
    return _said(guard, good=code == 1, why=f"pytest said {code}: {tail}")


def _tested(copy: Path, test: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", test]
    done = subprocess.run(
        command, cwd=copy, capture_output=True, text=True, timeout=300, check=False
    )
    return done.returncode, done.stdout[-300:]


def _said(guard: Guard, *, good: bool, why: str) -> tuple[bool, str]:
    said = f"red as it must be: {guard.invariant}" if good else f"NOT RED: {guard.invariant}: {why}"
    print(said, flush=True)
    return good, said


def _copy(source: Path, to: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, to, ignore=shutil.ignore_patterns("__pycache__", "var"))
    else:
        shutil.copy2(source, to)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
