"""The control socket: the approver's, the operator's and the auditor's way in on this machine.

A connection asks one thing, as one line of JSON, and gets its answer in lines: ``{"ok": true, …}``
or ``{"ok": false, "error": …, "refused": …}``; to ``follow`` a line for every access request that
is opened or changes, for as long as it stays. Who it is the kernel says (SO_PEERCRED), never the
line, and whoever has no power here gets nothing, and a record (invariant 10).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from contextlib import aclosing
from pathlib import Path
from typing import Any

from twisted.internet import unix
from twisted.internet.defer import Deferred, DeferredList, DeferredQueue, QueueOverflow
from twisted.internet.interfaces import (
    IDelayedCall,
    IFileDescriptorReceiver,
    IPushProducer,
    IReactorTime,
)
from twisted.internet.protocol import Factory, connectionDone
from twisted.logger import Logger
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from jitgate.approvers.attempts import Attempts
from jitgate.approvers.carrying_out import Commands
from jitgate.approvers.commands import (
    END,
    Caller,
    Command,
    Doers,
    Line,
    Powers,
    Refused,
    objection,
    read_command,
)
from jitgate.approvers.socket_file import SocketFile, peer_of
from jitgate.errors import ApproversUnreachable, JitgateError, traced
from jitgate.flow.access import Access
from jitgate.flow.recorder import Recorder
from jitgate.interfaces import IApproverChannel
from jitgate.values import AccessRequest, AccessState

REQUEST_BYTES = 8 * 1024
"""The longest line that is read: an id and a reason whose every character is escaped."""

REQUEST_WITHIN = 5.0
"""Seconds for that line to come: programs send it at once, and who types it has a command."""

UNREAD = 30.0
"""Seconds that a peer may leave unread what the system and 64 KiB of ours cannot hold."""

CONNECTIONS = 256
"""Connections in all, a descriptor each: every approver of a large site may follow."""

CONNECTIONS_OF_ONE = 8
"""Connections of one uid, and of all those together that have no power: nobody keeps others out."""

AHEAD = 64
"""Changes that wait for a follower, each with a body of up to a mebibyte: beyond it is cut off."""

GRACE = 5.0
"""Seconds that answers at hand have to be read when the gateway stops."""

FAULT = "The gateway has a fault, and its log says which. Whether this was done cannot be told."
"""What is read of a fault that nobody foresaw: others' messages can hold what they were given."""


@implementer(IApproverChannel)
class ControlSocket:
    """A part of the service, and the channel that shows requests to those who follow."""

    name = "cli"

    def __init__(
        self,
        path: Path,
        access: Access,
        powers: Powers,
        doers: Doers,
        *,
        recorder: Recorder,
        clock: IReactorTime,
        reactor: Any,
    ) -> None:
        self.access = access
        self.powers = powers
        self.clock = clock
        self.copies = doers.copies
        self.commands = Commands(access, self.name, doers)
        self.attempts = Attempts(recorder, clock)
        self.open: set[Connection] = set()
        self._path = path
        self._reactor = reactor
        self._file: SocketFile | None = None

    async def start(self) -> None:
        """Listen. Raises `StateUnusable`."""
        factory = Factory.forProtocol(lambda: Connection(self))
        factory.noisy = False
        self._file = SocketFile(self._path, factory, self._reactor)

    async def stop(self) -> None:
        """Accept nothing more, let answers at hand be read, remove the file."""
        file, self._file = self._file, None
        if file is not None:
            await file.close()
        open_now = list(self.open)
        for connection in open_now:
            connection.end()
        cut = self.clock.callLater(GRACE, self._cut)
        await DeferredList([each.done for each in open_now])
        if cut.active():
            cut.cancel()
        await self.attempts.stop()

    def _cut(self) -> None:
        for connection in list(self.open):
            connection.cut()

    def adopt(self, powers: Powers) -> None:
        """Go by these powers from now on; whoever has lost theirs follows no longer."""
        self.powers = powers
        for connection in list(self.open):
            connection.known_as(powers)

    async def tell(self, request: AccessRequest) -> None:
        """Whoever follows sees it now, others when they ask: enough that the socket is there."""
        if self._file is None:
            raise ApproversUnreachable("The control socket is not open.")
        for connection in list(self.open):
            connection.told(request)

    def has_room(self, caller: Caller) -> bool:
        """Whether the connection that a caller has opened is not one too many."""
        alike = sum(_counted_as(each.caller) == _counted_as(caller) for each in self.open)
        return alike <= CONNECTIONS_OF_ONE and len(self.open) <= CONNECTIONS


def _counted_as(caller: Caller) -> int | None:
    return None if caller.power is None else caller.uid


