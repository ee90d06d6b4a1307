"""Puts together what records: the files, write-once or not, and whoever takes them further."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from typing import Any

from jitgate.app.copying import Copying
from jitgate.app.in_force import InForce
from jitgate.app.retaining import Retaining, SiteLog
from jitgate.app.rotating import Rotating
from jitgate.approvers.commands import (
    Copies,
    Retain,
    Rotate,
    retains_nothing,
    rotates_nothing,
)
from jitgate.config import schema
from jitgate.core.tally import SYNC_SECONDS, Tally
from jitgate.errors import ArchiveDown
from jitgate.flow.archiving import Archiving
from jitgate.flow.keeping import Keeping
from jitgate.flow.recorder import InThread, Recorder
from jitgate.flow.steadiness import Steadiness
from jitgate.interfaces import IArchive, IKeeper, IRecordStore
from jitgate.keepers.archive import ArchiveKeeper
from jitgate.service import Part, Threaded, Worker
from jitgate.stores.both import BothStores
from jitgate.stores.recordings import RecordFiles
from jitgate.stores.retention import Retention
from jitgate.stores.sealing import (
    OFF,
    REQUIRED,
    SealedDisk,
    Sealer,
    UnsealedDisk,
    may_clear_flags,
)
from jitgate.stores.segment import Disk
from jitgate.stores.state import SigningKeys, StateFolder
from jitgate.stores.writers import Head, WorkerFiles
from jitgate.workers.bond import Witness

_LOADED = version("jitgate")

CUT = 3600.0
"""Seconds between two cuts, where there is an archive: what is open is on this machine alone."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What records, for those who use it."""

    recorder: Recorder
    parts: Sequence[Part]
    """In the order in which they start."""
    retain: Retain
    """What operators may do with what is kept."""
    copies: Copies
    """Gives auditors a copy of it."""
    rotate: Rotate
    """Has another key sign it."""
    public_key: Callable[[], str]
    """The text form of the key that signs it."""
    states: Mapping[str, Callable[[], str | None]]
    """Why a part does not do its work, or None: what the health page shows."""
    books: Books
    """What becomes of workers' logs."""
    late: Callable[[], Mapping[str, float]]
    """For how many seconds each keeper has kept nothing that there was to keep."""
    archive: Callable[[], int] | None
    """How many bytes wait for the archive, if there is one."""


class Books:
    """The logs of workers, on the site log of ``files``; ``in_thread`` is where that is written."""

    def __init__(self, files: RecordFiles, in_thread: InThread) -> None:
        self._files = files
        self._in_thread = in_thread

    async def enlist(self, log: str) -> None:
        """As `RecordFiles.enlist`."""
        await self._in_thread(self._files.enlist, log)

    async def closed(self, log: str, size: int, root: str) -> None:
        """As `RecordFiles.closed`."""
        await self._in_thread(self._files.closed, log, Head(size, root))

    async def lose(self, log: str) -> None:
        """As `RecordFiles.lose`."""
        await self._in_thread(self._files.lose, log)

    def note(self, log: str, size: int, root: str) -> None:
        """So far a log has grown; the next checkpoint covers that."""
        self._files.others.note(log, Head(size, root))


def recorded(
    first: InForce, run: str, *, keys: SigningKeys, state: StateFolder, tally: Tally, reactor: Any
) -> Recorded:
    """For one run of the gateway, whose log is called ``run``; ``keys`` are from ``state``."""
    recording = first.configuration.recording
    files = _files(first, run, keys, state, tally)
    beside, worker = first.bound.store, Worker(reactor, "recorder")
    kept: IRecordStore = files if beside is None else BothStores(files, beside)
    archived = _archived(first, files, worker, reactor)
    recorder = Recorder(
        kept,
        clock=reactor,
        in_thread=worker,
        unsteady=_steadiness(reactor),
        held_up=archived.held_up,
        tally=tally,
    )
    keepers = [*first.keepers, *archived.keepers]
    signing = files.signing
    keeping = Keeping(lambda: signing.newest, keepers, reactor, lambda: signing.handovers)
    # Whoever has its last checkpoint kept starts before it, and so stops after it.
    ends_last = keeping if archived.noting is None else Threaded(keeping, archived.noting)
    parts: list[Part] = [ends_last, Threaded(recorder, worker), *archived.parts]
    states = {**({"checkpoints": keeping.down} if keepers else {}), **archived.states}
    retain = _retain(recording, files, first.archive, worker, reactor)
    copies = Copying(recording.directory, recorder, reactor)
    rotate = rotates_nothing if recording.key else Rotating(files, state, worker)
    return Recorded(
        recorder,
        parts,
        retain,
        copies,
        rotate,
        lambda: signing.signer.verifier.text,
        states,
        Books(files, worker),
        keeping.late,
        archived.waiting,
    )


