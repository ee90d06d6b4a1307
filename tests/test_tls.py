"""TLS by the pump: what is sent arrives, an end is told from a cut, nothing passes unverified."""

from __future__ import annotations

import gc
import socket
import ssl
import struct
import weakref

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from OpenSSL import SSL
from support.counterparts import TestCA
from support.pumped import AES_128_GCM, Inner, Peer, Records, Turns, on_socket, tcp_pair
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.protocol import Factory
from twisted.internet.tcp import Connection
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import implementer

from jitgate.tls import TlsPump

HOST = "api.example"
BOTH = {SSL.TLS1_2_VERSION: ssl.TLSVersion.TLSv1_2, SSL.TLS1_3_VERSION: ssl.TLSVersion.TLSv1_3}
both_versions = pytest.mark.parametrize("version", BOTH, ids=["1.2", "1.3"])
both_sides = pytest.mark.parametrize("serves", [True, False], ids=["server", "client"])
ODD = [0, 1, 5, 16384, 16385, 300 * 1024]
SMALL = [0, 1, 17, 300]


@pytest.fixture(scope="module")
def turns():
    made = Turns()
    yield made
    made.close()


@pytest.fixture(scope="module")
def lasting(turns, tmp_path_factory):
    return World(turns, TestCA.create(tmp_path_factory.mktemp("ca")))


@pytest.fixture
def world(lasting, nothing_unnoticed):
    yield lasting
    lasting.close()


