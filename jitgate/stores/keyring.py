"""The keys of a recording: the one that came from elsewhere, and those that it leads to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from jitgate.core.note import NOTE_BYTES, NoteInvalid, VerifierKey, unsigned_checkpoint
from jitgate.core.rotation import Keys, Rotation
from jitgate.stores.layout import CHECKPOINTS, SITE, log_folder, note_name
from jitgate.stores.opening import at_most
from jitgate.stores.scanning import counted


def keys_of(folder: Path, key: VerifierKey, *notes: bytes) -> Keys:
    """Those that ``key`` leads to in the recording in ``folder``, with ``notes`` from elsewhere.

    Nothing is held against the tree here: whoever uses them does that. Raises `OSError`.
    """
    given: dict[int, bytes] = {}
    for note in notes:
        with suppress(NoteInvalid):
            given[unsigned_checkpoint(note).size] = note

    def note_at(size: int) -> bytes | None:
        with suppress(OSError):
            return at_most(folder / CHECKPOINTS / note_name(size), NOTE_BYTES + 1)
        return given.get(size)

    return Keys(key, _told(folder), note_at)


def _told(folder: Path) -> Iterator[Rotation]:
    for line in counted(log_folder(folder, SITE)):
        rotation = Rotation.read(line.content)
        if rotation is not None:
            yield rotation
