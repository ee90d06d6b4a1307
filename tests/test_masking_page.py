"""What docs/masking.md promises, and what it says is not promised, is so: its examples are run."""

from __future__ import annotations

import json
import re
from pathlib import Path

from ruamel.yaml import YAML
from support.offline import Laptop, rule

from jitgate.cli import main

PAGE = Path(__file__).parents[1] / "docs" / "masking.md"
BLOCKS = re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)


def test_every_example_comes_out_as_the_page_says(tmp_path, capsys):
    laptop, profiles = Laptop(tmp_path), []
    laptop.policy(rule("reads", "permit", actions=["listUsers"]))
    files = []
    for number, block in enumerate(BLOCKS):
        if "response:" in block:
            files.append(tmp_path / f"{number}.yaml")
            files[-1].write_text(block)
        else:
            profiles += YAML(typ="safe", pure=True).load(block)
    laptop.masking(profiles)
    code = main(["mask", "test", "--strict", "--config", str(laptop.config), *map(str, files)])
    said = capsys.readouterr()
    assert (code, said.err) == (0, ""), said.out
    assert int(said.out.split()[0]) > 25


def test_every_part_of_the_promise_has_examples():
    promise = PAGE.read_text().partition("## What is promised\n")[2].partition("\n## ")[0]
    _, *parts = promise.split("\n### ")
    assert len(parts) == 4
    assert all(part.count("- name: ") >= 3 for part in parts), json.dumps(parts)


def test_the_page_says_each_thing_once():
    text = PAGE.read_text()
    lines = [line for line in text.splitlines() if len(line) > 80]
    assert len(lines) == len(set(lines))
    headings = re.findall("^##+ .*$", text, re.MULTILINE)
    assert len(headings) == len(set(headings))
    assert "\n\n\n" not in text