@implementer(IPushProducer, IFileDescriptorReceiver)
class Connection(LineOnlyReceiver):
    """One caller's connection. ``done`` fires when it has ended and what it asked for is done."""

    _log = Logger()
    delimiter = b"\n"
    MAX_LENGTH = REQUEST_BYTES
    transport: unix.Server

    def __init__(self, control: ControlSocket) -> None:
        self._control = control
        self._timer: IDelayedCall | None = None
        self._asked = False
        self._busy = False
        self._gone = False
        self._room: Deferred[None] | None = None
        """While what was sent is unread: fires once more may be sent, or nothing ever again."""
        self._copying = False
        self._news: DeferredQueue[AccessRequest | None] | None = None
        """Of a follower: what it is to be shown; None ends it."""
        self.done: Deferred[None] = Deferred()

    # --- from the transport

    def connectionMade(self) -> None:
        self.caller = self._control.powers.caller(*peer_of(self.transport.socket))
        self._control.open.add(self)
        self.transport.registerProducer(self, True)
        if self._control.has_room(self.caller):
            late = Command(wrong=f"No request came within {REQUEST_WITHIN:.0f} seconds.")
            self._within(REQUEST_WITHIN, self._begin, late)
        else:
            self._begin(Command(wrong="There are too many connections."))

    def dataReceived(self, data: bytes) -> None:
        if self._asked:
            self.cut()  # one request a connection
        else:
            super().dataReceived(data)  # type: ignore[no-untyped-call]

    def lineReceived(self, line: bytes) -> None:
        self._begin(read_command(line))

    def lineLengthExceeded(self, line: bytes) -> None:
        self._begin(Command(wrong=f"A request has at most {REQUEST_BYTES} bytes."))

    def fileDescriptorReceived(self, descriptor: int) -> None:
        os.close(descriptor)
        self._begin(Command(wrong="No file is taken."))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._gone = True
        self._within(None)
        if self.caller.power is None:
            self._begin(Command(wrong="It hung up."))
        self.resumeProducing()
        self.end()
        self._finish()

    # --- from the transport, as a producer of lines (IPushProducer)

    def pauseProducing(self) -> None:
        self._room = self._room or Deferred()
        self._within(UNREAD, self.cut)

    def resumeProducing(self) -> None:
        room, self._room = self._room, None
        if room is not None:
            self._within(None)
            room.callback(None)

    def stopProducing(self) -> None:
        """`connectionLost` is told as well."""

    # --- how it ends

    def end(self) -> None:
        """Close once what is at hand has been answered."""
        if self._news is not None:
            self.told(None)
        elif not self._asked:
            self._asked = True
            self.cut()

    def cut(self) -> None:
        """Close at once."""
        self.transport.abortConnection()

    def _close(self) -> None:
        """Close once what was sent has been read."""
        if not self._gone:
            self.transport.unregisterProducer()
            self._within(UNREAD, self.cut)
            self.transport.loseConnection()

    def _finish(self) -> None:
        if self._gone and not self._busy and not self.done.called:
            self._control.open.discard(self)
            self.done.callback(None)

    def _within(
        self, seconds: float | None, call: Callable[..., None] | None = None, *args: object
    ) -> None:
        """Call in so many seconds, instead of what was to be called; None: call nothing."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        if seconds is not None and call is not None:
            self._timer = self._control.clock.callLater(seconds, call, *args)

    def known_as(self, powers: Powers) -> None:
        """See who the caller is by other powers: one who is somebody else is shown no more."""
        before, self.caller = self.caller, powers.caller(self.caller.pid, self.caller.uid)
        if (self._news is not None or self._copying) and self.caller != before:
            self.cut()

    # --- the answer

    def _begin(self, command: Command) -> None:
        if not self._asked:
            self._asked = self._busy = True
            self._within(None)
            Deferred.fromCoroutine(self._serve(command))

    async def _serve(self, command: Command) -> None:
        """Answer. No other place here turns faults into answers."""
        try:
            await self._answer(command)
        except JitgateError as fault:
            await self._send([_no(f"{fault}", refused=False)])
        except Exception as fault:  # noqa: BLE001 (whatever it is, the answer is no)
            self._log.critical("The control socket has a fault: {how}", how=traced(fault))
            await self._send([_no(FAULT, refused=False)])
        self._busy = False
        self._close()
        self._finish()

    async def _answer(self, command: Command) -> None:
        refused = objection(command, self.caller)
        if refused is None and command.name == "follow":
            await self._follow()
            return
        if refused is None and command.name == "copy":
            await self._copied(command)
            return
        answer = refused or await self._control.commands.carry_out(command, self.caller)
        if isinstance(answer, Refused):
            await self._control.attempts.note(self.caller, command, answer)
            answer = [_no(answer.why, refused=True)]
        await self._send(answer)

    async def _copied(self, command: Command) -> None:
        """Send a copy of the recording, for as long as somebody is there who takes it."""
        self._copying = True
        async with aclosing(self._control.copies(self.caller, command.reason)) as lines:
            async for line in lines:
                await self._send([line])
                if self._gone:
                    return

    async def _send(self, lines: Iterable[Line]) -> None:
        """Send lines as fast as they are read; what is for a peer that has gone is dropped."""
        for line in lines:
            if self._room is not None:
                await self._room
            if self._gone:
                return
            self.transport.write(json.dumps(line).encode("ascii") + self.delimiter)

    # --- following

    async def _follow(self) -> None:
        """Show what is pending, then everything that happens, until either side ends it."""
        self._news = DeferredQueue(size=AHEAD)
        shown: dict[str, int] = {}
        for request in await self._control.access.requests():
            shown[request.id] = request.revision
            await self._send([self._control.commands.shown(request, self.caller)])
        await self._send([END])
        while (news := await self._news.get()) is not None and not self._gone:
            if news.revision < shown.get(news.id, 0):
                continue  # it was told while the pending ones were read, and they had it already
            await self._send([self._control.commands.shown(news, self.caller)])
            shown.pop(news.id, None)
            if news.state is AccessState.PENDING:
                shown[news.id] = news.revision

    def told(self, request: AccessRequest | None) -> None:
        """Show a follower a request; None: nothing more."""
        if self._news is not None:
            try:
                self._news.put(request)
            except QueueOverflow:
                self.cut()


def _no(error: str, *, refused: bool) -> Line:
    """The line that says no; ``refused`` is false where it could not be told."""
    return {"ok": False, "error": error, "refused": refused}
