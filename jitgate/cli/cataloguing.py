"""Brings descriptions of APIs into catalogs, and shows what catalogs hold."""

from __future__ import annotations

import argparse
import difflib
import io
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from jitgate.catalogs.description import read_description
from jitgate.catalogs.okta import oauth_rows, okta_rows
from jitgate.catalogs.openapi import imported
from jitgate.catalogs.revision import revised
from jitgate.catalogs.table import parameters_of, read_file, written
from jitgate.cli.catalog_words import as_json, summary
from jitgate.cli.columns import table
from jitgate.cli.configured import configuration
from jitgate.config import schema
from jitgate.config.reading import near
from jitgate.core.catalog import CatalogRow
from jitgate.core.globs import globs_matcher
from jitgate.core.visible import visible
from jitgate.errors import ConfigurationInvalid

FILE = "etc/jitgate.yaml"
"""The configuration where none is named."""


def bring_in(arguments: argparse.Namespace) -> int:
    """Say what a description changes in a target's catalog, or write it."""
    _show_anything()
    target = _target(arguments)
    file = _file(arguments, target)
    present = read_file(file) if file is not None and file.exists() else ()
    hosts = () if target is None else target.hosts
    made = imported(
        read_description(arguments.file),
        prefix=arguments.prefix,
        hosts={*(host.rpartition(":")[0] for host in hosts), *map(str.lower, arguments.host)},
        present=present,
    )
    revision = revised(present, made.rows)
    before, after = written(present) if present else "", written(revision.rows)
    name = f"{file or arguments.target + '.csv'}"
    if arguments.json:
        print(json.dumps(as_json(made, revision), indent=2))
    else:
        for line in _diff(before, after, name):
            print(visible(line))
        sys.stdout.flush()
        for line in summary(made, revision):
            print(visible(line), file=sys.stderr)
    if not (revision.added or revision.removed or revision.changed):
        return 0
    if not arguments.write:
        return 1
    if file is None:
        raise ConfigurationInvalid(
            [f"The target {arguments.target} has no catalog of its own: name a file by --out."]
        )
    _write(file, after)
    return 0


def show(arguments: argparse.Namespace) -> int:
    """Show the operations of catalogs."""
    _show_anything()
    rows = list(_shown(arguments))
    if arguments.json:
        print(json.dumps([_as_json(name, row) for name, row in rows], indent=2))
    elif rows:
        head = ("METHOD", "PATH", "OPERATION", "RISK", "SCOPES", "PARAMETERS", "SECRETS")
        for line in table([head, *(_cells(row) for _, row in rows)]):
            print(line)
    else:
        print("There is no such operation.", file=sys.stderr)
    return 0 if rows else 1


# --- what it is about


def _target(arguments: argparse.Namespace) -> schema.Target | None:
    """The target that is meant; None where a file is named, and no configuration is."""
    if arguments.config is None and arguments.out is not None:
        return None  # its name may be in no configuration yet
    file = arguments.config or Path(os.environ.get("JITGATE_CONFIG", FILE))
    return _named(configuration(file).settings, arguments.target)


def _named(settings: schema.Settings, name: str) -> schema.Target:
    """Raises `ConfigurationInvalid` where there is none of that name."""
    named = {target.name: target for target in settings.targets}
    if name not in named:
        meant = near(name, named) or "."
        raise ConfigurationInvalid([f"No target is configured by the name {name!r}{meant}"])
    return named[name]


def _file(arguments: argparse.Namespace, target: schema.Target | None) -> Path | None:
    """The catalog that is looked at and written; None where the target has none of its own."""
    if arguments.out is not None:
        return Path(arguments.out)
    own = None if target is None else target.catalog
    return own if isinstance(own, Path) else None


def _shown(arguments: argparse.Namespace) -> Iterator[tuple[str | None, CatalogRow]]:
    """Each row that is asked for, with the target that it is of."""
    words = list(arguments.words)
    file = Path(words.pop(0)) if words and words[0].endswith(".csv") else None
    if len(words) > 1 or (file is not None and arguments.target is not None):
        raise ConfigurationInvalid(["One catalog and one pattern were expected; see --help."])
    matches = globs_matcher(words or ["*"])
    for name, rows in _catalogs(file, arguments).items():
        for row in sorted(rows, key=lambda each: (each.template, each.method)):
            if matches(row.action) or matches(row.template):
                yield name, row


def _catalogs(
    file: Path | None, arguments: argparse.Namespace
) -> Mapping[str | None, Iterable[CatalogRow]]:
    if file is not None:
        return {None: read_file(file)}
    config = arguments.config or Path(os.environ.get("JITGATE_CONFIG", FILE))
    settings = configuration(config).settings
    targets = settings.targets
    if arguments.target is not None:
        targets = (_named(settings, arguments.target),)
    return {target.name: _rows(target) for target in targets}


def _rows(target: schema.Target) -> Iterable[CatalogRow]:
    if target.catalog == "none" or isinstance(target.catalog, schema.FromPlugin):
        return ()  # a plugin's catalog has no rows: `jitgate plugins` tells of it
    if target.catalog == "okta":
        return (*okta_rows(), *oauth_rows())
    return read_file(Path(target.catalog))


# --- how it is shown


def _cells(row: CatalogRow) -> list[str]:
    cells = [
        row.method,
        row.template,
        row.action,
        "" if row.risk is None else row.risk.value,
        " ".join(row.scopes),
        " ".join(parameters_of(row)),
        " ".join(sorted(row.secrets)),
    ]
    return [visible(cell) or "-" for cell in cells]


def _as_json(target: str | None, row: CatalogRow) -> dict[str, Any]:
    return {
        "target": target,
        "method": row.method,
        "path": row.template,
        "operation": row.action,
        "risk": None if row.risk is None else row.risk.value,
        "scopes": list(row.scopes),
        "parameters": parameters_of(row),
        "body": "json" if row.json else None,
        "secrets": sorted(row.secrets),
    }


def _diff(before: str, after: str, name: str) -> Iterator[str]:
    """How the file would change; its lines end where they end in it."""
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), name, f"{name} (proposed)", lineterm=""
    )
    yield from lines


def _show_anything() -> None:
    """Whatever names hold, they are shown."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _write(file: Path, text: str) -> None:
    """Put a whole file in the place of another, so that a gateway never reads a half one."""
    place = file.resolve()
    handle, made = tempfile.mkstemp(prefix=f".{place.name}-", dir=place.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as opened:
            opened.write(text)
        mode = place.stat().st_mode & 0o7777 if place.exists() else 0o644
        Path(made).chmod(mode)
        Path(made).replace(place)
    except BaseException:
        with suppress(OSError):
            Path(made).unlink()
        raise