class World:
    """Contexts of one authority, and pumps that use them."""

    def __init__(self, turns, ca):
        self.turns = turns
        self.ca = ca
        self.leaf = ca.leaf(HOST)
        self.sockets = []

    def context(self, serves, version=None):
        context = SSL.Context(SSL.TLS_SERVER_METHOD if serves else SSL.TLS_CLIENT_METHOD)
        if serves:
            context.use_certificate_file(str(self.leaf.cert))
            context.use_privatekey_file(str(self.leaf.key))
        else:
            context.load_verify_locations(str(self.ca.pem))
            context.set_verify(SSL.VERIFY_PEER, lambda *seen: seen[-1])
        if version is not None:
            context.set_min_proto_version(version)
            context.set_max_proto_version(version)
        return context

    def connection(self, serves, version=None, context=None):
        made = SSL.Connection(context or self.context(serves, version), None)
        if serves:
            made.set_accept_state()  # for those that are spoken by hand; a pump does so itself
        else:
            made.set_connect_state()
            made.set_tlsext_host_name(HOST.encode())
        return made

    def theirs(self, serves, version=None):
        """The standard library's context for the other side."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if serves else ssl.PROTOCOL_TLS_CLIENT)
        if serves:
            context.load_cert_chain(self.leaf.cert, self.leaf.key)
        else:
            context.load_verify_locations(self.ca.pem)
        if version is not None:
            context.minimum_version = context.maximum_version = BOTH[version]
        return context

    def pair(self, version=None, *, agent=None, site=None, reads=65536, writes=131072, **how):
        """Two pumps face to face, a client's and a server's: what is inside them."""
        agent, site = agent or Inner(), site or Inner()
        ends = tcp_pair()
        for end, inner, serves in zip(ends, (agent, site), (False, True), strict=True):
            pump = TlsPump(self.connection(serves, version), inner, serves=serves, **how)
            on_socket(self.turns, end, pump, reads, writes)
        return agent, site

    def shaken(self, *args, **how):
        """The same, after the handshake."""
        agent, site = self.pair(*args, **how)
        self.turns.until(lambda: "shaken" in agent.heard and "shaken" in site.heard)
        return agent, site

    def before_peer(
        self, version=None, *, serves=True, inner=None, room=None, tls=None, reads=65536, **how
    ):
        """A pump whose peer is the standard library; what is inside the pump, and the peer."""
        inner = inner or Inner()
        ours, raw = self.ends()
        if room is not None:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, room)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * room)
        peer = Peer(raw, self.theirs(not serves, version), server=not serves)
        pump = TlsPump(tls or self.connection(serves, version), inner, serves=serves, **how)
        on_socket(self.turns, ours, pump, reads)
        return inner, peer

    def met(self, *args, **how):
        """The same, after the handshake."""
        inner, peer = self.before_peer(*args, **how)
        self.with_peer(peer, lambda: "shaken" in inner.heard and peer.shaken)
        return inner, peer

    def with_peer(self, peer, seen, cut=65536):
        def turned():
            peer.pump(cut)
            return seen()

        self.turns.until(turned)

    def ended(self, inner, peer):
        """Both sides ended."""
        self.with_peer(peer, lambda: inner.reason is not None and peer.ended)

    def ends(self):
        """One for a pump, and one for a test."""
        ours, raw = tcp_pair()
        self.sockets.append(raw)
        return ours, raw

    def close(self):
        """Close what a test left open."""
        for each in self.sockets:
            each.close()
        self.sockets.clear()
        for transport in [*self.turns.getReaders(), *self.turns.getWriters()]:
            if isinstance(transport, Connection):
                transport.abortConnection()
        self.turns.rest()

    def end(self, *inners):
        """Cut off whatever is left."""
        for inner in inners:
            if inner.reason is None:
                inner.transport.abortConnection()
        self.turns.until(lambda: all(inner.reason is not None for inner in inners))


def text(size, mark=0):
    """Bytes of which every one tells where it belongs."""
    return b"".join(struct.pack(">I", mark + i) for i in range(size // 4 + 1))[:size]


MUCH = text(3_000_000)
"""More than any socket here takes at once."""


def texts(sizes):
    return [text(size, 1000 * mark) for mark, size in enumerate(sizes)]


# --- what is sent arrives


cuts = st.one_of(
    st.tuples(
        st.integers(200, 600), st.integers(200, 600), st.lists(st.sampled_from(SMALL), max_size=4)
    ),
    st.tuples(
        st.sampled_from([1460, 5000, 65536]),
        st.sampled_from([5001, 16406, 131072]),
        st.lists(st.sampled_from(ODD), max_size=4),
    ),
)


@given(
    cut=cuts, back=st.lists(st.sampled_from(SMALL), max_size=4), version=st.sampled_from([*BOTH])
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_sent_arrives_once_and_in_order(world, cut, back, version):
    reads, writes, sizes = cut
    agent, site = world.pair(version, reads=reads, writes=writes)
    there, again = texts(sizes), texts(back)
    for data in there:
        agent.transport.write(data)
    site.at["shaken"] = lambda: site.transport.writeSequence(again)
    world.turns.until(lambda: "shaken" in site.heard and "shaken" in agent.heard)
    world.turns.until(lambda: len(agent.data) == len(b"".join(again)))
    world.turns.until(lambda: len(site.data) == len(b"".join(there)))
    agent.transport.loseConnection()
    world.turns.until(lambda: site.reason is not None and agent.reason is not None)
    assert (agent.data, site.data) == (b"".join(again), b"".join(there))
    assert type(site.reason) is ConnectionDone
    world.close()


@both_versions
def test_a_byte_at_a_time_is_enough(world, version):
    agent, site = world.pair(version, reads=1, writes=1)
    agent.transport.write(b"there")
    site.transport.write(b"and back")
    world.turns.until(lambda: agent.data == b"and back")
    agent.transport.loseConnection()
    world.turns.until(lambda: site.reason is not None and agent.reason is not None)
    assert (site.data, type(site.reason)) == (b"there", ConnectionDone)


@given(
    serves=st.booleans(),
    version=st.sampled_from([*BOTH]),
    cut=st.sampled_from([60, 1000, 65536]),
    sizes=st.lists(st.sampled_from(SMALL), max_size=5),
    back=st.lists(st.sampled_from(SMALL), max_size=5),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_standard_library_reads_and_writes_the_same(world, serves, version, cut, sizes, back):
    inner, peer = world.before_peer(version, serves=serves, reads=cut)
    there, again = texts(sizes), texts(back)
    for data in there:
        inner.transport.write(data)
    world.with_peer(peer, lambda: "shaken" in inner.heard and peer.shaken, cut)
    for data in again:
        peer.tls.write(data)
    world.with_peer(peer, lambda: len(inner.data) == len(b"".join(again)), cut)
    inner.transport.loseConnection()
    world.with_peer(peer, lambda: peer.ended, cut)
    assert (inner.data, peer.data) == (b"".join(again), b"".join(there))
    assert peer.ended == "close_notify"
    world.end(inner)
    world.close()


@both_versions
@both_sides
def test_much_goes_through_a_small_socket_both_ways(world, version, serves):
    inner, peer = world.met(version, serves=serves, room=16384)
    data = text(2_000_003)
    for start in range(0, len(data), 70_001):
        inner.transport.write(data[start : start + 70_001])
        peer.tls.write(data[start : start + 70_001])
    world.with_peer(peer, lambda: len(inner.data) == len(peer.data) == len(data))
    assert inner.data == peer.data == data
    world.end(inner)


def test_an_empty_write_is_none(world):
    agent, site = world.shaken()
    for data in (b"", b"a", b""):
        agent.transport.write(data)
    agent.transport.writeSequence([])
    world.turns.until(lambda: site.data == b"a")
    assert agent.reason is None
    world.end(agent, site)


def test_many_tiny_records_of_one_read_are_handed_on_in_one_piece(world):
    inner, peer = world.met()
    for _ in range(2000):
        peer.tls.write(b"x")
    world.with_peer(peer, lambda: len(inner.data) == 2000)
    assert inner.heard.count("data") < 20
    world.end(inner)


# --- back-pressure


def test_a_producer_is_paused_when_the_socket_is_full_and_resumed_when_it_is_drained(world):
    inner, peer = world.met(room=16384)
    sent = 0
    for size in (1_000_000, 300, 200_000):
        assert "pause" not in inner.heard[-1:]
        while inner.heard[-1] != "pause":
            inner.transport.write(text(size, sent))
            sent += size
        world.with_peer(peer, lambda: inner.heard[-1] == "resume")
    world.with_peer(peer, lambda: len(peer.data) == sent)
    words = [word for word in inner.heard if word in {"pause", "resume"}]
    assert words == ["pause", "resume"] * 3
    world.end(inner)


def test_what_is_written_while_paused_comes_after_what_was_written_before(world):
    inner, peer = world.met(room=16384)
    inner.at["pause"] = lambda: inner.transport.write(b"second")
    inner.at["resume"] = lambda: inner.transport.write(b"third")
    first = MUCH
    inner.transport.write(first)
    world.with_peer(peer, lambda: peer.data.endswith(b"third") or peer.ended)
    assert peer.data == first + b"second" + b"third"
    world.end(inner)


def test_a_producer_that_fails_to_pause_costs_no_bytes(world):
    inner, peer = world.met(room=16384)
    inner.at["pause"] = lambda: 1 / 0
    with pytest.raises(ZeroDivisionError):
        inner.transport.write(MUCH)
    inner.transport.write(b"more")
    world.with_peer(peer, lambda: len(peer.data) == 3_000_004)
    assert peer.data == MUCH + b"more"
    world.end(inner)


def test_a_producer_of_a_full_connection_begins_paused(world):
    inner, peer = world.met(room=16384, inner=Inner(produces=False))
    inner.transport.write(MUCH)
    inner.transport.registerProducer(inner, True)
    assert inner.heard[-1] == "pause"
    inner.transport.unregisterProducer()
    world.with_peer(peer, lambda: len(peer.data) == 3_000_000)
    assert "resume" not in inner.heard
    world.end(inner)


def test_a_producer_is_stopped_at_the_end_and_refused_after_it(world):
    inner, _ = world.met()
    world.end(inner)
    assert inner.heard[-2:] == ["stop", "lost"]
    inner.transport.registerProducer(inner, True)
    assert inner.heard[-1] == "stop"


def test_a_producer_that_must_be_asked_is_refused(world):
    inner, _ = world.met()
    with pytest.raises(ValueError, match="pushes"):
        inner.transport.registerProducer(inner, False)
    world.end(inner)


def test_nothing_is_read_while_paused(world):
    inner, peer = world.met()
    inner.transport.pauseProducing()
    peer.tls.write(b"x")
    peer.pump()
    world.turns.rest()
    assert inner.data == b""
    inner.transport.resumeProducing()
    world.turns.until(lambda: inner.data == b"x")
    world.end(inner)


# --- how a peer ends


@both_versions
@both_sides
def test_close_notify_is_an_end(world, version, serves):
    inner, peer = world.met(version, serves=serves)
    peer.tls.write(b"last")
    peer.say_end()
    world.ended(inner, peer)
    assert (inner.data, type(inner.reason), peer.ended) == (b"last", ConnectionDone, "close_notify")


@both_versions
@both_sides
def test_an_end_without_close_notify_is_a_cut(world, version, serves):
    inner, peer = world.met(version, serves=serves)
    peer.tls.write(b"half")
    peer.pump()
    peer.raw.shutdown(socket.SHUT_WR)
    world.ended(inner, peer)
    assert inner.data == b"half"
    assert not isinstance(inner.reason, ConnectionDone)


def test_a_record_that_is_not_whole_is_a_cut(world):
    inner, peer = world.met()
    peer.tls.write(b"half")
    record = peer.out.read()
    peer.raw.send(record[:-1])
    peer.raw.shutdown(socket.SHUT_WR)
    world.ended(inner, peer)
    assert inner.data == b""
    assert not isinstance(inner.reason, ConnectionDone)


def test_a_reset_is_a_cut(world):
    inner, peer = world.met()
    peer.raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.raw.close()
    world.turns.until(lambda: inner.reason is not None)
    assert not isinstance(inner.reason, ConnectionDone)
    assert not isinstance(inner.reason, SSL.Error)


@both_versions
def test_what_is_not_tls_after_the_handshake_is_a_fault(world, version):
    inner, peer = world.met(version)
    peer.tls.write(b"good")
    peer.give()
    peer.raw.send(b"GET / HTTP/1.1\r\n\r\n")
    world.turns.until(lambda: inner.reason is not None)
    assert inner.data == b"good"
    assert isinstance(inner.reason, SSL.Error)


@both_versions
def test_a_flipped_bit_is_a_fault_and_nothing_of_it_passes(world, version):
    inner, peer = world.met(version)
    peer.tls.write(b"good")
    good = peer.out.read()
    peer.tls.write(b"evil")
    evil = peer.out.read()
    peer.raw.send(good + evil[:-1] + bytes([evil[-1] ^ 1]))
    world.turns.until(lambda: inner.reason is not None)
    assert inner.data == b"good"
    assert isinstance(inner.reason, SSL.Error)


@both_sides
@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\n\r\n", b"\0" * 700, b"\x16\x03\x01\xff\xff"])
def test_garbage_in_place_of_a_handshake_is_a_fault(world, serves, sent):
    inner, peer = world.before_peer(serves=serves)
    peer.raw.send(sent)
    world.turns.until(lambda: inner.reason is not None)
    assert isinstance(inner.reason, SSL.Error)
    assert inner.heard == ["made", "stop", "lost"]


@both_sides
def test_a_fatal_alert_is_a_fault(world, serves):
    inner, peer = world.before_peer(serves=serves)
    peer.raw.send(b"\x15\x03\x03\x00\x02\x02\x28")
    world.turns.until(lambda: inner.reason is not None)
    assert isinstance(inner.reason, SSL.Error)


def test_a_refused_peer_is_told_why(world):
    inner, peer = world.before_peer(
        SSL.TLS1_2_VERSION, tls=world.connection(True, SSL.TLS1_3_VERSION)
    )
    with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        world.with_peer(peer, lambda: False)
    world.turns.until(lambda: inner.reason is not None)


@both_versions
def test_a_handshake_cut_anywhere_waits_and_then_ends_as_a_fault(world, version):
    hello = first_flight(world, version)
    for size in range(len(hello)):
        inner, peer = world.before_peer(version)
        if size:
            peer.raw.send(hello[:size])
        world.turns.rest()
        assert inner.heard == ["made"]
        if size % 2:
            peer.raw.close()
        else:
            inner.transport.abortConnection()  # what its owner does when it took too long
        world.turns.until(lambda inner=inner: inner.reason is not None)
        assert type(inner.reason) in ({SSL.Error} if size % 2 else {ConnectionAborted})
        assert inner.heard == ["made", "stop", "lost"]
        world.close()


def first_flight(world, version):
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = world.theirs(False, version)
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(into, out, server_hostname=HOST).do_handshake()
    return out.read()


# --- how what is inside ends


@both_versions
@both_sides
def test_what_was_written_leaves_before_the_end_that_is_said(world, version, serves):
    inner, peer = world.met(version, serves=serves, room=16384)
    data = text(1_000_000)
    inner.transport.write(data)
    inner.transport.loseConnection()
    inner.transport.loseConnection()
    inner.transport.write(b"too late")
    peer.tls.write(b"not heard")
    world.with_peer(peer, lambda: peer.ended)
    assert (peer.data == data, peer.ended) == (True, "close_notify")
    until_cut = iter(lambda: world.turns.iterate(0) or peer.raw.recv(1), b"")
    assert list(until_cut) == []
    assert inner.reason is None
    peer.say_end()
    world.with_peer(peer, lambda: inner.reason is not None)
    assert type(inner.reason) is ConnectionDone
    assert "data" not in inner.heard


def test_a_peer_that_ends_first_still_gets_what_lies_there_for_it(world):
    inner, peer = world.met(SSL.TLS1_3_VERSION, room=16384)
    data = text(1_000_000)
    inner.transport.write(data)
    inner.transport.loseConnection()
    peer.say_end()
    peer.give()
    world.turns.rest()
    world.with_peer(peer, lambda: peer.ended)
    assert peer.data == data
    world.turns.until(lambda: inner.reason is not None)


def test_the_peers_end_is_heard_though_reading_was_paused(world):
    inner, peer = world.met()
    inner.transport.pauseProducing()
    inner.transport.loseConnection()
    inner.transport.pauseProducing()
    peer.say_end()
    world.ended(inner, peer)
    assert type(inner.reason) is ConnectionDone


def test_a_peer_that_ends_while_it_takes_nothing_is_not_waited_for(world):
    inner, peer = world.met(room=16384)
    inner.transport.write(text(5_000_000))
    peer.say_end()
    peer.give()
    world.turns.until(lambda: inner.reason is not None)
    assert type(inner.reason) is ConnectionDone


@both_sides
def test_an_end_inside_the_handshake_waits_for_nobody(world, serves):
    inner, peer = world.before_peer(serves=serves)
    inner.transport.write(b"early")
    inner.transport.loseConnection()
    world.turns.until(lambda: inner.reason is not None)
    assert inner.heard == ["made", "stop", "lost"]
    assert peer.data == b""


@pytest.mark.parametrize("how", ["loseConnection", "abortConnection"])
def test_an_end_at_the_very_beginning_says_nothing(world, how):
    inner = Inner()
    inner.at["made"] = lambda: getattr(inner.transport, how)()
    inner, peer = world.before_peer(serves=False, inner=inner)
    world.turns.until(lambda: inner.reason is not None)
    try:
        assert peer.raw.recv(1000) == b""
    except ConnectionResetError:
        assert how == "abortConnection"


def act(inner, how):
    actions = {
        "abort": lambda: inner.transport.abortConnection(),
        "lose": lambda: inner.transport.loseConnection(),
        "both": lambda: (inner.transport.loseConnection(), inner.transport.abortConnection()),
        "twice": lambda: [inner.transport.abortConnection() for _ in range(2)],
    }
    return actions[how]


@both_versions
@pytest.mark.parametrize("how", ["abort", "lose", "both", "twice"])
@pytest.mark.parametrize("word", ["made", "shaken", "data", "pause", "resume"])
def test_what_is_inside_may_end_at_every_word(world, version, word, how):
    inner = Inner()
    inner.at[word] = act(inner, how)
    inner, peer = world.before_peer(version, inner=inner, room=16384)
    inner.transport.write(b"early")
    once = iter([b"x"])

    def turned():
        if inner.reason is not None or peer.ended:
            return True
        if "shaken" in inner.heard and peer.shaken:
            for data in once:
                peer.tls.write(data)
        if inner.heard[-1] == "data":
            inner.transport.write(MUCH)
        return False

    world.with_peer(peer, turned)
    peer.raw.close()
    world.turns.until(lambda: inner.reason is not None)
    assert inner.heard.count("lost") == 1
    assert inner.heard[-1] == "lost"
    if how != "lose" and word != "made":
        assert peer.ended != "close_notify" or how == "both"
        assert type(inner.reason) is ConnectionAborted


@both_versions
def test_no_end_is_said_after_an_abort(world, version):
    inner, peer = world.met(version)
    inner.at["data"] = lambda: inner.transport.abortConnection()
    peer.tls.write(b"x")
    peer.say_end()
    world.ended(inner, peer)
    assert peer.ended == "reset"
    assert type(inner.reason) is ConnectionAborted


def test_after_the_end_nothing_does_anything(world):
    agent, site = world.shaken()
    pump = agent.transport
    site.transport.abortConnection()
    world.turns.until(lambda: agent.reason is not None)
    heard = list(agent.heard)
    pump.write(b"x")
    pump.writeSequence([b"x"])
    pump.dataReceived(b"x")
    pump.loseConnection()
    pump.abortConnection()
    pump.pauseProducing()
    pump.resumeProducing()
    pump.stopProducing()
    pump.unregisterProducer()
    world.turns.rest()
    assert agent.heard == heard


@pytest.mark.parametrize("word", ["shaken", "data", "resume"])
def test_what_fails_inside_ends_the_connection(world, word, nothing_unnoticed):
    inner = Inner()
    inner.at[word] = lambda: 1 / 0
    inner, peer = world.before_peer(inner=inner, room=16384)
    once = iter([b"x"])

    def turned():
        if "shaken" in inner.heard and peer.shaken:
            for data in once:
                peer.tls.write(data)
        if inner.heard[-1] == "data":
            inner.transport.write(MUCH)
        return inner.reason is not None

    world.with_peer(peer, turned)
    assert isinstance(inner.reason, ZeroDivisionError)
    assert peer.ended != "close_notify"
    assert len(nothing_unnoticed) == 1
    nothing_unnoticed.clear()


# --- nothing before it is known who is there


def refused(_):
    raise ValueError("not this one")


@both_versions
@both_sides
def test_nothing_is_sent_or_heard_where_the_peer_is_not_believed(world, version, serves):
    inner, peer = world.before_peer(version, serves=serves, verify=refused)
    inner.transport.write(b"secret")
    peer_writes = iter([b"x", b"y"])

    def turned():
        if peer.shaken and inner.reason is None:
            for data in peer_writes:
                peer.tls.write(data)
        return inner.reason is not None or "shaken" in inner.heard

    world.with_peer(peer, turned)
    assert inner.heard == ["made", "stop", "lost"]
    inner.transport.write(b"secret")
    world.with_peer(peer, lambda: peer.ended)
    assert (inner.heard, peer.data, peer.ended) == (["made", "stop", "lost"], b"", "cut")
    assert isinstance(inner.reason, ValueError)


def test_an_untrusted_peer_gets_nothing(world, tmp_path):
    strange = World(world.turns, TestCA.create(tmp_path))
    inner, peer = world.before_peer(serves=False)
    peer.tls = strange.theirs(True).wrap_bio(peer.into, peer.out, server_side=True)
    inner.transport.write(b"secret")
    with pytest.raises(ssl.SSLError, match="UNKNOWN_CA"):
        world.with_peer(peer, lambda: False)
    world.turns.until(lambda: inner.reason is not None)
    assert isinstance(inner.reason, SSL.Error)
    assert "certificate verify failed" in str(inner.reason)


@both_sides
def test_what_was_written_early_leaves_first(world, serves):
    inner = Inner()
    inner.at["made"] = lambda: inner.transport.write(b"one ")
    inner.at["shaken"] = lambda: inner.transport.write(b"three")
    inner, peer = world.before_peer(serves=serves, inner=inner)
    inner.transport.write(b"two ")
    world.with_peer(peer, lambda: len(peer.data) == 13)
    assert peer.data == b"one two three"
    world.end(inner)


def test_a_servers_tickets_leave_with_what_it_writes_first(world):
    inner, peer = world.met(SSL.TLS1_3_VERSION)
    world.turns.rest()
    with pytest.raises(BlockingIOError):
        peer.raw.recv(1, socket.MSG_PEEK)
    inner.transport.write(b"first")
    world.with_peer(peer, lambda: peer.data == b"first")
    assert peer.tls.session.has_ticket
    world.end(inner)


def test_what_is_said_in_the_clear_comes_first_and_once(world):
    hello = first_flight(world, SSL.TLS1_3_VERSION)
    ours, raw = world.ends()
    raw.send(hello)
    inner = Inner()
    on_socket(
        world.turns,
        ours,
        TlsPump(world.connection(True), inner, before=b"welcome\r\n", serves=True),
    )
    world.turns.until(lambda: len(answer := raw.recv(9, socket.MSG_PEEK)) == 9 and answer)
    assert raw.recv(9) == b"welcome\r\n"
    world.turns.rest()
    assert raw.recv(3) == b"\x16\x03\x03"
    world.end(inner)


@both_versions
@both_sides
def test_a_renegotiation_is_refused(world, version, serves):
    mine, theirs = world.connection(serves, version), world.connection(not serves, version)
    inner = Inner()
    ours, raw = world.ends()
    on_socket(world.turns, ours, TlsPump(mine, inner, serves=serves))
    by_hand = ByHand(world.turns, raw, theirs)
    by_hand.until(lambda: "shaken" in inner.heard)
    if version == SSL.TLS1_2_VERSION:
        theirs.renegotiate()
        with pytest.raises(SSL.Error):
            by_hand.until(mine.total_renegotiations)
        assert (mine.total_renegotiations(), inner.reason) == (0, None)
    else:
        with pytest.raises(SSL.Error, match="wrong ssl version"):
            theirs.renegotiate()
    world.end(inner)


class ByHand:
    """pyOpenSSL's engine at the far end, moved by hand."""

    def __init__(self, turns, raw, engine):
        raw.setblocking(False)
        self.turns, self.raw, self.engine = turns, raw, engine
        self.data = b""

    def until(self, seen):
        def turned():
            for step in (self.engine.do_handshake, self.read):
                try:
                    step()
                except SSL.WantReadError:
                    pass
            self.give()
            return seen()

        self.turns.until(turned)

    def read(self):
        try:
            self.engine.bio_write(self.raw.recv(65536))
        except BlockingIOError:
            pass
        while True:
            self.data += self.engine.recv(65536)

    def give(self):
        try:
            self.raw.send(self.engine.bio_read(65536))
        except SSL.WantReadError:
            pass


