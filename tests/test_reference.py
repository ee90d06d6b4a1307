"""The reference in docs/ is what the models, the parsers and the ports say now."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SPEC = importlib.util.spec_from_file_location("reference", ROOT / ".ci" / "make_reference.py")
MADE = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(MADE)


@pytest.mark.parametrize("page", MADE.MADE)
def test_a_page_is_what_would_be_made_now(page, monkeypatch):
    monkeypatch.setenv("COLUMNS", "96")
    now = MADE.MADE[page]()
    assert (ROOT / "docs" / "reference" / page).read_text() == now, "run .ci/make_reference.py"


def test_every_heading_that_it_leads_to_is_there():
    there = {
        MADE._anchor(each)
        for each in re.findall(
            "^#+ (.*)$", (ROOT / "docs" / "configuration.md").read_text(), re.MULTILINE
        )
    }
    led = re.findall(r"configuration\.md#([\w-]+)", MADE.configuration())
    assert len(led) > 30
    assert set(led) <= there


def test_every_key_of_every_section_is_told():
    told = MADE.configuration()
    sections = [each for each in MADE._all(MADE.Section) if each.__module__ in TOLD]
    assert len(sections) > 40
    for section in sections:
        for name, field in section.model_fields.items():
            said = f"\n| `{field.alias or name}` |" in told
            assert said or section.__name__ == "Configuration", f"{section.__name__}.{name}"


TOLD = {
    "jitgate.config.schema",
    *(f"jitgate.config.{each.stem}" for each in (ROOT / "jitgate" / "config").glob("*_schema.py")),
}
