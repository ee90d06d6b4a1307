"""`jitgate verify`: checks recordings, and says so as it goes."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
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
    key = public_key(arguments)
    checkpoint = _kept(arguments.checkpoint) if arguments.checkpoint else None
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
    for step in checks(folder, key, checkpoint, now=time.time):
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


@dataclass(frozen=True, slots=True)
class Verified:
    """What `verify` found in one recording, for whoever shows it."""

    key: VerifierKey
    key_from: Path
    checkpoint_from: Path | None
    findings: Sequence[Finding]
    report: Report

    @property
    def code(self) -> int:
        """What `verify` would exit with."""
        return exit_code(self.report, allow_unwitnessed=False)


def verified(arguments: argparse.Namespace, folder: Path) -> Verified | None:
    """Check one recording silently; None where no key is given. It is never the recording's."""
    key_from = _key_file(arguments)
    if key_from is None:
        return None
    key = read_key(key_from)
    checkpoint = _kept(arguments.checkpoint) if arguments.checkpoint else None
    findings, report = _checked(folder, key, checkpoint, silent=True)
    return Verified(key, key_from, arguments.checkpoint, findings, report)


def _keep_silent(_line: str) -> None:
    """In place of `print` where a program reads the answer."""


def public_key(arguments: argparse.Namespace) -> VerifierKey:
    """The key that `--key` or `--config` names; raises `StateUnusable`."""
    path = _key_file(arguments)
    if path is None:
        raise StateUnusable(
            "Give the public key with --key FILE, or the configuration with --config FILE: "
            "it is never taken from the recording."
        )
    return read_key(path)


def _key_file(arguments: argparse.Namespace) -> Path | None:
    path: Path | None = arguments.key
    if path is None and arguments.config is not None:
        return Path(configuration(arguments.config).state / VKEY)
    return path


def read_key(path: Path) -> VerifierKey:
    """The public key in a file; raises `StateUnusable`."""
    try:
        return VerifierKey.parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StateUnusable(
            f"The public key {path} cannot be read ({error.strerror}): name the {VKEY} that you "
            "got when the gateway was set up."
        ) from None
    except (NoteInvalid, UnicodeDecodeError) as error:
        raise StateUnusable(f"{path} does not hold a public key: {error}.") from None


def _kept(path: Path) -> bytes:
    """The checkpoint in a file; raises `StateUnusable`.

    Whoever takes one file for the other is told that, and not that somebody tampered with it.
    """
    try:
        note = path.read_bytes()
    except OSError as error:
        raise StateUnusable(
            f"The checkpoint {path} cannot be read ({error.strerror}): name the note that was kept."
        ) from None
    try:
        VerifierKey.parse(note.decode("utf-8"))
    except (NoteInvalid, UnicodeDecodeError):
        return note
    raise StateUnusable(
        f"{path} holds a public key and no checkpoint: the key is for --key, and the file that was "
        "kept, of three lines and a signature, for --checkpoint."
    )


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
