"""IPv4 and IPv6 are raced over the addresses that were handed in (RFC 8305), in bounded time."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_twisted import ensureDeferred
from twisted.internet import error, reactor
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as TooLate
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from jitgate.upstreams.dialling import (
    MOST,
    NEXT_AFTER,
    Wire,
    connector,
    interleaved,
    raced,
)

WITHIN = 10.0
SIX = [("2606:4700::1", 443), ("2606:4700::2", 443), ("2606:4700::3", 443)]
FOUR = [("8.8.8.1", 443), ("8.8.8.2", 443)]


class Ways:
    """Attempts that a test lets come out as it wants."""

    def __init__(self):
        self.attempts = {}
        self.cancelled = []

    def connect(self, peer):
        self.attempts[peer] = Deferred(lambda _: self.cancelled.append(peer))
        return self.attempts[peer]

    def accept(self, peer):
        wire = Wire(self.attempts[peer].callback)
        wire.makeConnection(Aborted())
        return wire

    def refuse(self, peer):
        self.attempts[peer].errback(error.ConnectionRefusedError())


class Aborted(StringTransport):
    """Twisted's in-memory transport, whose end can be seen."""

    aborted = False

    def abortConnection(self):
        self.aborted = True


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def ways():
    return Ways()


@pytest.fixture
def race(ways, clock):
    return lambda *peers: Deferred.fromCoroutine(raced(peers, ways.connect, clock, WITHIN))


def test_the_families_take_turns_and_the_resolvers_order_stands():
    assert interleaved(SIX + FOUR) == [SIX[0], FOUR[0], SIX[1], FOUR[1], SIX[2]]
    assert interleaved(FOUR + SIX) == [FOUR[0], SIX[0], FOUR[1], SIX[1], SIX[2]]
    assert interleaved(FOUR) == FOUR


@given(st.lists(st.sampled_from(SIX + FOUR), unique=True, min_size=1))
def test_every_address_has_its_turn(peers):
    assert sorted(interleaved(peers)) == sorted(peers)


def test_no_more_addresses_are_tried_than_may_be():
    many = [(f"8.8.8.{number}", 443) for number in range(100)] + SIX
    tried = interleaved(many)
    assert len(tried) == MOST
    assert set(SIX) <= set(tried)


def test_the_first_address_has_a_moment_for_itself(race, ways, clock):
    racing = race(*SIX, *FOUR)
    clock.advance(NEXT_AFTER * 0.9)
    assert list(ways.attempts) == [SIX[0]]
    wire = ways.accept(SIX[0])
    assert racing.result is wire
    assert not clock.getDelayedCalls()


def test_the_next_is_tried_beside_it_and_the_first_to_connect_wins(race, ways, clock):
    racing = race(SIX[0], FOUR[0], SIX[1])
    clock.advance(NEXT_AFTER)
    assert list(ways.attempts) == [SIX[0], FOUR[0]]
    wire = ways.accept(FOUR[0])
    assert racing.result is wire
    assert ways.cancelled == [SIX[0]]
    clock.advance(60)
    assert SIX[1] not in ways.attempts


def test_a_failure_lets_the_next_begin_at_once(race, ways, clock):
    racing = race(SIX[0], FOUR[0], SIX[1])
    ways.refuse(SIX[0])
    assert list(ways.attempts) == [SIX[0], FOUR[0]]
    clock.advance(NEXT_AFTER * 0.9)
    assert len(ways.attempts) == 2, "the next one's moment did not begin anew"
    ways.refuse(FOUR[0])
    ways.accept(SIX[1])
    assert isinstance(racing.result, Wire)


@ensureDeferred
async def test_where_all_fail_the_last_failure_is_told(race, ways):
    racing = race(*FOUR)
    for peer in FOUR:
        ways.refuse(peer)
    with pytest.raises(error.ConnectionRefusedError):
        await racing


@ensureDeferred
async def test_all_together_have_a_bounded_time(race, ways, clock):
    racing = race(*SIX, *FOUR)
    clock.pump([NEXT_AFTER] * int(WITHIN / NEXT_AFTER))
    with pytest.raises(TooLate):
        await racing
    assert set(ways.cancelled) == set(SIX + FOUR)
    assert not clock.getDelayedCalls()


def test_a_race_that_is_given_up_gives_up_its_attempts(race, ways, clock):
    racing = race(*SIX)
    racing.addErrback(lambda _: None)
    clock.advance(NEXT_AFTER)
    racing.cancel()
    assert set(ways.cancelled) == set(SIX[:2])
    assert not clock.getDelayedCalls()


# --- over real sockets


def listening(address):
    return socket.create_server(
        (address, 0), family=socket.AF_INET6 if ":" in address else socket.AF_INET
    )


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
@ensureDeferred
async def test_both_families_are_connected_to(address):
    with listening(address) as server:
        wire = await raced([server.getsockname()[:2]], connector(reactor, WITHIN), reactor, WITHIN)
        assert wire.transport.getPeer().host == address
        wire.transport.abortConnection()
        await wire.lost


@ensureDeferred
async def test_an_address_that_does_not_answer_costs_a_moment_and_no_more():
    """A full queue of a listening socket: its kernel drops further attempts."""
    with listening("::1") as good, silent() as dead:
        peers = [dead, good.getsockname()[:2]]
        began = reactor.seconds()
        wire = await raced(peers, connector(reactor, WITHIN), reactor, WITHIN)
        assert wire.transport.getPeer().host == "::1"
        assert NEXT_AFTER <= reactor.seconds() - began < WITHIN / 2
        wire.transport.abortConnection()
        await wire.lost


class silent:  # noqa: N801
    """An address of the loopback interface that drops what comes."""

    def __enter__(self):
        self.server = socket.create_server(("127.0.0.1", 0), backlog=0)
        self.full = [socket.socket() for _ in range(3)]
        for each in self.full:
            each.setblocking(False)
            each.connect_ex(self.server.getsockname())
        return self.server.getsockname()

    def __exit__(self, *error):
        for each in [*self.full, self.server]:
            each.close()


@ensureDeferred
async def test_who_speaks_before_we_do_is_hung_up_on():
    with listening("127.0.0.1") as server:
        wire = await raced([server.getsockname()], connector(reactor, WITHIN), reactor, WITHIN)
        peer, _ = server.accept()
        with peer:
            peer.sendall(b"220 mail.example ESMTP\r\n")
            await wire.lost
