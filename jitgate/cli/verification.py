"""`jitgate verify`: checks recordings, and says so as it goes."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from jitgate.cli.bar import Bar
from jitgate.cli.configured import configuration
from jitgate.cli.verdicts import (
    TAMPERED,
    exit_code,
    finding_line,
    report_content,
    report_lines,
)
from jitgate.core.note import NoteInvalid, VerifierKey
from jitgate.errors import StateUnusable
from jitgate.stores.findings import Finding, Progress, Report
from jitgate.stores.verifying import verify as checks

VKEY = "site.vkey"
"""The file in the state folder that holds the public key of the site log."""


def verify(arguments: argparse.Namespace) -> int:
    """Check every PATH; 0 if all is well, 1 if one was tampered with, 2 if it cannot be told."""
    key = _key(arguments)
    checkpoint = arguments.checkpoint.read_bytes() if arguments.checkpoint else None
    contents, codes = [], []
    for folder in _paths(arguments):
        findings, report = _checked(folder, key, checkpoint, silent=arguments.json)
        codes.append(exit_code(report, allow_unwitnessed=arguments.allow_unwitnessed))
        contents.append(report_content(folder, report, findings))
    if arguments.json:
        print(json.dumps(contents, indent=2))
    return TAMPERED if TAMPERED in codes else max(codes)


def _checked(
    folder: Path, key: VerifierKey, checkpoint: bytes | None, *, silent: bool
) -> tuple[list[Finding], Report]:
    """The findings and the report for one folder, shown as they come up."""
    say = _keep_silent if silent else print
    findings, report, bar = [], Report(), Bar()
    say(str(folder))
    for step in checks(folder, key, checkpoint):
        if isinstance(step, Progress):
            bar.show(step.done, step.total)
            continue
        bar.clear()
        if isinstance(step, Report):
            report = step
        else:
            findings.append(step)
            say(finding_line(step))
    for line in report_lines(report):
        say(line)
    return findings, report


def _keep_silent(_line: str) -> None:
    """In place of `print` where a program reads the answer."""


def _key(arguments: argparse.Namespace) -> VerifierKey:
    path = arguments.key
    if path is None and arguments.config is not None:
        path = configuration(arguments.config).state / VKEY
    if path is None:
        raise StateUnusable(
            "Give the public key with --key FILE, or the configuration with --config FILE: "
            "it is never taken from the recording."
        )
    try:
        return VerifierKey.parse(path.read_text(encoding="utf-8"))
    except (NoteInvalid, UnicodeDecodeError) as error:
        raise StateUnusable(f"{path} does not hold a public key: {error}.") from None


def _paths(arguments: argparse.Namespace) -> list[Path]:
    paths: list[Path] = arguments.paths
    if not paths and arguments.config is not None:
        paths = [configuration(arguments.config).recording.directory]
    if not paths:
        raise StateUnusable(
            "Give the PATH of a recording, or the configuration with --config FILE."
        )
    for path in paths:
        if not path.is_dir():
            raise StateUnusable(f"There is no folder {path}.")
    return paths
