"""Verifying a recording: from a signed checkpoint to the site log, to every log, to every byte.

It needs the folder and the public key, only reads, and may run beside a gateway that writes. The
folder is listed before the site log is read, so that what appears meanwhile is no stranger.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from jitgate.core.note import NOTE_BYTES, Checkpoint, NoteInvalid, VerifierKey
from jitgate.core.rotation import Keys
from jitgate.stores.checking import Content, LogCheck, Step
from jitgate.stores.claims import Claims
from jitgate.stores.extent import Deleted
from jitgate.stores.findings import Finding, Progress, Report, Severity
from jitgate.stores.keyring import keys_of
from jitgate.stores.layout import (
    CHECKPOINTS,
    LOGS,
    NOTE,
    SITE,
    is_folder,
    is_log_name,
    log_folder,
    log_names,
    note_name,
    numbered,
    size_of,
    strangers,
)
from jitgate.stores.lines import timestamp
from jitgate.stores.opening import at_most

CLOCKS_DIFFER = 3600.0
"""Seconds by which two machines' clocks may differ; what is dated further ahead is no accident."""

GIVEN = "(the given checkpoint)"
"""Stands for the file where a finding is about a checkpoint from outside."""


def verify(
    folder: Path,
    key: VerifierKey,
    checkpoint: bytes | None = None,
    *,
    now: Callable[[], float] | None = None,
) -> Iterator[Finding | Progress | Report]:
    """Check everything in ``folder``; yields findings and progress, and at last the `Report`.

    ``key`` is one that signs the recording, or did before it was rotated. ``checkpoint`` is a
    signed note that was kept elsewhere. Without it the newest one in the folder serves, and that
    the whole folder is an older copy cannot be seen. ``now`` gives seconds since the epoch, by
    the clock of who verifies; without it every time on record is believed.
    """
    total = size_of(folder)
    done = 0
    report = Report(outside=checkpoint is not None)
    for step in _Verification(folder, key, checkpoint, report, now).run():
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
        self,
        folder: Path,
        key: VerifierKey,
        checkpoint: bytes | None,
        report: Report,
        now: Callable[[], float] | None,
    ) -> None:
        self._folder = folder
        self._key = key
        self._keys = Keys(key)
        """The given one, and those that it leads to."""
        self._given = checkpoint
        self._report = report
        self._now = now
        self._ahead: list[Finding] = []
        """Times that have not come yet. They say nothing about what was written."""
        self._site = Claims()
        self._logs: dict[str, Claims] = {}
        self._contradictions: list[Finding] = []
        self._is_whole = True
        """Whether all of the site log could be read."""
        self._seen: tuple[int, ...] = ()
        self._later: dict[str, Claims] = {}
        """What the logs' claims have become since the site log was read."""

    def run(self) -> Iterator[Step]:
        present: list[str] = []
        try:
            present = log_names(self._folder)
            for path in strangers(self._folder):
                yield _tampered(path, "it does not belong into a recording")
        except OSError as error:
            yield _unread(LOGS, error)
        yield from self._site_log()
        for log in sorted({*present, *self._logs}):
            try:
                yield from self._log(log)
            except OSError as error:
                yield _unread(f"{LOGS}/{log}", error)
        yield from self._ahead

    def _site_log(self) -> Iterator[Step]:
        """The checkpoints, and the site log under them: what every log is held against."""
        self._seen = self._mark()
        yield from self._checkpoints()
        for step in self._check(SITE, SITE, self._site, self._learn):
            if isinstance(step, Finding) and step.severity is Severity.UNCERTAIN:
                self._is_whole = False
            yield step
        yield from self._contradictions

    def _mark(self) -> tuple[int, ...]:
        """Changes whenever the site log or its checkpoints grow."""
        return tuple(size_of(self._folder / name) for name in (SITE, CHECKPOINTS))

    def _again(self, log: str) -> Claims:
        """What is known of a log by now, where the site log that has grown is still in order.

        While a recording is verified, retention may delete of it, and says so there before it does.
        """
        if log != SITE and self._seen != self._mark():
            later = _Verification(self._folder, self._key, self._given, Report(), self._now)
            if not any(isinstance(step, Finding) for step in later._site_log()):
                self._later = later._logs
            self._seen = later._seen
        before = self._site if log == SITE else self._logs.get(log, Claims())
        claims = self._later.get(log, before)
        claims.covered, claims.are_all = before.covered, before.are_all
        return claims

    def _checkpoints(self) -> Iterator[Finding]:
        """Every checkpoint counts as a claim on the site log; one of them is what covers it."""
        covering: Checkpoint | None = None
        sizes: list[int] = []
        try:
            sizes = numbered(self._folder / CHECKPOINTS, NOTE)
        except OSError as error:
            yield _unread(CHECKPOINTS, error)
        # Behind the list: of what it has, the site log by now tells whose it is.
        not_signed = self._find_keys()
        for size in sizes:
            path = f"{CHECKPOINTS}/{note_name(size)}"
            try:
                checkpoint = self._keys.open(at_most(self._folder / path, NOTE_BYTES + 1))
            except NoteInvalid as error:
                yield Finding(not_signed, path, None, str(error))
                continue
            except OSError as error:
                yield _unread(path, error)
                continue
            if checkpoint.size != size:
                yield _tampered(path, f"it is a checkpoint of {checkpoint.size} entries")
                continue
            covering = checkpoint
            self._claim(self._site, path, size, checkpoint.root.hex())
        if self._given is not None:
            try:
                covering = self._keys.open(self._given)
            except NoteInvalid as error:
                covering = None
                yield Finding(not_signed, GIVEN, None, str(error))
            else:
                self._claim(self._site, GIVEN, covering.size, covering.root.hex())
        yield from self._unsigned_rotations()
        if covering is None:
            what = "there is no valid checkpoint, so nothing shows that this is what was written"
            yield Finding(Severity.UNCERTAIN, CHECKPOINTS, None, what)
            return
        self._report.checkpoint = covering
        self._site.covered = covering.size

    def _find_keys(self) -> Severity:
        """Follow the rotations; what it means if a checkpoint is not signed by the key it needs."""
        given = [] if self._given is None else [self._given]
        try:
            self._keys = keys_of(self._folder, self._key, *given)
        except OSError:
            return Severity.UNCERTAIN  # what cannot be read is told when it is checked
        self._report.keys = self._keys.all
        self._report.is_retired = self._keys.newest != self._key
        return Severity.TAMPERED

    def _unsigned_rotations(self) -> Iterator[Finding]:
        """An entry of a rotation that a checkpoint is over has the signatures of both keys."""
        signed = max(self._site.heads, default=0)
        for each in self._keys.unsigned:
            if each.size <= signed:
                what = "no checkpoint that both keys have signed ends with this rotation"
                yield Finding(Severity.TAMPERED, SITE, each.size - 1, what)

    def _learn(self, content: Content) -> None:
        """Take from an entry of the site log what it says of a writer's log."""
        log, size, root = (content.get(name) for name in ("log", "size", "root"))
        if not isinstance(log, str):
            return
        claims = self._logs.setdefault(log, Claims())
        if content["type"] == "segment.deleted":
            self._learn_deleted(claims, content)
            return
        if not claims.told.learn(content):
            self._contradictions.append(_tampered(SITE, f"it says twice that {log!r} has ended"))
        if isinstance(size, int) or content["type"] == "log.opened":
            claims.sizes.append((content["time"], size if isinstance(size, int) else 0))
        if not (isinstance(size, int) and isinstance(root, str)):
            return
        self._claim(claims, SITE, size, root)
        if content["seq"] < self._site.covered:
            claims.covered = max(claims.covered, size)

    def _learn_deleted(self, claims: Claims, content: Content) -> None:
        """That a segment was deleted is believed once it is signed: until then its lines stay."""
        told = Deleted.read(content)
        if told is None:
            return
        if content["seq"] >= max(self._site.heads, default=0):
            claims.unsigned.add(told.first)
        elif claims.told.learn(content):
            # The entry's own time is of who may have made the deletion up.
            now = content["time"] if self._now is None else timestamp(self._now())
            claims.age(told, min(content["time"], now))
        else:
            what = f"it says in two ways what was deleted at {told.first} of a log"
            self._contradictions.append(_tampered(SITE, what))

    def _claim(self, claims: Claims, file: str, size: int, root: str) -> None:
        if claims.heads.setdefault(size, root) != root:
            what = f"it contradicts another head of {size} entries"
            self._contradictions.append(_tampered(file, what))

    def _log(self, log: str) -> Iterator[Step]:
        path = f"{LOGS}/{log}"
        claims = self._logs.get(log)
        if claims is None:
            severity = Severity.TAMPERED if self._is_whole else Severity.UNCERTAIN
            yield Finding(severity, path, None, "the site log does not know of this log")
        elif not is_log_name(log):
            yield _tampered(SITE, f"it names a log {log!r}, which cannot be one's name")
            return
        elif not is_folder(self._folder / path):
            if signed := max(claims.heads, default=0):
                yield _tampered(path, f"the log is missing; {signed} of its entries are signed for")
            return
        claims = claims or Claims()
        claims.are_all = self._is_whole
        self._report.logs += claims.covered > 0
        yield from self._check(log, path, claims, lambda _content: None)

    def _check(
        self, log: str, path: str, claims: Claims, visit: Callable[[Content], None]
    ) -> Iterator[Step]:
        folder = log_folder(self._folder, log)
        check = LogCheck(
            folder,
            path,
            claims,
            self._report,
            visit,
            again=lambda: self._again(log),
            is_to_come=self._is_to_come,
        )
        try:
            yield from check.run()
        except OSError as error:
            yield _unread(path, error)
        if check.ahead is not None:
            self._ahead.append(check.ahead)

    def _is_to_come(self, time: str) -> bool:
        # It is asked each time: to verify may take hours, and a gateway at work goes on.
        return self._now is not None and time > timestamp(self._now() + CLOCKS_DIFFER)


def _tampered(file: str, what: str) -> Finding:
    return Finding(Severity.TAMPERED, file, None, what)


def _unread(file: str, error: OSError) -> Finding:
    return Finding(Severity.UNCERTAIN, file, None, f"it cannot be read: {error.strerror}")
