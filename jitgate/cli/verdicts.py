"""What `jitgate verify` says: for people, for programs, and as an exit code."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jitgate.core.visible import size, visible
from jitgate.stores.findings import Finding, Report, Severity

DAY = 24 * 60 * 60.0

GOOD, TAMPERED, UNCERTAIN = 0, 1, 2
"""Exit codes: all is well, it is not what was written, it cannot be told."""


def exit_code(report: Report, *, allow_unwitnessed: bool) -> int:
    """The answer for one recording."""
    if report.tampered:
        return TAMPERED
    if report.uncertain or not (report.all_witnessed or allow_unwitnessed):
        return UNCERTAIN
    return GOOD


def finding_line(finding: Finding) -> str:
    """One difference in a line."""
    where = visible(finding.file)
    if finding.entry is not None:
        where += f", entry {finding.entry}"
    word = "TAMPERED " if finding.severity is Severity.TAMPERED else "uncertain"
    return f"  {word}   {where}: {visible(finding.what)}"


def report_lines(report: Report) -> Iterator[str]:
    """What was checked, what was not, and the answer."""
    if report.checkpoint is not None:
        head = f"{report.checkpoint.size} entries of the site log of {report.checkpoint.origin}"
        yield f"  checkpoint  {visible(head)}"
        for line in report.checkpoint.extensions:
            yield f"              {visible(line)}"
        if not report.outside:
            yield "              It stood beside the recording, so if all of this is an older copy,"
            yield "              that cannot be seen. Give one kept elsewhere: --checkpoint FILE"
    yield from _key_lines(report)
    covered = report.covered
    entries = _count(covered.entries, "entry", "entries")
    bodies = f"{_count(covered.bodies, 'body', 'bodies')} ({size(covered.body_bytes)})"
    logs = _count(report.logs, "log")
    yield f"  covered     {entries} and {bodies} in {logs} and the site log"
    if report.deleted:
        gone = _count(report.deleted, "entry", "entries")
        segments = _count(report.deleted_segments, "segment")
        yield f"  deleted     {gone} in {segments}, by retention: on record, and their leaves fit."
        yield f"              The youngest was at most {(report.youngest or 0) / DAY:.1f} days old"
    if not report.all_witnessed:
        yield f"  behind it   {_unwitnessed(report)}"
    yield f"  result      {_result(report)}"


def _key_lines(report: Report) -> Iterator[str]:
    """Which key signed what, where there were several."""
    if len(report.keys) < 2:
        return
    begun = 0
    for at, (key, last) in enumerate(report.keys):
        word = "keys      " if at == 0 else " " * 10
        until = "on" if last is None else f"to {last - 1}, then retired"
        yield f"  {word}  {key.id.hex()} signs from entry {begun} {until}"
        begun = last or 0
    if report.is_retired:
        yield "              The key that was given is retired. Whoever has stolen it can show you"
        yield "              a recording without the rotation: get the newest key, and verify by it"


def report_content(folder: Path, report: Report, findings: list[Finding]) -> dict[str, Any]:
    """The same for a program."""
    checkpoint = report.checkpoint
    return {
        "path": str(folder),
        "result": _word(report),
        "checkpoint": None
        if checkpoint is None
        else {
            "origin": checkpoint.origin,
            "size": checkpoint.size,
            "root": checkpoint.root.hex(),
            "outside": report.outside,
            "further": list(checkpoint.extensions),
        },
        "keys": [{"vkey": key.text, "signs_up_to": last} for key, last in report.keys],
        "retired": report.is_retired,
        "logs": report.logs,
        "deleted": {
            "entries": report.deleted,
            "segments": report.deleted_segments,
            "youngest_seconds": report.youngest,
        },
        "covered": asdict(report.covered),
        "unwitnessed": {**asdict(report.unwitnessed), "unfinished_bytes": report.unfinished},
        "findings": [{**asdict(one), "severity": one.severity.value} for one in findings],
    }


def _word(report: Report) -> str:
    if report.tampered:
        return "tampered"
    if report.uncertain:
        return "uncertain"
    return "verified" if report.all_witnessed else "unwitnessed"


def _result(report: Report) -> str:
    if report.tampered:
        return f"TAMPERED: {_count(report.tampered, 'difference')} to what was written and signed"
    if report.uncertain:
        return "It could not be told whether this is what was written."
    if report.all_witnessed and report.deleted:
        return "Verified: every entry and every body that was kept is as it was written."
    if report.all_witnessed:
        return "Verified: every entry and every body is as it was written."
    return "Verified up to the checkpoint. What came after is not yet witnessed by it."


def _unwitnessed(report: Report) -> str:
    after = report.unwitnessed
    said = f"not yet witnessed: {_count(after.entries, 'entry', 'entries')}"
    if after.first is not None:
        said += f", from {after.first} to {after.last}"
    if report.unfinished:
        said += f", and {size(report.unfinished)} of unfinished writing"
    return said


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
