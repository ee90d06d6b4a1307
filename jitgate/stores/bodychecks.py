"""Checking the bodies of one segment: each frame in its place, whole, and nothing between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

from jitgate.stores.findings import Tally
from jitgate.stores.frames import BodyRef, FrameInvalid, unpack
from jitgate.stores.layout import bodies_name


class BodiesCheck:
    """Follows a segment's entries through its bodies. ``end`` is where the last one ends."""

    def __init__(self, folder: Path, first: int) -> None:
        self.end = 0
        self._path = folder / bodies_name(first)
        self._length = self._path.stat().st_size if self._path.exists() else 0
        self._file: BinaryIO | None = None
        self._open = ExitStack()

    def check(self, content: Mapping[str, Any], tally: Tally) -> Iterator[str]:
        """Check the bodies of one entry; yields what is wrong with them."""
        bodies = content.get("bodies", {})
        if not isinstance(bodies, Mapping):
            yield "the entry's bodies are not an object"
            return
        for name, said in bodies.items():
            try:
                self._check(BodyRef.parse(said), tally)
            except FrameInvalid as error:
                yield f"its body {name!r}: {error}"

    def close(self) -> None:
        """Let go of the file."""
        self._open.close()

    def _check(self, ref: BodyRef, tally: Tally) -> None:
        if ref.file != self._path.name:
            raise FrameInvalid("it is not in the file beside its entry")
        expected, self.end = self.end, ref.offset + ref.length
        if ref.offset != expected:
            raise FrameInvalid(f"it begins at {ref.offset}, the one before it ends at {expected}")
        for _ in unpack(self._read(ref), ref):
            pass
        tally.bodies += 1
        tally.body_bytes += ref.plain_length

    def _read(self, ref: BodyRef) -> bytes:
        """The frame's bytes; no more is asked for than there is, whatever ``ref`` claims."""
        if self.end > self._length:
            # A gateway at work may have added to the file since.
            self._length = self._path.stat().st_size if self._path.exists() else 0
        if self.end > self._length:
            raise FrameInvalid(f"{self._path.name} ends before it, or is missing")
        if self._file is None:
            self._file = self._open.enter_context(self._path.open("rb"))
        self._file.seek(ref.offset)
        return self._file.read(ref.length)
