"""The suite for listener sources: what they make accepts when started, and leaves nothing."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from jitgate.core.limits import LIMITS
from jitgate.errors import StateUnusable
from jitgate.flow.admission import TurnedAway
from jitgate.interfaces import IListenerSource, IProtocolListener
from jitgate.testing.contract import Contract
from jitgate.testing.waiting import waits, within
from jitgate.values import Denial, Refusal


class Closed:
    """A gateway that admits nobody."""

    async def admit(self, knock: object) -> TurnedAway:
        return TurnedAway("ex-1", Refusal(Denial.TOKEN_REFUSED, "Nobody is admitted."))


class Agent(Protocol):
    """Comes in and says nothing."""

    transport: ITCPTransport

    def __init__(self) -> None:
        self.gone: Deferred[None] = Deferred()

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.gone.callback(None)


class ListenerContract(Contract):
    """What every `IListenerSource` and its listeners promise. What they speak is yours to test."""

    seconds = LIMITS.stop
    """That it has to stop: as long as the gateway gives it."""

    def make(self) -> IListenerSource:
        """The source, made anew at each call."""
        raise NotImplementedError("let make() return what your plugin provides")

    def gateway(self) -> Any:
        """What the listener is made with."""
        return Closed()

    def port(self, listener: Any) -> int:
        """The port of 127.0.0.1 at which a listener that was started accepts."""
        raise NotImplementedError("let port() tell where the listener accepts")

    def test_it_provides_its_port(self) -> None:
        assert verifyObject(IListenerSource, self.make())
        assert verifyObject(IProtocolListener, self._made())

    @waits
    async def test_it_accepts_once_it_is_started_and_ends_what_is_open(self) -> None:
        listener = self._made()
        await within(listener.start())
        port = self.port(listener)
        agent = await within(_connected(port))
        await within(listener.stop(), self.seconds)
        await within(agent.gone, self.seconds)
        assert not await _accepts(port)

    @waits
    async def test_its_port_is_free_again(self) -> None:
        for _ in range(2):
            listener = self._made()
            await within(listener.start())
            assert await _accepts(self.port(listener))
            await within(listener.stop(), self.seconds)

    @waits
    async def test_a_port_that_is_taken_is_said_as_the_port_says_it(self) -> None:
        """Where each listener has a port of its own, none is taken."""
        first, second = self._made(), self._made()
        await within(first.start())
        try:
            await within(second.start())
        except StateUnusable:
            pass
        else:
            await within(second.stop())
        finally:
            await within(first.stop())

    def _made(self) -> IProtocolListener:
        return self.make().listener(self.gateway())


async def _connected(port: int) -> Agent:
    from twisted.internet import reactor  # noqa: PLC0415 (pytest-twisted has installed it)

    endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port)
    agent = Agent()
    await endpoint.connect(Factory.forProtocol(lambda: agent))
    await deferLater(reactor, 0.05)  # so that it is accepted
    return agent


async def _accepts(port: int) -> bool:
    try:
        agent = await within(_connected(port))
    except ConnectError:
        return False
    agent.transport.loseConnection()
    await within(agent.gone)
    return True
