"""Says on record who was refused what at the control socket."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from twisted.internet.interfaces import IReactorTime

from jitgate.approvers.commands import Caller, Command, Refused
from jitgate.flow.recorder import Recorder
from jitgate.flow.refusals import Refusals


class Attempts:
    """One object a socket. Nothing here raises: who is refused stays so, recorded or not."""

    def __init__(self, recorder: Recorder, clock: IReactorTime) -> None:
        self._refusals = Refusals(recorder, clock, "control.refused", _whose)

    async def note(self, caller: Caller, command: Command, refused: Refused) -> None:
        """Once this returns it is on record, or counted, or the log says that it cannot be."""
        fields: dict[str, object] = {
            "uid": caller.uid,
            "pid": caller.pid,
            "person": caller.person,
            "command": command.name,
        }
        if (about := refused.about or command.id) is not None:
            fields["grant" if command.name == "revoke" else "access_request"] = about
        await self._refusals.note(caller.uid, {**fields, "why": refused.why})

    async def stop(self) -> None:
        """Put on record what was only counted."""
        await self._refusals.stop()


def _whose(uid: Hashable) -> Mapping[str, object]:
    return {"uid": uid, "pid": None, "person": None, "command": None}
