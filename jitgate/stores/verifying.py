"""Verifying a recording: from a signed checkpoint to the site log, to every log, to every byte.

It needs the folder and the public key, only reads, and may run beside a gateway that writes. The
folder is listed before the site log is read, so that what appears meanwhile is no stranger.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from jitgate.core.note import Checkpoint, NoteInvalid, VerifierKey, open_checkpoint
from jitgate.stores.checking import Claims, Content, LogCheck, Step
from jitgate.stores.findings import Finding, Progress, Report, Severity
from jitgate.stores.layout import (
    CHECKPOINTS,
    LOG_NAME,
    LOGS,
    NOTE,
    SITE,
    log_folder,
    log_names,
    note_name,
    numbered,
    size_of,
    strangers,
)

GIVEN = "(the given checkpoint)"
"""Stands for the file where a finding is about a checkpoint from outside."""


def verify(
    folder: Path, key: VerifierKey, checkpoint: bytes | None = None
) -> Iterator[Finding | Progress | Report]:
    """Check everything in ``folder``; yields findings and progress, and at last the `Report`.

    ``checkpoint`` is a signed note that was kept elsewhere. Without it the newest one in the
    folder serves, and that the whole folder is an older copy cannot be seen.
    """
    total = size_of(folder)
    done = 0
    report = Report(outside=checkpoint is not None)
    for step in _Verification(folder, key, checkpoint, report).run():
        if isinstance(step, int):
            done += step
            yield Progress(min(done, total), total)
            continue
        if step.severity is Severity.TAMPERED:
            report.tampered += 1
        else:
            report.uncertain += 1
        yield step
    yield Progress(total, total)
    yield report


class _Verification:
    """One pass; what it learns on the way is what the next step is held against."""

    def __init__(
        self, folder: Path, key: VerifierKey, checkpoint: bytes | None, report: Report
    ) -> None:
        self._folder = folder
        self._key = key
        self._given = checkpoint
        self._report = report
        self._site = Claims()
        self._logs: dict[str, Claims] = {}
        self._contradictions: list[Finding] = []

    def run(self) -> Iterator[Step]:
        present = log_names(self._folder)
        for path in strangers(self._folder):
            yield _tampered(path, "it does not belong into a recording")
        yield from self._checkpoints()
        yield from self._check(SITE, SITE, self._site, self._learn)
        yield from self._contradictions
        for log in sorted({*present, *self._logs}):
            yield from self._log(log)

    def _checkpoints(self) -> Iterator[Finding]:
        """Every checkpoint counts as a claim on the site log; one of them is what covers it."""
        covering: Checkpoint | None = None
        for size in numbered(self._folder / CHECKPOINTS, NOTE):
            path = f"{CHECKPOINTS}/{note_name(size)}"
            try:
                checkpoint = open_checkpoint((self._folder / path).read_bytes(), self._key)
            except NoteInvalid as error:
                yield _tampered(path, str(error))
                continue
            if checkpoint.size != size:
                yield _tampered(path, f"it is a checkpoint of {checkpoint.size} entries")
                continue
            covering = checkpoint
            self._claim(self._site, path, size, checkpoint.root.hex())
        if self._given is not None:
            try:
                covering = open_checkpoint(self._given, self._key)
            except NoteInvalid as error:
                covering = None
                yield _tampered(GIVEN, str(error))
            else:
                self._claim(self._site, GIVEN, covering.size, covering.root.hex())
        if covering is None:
            what = "there is no valid checkpoint, so nothing shows that this is what was written"
            yield Finding(Severity.UNCERTAIN, CHECKPOINTS, None, what)
            return
        self._report.checkpoint = covering
        self._site.covered = covering.size

    def _learn(self, content: Content) -> None:
        """Take from an entry of the site log what it says of a writer's log."""
        log, size, root = (content.get(name) for name in ("log", "size", "root"))
        if not isinstance(log, str):
            return
        claims = self._logs.setdefault(log, Claims())
        if not (isinstance(size, int) and isinstance(root, str)):
            return
        self._claim(claims, SITE, size, root)
        if content["seq"] < self._site.covered:
            claims.covered = max(claims.covered, size)
        if content["type"] == "log.closed":
            claims.closed, claims.abandoned = size, content.get("abandoned")

    def _claim(self, claims: Claims, file: str, size: int, root: str) -> None:
        if claims.heads.setdefault(size, root) != root:
            what = f"it contradicts another head of {size} entries"
            self._contradictions.append(_tampered(file, what))

    def _log(self, log: str) -> Iterator[Step]:
        path = f"{LOGS}/{log}"
        claims = self._logs.get(log)
        if claims is None:
            yield _tampered(path, "the site log does not know of this log")
        elif not LOG_NAME.fullmatch(log):
            yield _tampered(SITE, f"it names a log {log!r}, which cannot be one's name")
            return
        elif not (self._folder / path).is_dir():
            if signed := max(claims.heads, default=0):
                yield _tampered(path, f"the log is missing; {signed} of its entries are signed for")
            return
        claims = claims or Claims()
        self._report.logs += claims.covered > 0
        yield from self._check(log, path, claims, lambda _content: None)

    def _check(
        self, log: str, path: str, claims: Claims, visit: Callable[[Content], None]
    ) -> Iterator[Step]:
        folder = log_folder(self._folder, log)
        try:
            yield from LogCheck(folder, path, claims, self._report, visit).run()
        except OSError as error:
            yield Finding(Severity.UNCERTAIN, path, None, f"it cannot be read: {error.strerror}")


def _tampered(file: str, what: str) -> Finding:
    return Finding(Severity.TAMPERED, file, None, what)
