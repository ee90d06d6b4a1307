"""Makes docs/reference/dependencies.md: what the gateway runs with, and under which licences.

Names and versions are those of the locks in etc/deploy, licences those that the installed
packages state. Run in an environment that has them: ``python .ci/make_dependencies.py``.
"""

from __future__ import annotations

import re
from importlib.metadata import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reference" / "dependencies.md"
LOCKS = ROOT / "etc" / "deploy"

SPDX = {
    "MIT License": "MIT",
    "BSD License": "BSD-3-Clause",
    "Apache License 2.0": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "Dual License": "Apache-2.0 OR BSD-3-Clause",
}
"""What packages call a licence whose name they do not write as an SPDX expression."""

MAY_BE = {"MIT", "MIT-0", "BSD-2-Clause", "BSD-3-Clause", "Apache-2.0", "MPL-2.0", "PSF-2.0", "ISC"}
EXCEPTIONS = {
    "zope-interface": "ZPL-2.1",
    "psycopg": "LGPL-3.0-only",
    "psycopg-binary": "LGPL-3.0-only",
}
"""Licences that one package may have: docs/decisions/0014-licences.md says why."""

HEAD = """# What it runs with

Made by `.ci/make_dependencies.py`; do not edit. Every package that a service needs, at the version
of the [lock](../../etc/deploy/requirements.txt), with the licence that its own metadata states. The
last column names the extra that brings it; without one it always comes. Which libraries were chosen
and why is told in [0022](../decisions/0022-libraries.md), which licences may be in
[0014](../decisions/0014-licences.md).

Beside MIT, BSD, Apache, MPL, PSF and ISC there are two exceptions: zope-interface is under the ZPL,
which is a BSD licence with a clause about the name, and psycopg under the LGPL, which nobody gets
unasked.

| package | version | licence | extra |
|---|---|---|---|
"""


def locked(name: str) -> dict[str, str]:
    """The versions that a lock pins, by package."""
    text = (LOCKS / name).read_text()
    return dict(re.findall(r"^([\w.-]+)(?:\[\w+\])?==([\w.]+)", text, re.MULTILINE))


def licence_of(package: str) -> str:
    """What an installed package says of its licence, as SPDX would write it."""
    said = metadata(package)
    for stated in (said.get("License-Expression"), said.get("License")):
        if stated and "\n" not in stated:
            return SPDX.get(stated, stated)
    classes = [each.rpartition(" :: ")[2] for each in said.get_all("Classifier") or ()]
    return next((SPDX[each] for each in classes if each in SPDX), "not stated")


def is_fine(package: str, licence: str) -> bool:
    """Whether the package may be among what is run."""
    words = set(re.findall(r"[\w.-]+", licence)) - {"AND", "OR"}
    return licence == EXCEPTIONS.get(package) or words <= MAY_BE


def made() -> str:
    """The page. Raises ValueError for a licence that may not be."""
    always, all_of_it = locked("requirements.txt"), locked("requirements-extras.txt")
    rows = []
    for package, version in sorted(all_of_it.items()):
        licence = licence_of(package)
        if not is_fine(package, licence):
            raise ValueError(f"{package} is under {licence}: see docs/decisions/0014-licences.md")
        extra = "" if package in always else "`postgres`" if "psycopg" in package else "`s3`"
        rows.append(f"| {package} | {version} | {licence} | {extra} |\n")
    return HEAD + "".join(rows)


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(made())