def _files(
    first: InForce, run: str, keys: SigningKeys, state: StateFolder, tally: Tally
) -> RecordFiles:
    recording = first.configuration.recording
    return RecordFiles(
        recording.directory,
        site=keys.site,
        key=keys.key,
        key_before=keys.before,
        settled=state.signed_by,
        last_signed=state.last_signed,
        now=time.time,
        writer=run,
        run=_run(first),
        disk=_disk(recording, tally),
        cut_every=CUT if recording.archive is not None else None,
    )


@dataclass(frozen=True, slots=True)
class RecordedApart:
    """What records in a worker."""

    recorder: Recorder
    part: Part
    files: WorkerFiles
    in_thread: InThread


def recorded_apart(
    first: InForce, log: str, *, site: str, witness: Witness, tally: Tally, reactor: Any
) -> RecordedApart:
    """For a worker, whose log is called ``log``; the control process signs for it."""
    recording = first.configuration.recording
    files = WorkerFiles(
        recording.directory,
        site=site,
        log=log,
        run=_run(first),
        now=time.time,
        disk=_disk(recording, tally),
    )
    worker = Worker(reactor, "recorder")
    recorder = Recorder(
        files,
        clock=reactor,
        in_thread=worker,
        unwitnessed=witness.down,
        unsteady=_steadiness(reactor),
        held_up=witness.held_up,
        tally=tally,
    )
    return RecordedApart(recorder, Threaded(recorder, worker), files, worker)


def _steadiness(reactor: Any) -> Callable[[], str | None]:
    # Of the clocks that only go on, the one that goes on while the machine sleeps as well.
    return Steadiness(reactor, partial(time.clock_gettime, time.CLOCK_BOOTTIME)).down


def _run(first: InForce) -> Mapping[str, object]:
    """What a log's first entry says of its run."""
    return {
        "jitgate": _LOADED,
        "pid": os.getpid(),
        "policy": first.version,
        "plugins": first.run_by,
    }


@dataclass(frozen=True, slots=True)
class _Archived:
    """What there is where there is an archive."""

    keepers: Sequence[IKeeper] = ()
    noting: Worker | None = None
    """In which it keeps checkpoints: a file at hand may take long."""
    parts: Sequence[Part] = ()
    states: Mapping[str, Callable[[], str | None]] = field(default_factory=dict)
    held_up: Callable[[], str | None] = lambda: None
    waiting: Callable[[], int] | None = None


def _archived(first: InForce, files: RecordFiles, worker: Worker, reactor: Any) -> _Archived:
    settings, archive = first.configuration.recording.archive, first.archive
    if archive is None or settings is None:
        return _Archived()
    slow = Worker(reactor, "archive", waited_for=False)
    noting = Worker(reactor, "archive's checkpoints", waited_for=False)
    archiving = Archiving(
        archive,
        sealed=partial(files.sealed, archive.place),
        note=partial(worker, files.archived),
        whole=files.whole_notes,
        retention=settings.retention,
        backlog=settings.backlog,
        clock=reactor,
        in_thread=slow,
    )
    return _Archived(
        [ArchiveKeeper(archive, settings.retention, clock=reactor, in_thread=noting)],
        noting,
        [Threaded(archiving, slow)],
        {"archive": archiving.down},
        lambda: archiving.full,
        lambda: archiving.waiting,
    )


def _retain(
    recording: schema.Recording,
    files: RecordFiles,
    archive: IArchive | None,
    worker: Worker,
    reactor: Any,
) -> Retain:
    if recording.retention is None:
        return retains_nothing
    site = SiteLog(files, worker, reactor)
    sealer = Sealer(recording.sealer)
    kept = Retention(
        recording.directory,
        site,
        sealer,
        recording.retention,
        now=time.time,
        may_go=partial(_may_go, files, archive),
    )
    return Retaining(kept, reactor)


def _may_go(files: RecordFiles, archive: IArchive | None, file: str) -> bool:
    """Whether a file of the recording may be deleted: it is in the archive now, if there is one.

    Nobody deletes it there before its time. After that it is asked for. Raises `OSError`.
    """
    if archive is None:
        return True
    kept = files.in_archives.get(archive.place, file)
    if kept is None:
        return False
    try:
        there = kept.until > time.time() or archive.has(kept)
    except ArchiveDown as fault:
        raise OSError(errno.EIO, f"{fault}".rstrip(".")) from fault
    if not there:
        files.in_archives.missing(archive.place, file)
    return there


def _disk(recording: schema.Recording, tally: Tally) -> Disk:
    disk: Disk = UnsealedDisk()
    if recording.write_once != OFF:
        required = recording.write_once == REQUIRED
        disk = SealedDisk(recording.sealer, required=required, powerful=may_clear_flags())
    disk.took = tally.timer(SYNC_SECONDS)
    return disk
