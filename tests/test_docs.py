"""What the docs say exists, exists."""

from __future__ import annotations

import ast
import re
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "jitgate"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
INVARIANTS = (ROOT / "docs" / "invariants.md").read_text()


def test_every_test_that_an_invariant_names_exists():
    named = set(re.findall(r"(tests/[\w/]+\.py)(?:::(Test\w+))?(?:::(\w+))?", INVARIANTS))
    assert len(named) > 50
    suites = "".join(file.read_text() for file in (ROOT / "jitgate" / "testing").glob("*.py"))
    for file, suite, name in named:
        text = (ROOT / file).read_text()
        assert not suite or f"class {suite}(" in text, f"{file}::{suite}"
        inherited = suites if suite else ""
        assert not name or f"def {name}(" in text + inherited, f"{file}::{name}"


THREATS = (ROOT / "docs" / "threat-model.md").read_text()
ANSWERS = re.findall(r"^### (\d+)\. (.*?)\n(.*?)(?=^##|\Z)", THREATS, re.MULTILINE | re.DOTALL)


def test_each_threat_has_one_answer_by_modules_and_tests_that_exist():
    assert sorted(int(number) for number, *_ in ANSWERS) == list(range(1, len(ANSWERS) + 1))
    assert len(ANSWERS) == 45
    for number, title, answer in ANSWERS:
        held, tests = answer.partition("\nHeld by ")[2].split("\n", 1)
        modules = re.findall(r"`([\w/.]+/[\w.]*|\w+\.py)`", held)
        assert modules, f"{number}. {title}"
        lost = [
            each for each in modules if not ((PACKAGE / each).exists() or (ROOT / each).exists())
        ]
        assert lost == [], f"{number}. {title}"
        assert re.findall(r"^- `(tests/[\w/]+\.py::\w+)`$", tests, re.MULTILINE), title


def test_every_test_that_a_threat_names_is_one_that_runs():
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", THREATS)
    assert len(named) > 150
    assert [f"{file}::{name}" for file, name in named if name not in collected(file)] == []


@cache
def collected(file):
    """The tests that pytest finds in a file: functions of that name, not within others."""
    assert re.fullmatch(r"test_\w+\.py", Path(file).name), file
    tree = ast.parse((ROOT / file).read_text())
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {
        each.name
        for each in tree.body
        if isinstance(each, functions) and each.name.startswith("test_")
    }


def test_every_guard_that_is_tried_stands_among_the_invariants():
    with (ROOT / ".ci" / "guards.toml").open("rb") as file:
        tests = {guard["test"] for guard in tomllib.load(file)["guard"]}
    assert [test for test in sorted(tests) if test not in INVARIANTS] == []


def test_every_guard_stands_once_in_its_file():
    with (ROOT / ".ci" / "guards.toml").open("rb") as file:
        guards = tomllib.load(file)["guard"]
    lost = [each for each in guards if (ROOT / each["file"]).read_text().count(each["text"]) != 1]
    assert [each["invariant"] for each in lost] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    # A fragment of a change will stand in the changelog.
    place = ROOT if page.name.startswith("+") else page.parent
    for target, anchor in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", page.read_text()):
        if not target.startswith(("https://", "http://")):
            there = place / target if target else page
            assert there.exists(), target
            assert not anchor or anchor in anchors(there), f"{target}#{anchor}"


@cache
def anchors(page):
    """The headings of a page, as links name them."""
    plain = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    named = [
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall("^#+ (.*)$", plain, re.MULTILINE)
    ]
    # The second of one name, and whatever follows, has its number.
    return {f"{each}-{nth}" if nth else each for each in named for nth in range(named.count(each))}


def test_the_map_leads_to_every_page():
    """What no page of the map leads to, a stranger does not find."""
    mapped = (ROOT / "docs" / "README.md").read_text()
    led = set(re.findall(r"\]\(([\w/.-]+\.md)", mapped))
    pages = {
        str(page.relative_to(ROOT / "docs")) for page in PAGES if ROOT / "docs" in page.parents
    }
    apart = {page for page in pages if re.match(r"decisions/\d|changes/|README", page)}
    assert pages - apart - led == set()
