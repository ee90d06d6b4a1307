"""What a release stands on: the lock, the licences, the fragments of changes."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from importlib.metadata import requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
with (ROOT / "pyproject.toml").open("rb") as opened:
    PROJECT = tomllib.load(opened)


@pytest.fixture(scope="module")
def dependencies():
    """`.ci/make_dependencies.py`."""
    spec = importlib.util.spec_from_file_location("made", ROOT / ".ci" / "make_dependencies.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def plain(name):
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", name)[0]).lower()


def needed(requirements):
    """Those that are needed at all, with or without conditions of the system; no extras."""
    return {plain(each) for each in requirements or () if "extra ==" not in each}


def test_the_lock_pins_every_dependency_by_hash(dependencies):
    direct = PROJECT["project"]["dependencies"]
    extras = PROJECT["project"]["optional-dependencies"]
    for name, wanted in (
        ("requirements.txt", direct),
        ("requirements-extras.txt", [*direct, *extras["postgres"], *extras["s3"]]),
    ):
        pinned = dependencies.locked(name)
        assert needed(wanted) <= set(pinned)
        blocks = re.findall(
            r"^([\w.-]+)\S*(.*?)(?=^\w|\Z)",
            (ROOT / "etc" / "deploy" / name).read_text(),
            re.MULTILINE | re.DOTALL,
        )
        assert {block for block, _ in blocks} == set(pinned)
        assert [block for block, rest in blocks if "--hash=sha256:" not in rest] == []


def test_the_lock_has_what_is_allowed(dependencies):
    pinned = dependencies.locked("requirements.txt")
    for each in map(Requirement, PROJECT["project"]["dependencies"]):
        assert each.specifier.contains(pinned[plain(each.name)]), each
        assert any(bound.operator == ">=" for bound in each.specifier), f"{each} has no lower bound"


def test_the_lock_is_closed(dependencies):
    for name in ("requirements.txt", "requirements-extras.txt"):
        pinned = dependencies.locked(name)
        elsewhere = {"colorama", "pywin32", "typing-extensions", "importlib-metadata"}
        for each in pinned:
            assert needed_here(each) <= set(pinned) | elsewhere, each


def needed_here(package):
    """What the installed package needs on this system."""
    conditional = re.compile(
        r";.*(python_version|python_full_version|sys_platform|os_name|platform)"
    )
    return needed(each for each in requires(package) or () if not conditional.search(each))


def test_every_dependency_has_a_licence_that_may_be(dependencies):
    # What the tests' own packages hold back is another version, whose licence may differ.
    told, here = dependencies.PAGE.read_text(), dependencies.made()
    for row, made in zip(told.splitlines(), here.splitlines(), strict=True):
        found = re.match(r"\| ([\w.-]+) \| (\d[\w.]*) \|", row)
        if found is None or version(found[1]) == found[2]:
            assert row == made
        else:
            assert made.startswith(found[0])
    for package, licence in re.findall(
        r"^\| ([\w.-]+) \| \d[\w.]* \| ([^|]+) \|", told, re.MULTILINE
    ):
        assert dependencies.is_fine(package, licence), package
    assert dependencies.is_fine("x", "MPL-2.0 AND (Apache-2.0 OR MIT)")
    for package, licence in (("x", "GPL-3.0-only"), ("x", "LGPL-3.0-only"), ("x", "not stated")):
        assert not dependencies.is_fine(package, licence)


def test_every_fragment_of_a_change_is_one_that_a_release_takes():
    kinds = {each["directory"] for each in PROJECT["tool"]["towncrier"]["type"]}
    for file in (ROOT / PROJECT["tool"]["towncrier"]["directory"]).iterdir():
        if file.name != "README.md":
            assert re.fullmatch(rf"\+[a-z0-9-]+\.({'|'.join(kinds)})\.md", file.name), file.name
            assert file.read_text().strip(), file.name
    marker = PROJECT["tool"]["towncrier"]["start_string"]
    assert (ROOT / "CHANGELOG.md").read_text().count(marker) == 1


def test_the_version_is_semantic():
    assert re.fullmatch(r"\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?", PROJECT["project"]["version"])
