"""Kept connections: looked at before they are used, newest first, and not for ever."""

from __future__ import annotations

import os
import select
import socket
import threading

import pytest
from pytest_twisted import ensureDeferred
from support.counterparts import TestCA
from support.listening import until
from support.ways import HOST, exchanged, way
from support.wire import Origin, answering
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from jitgate.errors import UpstreamUntrusted
from jitgate.upstreams.connection import KEPT_FOR, LASTS
from jitgate.upstreams.https import KEPT, HttpsUpstream
from jitgate.upstreams.room import Room


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return TestCA.create(tmp_path_factory.mktemp("ca"))


class Stage:
    """An origin, the upstream before it, and what the origin does after an answer."""

    def __init__(self, ca):
        self.ca = ca
        self.then = lambda peer: None
        self.go = threading.Event()
        self.origin = Origin(ca.leaf(HOST), self.handle)
        self.clock = Clock()

    def handle(self, request, peer):
        answering(b"{}")(request, peer)
        self.then(peer)
        return peer.fileno() >= 0  # else OpenSSL would read from whoever gets its number next

    def __enter__(self):
        self.origin.__enter__()
        self.upstream = self.way()
        return self

    def __exit__(self, *error):
        self.go.set()
        self.origin.__exit__(*error)

    def way(self, trust=None):
        endpoint = way(trust or self.ca.pem, ("127.0.0.1", self.origin.port))
        return HttpsUpstream(endpoint, self.clock)

    async def kept(self):
        """A connection after an exchange, back in the pool."""
        connection = await self.upstream.connect(fresh=False)
        await exchanged(connection)
        connection.release()
        self.clock.advance(0)
        return connection

    def after(self, act):
        """Have the origin act once it is told to."""
        self.then = lambda peer: self.go.wait(20) and act(peer)


@pytest.fixture
def stage(ca):
    with Stage(ca) as made:
        yield made


def arrives_unseen(connection):
    """Wait until something has come to the socket, while the reactor, which is not let, sleeps."""
    tcp = connection.transport.transport.getHandle()
    readable, _, _ = select.select([tcp], [], [], 10)
    assert readable
    assert connection.usable, "the reactor has seen it"


def at_once(coroutine):
    """What a coroutine comes to without the reactor, if it comes to something."""
    return Deferred.fromCoroutine(coroutine)


ENDS = {
    "an orderly end": lambda peer: peer.unwrap(),
    "a bare end": lambda peer: peer.shutdown(socket.SHUT_RDWR),
    "a reset": lambda peer: reset(peer),
    "bytes unasked": lambda peer: peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"),
}


def reset(peer):
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    socket.socket(fileno=peer.detach()).close()


@pytest.mark.parametrize("end", ENDS)
@ensureDeferred
async def test_what_came_while_idle_is_seen_without_the_reactor(stage, end):
    stage.after(ENDS[end])
    kept = await stage.kept()
    stage.go.set()
    arrives_unseen(kept)
    taken = at_once(stage.upstream.connect(fresh=False))
    assert not taken.called, "a dead connection was given out"
    stage.then = lambda peer: None
    connection = await taken
    assert connection is not kept
    assert connection.fresh
    assert await exchanged(connection) == b"{}"
    await stage.upstream.stop()


def a_part_of_a_record(peer):
    with socket.socket(fileno=os.dup(peer.fileno())) as tcp:
        tcp.sendall(b"\x17\x03\x03")


@ensureDeferred
async def test_a_part_of_a_record_that_has_come_is_never_the_next_ones_answer(stage):
    """OpenSSL keeps it until the rest has come, and the socket does not show it any more."""
    stage.after(a_part_of_a_record)
    kept = await stage.kept()
    stage.go.set()
    await until(lambda: kept.transport.mid_record)
    stage.then = lambda peer: None
    connection = await stage.upstream.connect(fresh=False)
    assert connection is not kept
    await stage.upstream.stop()