# --- floods


def flooded(world, version):
    """A server's pump that its peer has shaken hands with; the socket, and records by hand."""
    context = world.context(False, version)
    context.set_cipher_list(AES_128_GCM)
    context.set_tls13_ciphersuites(b"TLS_AES_128_GCM_SHA256")
    secrets = []
    context.set_keylog_callback(lambda _, line: secrets.append(line.split()))
    engine = world.connection(False, context=context)
    inner = Inner()
    ours, raw = world.ends()
    for end in (ours, raw):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    pump = on_socket(world.turns, ours, TlsPump(world.connection(True), inner, serves=True))
    ByHand(world.turns, raw, engine).until(lambda: "shaken" in inner.heard)
    secret = [
        bytes.fromhex(each[2].decode()) for each in secrets if each[0] == b"CLIENT_TRAFFIC_SECRET_0"
    ]
    return inner, pump, raw, Records(engine, *secret)


def poured(world, raw, inner, data):
    """Write all of it, reading nothing, unless the connection ends before."""
    rest = memoryview(data)
    while rest and inner.reason is None:
        try:
            rest = rest[raw.send(rest) :]
        except BlockingIOError:
            pass
        except ConnectionError:
            break
        world.turns.iterate(0)
    world.turns.rest()


@both_versions
def test_records_by_hand_are_read(world, version):
    inner, _, raw, records = flooded(world, version)
    poured(world, raw, inner, records.record(23, b"one ") + records.record(23, b"two"))
    assert inner.data == b"one two"
    world.end(inner)


