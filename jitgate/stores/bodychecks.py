"""Checking the bodies of one segment: each frame in its place, whole, and nothing between them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, BinaryIO

from jitgate.stores.findings import Severity, Tally
from jitgate.stores.frames import BodyRef, FrameInvalid, unpack
from jitgate.stores.layout import bodies_name
from jitgate.stores.opening import length_of, opened


class BodiesCheck:
    """Follows a segment's entries through its bodies. ``end`` is where the last one ends."""

    def __init__(self, folder: Path, first: int) -> None:
        self.end = 0
        self._path = folder / bodies_name(first)
        self._length = 0
        self._file: BinaryIO | None = None
        self._open = ExitStack()
        with suppress(OSError):
            # Retention may delete it meanwhile: what is open stays. What cannot be is said later.
            self._file = self._open.enter_context(opened(self._path))

    def check(self, content: Mapping[str, Any], tally: Tally) -> Iterator[tuple[str, Severity]]:
        """Check the bodies of one entry; yields what is wrong with them."""
        bodies = content.get("bodies", {})
        if not isinstance(bodies, Mapping):
            yield "the entry's bodies are not an object", Severity.TAMPERED
            return
        for name, said in bodies.items():
            try:
                self._check(BodyRef.parse(said), tally)
            except FrameInvalid as error:
                yield f"its body {name!r}: {error}", Severity.TAMPERED
            except OSError as error:
                what = f"its body {name!r}: it cannot be read: {error.strerror}"
                yield what, Severity.UNCERTAIN

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
            # A gateway at work may have added to the file since, or begun it.
            self._length = self._grown()
        if self.end > self._length:
            raise FrameInvalid(f"{self._path.name} ends before it, or is missing")
        if self._file is None:
            self._file = self._open.enter_context(opened(self._path))
        self._file.seek(ref.offset)
        return self._file.read(ref.length)

    def _grown(self) -> int:
        """The bytes of the file by now."""
        if self._file is not None:
            return os.fstat(self._file.fileno()).st_size
        return length_of(self._path) or 0
