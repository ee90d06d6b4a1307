"""The way to a target, over real TLS: checked before a byte is sent, and nothing sent twice."""

from __future__ import annotations

import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from pytest_twisted import ensureDeferred
from support.counterparts import Leaf, TestCA
from support.ports import Asked
from support.wire import Origin, answering
from twisted.internet import defer, reactor
from twisted.internet import ssl as tls
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock, deferLater
from twisted.internet.testing import MemoryReactorClock

from jitgate.core.limits import LIMITS, Limits
from jitgate.errors import (
    AddressRefused,
    UpstreamGone,
    UpstreamMalformed,
    UpstreamUnreachable,
    UpstreamUntrusted,
)
from jitgate.upstreams.connection import KEPT_FOR
from jitgate.upstreams.endpoint import CheckedEndpoint
from jitgate.upstreams.https import KEPT, HttpsUpstream
from jitgate.values import RequestHead

HOST = "api.example"
GET = RequestHead("GET", "/things", ((b"Host", b"api.example"),))


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return TestCA.create(tmp_path_factory.mktemp("ca"))


class Stage:
    """An upstream before an origin that each test tells how to behave."""

    def __init__(self, ca, leaf=None, trust=None):
        self.handler = answering(b"{}")
        self.origin = Origin(leaf or ca.leaf(HOST), lambda *args: self.handler(*args))
        self._trust = trust or ca
        self.clock = Clock()

    def __enter__(self):
        self.origin.__enter__()
        self.upstream = self.at(("127.0.0.1", self.origin.port))
        return self

    def __exit__(self, *error):
        self.origin.__exit__(*error)

    def at(self, dial, resolve=None, limits=LIMITS, loop=reactor):
        pem = self._trust.pem.read_bytes()
        return HttpsUpstream(
            CheckedEndpoint(
                HOST,
                443,
                reactor=loop,
                resolve=resolve or never_resolved,
                trust=tls.trustRootFromCertificates([tls.Certificate.loadPEM(pem)]),
                dial=dial,
                limits=limits,
            ),
            self.clock,
            limits,
        )

    async def ask(self, head=GET, body=None, *, fresh=False, release=True):
        """One exchange: its status, its body, and whether the connection was new."""
        connection = await self.upstream.connect(fresh=fresh)
        new = connection.fresh
        try:
            answer = await connection.send(head, body or Asked())
            data = b""
            while piece := await connection.read():
                data += piece
        finally:
            if release:
                connection.release()
        return answer.status, data, new

    async def ask_and_turn(self, *args):
        """An exchange, and the turn of the reactor after it."""
        told = await self.ask(*args)
        self.clock.advance(0)
        return told


async def never_resolved(host):
    raise AssertionError("nothing had to be resolved")


@pytest.fixture
def stage(ca):
    with Stage(ca) as made:
        yield made


async def until(seen):
    """Let the reactor turn until something holds; the test's timeout ends a hope that is vain."""
    for _ in range(1000):
        if seen():
            return
        await deferLater(reactor, 0.005)
    raise AssertionError("it never came about")


@ensureDeferred
async def test_an_exchange_brings_back_what_was_answered(stage):
    assert await stage.ask() == (200, b"{}", True)
    assert stage.origin.received[0].line == "GET /things HTTP/1.1"
    await stage.upstream.stop()


@ensureDeferred
async def test_a_whole_exchange_leaves_its_connection_for_the_next(stage):
    assert [(await stage.ask_and_turn())[2] for _ in range(3)] == [True, False, False]
    assert (await stage.ask(fresh=True))[2] is True
    assert stage.origin.connections == 2
    await stage.upstream.stop()


# --- trust: nothing is sent before it


@ensureDeferred
async def test_a_certificate_for_another_name_is_not_trusted(ca):
    with Stage(ca, ca.leaf("other.example")) as stage:
        with pytest.raises(UpstreamUntrusted, match=HOST):
            await stage.ask()
        assert stage.origin.received == []


@ensureDeferred
async def test_a_certificate_of_another_authority_is_not_trusted(ca, tmp_path):
    with Stage(ca, TestCA.create(tmp_path).leaf(HOST)) as stage:
        with pytest.raises(UpstreamUntrusted, match=HOST):
            await stage.ask()
        assert stage.origin.received == []


@ensureDeferred
async def test_an_expired_certificate_is_not_trusted(ca):
    with Stage(ca, expired(ca)) as stage:
        with pytest.raises(UpstreamUntrusted, match=HOST):
            await stage.ask()
        assert stage.origin.received == []


def expired(ca):
    """A leaf of the authority whose time was yesterday."""
    leaf = ca.leaf(HOST)
    key = serialization.load_pem_private_key(leaf.key.read_bytes(), None)
    issuer = x509.load_pem_x509_certificate(ca.pem.read_bytes())
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(issuer.subject)
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(now - timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .sign(ca._key, hashes.SHA256())
    )
    leaf.cert.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return Leaf(leaf.cert, leaf.key)