@both_versions
def test_what_is_behind_close_notify_is_not_heard(world, version):
    inner, _, raw, records = flooded(world, version)
    sent = [(23, b"good"), (21, b"\x01\x00"), (23, b"late")]
    poured(world, raw, inner, b"".join(records.record(*each) for each in sent))
    assert (inner.data, type(inner.reason)) == (b"good", ConnectionDone)


def test_renegotiations_without_end_end_the_connection(world):
    inner, pump, raw, records = flooded(world, SSL.TLS1_2_VERSION)
    hello = first_flight(world, SSL.TLS1_2_VERSION)[5:]
    flood = b"".join(records.record(22, hello) + records.record(23, b"x") for _ in range(20_000))
    poured(world, raw, inner, flood)
    assert isinstance(inner.reason, SSL.Error)
    assert pump.transport._tempDataLen + len(pump.transport.dataBuffer) < 1_000_000


def test_key_updates_are_answered(world):
    inner, _, raw, records = flooded(world, SSL.TLS1_3_VERSION)
    poured(world, raw, inner, records.key_update(True) + records.record(23, b"new keys"))
    assert inner.data == b"new keys"
    world.end(inner)


def test_what_is_written_behind_many_answers_leaves_with_them(world):
    inner, pump, _, records = flooded(world, SSL.TLS1_3_VERSION)
    inner.at["data"] = lambda: inner.transport.write(b"answer")
    asked = b"".join(records.key_update(True) for _ in range(2000))
    pump.dataReceived(asked + records.record(23, b"x"))
    assert (inner.data, inner.reason) == (b"x", None)
    with pytest.raises(SSL.WantReadError):
        pump.getHandle().bio_read(1)
    world.end(inner)


