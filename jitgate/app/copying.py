"""Gives auditors a copy of the recording at the control socket; each is on record before it."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from twisted.internet.threads import deferToThreadPool

from jitgate.approvers.commands import END, Caller, Line
from jitgate.flow.recorder import Recorder
from jitgate.stores.copying import Piece, files, pieces
from jitgate.values import Entry


class Copying:
    """Copies of the recording in ``folder``."""

    def __init__(self, folder: Path, recorder: Recorder, reactor: Any) -> None:
        self._folder, self._recorder, self._reactor = folder, recorder, reactor

    async def __call__(self, caller: Caller, reason: str) -> AsyncGenerator[Line, None]:
        """The lines that hold it. Raises `RecorderDown`: who has read it is on record, or none."""
        by = {"uid": caller.uid, "pid": caller.pid, "person": caller.person}
        said = Entry("recording.copied", self._reactor.seconds(), {"by": by, "reason": reason})
        await self._recorder.append(said)
        left = pieces(self._folder, files(self._folder))
        while (piece := await self._in_thread(next, left, None)) is not None:
            yield _line(piece)
        yield END

    def _in_thread(self, work: Any, *args: object) -> Any:
        pool = self._reactor.getThreadPool()
        return deferToThreadPool(self._reactor, pool, work, *args)


def _line(piece: Piece) -> Line:
    return {"ok": True, "file": piece.file, "data": base64.b64encode(piece.data).decode("ascii")}