# --- reaching it


@ensureDeferred
async def test_a_refused_connection_is_unreachable_and_its_address_is_not_told(stage):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(UpstreamUnreachable, match="connection refused") as caught:
        await stage.at(("127.0.0.1", port)).connect(fresh=True)
    assert "127.0.0.1" not in str(caught.value)


@pytest.mark.parametrize(
    "found", [["127.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["::ffff:169.254.169.254"]]
)
@ensureDeferred
async def test_a_name_that_points_inside_is_never_dialled(stage, found):
    async def resolve(host):
        return found

    with pytest.raises(AddressRefused):
        await stage.at(None, resolve).connect(fresh=True)
    assert stage.origin.connections == 0


@ensureDeferred
async def test_a_name_that_cannot_be_resolved_is_unreachable(stage):
    async def resolve(host):
        raise UpstreamUnreachable(f"The name {host} could not be resolved.")

    with pytest.raises(UpstreamUnreachable, match="could not be resolved"):
        await stage.at(None, resolve).connect(fresh=True)


@ensureDeferred
async def test_a_peer_that_speaks_no_tls_is_unreachable(stage):
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_plain_answer, args=(server,), daemon=True).start()
        with pytest.raises(UpstreamUnreachable, match="handshake"):
            await stage.at(server.getsockname()).connect(fresh=True)


def _plain_answer(server):
    peer, _ = server.accept()
    with peer:
        peer.recv(4096)
        peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


@ensureDeferred
async def test_a_handshake_that_takes_too_long_is_given_up(stage):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        upstream = stage.at(silent.getsockname())
        connecting = defer.Deferred.fromCoroutine(upstream.connect(fresh=True))
        await until(stage.clock.getDelayedCalls)
        stage.clock.advance(LIMITS.dial_handshake)
        with pytest.raises(UpstreamUnreachable):
            await connecting


@ensureDeferred
async def test_the_deadlines_of_a_target_can_be_set(stage):
    limits = Limits(dial_handshake=7.0, silence=9.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        upstream = stage.at(silent.getsockname(), limits=limits)
        connecting = defer.Deferred.fromCoroutine(upstream.connect(fresh=True))
        await until(stage.clock.getDelayedCalls)
        stage.clock.advance(7)
        with pytest.raises(UpstreamUnreachable):
            await connecting
    released = threading.Event()
    stage.handler = lambda *_: released.wait(10) and False
    stage.upstream = stage.at(("127.0.0.1", stage.origin.port), limits=limits)
    asking = defer.Deferred.fromCoroutine(stage.ask())
    await until(lambda: stage.origin.received)
    stage.clock.advance(9)
    with pytest.raises(UpstreamUnreachable, match="did not answer"):
        await asking
    released.set()


def test_the_time_for_an_address_to_accept_can_be_set(stage):
    memory = MemoryReactorClock()
    endpoint = stage.at(("127.0.0.1", 9), limits=Limits(dial=7.0), loop=memory)._endpoint
    connecting = endpoint.connect(Factory())
    (dialled,) = memory.tcpClients
    assert (dialled[1], dialled[3]) == (9, 7.0)
    connecting.cancel()
    connecting.addErrback(lambda _: None)


@ensureDeferred
async def test_a_connection_that_nobody_waits_for_any_more_is_closed(stage):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        upstream = stage.at(silent.getsockname())
        connecting = defer.Deferred.fromCoroutine(upstream.connect(fresh=True))
        await until(lambda: upstream._open and stage.clock.getDelayedCalls())
        connecting.cancel()
        with pytest.raises(defer.CancelledError):
            await connecting
        await until(lambda: not upstream._open)
    assert stage.clock.getDelayedCalls() == []


# --- answers that are none


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (b"", UpstreamUnreachable),
        (b"HTTP/1.1 200 OK\r\nContent-Le", UpstreamUnreachable),
        (b"SSH-2.0-OpenSSH_9\r\n", UpstreamMalformed),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", UpstreamUnreachable),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", UpstreamUnreachable),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", UpstreamMalformed),
        (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", UpstreamMalformed),
        (b"HTTP/1.1 100 Continue\r\n\r\n", UpstreamUnreachable),
    ],
)
@ensureDeferred
async def test_an_answer_that_breaks_off_or_is_none_is_a_fault(stage, answer, fault):
    stage.handler = lambda _, peer: peer.sendall(answer) and False
    with pytest.raises((fault, UpstreamMalformed)):
        await stage.ask()
    stage.handler = answering(b"{}")
    assert (await stage.ask())[2] is True, "a broken connection was used again"
    await stage.upstream.stop()