@pytest.mark.parametrize("data", [[], [b"x"]], ids=["alone", "between data"])
def test_key_updates_without_end_end_the_connection(world, data):
    inner, pump, raw, records = flooded(world, SSL.TLS1_3_VERSION)
    flood = (
        b"".join([records.key_update(True), *(records.record(23, each) for each in data)])
        for _ in range(80_000)
    )
    while inner.reason is None:
        poured(world, raw, inner, b"".join(next(flood) for _ in range(1000)))
    assert isinstance(inner.reason, SSL.Error)
    assert pump.transport._tempDataLen + len(pump.transport.dataBuffer) < 3_000_000


@both_versions
def test_empty_records_without_end_end_the_connection(world, version):
    inner, _, raw, records = flooded(world, version)
    poured(world, raw, inner, b"".join(records.record(23, b"") for _ in range(10_000)))
    assert isinstance(inner.reason, SSL.Error)
    assert inner.data == b""


# --- inside another's TLS


def test_inside_tls_nothing_goes_past_it(world):
    ours, raw = world.ends()
    inner = Inner()
    inside = Factory.forProtocol(
        lambda: TlsPump(world.connection(True), inner, before=b"welcome", serves=True)
    )
    inside.noisy = False
    outside = TLSMemoryBIOFactory(Fixed(world.context(True)), False, inside, clock=world.turns)
    outside.noisy = False
    protocol = outside.buildProtocol(None)
    transport = Connection(ours, protocol, world.turns)
    transport.connected = 1
    transport.startReading()
    protocol.makeConnection(transport)
    world.turns.rest()
    raw.setblocking(False)
    with pytest.raises(BlockingIOError):
        raw.recv(1)
    outer = Peer(raw, world.theirs(False))
    world.with_peer(outer, lambda: outer.data.startswith(b"welcome"))
    outer.data = outer.data[7:]
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    mine = world.theirs(False).wrap_bio(into, out, server_hostname=HOST)
    read = bytearray()

    def turned():
        into.write(outer.data)
        outer.data = b""
        try:
            mine.do_handshake()
            read.extend(mine.read(65536))
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            return True
        if more := out.read():
            outer.tls.write(more)
        return "shaken" in inner.heard and bytes(read) == b"hello"

    inner.at["shaken"] = lambda: inner.transport.write(b"hello")
    world.with_peer(outer, turned)
    inner.transport.loseConnection()
    world.with_peer(outer, turned)
    world.with_peer(outer, lambda: outer.ended == "close_notify")
    outer.say_end()
    world.ended(inner, outer)
    assert type(inner.reason) is ConnectionDone


