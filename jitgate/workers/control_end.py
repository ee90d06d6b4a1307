"""The control process's end of the wire to a worker: what that says, and what it asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import orjson
from twisted.internet.protocol import connectionDone
from twisted.protocols import amp
from twisted.python.failure import Failure

from jitgate.workers import wire


class Desk(Protocol):
    """What workers ask the control process for. Each raises `JitgateError` for a no."""

    def down(self) -> str | None: ...
    def held_up(self) -> str | None: ...
    async def tell(self, request: str) -> None: ...
    async def tell_grant(self, grant: str, use: str) -> None: ...
    async def members(self, group: str) -> Sequence[str]: ...
    async def orphaned(self, gateway: str) -> None: ...


class Worker(Protocol):
    """Whose wire it is. Each raises `wire.Refused` or `JitgateError` for a no."""

    @property
    def desk(self) -> Desk: ...
    async def join(self, digest: bytes) -> bytes: ...
    def served(self) -> None: ...
    def reported(self, size: int, root: str, told: bytes) -> dict[str, object]: ...
    async def closed(self, size: int, root: str) -> None: ...
    def counted(self, counts: bytes) -> None: ...
    def changed(self, changes: bytes) -> None: ...


class ControlEnd(amp.AMP):
    """The wire to one worker. Once it breaks, ``lost`` hears of it: such a one serves nobody."""

    def __init__(self, worker: Worker, lost: Callable[[], None]) -> None:
        super().__init__(locator=_AtControl(worker))  # type: ignore[no-untyped-call]
        self._lost = lost

    def let_go(self) -> None:
        """It has ended."""
        self._lost = lambda: None
        transport: Any = self.transport
        if transport is not None:
            transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._lost()  # before those hear of it who wait for its answers
        super().connectionLost(reason)  # type: ignore[no-untyped-call]


class _AtControl(amp.CommandLocator):
    """Hears what one worker says."""

    def __init__(self, worker: Worker) -> None:
        super().__init__()
        self._worker = worker

    @wire.Join.responder
    @wire.refusing
    async def join(self, digest: bytes) -> dict[str, object]:
        return {"seed": await self._worker.join(digest)}

    @wire.Serving.responder
    def serving(self) -> dict[str, object]:
        self._worker.served()
        return {}

    @wire.Report.responder
    def report(self, size: int, root: str, told: bytes) -> dict[str, object]:
        return self._worker.reported(size, root, told)

    @wire.Closed.responder
    @wire.refusing
    async def closed(self, size: int, root: str) -> dict[str, object]:
        await self._worker.closed(size, root)
        return {}

    @wire.Counted.responder
    def counted(self, counts: bytes) -> dict[str, object]:
        self._worker.counted(counts)
        return {}

    @wire.Changes.responder
    def changes(self, changes: bytes) -> dict[str, object]:
        self._worker.changed(changes)
        return {}

    @wire.Tell.responder
    @wire.refusing
    async def tell(self, request: str) -> dict[str, object]:
        await self._worker.desk.tell(request)
        return {}

    @wire.TellGrant.responder
    @wire.refusing
    async def tell_grant(self, grant: str, use: str) -> dict[str, object]:
        await self._worker.desk.tell_grant(grant, use)
        return {}

    @wire.Members.responder
    @wire.refusing
    async def members(self, group: str) -> dict[str, object]:
        return {"members": orjson.dumps(list(await self._worker.desk.members(group)))}