@ensureDeferred
async def test_an_end_without_tlss_own_goodbye_does_not_make_a_body_whole(stage):
    """A body that only the connection's end ends could be cut by anybody on the way."""

    def hang_up(request, peer):
        peer.sendall(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        raw = socket.socket(fileno=peer.detach())
        raw.close()
        return False

    stage.handler = hang_up
    with pytest.raises((UpstreamUnreachable, UpstreamMalformed)):
        await stage.ask()


@ensureDeferred
async def test_a_body_that_the_connections_orderly_end_ends_is_whole(stage):
    def orderly(request, peer):
        peer.sendall(b"HTTP/1.1 200 OK\r\n\r\nwhole")
        peer.unwrap()
        return False

    stage.handler = orderly
    assert (await stage.ask())[:2] == (200, b"whole")


@ensureDeferred
async def test_a_target_that_falls_silent_is_given_up(stage):
    released = threading.Event()
    stage.handler = lambda *_: released.wait(10) and False
    asking = defer.Deferred.fromCoroutine(stage.ask())
    await until(lambda: stage.origin.received)
    stage.clock.advance(LIMITS.silence)
    with pytest.raises(UpstreamUnreachable, match="did not answer"):
        await asking
    released.set()


# --- kept connections


@ensureDeferred
async def test_bytes_that_nobody_asked_for_end_a_kept_connection(stage):
    """They would be taken for the answer to the next agent's call."""
    say = threading.Event()

    def then_speak(request, peer):
        answering(b"{}")(request, peer)
        say.wait(10)
        peer.sendall(PLANTED)
        return True

    stage.handler = then_speak
    await stage.ask_and_turn()
    (kept,) = stage.upstream._idle
    say.set()
    await until(lambda: not kept.usable)
    stage.handler = answering(b"{}")
    assert await stage.ask_and_turn() == (200, b"{}", True)
    await stage.upstream.stop()


ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
PLANTED = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nplanted"


@pytest.mark.parametrize("pieces", [(ANSWER + PLANTED,), (ANSWER, PLANTED)], ids=["one", "two"])
@ensureDeferred
async def test_bytes_behind_an_answer_are_never_the_next_ones_answer(stage, pieces):
    """The second call is made in the very turn in which the first answer came."""

    def answer(request, peer):
        peer.sendall(b"".join(pieces[:-1]))
        peer.sendall(pieces[-1])
        return True

    stage.handler = answer
    for _ in range(3):
        try:
            told = await stage.ask()
        except UpstreamMalformed as fault:  # they came together
            told = f"{fault}"
        refused = "Bytes follow the end of the response."
        assert told == refused or (len(pieces) > 1 and told == (200, b"{}", True))
    await stage.upstream.stop()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 204 No Content\r\n\r\nmore",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nmore",
    ],
)
@ensureDeferred
async def test_what_came_together_with_more_than_an_answer_is_none(stage, answer):
    stage.handler = lambda _, peer: peer.sendall(answer) or True
    with pytest.raises(UpstreamMalformed, match="Bytes follow"):
        await stage.ask()


@pytest.mark.parametrize("end", ["goodbye", "bare", "reset"])
@ensureDeferred
async def test_an_end_before_a_byte_of_the_answer_is_known_however_it_comes(stage, end):
    """Another connection may be tried after it, and after no other."""

    def hang_up(request, peer):
        if end == "goodbye":
            peer.unwrap()
        elif end == "reset":
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        socket.socket(fileno=peer.detach()).close()
        return False

    stage.handler = hang_up
    with pytest.raises(UpstreamGone):
        await stage.ask()
    stage.handler = lambda _, peer: peer.sendall(b"HTTP/1.1 2") and False
    with pytest.raises((UpstreamUnreachable, UpstreamMalformed)) as caught:
        await stage.ask()
    assert not isinstance(caught.value, UpstreamGone)


@ensureDeferred
async def test_a_target_is_not_called_silent_while_it_is_the_agent_that_is_waited_for(stage):
    class Dawdling(Asked):
        async def read(self):
            stage.clock.advance(LIMITS.silence + 1)
            return await super().read()

    head = RequestHead("POST", "/things", ((b"Host", b"api.example"),), None)
    assert (await stage.ask(head, Dawdling("POST", body=b"hello")))[0] == 200
    await stage.upstream.stop()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
@ensureDeferred
async def test_a_connection_that_the_target_ends_is_not_kept(stage, answer):
    stage.handler = lambda _, peer: peer.sendall(answer) or True
    assert [(await stage.ask_and_turn())[2] for _ in range(2)] == [True, True]


@ensureDeferred
async def test_a_connection_is_not_kept_when_its_answer_was_not_read_to_the_end(stage):
    connection = await stage.upstream.connect(fresh=True)
    await connection.send(GET, Asked())
    connection.release()
    assert (await stage.ask_and_turn())[2] is True
    await stage.upstream.stop()


