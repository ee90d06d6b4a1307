"""The record files: this run's writer log, the site log over all runs, and signed checkpoints.

The writer log takes the gateway's entries. The site log says which writer logs there are and how
far each has grown, and its own head is what gets signed. docs/recording-format.md tells the rest.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.logger import Logger
from zope.interface import implementer

from jitgate.core.note import Signer
from jitgate.errors import StateUnusable
from jitgate.flow.archiving import Sealed
from jitgate.interfaces import IRecordStore
from jitgate.stores.archived import InArchives, sealed_at, told_of
from jitgate.stores.cutting import Cuts
from jitgate.stores.last_signed import LastSigned
from jitgate.stores.layout import LOGS, SITE, is_log_name, log_folder, log_names, segments
from jitgate.stores.lines import FORMAT
from jitgate.stores.log import SEGMENT_BYTES, Log
from jitgate.stores.sealing import NotSealed
from jitgate.stores.seen import Seen, held_against
from jitgate.stores.segment import Disk, Standing, put_away
from jitgate.stores.signing import Signing
from jitgate.stores.standing_folder import made, prepared
from jitgate.stores.stock import Stock
from jitgate.stores.writers import Head, Others, accounted, opening
from jitgate.values import Archived, Entry


@implementer(IRecordStore)
class RecordFiles:
    """A recording in ``folder``, which one process at a time may write.

    ``site`` names the site log and its signing ``key``, which takes over from ``key_before`` where
    that is in force; ``now`` gives seconds since the epoch; ``writer`` names this run's log, and
    ``run`` is what its first entry says of the run. Each ``cut_every`` seconds both logs are cut
    right behind a checkpoint (None: never). ``settled`` hears which key has signed, once one has.
    ``last_signed`` remembers apart from the folder what was signed last.
    """

    _words = Logger()

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
        cut_every: float | None = None,
        key_before: Ed25519PrivateKey | None = None,
        settled: Callable[[Signer], None] = lambda _signer: None,
        last_signed: LastSigned | None = None,
    ) -> None:
        if not is_log_name(writer):
            raise StateUnusable(f"{writer!r} cannot be the name of a writer's log.")
        self._folder = folder
        self._now = now
        self._writer, self._run = writer, run
        self._segment_bytes = segment_bytes
        self._disk = disk or Disk()
        self.signing = Signing(folder, site, key, key_before, self._disk, last_signed)
        self._settled = settled
        self._locks: list[int] = []
        self._logs: tuple[Log, Log] | None = None
        self._begun: list[Log] = []
        """Every log that may have files open, be it that the opening has failed."""
        self._noted = 0
        """The size of the writer log that the site log has last been told."""
        self.in_archives = InArchives()
        """What the site log says is in an archive."""
        self.ended: set[str] = set()
        """The writer logs whose end is on record, and which nobody adds to any more."""
        self.others = Others(writer)
        """The logs of this run's workers."""
        self._cuts = Cuts(cut_every, now, self.others)
        self._told: Standing | None = None
        """How far the recording is kept from change, as the site log has last been told."""

    def open(self) -> None:
        try:
            self._locks = prepared(self._folder, self._writer, self._disk)
            self._disk.ready(ask=True)
            site, left_open = self._take_up_site()
            left = [accounted(self._folder, each, self._disk, self._now()) for each in left_open]
            site.append([*left, self._entry("log.opened")])
            self.ended.update(left_open)
            self._logs = site, self._begin_writer()
            self._put_away_ended()
            self._cuts.begin()
            self.checkpoint()
            if (due := self.signing.due) is not None:
                self.signing.rotate(site, due, self._now(), {"by": "start"}, *self._said)
            self._settled(self.signing.signer)
        except NotSealed as error:
            self._release()
            raise StateUnusable(
                f"The recording in {self._folder} must be write-once (recording.write_once), and "
                f"is not: {error.strerror}."
            ) from error
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
        self._opened()
        self._disk.ready(ask=True)
        self._checkpoint()
        site, writer = self._opened()
        if self._cuts.due(size := writer.size):
            for log in (writer, site):
                log.cut()
            self._cuts.cut(self.signing.note(self.signing.size), size)
        self._cuts.settle(self._folder)

    def _checkpoint(self) -> None:
        site, writer = self._opened()
        if site.failed:
            site.resume()
        if writer.size != self._noted:
            site.append([self._entry("log.head", size=writer.size, root=writer.root)])
            self._noted = writer.size
        self._tell_of_others(site)
        if self._disk.standing != self._told:
            self._tell(site)
        self.signing.sign(site, *self._said)

    def tell(self, entry: Entry) -> None:
        """Put something on the site log; durable and signed when it returns. Raises `OSError`."""
        site, _ = self._opened()
        site.append([entry])
        self._checkpoint()

    def rotate(self, key: Ed25519PrivateKey, by: Mapping[str, object]) -> tuple[Signer, Signer]:
        """Have another key sign from now on; the one that did, and it. Raises `OSError`.

        The rotation is on record, ``by`` whom, and signed by both when this returns.
        """
        site, _ = self._opened()
        self._checkpoint()
        before, after = self.signing.signer, Signer(self.signing.name, key)
        self.signing.rotate(site, after, self._now(), by, *self._said)
        self._settled(after)
        return before, after

    @property
    def _said(self) -> tuple[str, ...]:
        """What a checkpoint says beside the tree's head."""
        return () if self._told is None else (self._told.line,)

    # --- the logs of workers

    def enlist(self, log: str) -> None:
        """Put on record that a worker is about to begin a log. Raises `OSError`, `StateUnusable`.

        Its name begins with this run's, and a full stop.
        """
        self.others.check(log)
        site, _ = self._opened()
        site.append([Entry("log.opened", self._now(), {"log": log})])
        self.others.open.add(log)
        self._checkpoint()

    def closed(self, log: str, head: Head) -> None:
        """Put on record how far a worker's log has grown in all, once it ends. Raises `OSError`."""
        site, _ = self._opened()
        site.append(
            [Entry("log.closed", self._now(), {"log": log, **head._asdict(), "clean": True})]
        )
        self._end(log)
        self._checkpoint()

    def lose(self, log: str) -> None:
        """Put on record what is left of the log of a worker that is dead.

        Raises `OSError`; then it is done with the next checkpoint that can be written.
        """
        if log in self.others.open:
            self.others.lost.add(log)
            self._checkpoint()

    def _tell_of_others(self, site: Log) -> None:
        """Put on the site log what is known of workers' logs and not on it yet."""
        for log in sorted(self.others.lost):
            site.append([accounted(self._folder, log, self._disk, self._now())])
            self._end(log)
        if grown := self.others.grown():
            now = self._now()
            heads = [Entry("log.head", now, {"log": log, **head._asdict()}) for log, head in grown]
            site.append(heads)
            self.others.told(grown)

    def _end(self, log: str) -> None:
        self.others.ended(log)
        self.ended.add(log)
        folder = log_folder(self._folder, log)
        put_away(self._disk, folder, segments(folder))

    def close(self) -> None:
        try:
            site, writer = self._opened()
            if site.failed or writer.failed:
                self.recover()
            self.others.lost |= self.others.open  # nobody writes to them any more
            self._tell_of_others(site)
            writer.append([Entry("log.close", self._now(), {"why": "stopped"})])
            writer.finish()
            ended = self._entry("log.closed", size=writer.size, root=writer.root, clean=True)
            site.append([ended, Entry("site.close", self._now(), {})])
            self._noted = writer.size
            # Even without a sealer: what is written by now is better signed than not.
            self._checkpoint()
        finally:
            self._release()

    def sealed(self, place: str) -> list[Sealed]:
        """The files that nothing is added to any more, and that the archive at ``place`` has not.

        It may be called in any thread, and while others write.
        """
        logs = (SITE, *sorted({*self.ended, self._writer, *self.others.open}))
        ended = ((log, self._ended(log)) for log in logs)
        return self.in_archives.lacking(place, self._folder, ended)

    def whole_notes(self) -> list[Sealed]:
        """The newest checkpoint of which all that it covers has ended, as something to archive.

        Before it those that end with a rotation of the key: without them nobody could follow it.
        """
        paths = [] if self._cuts.whole is None else self.signing.leading_to(self._cuts.whole)
        found = (sealed_at(self._folder, path) for path in paths)
        return [each for each in found if each is not None]

    def _ended(self, log: str) -> list[int]:
        """The segments of a log that are ended: all of a run that has, else all but the last."""
        firsts = segments(log_folder(self._folder, log))
        return firsts[:-1] if log in {SITE, self._writer, *self.others.open} else firsts

    def archived(self, kept: Archived, key: str) -> None:
        """Put on record that a file is in an archive; raises `OSError`."""
        site, _ = self._opened()
        fields = told_of(kept, key)
        site.append([Entry("file.archived", self._now(), fields)])
        self.in_archives.add(kept, key)

    # --- opening, in the order of what must be true before the next step

    def _take_up_site(self) -> tuple[Log, list[str]]:
        """The site log in a new segment, and the writer logs that nobody has closed."""
        folder = self._folder / SITE
        last = self.signing.last()
        if last is not None:
            self._cuts.whole = self.signing.note(last.size)  # all it covers has ended with its run
        seen = Seen(last, self.signing.remembered.head())
        stock = held_against(self._folder, seen)
        self.signing.take_up(seen)
        self.in_archives = seen.archived
        site = self._log(folder, stock)
        site.begin(self._site_open(stock))
        put_away(self._disk, folder, segments(folder)[:-1])
        self.ended = {log for log, closed in seen.closed.items() if closed}
        return site, [log for log, closed in seen.closed.items() if not closed]

    def _site_open(self, stock: Stock) -> Entry:
        """The entry by which this run begins, behind what stands there."""
        fields = {"format": FORMAT, "vkey": self.signing.signer.verifier.text}
        if (clock := stock.clock(self._now())) is not None:
            fields["clock"] = clock
            self._words.warn(
                "The last entry of the site log is of {last}, and the clock says {clock}: until it "
                "has caught up, all that comes has that time. One of the two is wrong.",
                last=stock.last,
                clock=clock,
            )
        return Entry("site.open", self._now(), fields)

    def _put_away_ended(self) -> None:
        """Logs of runs that ended before anything could be sealed, or without a sealer."""
        for log in log_names(self._folder):
            if log != self._writer:
                folder = log_folder(self._folder, log)
                put_away(self._disk, folder, segments(folder))

    def _begin_writer(self) -> Log:
        folder = self._folder / LOGS / self._writer
        made(folder, self._disk)
        log = self._log(folder, Stock())
        log.begin(opening(self._writer, self.signing.name, self._run, self._now()))
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

    def _tell(self, site: Log) -> None:
        """Put on record how far the recording is kept from change, from now on."""
        standing = self._disk.standing
        if standing is not None:
            site.append([Entry("write-once", self._now(), standing.fields)])
        self._told = standing

    def _release(self) -> None:
        """Let go of every file. What was not closed in order is accounted for at the next start."""
        for log in self._begun:
            log.finish()
        self._begun, self._logs = [], None
        self._disk.close()
        while self._locks:
            os.close(self._locks.pop())
