"""What the docs say exists, exists."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from jitgate.config import load
from jitgate.config.believing import trust_of

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
INVARIANTS = (ROOT / "docs" / "invariants.md").read_text()


def test_every_test_that_an_invariant_names_exists():
    named = set(re.findall(r"(tests/[\w/]+\.py)(?:::(\w+))?", INVARIANTS))
    assert len(named) > 50
    for file, name in named:
        text = (ROOT / file).read_text()
        assert not name or f"def {name}(" in text, f"{file}::{name}"


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


ENTRIES = [
    pytest.param(block, id=f"{page.stem}-{number}")
    for page in sorted((ROOT / "docs" / "identity").glob("*.md"))
    for number, block in enumerate(
        re.findall(r"^```yaml\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    )
]
AROUND = """
state: ./var
targets:
  - {name: api, hosts: [api.example], catalog: none, credential: {type: none}}
policy: [./policy.yaml]
"""


@pytest.mark.parametrize("entry", ENTRIES)
def test_every_issuer_that_is_documented_can_be_configured(entry, tmp_path):
    (tmp_path / "policy.yaml").write_text("[]")
    file = tmp_path / "jitgate.yaml"
    file.write_text(entry + AROUND)
    (issuer,) = load(file).settings.identity.issuers
    trust = trust_of(issuer)
    assert trust.issuer == issuer.issuer
    assert trust.required, "whoever else gets tokens there would be let in"


def test_every_page_about_an_issuer_shows_an_entry():
    shown = {entry.id.rpartition("-")[0] for entry in ENTRIES}
    pages = {page.stem for page in (ROOT / "docs" / "identity").glob("*.md")}
    assert shown == pages == {"okta", "entra", "github-actions", "kubernetes", "others"}
    assert len(ENTRIES) == 9