@ensureDeferred
async def test_a_connection_is_not_kept_when_its_request_was_not_whole(stage):
    """What is missing of it would be taken from the next request."""

    class Endless(Asked):
        async def read(self):
            if self.body:
                return await super().read()
            return await defer.Deferred()

    stage.origin.take_body = lambda stream, size: b""
    stage.handler = answering(b"{}")
    head = RequestHead("POST", "/things", ((b"Host", b"api.example"),), 10)
    assert (await stage.ask_and_turn(head, Endless("POST", body=b"abc")))[0] == 200
    assert (await stage.ask_and_turn())[2] is True
    await stage.upstream.stop()


@ensureDeferred
async def test_a_kept_connection_goes_after_its_time(stage):
    await stage.ask_and_turn()
    stage.clock.advance(KEPT_FOR)
    assert (await stage.ask_and_turn())[2] is True
    await stage.upstream.stop()


@ensureDeferred
async def test_no_more_connections_are_kept_than_may_be(stage):
    together = [await stage.upstream.connect(fresh=True) for _ in range(KEPT + 3)]
    for connection in together:
        await connection.send(GET, Asked())
        while await connection.read():
            pass
    for connection in together:
        connection.release()
    stage.clock.advance(0)
    assert len(stage.upstream._idle) == KEPT
    await stage.upstream.stop()


@ensureDeferred
async def test_a_retired_way_keeps_no_connection_and_lets_those_at_work_end(stage):
    busy = await stage.upstream.connect(fresh=True)
    assert (await stage.ask_and_turn())[0] == 200
    (idle,) = stage.upstream._idle
    stage.upstream.retire()
    await until(lambda: stage.origin.ended == 1)
    assert not idle.usable
    assert (await busy.send(GET, Asked())).status == 200
    while await busy.read():
        pass
    busy.release()
    stage.clock.advance(0)
    assert not stage.upstream._idle
    await until(lambda: stage.origin.ended == 2)
    assert (await stage.ask_and_turn())[2] is True
    await until(lambda: stage.origin.ended == 3)
    await stage.upstream.stop()


@ensureDeferred
async def test_a_dead_kept_connection_is_not_given_out(stage):
    stage.handler = lambda request, peer: answering(b"{}")(request, peer) and False
    await stage.ask_and_turn()
    await until(lambda: not any(each.usable for each in stage.upstream._idle))
    stage.handler = answering(b"{}")
    assert (await stage.ask_and_turn())[2] is True
    await stage.upstream.stop()


@ensureDeferred
async def test_stopping_ends_what_is_at_hand(stage):
    released = threading.Event()
    stage.handler = lambda *_: released.wait(10) and False
    asking = defer.Deferred.fromCoroutine(stage.ask_and_turn())
    await until(lambda: stage.origin.received)
    await stage.upstream.stop()
    with pytest.raises(UpstreamUnreachable):
        await asking
    released.set()
    assert not stage.upstream._open


# --- the request's body


@ensureDeferred
async def test_a_body_of_unknown_length_goes_out_in_chunks(stage):
    head = RequestHead("POST", "/things", ((b"Host", b"api.example"),), None)
    await stage.ask_and_turn(head, Asked("POST", body=b"hello"))
    (received,) = stage.origin.received
    assert (received.header("Transfer-Encoding"), received.body) == ("chunked", b"hello")
    await stage.upstream.stop()


@ensureDeferred
@pytest.mark.parametrize(
    ("method", "body", "framing"),
    [
        ("GET", b"", None),
        ("DELETE", b"", None),
        ("GET", b"hello", "chunked"),
        ("POST", b"", "chunked"),
    ],
)
async def test_only_a_body_that_turns_out_to_be_empty_is_none(stage, method, body, framing):
    head = RequestHead(method, "/things", ((b"Host", b"api.example"),), None)
    asked = Asked(method, body=body)
    assert (await stage.ask_and_turn(head, asked))[0] == 200
    (received,) = stage.origin.received
    assert (received.header("Transfer-Encoding"), received.body) == (framing, body)
    await stage.upstream.stop()


@ensureDeferred
async def test_a_body_that_fails_is_the_exchanges_fault_and_ends_the_connection(stage):
    class Failing(Asked):
        async def read(self):
            raise UpstreamMalformed("the agent's own fault")

    head = RequestHead("POST", "/things", ((b"Host", b"api.example"),), 10)
    with pytest.raises(UpstreamMalformed, match="own fault"):
        await stage.ask_and_turn(head, Failing("POST"))
    assert not stage.upstream._idle
    await until(lambda: not stage.upstream._open)


@ensureDeferred
async def test_the_tls_of_old_is_not_spoken(stage):
    stage.origin._context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning):
        stage.origin._context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(UpstreamUnreachable, match="handshake"):
        await stage.ask()