@implementer(IOpenSSLServerConnectionCreator)
class Fixed:
    """One context for everybody, as Twisted wants it."""

    def __init__(self, context):
        self._context = context

    def serverConnectionForTLS(self, protocol):
        return SSL.Connection(self._context, None)


# --- what is left behind


@both_versions
@pytest.mark.parametrize("how", ["lose", "abort", "cut", "fault", "unverified", "ended"])
def test_nothing_keeps_what_has_ended(world, version, how):
    def lived():
        engine = world.connection(True, version)
        verify = refused if how == "unverified" else lambda _: None
        inner, peer = world.before_peer(version, tls=engine, verify=verify)
        world.with_peer(peer, lambda: "shaken" in inner.heard or inner.reason is not None)
        inner.transport.write(text(1000))
        if how in {"lose", "abort"}:
            act(inner, how)()
        if how == "ended":
            peer.say_end()
            world.with_peer(peer, lambda: inner.reason is not None)
        peer.raw.send(b"garbage" * 9 if how == "fault" else b"")
        if how in {"lose", "cut"}:
            peer.raw.close()
        world.turns.until(lambda: inner.reason is not None)
        world.turns.rest()
        return weakref.ref(engine), weakref.ref(inner.transport)

    gc.disable()
    try:
        assert [left() for left in lived()] == [None, None]
    finally:
        gc.enable()
