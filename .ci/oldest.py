"""Says what to install to try the oldest dependencies that pyproject.toml allows.

Words of ``pip install``, one a line: each dependency at its lower bound, and what the tests of the
quick part need.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SDKS = {"okta", "pygithub", "msgraph-sdk"}
"""What agents use, in tests/real: they need newer libraries than the gateway does."""


def name_of(requirement: str) -> str:
    """The distribution that a requirement is for."""
    found = re.match(r"[\w.-]+", requirement)
    return found[0].lower() if found else ""


def main() -> None:
    """Print them."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    for each in project["dependencies"]:
        print(each.replace(">=", "=="))
    ours = {name_of(each) for each in project["dependencies"]}
    for each in project["optional-dependencies"]["test"]:
        if name_of(each) not in SDKS | ours:
            print(each)


main()
