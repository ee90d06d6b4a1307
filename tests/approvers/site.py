"""A control socket over real access requests, for whoever has to ask at one."""

import json
import os
import socket
from itertools import count

from support.access import NOW, access_request, at_once
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread

from jitgate.approvers.commands import Doers, Powers
from jitgate.approvers.control import ControlSocket
from jitgate.approvers.people import ListedPeople
from jitgate.core.waiting import Patience
from jitgate.flow.access import Access
from jitgate.flow.grants import Grants
from jitgate.flow.ledger import Ledger
from jitgate.flow.looking_up import Means
from jitgate.flow.members import Members
from jitgate.flow.opening import Limits
from jitgate.flow.rates import Pace
from jitgate.flow.recorder import Recorder
from jitgate.flow.resource_names import ResourceNames
from jitgate.flow.revoking import Revocations
from jitgate.flow.telling import Telling
from jitgate.stores.access_memory import MemoryAccess
from jitgate.stores.budgets_memory import MemoryBudgets
from jitgate.stores.memory import MemoryRecords
from jitgate.stores.once_memory import MemoryOnce
from jitgate.values import Reloaded

ME = os.getuid()
ALICE, BOB = "alice@acme.com", "bob@acme.com"


class Site:
    """Everything between the socket and what is kept, in memory. ``clock`` stands still."""

    def __init__(self, folder, powers=None, start=NOW, store=None):
        self.path = folder / "control.sock"
        self.clock = Clock()
        self.clock.advance(start)
        self.records = MemoryRecords()
        self.recorder = Recorder(self.records, clock=self.clock, in_thread=at_once)
        self.store = store or MemoryAccess()
        ledger = Ledger(self.store, self.recorder, self.clock)
        self.channels = []
        ids = count(1)
        telling = Telling(self.channels)
        self.grants = Grants(ledger, self.clock, telling)
        self.access = Access(
            ledger,
            self.grants,
            telling=telling,
            names=ResourceNames(
                Means(self.recorder, Pace(self.clock), self.clock, b"k" * 32), lambda kind: kind
            ),
            members=Members({"it-leads": frozenset({ALICE, BOB})}, self.clock),
            active=[ListedPeople()],
            counts=MemoryBudgets(self.clock),
            patience=Patience(),
            limits=Limits(),
            clock=self.clock,
            new_id=lambda kind: f"{kind}-{next(ids):08}",
        )
        once = MemoryOnce(self.clock)
        self.revocations = Revocations(once, self.access, self.recorder, self.clock)
        self.reloaded = []
        self.reloads = Reloaded("/etc/jitgate.yaml", "p1", "p2")
        self.powers = powers or Powers(approvers={ME: ALICE})
        self.control = self.another()
        self.channels.append(self.control)

    def another(self):
        """One more control socket at the same place."""
        from twisted.internet import reactor  # noqa: PLC0415 - installed by pytest-twisted

        return ControlSocket(
            self.path,
            self.access,
            self.powers,
            Doers(self.reload, self.revocations.revoke_subject),
            recorder=self.recorder,
            clock=self.clock,
            reactor=reactor,
        )

    async def reload(self, by):
        """Whoever reloads is noted; what comes of it is as the test wants it."""
        self.reloaded.append(dict(by))
        return self.reloads

    async def start(self):
        await self.store.open()
        await self.recorder.start()
        await self.control.start()

    async def stop(self):
        await self.control.stop()
        self.access.stop()
        await self.recorder.stop()

    async def keep(self, *keys, **how):
        """Pending access requests of these ids."""
        for key in keys:
            await self.store.commit([access_request(key, **how)])

    async def ask(self, command=None, **more):
        """The answer to one command: its lines."""
        content = json.dumps({"command": command, **more}).encode() + b"\n"
        return await deferToThread(ask, self.path, content)

    async def raw(self, data):
        """The answer to any bytes."""
        return await deferToThread(ask, self.path, data)

    def refused(self):
        """What stands on record of those who were refused."""
        return [dict(e.fields) for e in self.records.entries if e.type == "control.refused"]


def connected(path):
    """A connection, as a program would open it."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(20)
    connection.connect(os.fsencode(path))
    return connection


def ask(path, data):
    """Send the bytes, and read the answer's lines until the connection ends."""
    with connected(path) as connection:
        try:
            connection.sendall(data)
        except BrokenPipeError:
            pass
        return lines_of(connection)


def lines_of(connection):
    """Every line until the end."""
    read = b""
    try:
        while data := connection.recv(65536):
            read += data
    except ConnectionResetError:
        pass
    return [json.loads(line) for line in read.splitlines()]
