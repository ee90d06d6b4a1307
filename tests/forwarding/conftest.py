"""One forwarder in this process, before a gateway's port that each test steers."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import pytest_twisted
from forwarding.door import OK, Door, basic, connect_bytes, dialled
from twisted.internet import reactor
from twisted.internet.task import Clock

from jitgate.forwarding.asking import Run
from jitgate.forwarding.forwarder import Forwarder
from jitgate.forwarding.hop import Address, Hop
from jitgate.forwarding.tokens import TokenUnavailable

TOKEN = "header.payload.signature-of-a-token"


class Hours:
    """The reactor, but for what takes longer than a test waits: that is the test's to call."""

    def __init__(self) -> None:
        self.clock = Clock()

    def callLater(self, delay, call, *args, **named):
        return (self.clock if delay >= 5 else reactor).callLater(delay, call, *args, **named)

    def __getattr__(self, name):
        return getattr(reactor, name)


@dataclass
class Held:
    """A source of tokens that has one, or says why not."""

    text: str = TOKEN
    why: str | None = None
    asked: int = 0

    async def token(self) -> str:
        self.asked += 1
        if self.why is not None:
            raise TokenUnavailable(self.why)
        return self.text

    def stop(self) -> None: ...


@dataclass
class Stage:
    """The forwarder with everything around it."""

    forwarder: Forwarder
    door: Door
    tokens: Held
    hours: Hours
    said: list[str] = field(default_factory=list)

    @property
    def run(self) -> Run:
        return self.forwarder.run

    def admitted(self) -> str:
        """The agent's field, as its clients make it."""
        return basic(self.run.name, self.run.secret)

    def asking(self, **how):
        """A connection on which CONNECT has been asked for."""
        return dialled(self.forwarder.port, connect_bytes(self.admitted(), **how))


@pytest.fixture
def door():
    with Door(lambda stream: stream.sendall(OK)) as made:
        yield made


@pytest_twisted.async_yield_fixture
async def staged(door):
    """Makes stages, whose forwarders are stopped at the end."""
    made = []

    async def start(gateway=None, trust=None):
        hours, said = Hours(), []
        hop = Hop(gateway or Address("127.0.0.1", door.port), hours, trust)
        tokens = Held()
        forwarder = Forwarder(Run.named("run-1"), hop, tokens, hours, said.append)
        made.append(Stage(forwarder, door, tokens, hours, said))
        await forwarder.start()
        return made[-1]

    yield start
    for stage in made:
        await stage.forwarder.stop()


@pytest_twisted.async_fixture
async def stage(staged):
    return await staged()
