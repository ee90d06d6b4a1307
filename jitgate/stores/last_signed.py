"""Which head of the site log was signed last, kept where the recording is not.

Whoever rolls the recording back, and nothing else, rolls its checkpoints back as well. By this the
next start sees that more was signed, and does not sign a second tree of the same sizes.
"""

from __future__ import annotations

from pathlib import Path

from jitgate.core.merkle import HASH_BYTES
from jitgate.core.note import Checkpoint
from jitgate.errors import StateUnusable
from jitgate.stores.durably import write_whole
from jitgate.stores.opening import at_most

_LONGEST = 256
"""Bytes of the file: a number of up to 18 digits, and a root in hex."""


class LastSigned:
    """Remembers it in ``file``; without one it remembers nothing."""

    def __init__(self, file: Path | None) -> None:
        self._file = file

    def head(self) -> tuple[int, bytes] | None:
        """The size and the root; None if nothing was signed. Raises `StateUnusable`, `OSError`."""
        if self._file is None or not self._file.exists():
            return None
        size, _, root = at_most(self._file, _LONGEST).decode("ascii", "replace").partition(" ")
        try:
            head = int(size), bytes.fromhex(root)
        except ValueError:
            head = 0, b""
        if len(head[1]) != HASH_BYTES:
            raise StateUnusable(f"{self._file} does not say what was signed last.")
        return head

    def remember(self, head: Checkpoint) -> None:
        """Take note of what is about to be signed; durable when it returns. Raises `OSError`."""
        if self._file is not None:
            write_whole(self._file, f"{head.size} {head.root.hex()}\n".encode(), 0o600)
