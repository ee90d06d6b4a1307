"""What the docs say exists, exists."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
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
    for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
        if not target.startswith("https://"):
            assert (page.parent / target).exists(), target
