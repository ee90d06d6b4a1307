"""Keeps checkpoints in the archive as well, locked for as long as the files of the recording."""

from __future__ import annotations

from tempfile import NamedTemporaryFile
from typing import Final

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from jitgate.errors import ArchiveDown, ArchiveUnlocked, CheckpointNotKept
from jitgate.flow.archiving import locked_until
from jitgate.flow.recorder import InThread
from jitgate.interfaces import IArchive, IKeeper

FOLDER: Final = "kept"
"""Beside the recording in the archive, not in it: they cover what is not archived yet."""


@implementer(IKeeper)
class ArchiveKeeper:
    """One object for each checkpoint, for ``retention`` seconds; the archive may block a thread."""

    every = 0.0

    def __init__(
        self, archive: IArchive, retention: float, *, clock: IReactorTime, in_thread: InThread
    ) -> None:
        self.name = archive.name
        self._archive = archive
        self._retention = retention
        self._clock = clock
        self._in_thread = in_thread

    async def keep(self, note: bytes) -> None:
        try:
            await self._in_thread(self._put, note)
        except (ArchiveDown, ArchiveUnlocked) as fault:
            raise CheckpointNotKept(f"{fault}") from fault

    async def stop(self) -> None:
        """Nothing is open."""

    def _put(self, note: bytes) -> None:
        """Under the size of the site log that it covers: the second line of a checkpoint."""
        size = int(note.split(b"\n", 2)[1])
        until = locked_until(self._clock.seconds(), self._retention)
        with NamedTemporaryFile(prefix="jitgate-") as file:
            file.write(note)
            file.flush()
            self._archive.put(file.name, f"{FOLDER}/{size:012d}.note", until)