@ensureDeferred
async def test_a_quiet_connection_is_used_again(stage):
    kept = await stage.kept()
    assert await stage.kept() is kept
    assert stage.origin.connections == 1
    await stage.upstream.stop()


@ensureDeferred
async def test_the_connection_that_was_used_last_is_used_first(stage):
    one, two = [await stage.upstream.connect(fresh=True) for _ in range(2)]
    for connection in (two, one):
        await exchanged(connection)
        connection.release()
        stage.clock.advance(0)
    assert await stage.upstream.connect(fresh=False) is one
    await stage.upstream.stop()


@ensureDeferred
async def test_the_oldest_makes_room_for_the_newest(stage):
    together = [await stage.upstream.connect(fresh=True) for _ in range(KEPT + 1)]
    for connection in together:
        await exchanged(connection)
        connection.release()
        stage.clock.advance(0)
    assert list(stage.upstream._idle) == together[1:]
    assert not together[0].usable
    await stage.upstream.stop()


@ensureDeferred
async def test_a_connection_that_is_always_busy_ends_all_the_same(stage):
    """So that a name's new address is gone to, even if calls never pause."""
    first = await stage.kept()
    began = stage.clock.seconds()
    while stage.clock.seconds() - began < LASTS - KEPT_FOR:
        stage.clock.advance(KEPT_FOR - 1)
        assert await stage.kept() is first
    stage.clock.advance(KEPT_FOR - 1)
    stage.clock.advance(KEPT_FOR - 1)
    assert await stage.kept() is not first
    await stage.upstream.stop()


@ensureDeferred
async def test_a_connection_past_its_age_is_not_used_though_it_was_just_given_back(stage):
    connection = await stage.upstream.connect(fresh=True)
    await exchanged(connection)
    stage.clock.advance(LASTS)
    connection.release()
    stage.clock.advance(0)
    assert await stage.kept() is not connection
    await stage.upstream.stop()


@ensureDeferred
async def test_a_connection_to_an_address_that_the_name_no_longer_has_is_not_used(stage):
    kept = await stage.kept()
    stage.upstream._endpoint._current = frozenset({"127.0.0.1"})
    assert await stage.kept() is kept
    stage.upstream._endpoint._current = frozenset({"8.8.8.8"})
    assert await stage.kept() is not kept
    await stage.upstream.stop()


@ensureDeferred
async def test_an_idle_connection_makes_room_for_a_new_one(stage):
    stage.upstream._endpoint._open = Room(1, stage.clock)
    kept = await stage.kept()
    connection = await stage.upstream.connect(fresh=True)
    assert connection.fresh
    assert not kept.usable
    await stage.upstream.stop()


@ensureDeferred
async def test_a_connection_for_whose_place_somebody_waits_is_not_kept(stage):
    stage.upstream._endpoint._open = Room(1, stage.clock)
    busy = await stage.upstream.connect(fresh=True)
    await exchanged(busy)
    waiting = at_once(stage.upstream.connect(fresh=True))
    assert not waiting.called
    busy.release()
    stage.clock.advance(0)
    connection = await waiting
    assert connection.fresh
    assert stage.origin.connections == 2
    await stage.upstream.stop()


@ensureDeferred
async def test_a_handshake_that_fails_leaves_its_place(stage, tmp_path):
    upstream = stage.way(TestCA.create(tmp_path).pem)
    upstream._endpoint._open = Room(1, stage.clock)
    for _ in range(3):
        with pytest.raises(UpstreamUntrusted):
            await upstream.connect(fresh=True)


@ensureDeferred
async def test_another_way_to_the_same_target_has_connections_of_its_own(stage):
    """Other trust, another address or proxy make another way: nothing of the old one is used."""
    kept = await stage.kept()
    other = stage.way()
    connection = await other.connect(fresh=False)
    assert connection is not kept
    assert connection.fresh
    await other.stop()
    await stage.upstream.stop()
