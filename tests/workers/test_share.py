"""The port that several accept from: each takes its share, and nobody waits for who does not."""

import contextlib
import socket

import pytest
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from jitgate.workers.share import ABSENT, STEP_BACK, UNASKED, Counters, Share, SharedEndpoint


class Poller(Clock):
    """A reactor that reads when the test says so."""

    def __init__(self):
        super().__init__()
        self.reading = set()

    def addReader(self, reader):
        self.reading.add(reader)

    def removeReader(self, reader):
        self.reading.discard(reader)

    def addWriter(self, writer):
        pass

    def removeWriter(self, writer):
        pass


class Process:
    """One that accepts from the socket of all."""

    def __init__(self, listening, counters, slot):
        self.clock, self.made = Poller(), []
        factory = Factory.forProtocol(self._protocol)
        factory.noisy = False
        share = Share(counters, slot)
        endpoint = SharedEndpoint(listening.fileno(), socket.AF_INET, share, self.clock)
        endpoint.listen(factory).addCallback(lambda port: setattr(self, "port", port))

    def _protocol(self):
        self.made.append(Protocol())
        return self.made[-1]

    def wakes(self):
        if self.port in self.clock.reading:
            self.port.doRead()

    def hangs_up(self):
        transport = self.made.pop().transport
        transport.connectionLost(Failure(ConnectionDone()))


class Port:
    def __init__(self, count):
        self.listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.listening.setblocking(False)
        self.counters = Counters.made(count)
        self.all = [Process(self.listening, self.counters, slot) for slot in range(count)]
        self.clients = []

    def comes(self):
        self.clients.append(socket.create_connection(self.listening.getsockname()))

    @property
    def counts(self):
        return [len(each.made) for each in self.all]


@pytest.fixture
def port():
    made = Port(2)
    yield made
    for each in made.all:
        while each.made:
            each.hangs_up()
        if each.port.connected:
            each.port.connectionLost(Failure(ConnectionDone()))
    for each in [made.listening, *made.clients]:
        with contextlib.suppress(OSError):
            each.close()


def test_whoever_has_more_leaves_the_next_one_to_the_other(port):
    one, other = port.all
    for _ in range(8):
        port.comes()
        one.wakes()  # it is always the first
        other.wakes()
        one.clock.advance(STEP_BACK)
        other.clock.advance(STEP_BACK)
    assert port.counts == [4, 4]
    assert [port.counters[slot] for slot in (0, 1)] == [4, 4]


def test_what_the_other_does_not_take_in_time_is_taken_all_the_same(port):
    one, _ = port.all
    port.comes()
    one.wakes()
    port.comes()
    port.comes()
    one.wakes()
    assert port.counts == [1, 0]
    one.clock.advance(STEP_BACK)
    assert port.counts == [2, 0]
    one.wakes()  # and for a moment nothing more is left to it
    assert port.counts == [3, 0]
    one.clock.advance(UNASKED)
    port.comes()
    one.wakes()
    assert port.counts == [3, 0]


def test_a_connection_that_has_ended_counts_no_more(port):
    one, other = port.all
    port.comes()
    one.wakes()
    port.comes()
    other.wakes()
    one.hangs_up()
    port.comes()
    other.wakes()
    assert port.counts == [0, 1]
    one.wakes()
    assert port.counts == [1, 1]


def test_nothing_is_left_to_one_that_does_not_accept(port):
    one, other = port.all
    other.port.connectionLost(Failure(ConnectionDone()))
    assert port.counters[1] == ABSENT
    for _ in range(3):
        port.comes()
        one.wakes()
    assert port.counts == [3, 0]


def test_a_port_that_was_closed_meanwhile_takes_nothing(port):
    one, _ = port.all
    port.comes()
    one.wakes()
    port.comes()
    one.wakes()
    one.port.connectionLost(Failure(ConnectionDone()))
    one.clock.advance(STEP_BACK)
    assert port.counts == [1, 0]
    assert one.port not in one.clock.reading
