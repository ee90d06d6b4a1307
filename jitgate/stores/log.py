"""One append-only hashed log, written in segments: its entries, their tree, and how it goes on."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from zstandard import ZstdCompressor

from jitgate.core.merkle import Tree, leaf_hash
from jitgate.stores.frames import LEVEL, pack
from jitgate.stores.layout import bodies_name
from jitgate.stores.lines import timestamp, write_line
from jitgate.stores.segment import Disk, Segment
from jitgate.stores.stock import Stock, tails
from jitgate.values import Entry

SEGMENT_BYTES = 64 * 1024 * 1024
"""A segment with more lines or bodies than this is finished: a size that copies in seconds."""

SEGMENT_SECONDS = 24 * 60 * 60.0
"""So is one that is older, so that retention can go by days."""


class _Batch(NamedTuple):
    lines: list[bytes]
    frames: list[bytes]
    last: str


class Log:
    """A log's writing end. After a failed `append` it takes nothing until `resume` succeeds.

    ``size`` and ``root`` tell of durable entries alone.
    """

    def __init__(
        self,
        folder: Path,
        stock: Stock,
        *,
        now: Callable[[], float],
        disk: Disk,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        self.failed = False
        self._folder = folder
        self._tree: Tree = stock.tree
        self._last = stock.last
        self._abandoned = stock.abandoned
        self._now = now
        self._disk = disk
        self._segment_bytes = segment_bytes
        self._segment: Segment | None = None
        self._begun_at = 0.0
        self._compressor = ZstdCompressor(level=LEVEL)

    @property
    def size(self) -> int:
        return self._tree.size

    @property
    def root(self) -> str:
        """The root over ``size`` entries, in hex."""
        return self._tree.root.hex()

    def begin(self, opening: Entry) -> None:
        """Begin a segment with ``opening``, which also explains what is left of the one before.

        Raises `OSError`; then everything is as it was.
        """
        self._begin(opening)

    def append(self, entries: Sequence[Entry]) -> None:
        """Keep the entries; they are durable when this returns. Raises `OSError`."""
        segment = self._writable()
        batch = self._encode(entries, segment.first, segment.bodies_size)
        try:
            segment.write(b"".join(batch.lines), b"".join(batch.frames))
        except OSError:
            self.failed = True
            raise
        self._count(batch)

    def resume(self) -> None:
        """Go on in a new segment after a failure; raises `OSError` if that is not possible yet."""
        segment = self._segment
        if segment is not None:
            segment.finish()
            ends = segment.first, segment.size, segment.bodies_size
            self._abandoned = tails(self._folder, *ends)
        self._begin_next("failed")
        self.failed = False

    def cut(self) -> None:
        """End the segment here, and go on in the next; raises `OSError`."""
        self._writable()
        self._rolled("cut")

    def finish(self) -> None:
        """Write no more."""
        if self._segment is not None:
            self._segment.finish()
            self._segment = None

    def _writable(self) -> Segment:
        """The segment to write to: a new one if the one before is full or old."""
        if self.failed or self._segment is None:
            raise OSError(errno.EIO, "the log has failed or is closed, and was not resumed")
        why = self._why_roll(self._segment)
        return self._segment if why is None else self._rolled(why)

    def _rolled(self, why: str) -> Segment:
        try:
            return self._begin_next(why)
        except OSError:
            self.failed = True
            raise

    def _why_roll(self, segment: Segment) -> str | None:
        if max(segment.size, segment.bodies_size) > self._segment_bytes:
            return "full"
        return "old" if self._now() - self._begun_at > SEGMENT_SECONDS else None

    def _begin_next(self, why: str) -> Segment:
        return self._begin(Entry("segment.resumed", self._now(), {"why": why}))

    def _begin(self, opening: Entry) -> Segment:
        if self._abandoned:
            left = [tail._asdict() for tail in self._abandoned]
            opening = opening._replace(fields={**opening.fields, "abandoned": left})
        batch = self._encode([opening], self.size, 0)
        segment = Segment(self._folder, self.size, batch.lines[0], self._disk)
        self.finish()
        self._segment, self._abandoned, self._begun_at = segment, (), self._now()
        self._count(batch)
        return segment

    def _encode(self, entries: Sequence[Entry], first: int, offset: int) -> _Batch:
        """Everything that is to be written, bodies from ``offset`` of segment ``first`` on."""
        lines: list[bytes] = []
        frames: list[bytes] = []
        last, file = self._last, bodies_name(first)
        for seq, entry in enumerate(entries, self.size):
            last = max(last, timestamp(entry.time))
            refs = {}
            for name, body in entry.bodies.items():
                frame, refs[name] = pack(body, self._compressor, file, offset)
                frames.append(frame)
                offset += len(frame)
            lines.append(write_line(seq, last, entry, refs))
        return _Batch(lines, frames, last)

    def _count(self, batch: _Batch) -> None:
        """What is durable counts."""
        self._tree.extend(map(leaf_hash, batch.lines))
        self._last = batch.last
