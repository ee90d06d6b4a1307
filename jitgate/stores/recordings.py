"""The record files: this run's writer log, the site log over all runs, and signed checkpoints.

The writer log takes the gateway's entries. The site log says which writer logs there are and how
far each has grown, and its own head is what gets signed. docs/recording-format.md tells the rest.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from zope.interface import implementer

from jitgate.core.merkle import Tree
from jitgate.core.note import Checkpoint, NoteInvalid, Signer, open_checkpoint
from jitgate.errors import StateUnusable
from jitgate.interfaces import IRecordStore
from jitgate.stores.layout import (
    CHECKPOINTS,
    LOCK,
    LOG_NAME,
    LOGS,
    NOTE,
    SITE,
    note_name,
    numbered,
    segments,
)
from jitgate.stores.lines import FORMAT
from jitgate.stores.log import SEGMENT_BYTES, Log
from jitgate.stores.segment import FOLDER_MODE, Disk, place, put_away, sweep
from jitgate.stores.stock import Stock, take_stock
from jitgate.values import Entry


@implementer(IRecordStore)
class RecordFiles:
    """A recording in ``folder``, which one process at a time may write.

    ``site`` names the site log and its signing ``key``; ``now`` gives seconds since the epoch;
    ``writer`` names this run's log, and ``run`` is what its first entry says of the run.
    """

    def __init__(
        self,
        folder: Path,
        *,
        site: str,
        key: Ed25519PrivateKey,
        now: Callable[[], float],
        writer: str,
        run: Mapping[str, object],
        segment_bytes: int = SEGMENT_BYTES,
        disk: Disk | None = None,
    ) -> None:
        if not LOG_NAME.fullmatch(writer) or writer == SITE:
            raise StateUnusable(f"{writer!r} cannot be the name of a writer's log.")
        self._folder = folder
        self._signer = Signer(site, key)
        self._now = now
        self._writer = writer
        self._run = run
        self._segment_bytes = segment_bytes
        self._disk = disk or Disk()
        self._lock: int | None = None
        self._logs: tuple[Log, Log] | None = None
        self._begun: list[Log] = []
        """Every log that may have files open, be it that the opening has failed."""
        self._noted = 0
        """The size of the writer log that the site log has last been told."""
        self._signed = 0
        """The size of the site log that was last signed."""

    def open(self) -> None:
        try:
            self._prepare()
            site, left_open = self._take_up_site()
            site.append([*map(self._account_for, left_open), self._entry("log.opened")])
            self._logs = site, self._begin_writer()
            self.checkpoint()
        except (PermissionError, NotADirectoryError) as error:
            self._release()
            raise StateUnusable(f"The recording in {self._folder} is unusable: {error}.") from error
        except BaseException:
            self._release()
            raise

    def append(self, entries: Sequence[Entry]) -> None:
        _, writer = self._opened()
        writer.append(entries)

    def recover(self) -> None:
        for log in self._opened():
            if log.failed:
                log.resume()
        self.checkpoint()

    def checkpoint(self) -> None:
        site, writer = self._opened()
        if site.failed:
            site.resume()
        if writer.size != self._noted:
            site.append([self._entry("log.head", size=writer.size, root=writer.root)])
            self._noted = writer.size
        if site.size != self._signed:
            self._sign(site)

    def close(self) -> None:
        try:
            site, writer = self._opened()
            if site.failed or writer.failed:
                self.recover()
            writer.append([Entry("log.close", self._now(), {"why": "stopped"})])
            writer.finish()
            ended = self._entry("log.closed", size=writer.size, root=writer.root, clean=True)
            site.append([ended, Entry("site.close", self._now(), {})])
            self._noted = writer.size
            self.checkpoint()
        finally:
            self._release()

    # --- opening, in the order of what must be true before the next step

    def _prepare(self) -> None:
        """The folders, for us alone, and the lock that keeps a second writer out."""
        for folder in (self._folder, *(self._folder / name for name in (SITE, LOGS, CHECKPOINTS))):
            self._make_folder(folder, exist_ok=True)
        if self._folder.stat().st_mode & 0o022:
            raise StateUnusable(f"Others may write to {self._folder}; take that right from them.")
        self._lock = os.open(self._folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StateUnusable(
                f"Another gateway is writing to {self._folder}; "
                "stop it first, or give this one a recording directory of its own."
            ) from None
        if (self._folder / LOGS / self._writer).exists():
            raise StateUnusable(f"There is a log {self._writer} in {self._folder} already.")
        sweep(self._folder / CHECKPOINTS)

    def _make_folder(self, folder: Path, *, exist_ok: bool) -> None:
        if not (exist_ok and folder.is_dir()):
            folder.mkdir(mode=FOLDER_MODE, parents=folder == self._folder, exist_ok=exist_ok)
            self._disk.sync_folder(folder.parent)

    def _take_up_site(self) -> tuple[Log, list[str]]:
        """The site log in a new segment, and the writer logs that nobody has closed.

        It goes on only if it holds all that was ever signed: two trees of one log are never signed.
        """
        folder = self._folder / SITE
        seen = _Seen(self._newest_checkpoint())
        stock = take_stock(folder, seen.entry)
        if not stock.whole:
            raise StateUnusable(f"The site log in {folder} lacks entries.")
        if not seen.signed_agrees:
            raise StateUnusable(f"The site log in {folder} is not what its checkpoint signed.")
        self._signed = seen.signed_size
        site = self._log(folder, stock)
        vkey = self._signer.verifier.text
        site.begin(Entry("site.open", self._now(), {"format": FORMAT, "vkey": vkey}))
        put_away(folder, segments(folder)[:-1])
        return site, [log for log, closed in seen.closed.items() if not closed]

    def _newest_checkpoint(self) -> Checkpoint | None:
        sizes = numbered(self._folder / CHECKPOINTS, NOTE)
        if not sizes:
            return None
        path = self._folder / CHECKPOINTS / note_name(sizes[-1])
        try:
            return open_checkpoint(path.read_bytes(), self._signer.verifier)
        except NoteInvalid as error:
            raise StateUnusable(f"The checkpoint {path} is not this site's: {error}.") from None

    def _account_for(self, log: str) -> Entry:
        """What the site log says of a writer log that a crash has left open.

        It says what was found. If that is less than an earlier head, `verify` will tell.
        """
        if not LOG_NAME.fullmatch(log):
            raise StateUnusable(f"The site log names a log {log!r}, which cannot be one's name.")
        folder = self._folder / LOGS / log
        sweep(folder)
        stock = take_stock(folder, lambda _content, _tree: None)
        put_away(folder, segments(folder))
        fields: dict[str, object] = {
            "log": log,
            "size": stock.tree.size,
            "root": stock.tree.root.hex(),
            "clean": False,
        }
        if stock.abandoned:
            fields["abandoned"] = [tail._asdict() for tail in stock.abandoned]
        return Entry("log.closed", self._now(), fields)

    def _begin_writer(self) -> Log:
        folder = self._folder / LOGS / self._writer
        self._make_folder(folder, exist_ok=False)
        log = self._log(folder, Stock())
        fields = {
            "format": FORMAT,
            "log": self._writer,
            "site": self._signer.name,
            "run": dict(self._run),
        }
        log.begin(Entry("log.open", self._now(), fields))
        return log

    # --- the rest

    def _opened(self) -> tuple[Log, Log]:
        if self._logs is None:
            raise OSError(errno.EBADF, "the recording is not open")
        return self._logs

    def _log(self, folder: Path, stock: Stock) -> Log:
        log = Log(folder, stock, now=self._now, disk=self._disk, segment_bytes=self._segment_bytes)
        self._begun.append(log)
        return log

    def _entry(self, kind: str, **fields: object) -> Entry:
        """An entry of the site log about this run's log."""
        return Entry(kind, self._now(), {"log": self._writer, **fields})

    def _sign(self, site: Log) -> None:
        head = Checkpoint(self._signer.name, site.size, bytes.fromhex(site.root))
        note = self._signer.sign(head.text).encode()
        os.close(place(self._disk, self._folder / CHECKPOINTS / note_name(site.size), note))
        self._signed = site.size

    def _release(self) -> None:
        """Let go of every file. What was not closed in order is accounted for at the next start."""
        for log in self._begun:
            log.finish()
        self._begun, self._logs = [], None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


class _Seen:
    """What the site log tells while it is read at the start."""

    def __init__(self, signed: Checkpoint | None) -> None:
        self.closed: dict[str, bool] = {}
        """For each writer log, whether its end is known."""
        self.signed_size = 0 if signed is None else signed.size
        self.signed_agrees = signed is None
        self._signed = signed

    def entry(self, content: Mapping[str, object], tree: Tree) -> None:
        if content["type"] in ("log.opened", "log.closed"):
            self.closed[str(content.get("log"))] = content["type"] == "log.closed"
        if self._signed is not None and tree.size == self._signed.size:
            self.signed_agrees = tree.root == self._signed.root
