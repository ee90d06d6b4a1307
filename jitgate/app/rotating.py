"""Rotation of the key that signs checkpoints, for operators who ask at the control socket."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from twisted.internet.defer import DeferredLock
from twisted.logger import Logger

from jitgate.approvers.commands import Line, Refused
from jitgate.core.note import Signer
from jitgate.errors import MustStop
from jitgate.flow.recorder import InThread
from jitgate.stores.recordings import RecordFiles
from jitgate.stores.state import StateFolder


class Rotating:
    """Makes a key in ``state`` and has it sign ``records``, in ``recorder``, which writes those."""

    _log = Logger()

    def __init__(self, records: RecordFiles, state: StateFolder, recorder: InThread) -> None:
        self._records = records
        self._state = state
        self._recorder = recorder
        self._lock = DeferredLock()

    async def __call__(self, person: str, reason: str) -> Sequence[Line] | Refused:
        """Both public keys, once the rotation is durable; or why that is not known."""
        await self._lock.acquire()
        try:
            done = await self._recorder(self._rotated, person, reason)
        except OSError as error:
            return _not_known(error.strerror or type(error).__name__)
        except MustStop as error:
            return _not_known(f"{error}".rstrip("."))
        finally:
            self._lock.release()
        before, after = cast("tuple[Signer, Signer]", done)
        self._log.info(
            "The key {before} is retired, by {person}: {after} signs the recording from now on.",
            before=before.verifier.id.hex(),
            after=after.verifier.id.hex(),
            person=person,
        )
        return [{"ok": True, "old": before.verifier.text, "new": after.verifier.text}]

    def _rotated(self, person: str, reason: str) -> tuple[Signer, Signer]:
        return self._records.rotate(self._state.next_key(), {"by": person, "why": reason})


def _not_known(why: str) -> Refused:
    return Refused(
        f"It is not known to be done: {why}. What is left to do is done at the next start, or once "
        "you ask again."
    )
