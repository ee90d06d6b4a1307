"""The way to a host: resolved once for each dial, checked, and no more connections than may be."""

from __future__ import annotations

import pytest
from pytest_twisted import ensureDeferred
from support.ways import way
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock, StringTransport

from jitgate.core.limits import Limits
from jitgate.errors import AddressRefused, UpstreamUnreachable
from jitgate.upstreams.endpoint import DIALS, OPEN
from jitgate.upstreams.room import ROOM_WITHIN

FACTORY = Factory.forProtocol(Protocol)


class Names:
    """Answers with what is set, and counts."""

    def __init__(self, *found):
        self.found = list(found)
        self.asked = []
        self.pending = None

    async def __call__(self, host):
        self.asked.append(host)
        if self.pending is None:
            return self.found
        self.pending.append(Deferred())
        return await self.pending[-1]


class Line(StringTransport):
    """A connection in memory that can be told not to wait for acknowledgements."""

    delays = True

    def setTcpNoDelay(self, enabled):
        self.delays = not enabled


class Net(MemoryReactorClock):
    """Twisted's reactor in memory; connections are made as a test says."""

    def dialled(self):
        return [client[0] for client in self.tcpClients]

    def accept(self, number):
        """The attempt of that number succeeds; its end can be told."""
        host, port, factory, _, _ = self.tcpClients[number]
        wire = factory.buildProtocol(IPv4Address("TCP", host, port))
        wire.makeConnection(Line(peerAddress=IPv4Address("TCP", host, port)))
        return wire


@pytest.fixture
def net():
    return Net()


@ensureDeferred
async def test_a_name_is_resolved_anew_for_each_dial_and_what_was_found_is_dialled(net):
    names = Names("8.8.8.8")
    endpoint = way(None, resolve=names, loop=net)
    endpoint.connect(FACTORY)
    names.found = ["8.8.4.4"]
    endpoint.connect(FACTORY)
    assert names.asked == ["api.example"] * 2
    assert net.dialled() == ["8.8.8.8", "8.8.4.4"]


def test_what_is_written_is_sent_at_once(net):
    """The second of two writes does not wait until the other end acknowledges the first."""
    way(None, resolve=Names("8.8.8.8"), loop=net).connect(FACTORY)
    assert not net.accept(0).transport.delays


@ensureDeferred
async def test_a_name_that_leads_inside_as_well_is_not_dialled_at_all(net):
    endpoint = way(None, resolve=Names("8.8.8.8", "2606:4700::1111", "fd00::1"), loop=net)
    with pytest.raises(AddressRefused):
        await endpoint.connect(FACTORY)
    assert net.dialled() == []


@pytest.mark.parametrize("host", ["8.8.8.8", "2606:4700::1111"])
def test_a_host_that_is_an_address_is_dialled_as_it_is(net, host):
    way(None, host=host, loop=net).connect(FACTORY)
    assert net.dialled() == [host]


@ensureDeferred
async def test_a_host_that_is_an_inside_address_is_not_dialled(net):
    with pytest.raises(AddressRefused):
        await way(None, host="169.254.169.254", loop=net).connect(FACTORY)
    assert net.dialled() == []


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f.0.0.1", "8.8.8.8."])
def test_a_host_in_a_spelling_of_its_own_is_refused(host):
    with pytest.raises(ValueError, match="usually written"):
        way(None, host=host)


def test_families_are_tried_by_turns(net):
    found = Names("2606:4700::1", "2606:4700::2", "8.8.8.8")
    way(None, resolve=found, loop=net).connect(FACTORY)
    net.pump([0.25] * 2)
    assert net.dialled() == ["2606:4700::1", "8.8.8.8", "2606:4700::2"]


def test_where_a_name_leads_is_known_by_the_last_answer(net):
    names = Names("8.8.8.8", "2606:4700:0:0::1")
    endpoint = way(None, resolve=names, loop=net)
    assert endpoint.leads_to("8.8.8.8"), "nothing was resolved yet"
    endpoint.connect(FACTORY)
    assert endpoint.leads_to("2606:4700::1")
    names.found = ["8.8.4.4"]
    endpoint.connect(FACTORY)
    assert (endpoint.leads_to("8.8.8.8"), endpoint.leads_to("8.8.4.4")) == (False, True)


@ensureDeferred
async def test_a_dead_target_is_tried_by_so_many_at_once_and_the_others_do_not_wait_for_ever(net):
    names = Names("8.8.8.8")
    names.pending = []
    endpoint = way(None, resolve=names, loop=net)
    waiting = [endpoint.connect(FACTORY) for _ in range(DIALS + 5)]
    assert len(names.asked) == DIALS
    net.advance(ROOM_WITHIN)
    for each in waiting[DIALS:]:
        with pytest.raises(UpstreamUnreachable, match="too many connections"):
            await each
    for each, answer in zip(waiting, names.pending, strict=False):
        answer.errback(UpstreamUnreachable("The name could not be resolved."))
        with pytest.raises(UpstreamUnreachable):
            await each
    names.pending = None
    endpoint.connect(FACTORY)
    assert net.dialled() == ["8.8.8.8"], "a place was lost"


@ensureDeferred
async def test_connections_in_all_are_bounded_and_the_end_of_one_makes_room(net):
    endpoint = way(None, resolve=Names("8.8.8.8"), loop=net, limits=Limits(exchanges=1))
    wires = []
    for number in range(OPEN):
        endpoint.connect(FACTORY)
        wires.append(net.accept(number))
    assert endpoint.full
    late, later = endpoint.connect(FACTORY), endpoint.connect(FACTORY)
    assert endpoint.waited_for
    assert len(net.dialled()) == OPEN
    wires[0].connectionLost()
    assert len(net.dialled()) == OPEN + 1
    net.advance(ROOM_WITHIN)
    for each in (late, later):
        with pytest.raises(UpstreamUnreachable):
            await each
