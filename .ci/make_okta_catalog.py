"""Make `jitgate/catalogs/okta.csv` from a table of Okta's management operations.

    python .ci/make_okta_catalog.py SOURCE.csv > jitgate/catalogs/okta.csv

The source has one line for each operation of the published OpenAPI file: method, path,
operationId, tag, oauth_scopes (separated by spaces) and secret_props_reachable_in_2xx (the text of
a Python list). Only facts are taken over: the tag is not.
"""

from __future__ import annotations

import ast
import csv
import sys
from collections.abc import Mapping
from pathlib import Path

COLUMNS = ("method", "path", "operation", "risk", "scopes", "parameters", "body", "secrets")


def catalog_line(source: Mapping[str, str]) -> tuple[str, ...]:
    """One operation as the data file has it; lists are sorted and separated by spaces."""
    secrets = ast.literal_eval(source["secret_props_reachable_in_2xx"] or "[]")
    return (
        source["method"],
        source["path"],
        source["operationId"],
        "",
        " ".join(sorted(source["oauth_scopes"].split())),
        "",
        "",
        " ".join(sorted(secrets)),
    )


def main(source: str) -> None:
    """Write the data file to standard output, in the order of path and method."""
    with Path(source).open(encoding="utf-8", newline="") as file:
        lines = [catalog_line(row) for row in csv.DictReader(file, strict=True)]
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(sorted(lines, key=lambda line: (line[1], line[0])))


if __name__ == "__main__":
    main(sys.argv[1])
