"""Every limit of the agents' port, set to something else: it holds then, and no sooner."""

from __future__ import annotations

import socket
from collections import Counter
from dataclasses import replace

import pytest
from pytest_twisted import ensureDeferred
from support.listening import hung_up, opened, until
from support.ports import JSON, Stand, agent
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from jitgate.core.limits import Limits
from jitgate.core.policy import NEEDS_BODY
from jitgate.proxy.connection import AHEAD
from jitgate.values import Effect, ResponseHead, Verdict

CONNECT = (
    b"CONNECT api.example:443 HTTP/1.1\r\nHost: api.example:443\r\n"
    b"Proxy-Authorization: Bearer t\r\n\r\n"
)
GET = b"GET /things HTTP/1.1\r\nHost: api.example\r\n\r\n"
POST = b"POST /things HTTP/1.1\r\nHost: api.example\r\n"


async def door(folder, stand=None, **limits):
    """A port with these limits; whatever takes a second or more waits for the test."""
    stand = stand or Stand()
    stand.bounds = Limits(**limits)
    stand.build()
    await stand.revocations.recover()
    return await opened(folder, stand)


async def inside(made):
    """The one connection inside a tunnel."""
    await until(lambda: [each for each in made.listener._open if each._inside is not None])
    return next(iter(made.listener._open))._inside


# --- deadlines


async def in_connect(made):
    peer = socket.create_connection(made.address, 10)
    peer.sendall(CONNECT[:40])
    await until(lambda: made.listener._open)
    return peer


async def in_handshake(made):
    peer = socket.create_connection(made.address, 10)
    peer.sendall(CONNECT)
    await deferToThread(peer.recv, 4096)
    peer.sendall(b"\x16\x03\x01\x02\x00")  # the beginning of a record of 512 bytes
    await inside(made)
    return peer


async def lying_idle(made):
    tunnel = await made.tunnel()
    connection = await inside(made)
    await until(lambda: connection.transport._established)  # the port may be the last to know
    return tunnel.tls


async def in_head(made):
    tunnel = await made.tunnel()
    tunnel.send(GET[:20])
    connection = await inside(made)
    await until(lambda: connection._in_head)
    return tunnel.tls


async def in_body(made):
    decider = made.stand.gateway._decider
    decider._policy = replace(decider._policy, rules=(ReadsBody(),))
    tunnel = await made.tunnel()
    tunnel.send(POST + b"Content-Length: 10\r\n\r\nhalf")
    connection = await inside(made)
    await until(lambda: connection._request is not None and connection._request._reader)
    return tunnel.tls


async def not_reading(made):
    made.stand.answer, made.stand.pieces = ResponseHead(200, (), None), (b"x" * 65536,) * 400
    tunnel = await made.tunnel()
    tunnel.send(GET)
    connection = await inside(made)
    await until(lambda: connection._response is not None and connection._response._room)
    await settled(lambda: made.stand.log.count("read more"))
    return tunnel.tls


async def settled(count):
    """Wait until the kernel takes no more."""
    before = None
    while before != (before := count()):
        await deferLater(reactor, 0.3)


async def draining(made):
    made.stand.subject = agent(expires_at=-1.0)
    tunnel = await made.tunnel()
    tunnel.send(POST + b"Content-Length: 10\r\n\r\nhalf")
    connection = await inside(made)
    await until(lambda: connection._discarded is not None)
    return tunnel.tls


class ReadsBody:
    """A rule that must see the body."""

    name, version = "reader", "1"

    def judge(self, inquiry):
        return NEEDS_BODY if inquiry.body is None else Verdict(Effect.PERMIT, "They may.")


PHASES = {
    "connect": in_connect,
    "handshake": in_handshake,
    "idle": lying_idle,
    "head": in_head,
    "stalled": in_body,
    "closing": draining,
}


@pytest.mark.parametrize("name", [*PHASES, "stalled by its reader"])
@ensureDeferred
async def test_each_deadline_is_the_one_that_is_set(tmp_path, name):
    reach = PHASES.get(name, not_reading)
    made = await door(tmp_path, **{name.partition(" ")[0]: 7.0})
    peer = await reach(made)
    made.later(6.5)
    await deferLater(reactor, 0.02)
    (connection,) = made.listener._open
    assert connection._inside is None or not connection._inside._ending
    made.later(1)
    within = connection._inside
    await until(lambda: not made.listener._open or (within is not None and within._ending))
    await hung_up(peer)
    peer.close()
    await made.stop()


@ensureDeferred
async def test_a_head_that_trickles_in_is_given_the_time_from_its_first_byte(tmp_path):
    made = await door(tmp_path, head=7.0)
    tunnel = await made.tunnel()
    connection = await inside(made)
    await until(lambda: connection.transport._established)
    made.later(70)  # it has been idle, which costs its head nothing
    for byte in GET[:6]:
        had = len(connection._reader._rest)
        tunnel.send(bytes([byte]))
        await until(lambda before=had: len(connection._reader._rest) > before)
        made.later(1)
        assert not connection._ending
    made.later(1.5)
    assert connection._ending
    assert await hung_up(tunnel.tls) == (b"", True)
    tunnel.close()
    await made.stop()


@ensureDeferred
async def test_a_head_that_began_behind_another_request_has_its_time_from_then_on(tmp_path):
    made = await door(tmp_path, head=7.0)
    tunnel = await made.tunnel()
    tunnel.send(GET + GET[:20])
    assert (await deferToThread(tunnel.reply)).status == 200
    connection = await inside(made)
    await until(lambda: connection._in_head)
    made.later(6.5)
    tunnel.send(GET[20:])
    assert (await deferToThread(tunnel.reply)).status == 200
    assert not connection._in_head
    made.later(6.5)  # the next one has not begun
    assert not connection._ending
    tunnel.close()
    await made.stop()


# --- sizes


@pytest.mark.parametrize(("limit", "value"), [("head_bytes", 1024), ("head_fields", 10)])
@ensureDeferred
async def test_a_head_has_the_bounds_that_are_set(tmp_path, limit, value):
    made = await door(tmp_path, **{limit: value})
    tunnel = await made.tunnel()
    many = b"".join(b"X-%d: %s\r\n" % (each, b"x" * 100) for each in range(12))
    tunnel.send(GET[:-2] + many + b"\r\n")
    assert (await deferToThread(tunnel.reply)).status == 431
    tunnel.close()
    with socket.create_connection(made.address, 10) as peer:
        peer.sendall(CONNECT[:-2] + many + b"\r\n")
        assert (await hung_up(peer))[0].startswith(b"HTTP/1.1 431 ")
    await made.stop()


@ensureDeferred
async def test_a_body_whose_announced_length_is_too_large_is_refused_unread(tmp_path):
    made = await door(tmp_path, body_bytes=1000)
    tunnel = await made.tunnel()
    tunnel.send(POST + b"Content-Length: 1001\r\n\r\n")
    reply = await deferToThread(tunnel.reply)
    assert (reply.status, made.stand.sent) == (413, [])
    assert b"Bodies of up to 1000 bytes are carried." in reply.body
    (decision,), (outcome,) = made.stand.entries("decision"), made.stand.entries("outcome")
    assert decision["request"] == {"method": "POST", "target": "/things"}
    assert outcome["denial"] == "body-too-large"
    tunnel.send(b"x" * 1001)  # what was announced is taken, and the tunnel lives on
    tunnel.send(POST + b"Content-Length: 1000\r\n\r\n" + b"x" * 1000)
    assert (await deferToThread(tunnel.reply)).status == 200
    tunnel.close()
    await made.stop()


@ensureDeferred
async def test_a_body_of_unknown_length_is_carried_up_to_the_limit(tmp_path):
    made = await door(tmp_path, body_bytes=1000)
    tunnel = await made.tunnel()
    tunnel.send(POST + b"Transfer-Encoding: chunked\r\n\r\n")
    for _ in range(4):
        tunnel.send(b"fa\r\n" + b"x" * 250 + b"\r\n")
        await deferLater(reactor, 0.01)
    tunnel.send(b"0\r\n\r\n")
    assert (await deferToThread(tunnel.reply)).status == 200
    tunnel.send(POST + b"Transfer-Encoding: chunked\r\n\r\n")
    for _ in range(4):
        tunnel.send(b"fa\r\n" + b"x" * 250 + b"\r\n")
        await deferLater(reactor, 0.01)
    tunnel.send(b"1\r\nx\r\n")
    assert (await deferToThread(tunnel.reply)).status == 413
    assert len(made.stand.sent) == 1  # the second one never became whole
    assert made.stand.entries("outcome")[1]["denial"] == "body-too-large"
    tunnel.close()
    await made.stop()


# --- how many


def knocking(made):
    peer = socket.create_connection(made.address, 10)
    peer.sendall(CONNECT[:20])
    return peer


@ensureDeferred
async def test_a_flood_of_the_unproved_leaves_the_proved_and_those_who_prove_themselves(tmp_path):
    made = await door(tmp_path, unproved=8)
    before = await made.tunnel()
    flood = [await deferToThread(knocking, made) for _ in range(30)]
    await until(lambda: len(made.listener._open) == 9)
    during = await made.tunnel()
    for tunnel in (before, during):
        assert (await deferToThread(tunnel.ask, "GET", "/things")).status == 200
    assert len(made.listener._open) == 2 + 7
    for peer in flood[:23]:
        assert (await hung_up(peer))[0] == b""
    flood[-1].setblocking(False)
    with pytest.raises(BlockingIOError):
        flood[-1].recv(1)  # the youngest is still there
    assert made.noted == []
    made.later(1)
    assert made.noted == [{"count": 23, "share": 8}]  # one entry for all of them
    for peer in [*flood, before, during]:
        peer.close()
    await until(lambda: not made.listener._open)
    await made.stop()
    assert len(made.noted) == 1


@ensureDeferred
async def test_what_was_dropped_in_the_last_second_is_told_at_the_stop(tmp_path):
    made = await door(tmp_path, unproved=8)
    flood = [await deferToThread(knocking, made) for _ in range(9)]
    assert (await hung_up(flood[0]))[0] == b""
    await made.stop()
    assert made.noted == [{"count": 1, "share": 8}]
    for peer in flood:
        peer.close()


@ensureDeferred
async def test_refused_tunnels_stay_in_the_share_of_the_unproved(tmp_path):
    stand = Stand(subject=agent(id="bot-8"))
    made = await door(tmp_path, stand, unproved=8, connections_per_agent=1)
    kept = await made.tunnel()
    refused = [await made.tunnel() for _ in range(12)]
    await until(lambda: len(made.listener._open) == 9)
    assert (await deferToThread(kept.ask, "GET", "/things")).status == 200
    reply = await deferToThread(refused[-1].ask, "GET", "/things")
    assert (reply.status, reply.header("Retry-After"), reply.header("Connection")) == (
        503,
        "2",
        "close",
    )
    assert b"This agent has as many connections open as it may." in reply.body
    kept.close()
    await until(lambda: not made.stand.gateway._load._all_tunnels)
    again = await made.tunnel()
    assert (await deferToThread(again.ask, "GET", "/things")).status == 200
    for tunnel in [again, *refused]:
        tunnel.close()
    await made.stop()


@ensureDeferred
async def test_a_tunnel_is_given_back_whenever_its_agent_goes(tmp_path):
    stand = Stand()
    made = await door(tmp_path, stand, connections=1)
    gate = Deferred()
    verify = stand.gateway._identity.verify

    async def slow(token):
        await gate
        return await verify(token)

    stand.gateway._identity.verify = slow
    peer = socket.create_connection(made.address, 10)
    peer.sendall(CONNECT)
    await until(lambda: any(each._early is not None for each in made.listener._open))
    peer.close()
    await until(lambda: not made.listener._open)
    gate.callback(None)  # it is admitted when nobody is there any more
    assert stand.gateway._load._all_tunnels == 0
    tunnel = await made.tunnel()
    assert (await deferToThread(tunnel.ask, "GET", "/things")).status == 200
    tunnel.close()
    await until(lambda: not made.listener._open)
    assert stand.gateway._load._all_tunnels == 0
    await made.stop()


@ensureDeferred
async def test_at_twice_the_exchanges_half_are_slowed_down_and_half_are_served(tmp_path):
    stand = Stand()
    stand.answer_when = Deferred()
    made = await door(tmp_path, stand, exchanges=10)
    tunnels = [await made.tunnel() for _ in range(20)]
    for tunnel in tunnels[:10]:
        tunnel.send(GET)
    await until(lambda: len(stand.sent) == 10)
    for tunnel in tunnels[10:]:
        tunnel.send(GET)
    refused = [await deferToThread(tunnel.reply) for tunnel in tunnels[10:]]
    assert Counter(reply.status for reply in refused) == {503: 10}
    assert len(stand.sent) == 10
    stand.answer_when.callback(None)
    served = [await deferToThread(tunnel.reply) for tunnel in tunnels[:10]]
    assert Counter(reply.status for reply in served) == {200: 10}
    again = await deferToThread(tunnels[-1].ask, "GET", "/things")
    assert again.status == 200  # on the same tunnel, now that there is room
    for tunnel in tunnels:
        tunnel.close()
    await made.stop()


@ensureDeferred
async def test_an_agent_that_pipelines_and_takes_no_answers_gets_no_more_of_them(tmp_path):
    """A head alone waits for room as well, or a pipeline of them would fill the memory."""
    stand = Stand(answer=ResponseHead(200, (*JSON, (b"X-Long", b"x" * 30_000)), 15))
    made = await door(tmp_path, stand)
    tunnel = await made.tunnel()
    connection = await inside(made)
    head = GET.replace(b"GET", b"HEAD")
    sending = deferToThread(tunnel.send, head * 5000)
    full = lambda: connection._response is not None and connection._response._room
    await until(lambda: full() or len(stand.sent) >= 2000)
    assert len(stand.sent) < 2000
    await settled(lambda: len(stand.sent))
    assert len(stand.sent) < 2000
    assert not connection._events
    made.later(stand.bounds.stalled)
    await until(lambda: not made.listener._open)
    tunnel.close()
    try:
        await sending
    except OSError:
        pass
    await made.stop()


@ensureDeferred
async def test_what_is_sent_ahead_waits_as_bytes_and_few_of_them(tmp_path):
    """Heads that were read take many times what they were sent as, and each of them may be long."""
    stand = Stand()
    stand.answer_when = Deferred()
    made = await door(tmp_path, stand)
    tunnel = await made.tunnel()
    connection = await inside(made)
    heads = [b"".join([b"x-%d: %d\r\n" % (each, at) for at in range(90)]) for each in range(2000)]
    sent = [GET.removesuffix(b"\r\n") + each + b"\r\n" for each in heads]
    sending = deferToThread(tunnel.send, b"".join(sent))
    kept = lambda: len(connection._ahead) + connection._reader.held
    await until(lambda: kept() > AHEAD)
    await settled(kept)
    assert kept() <= 2 * AHEAD  # and what one read from the socket brings
    assert len(stand.sent) == 1
    assert not connection._events
    tunnel.close()
    try:
        await sending
    except OSError:
        pass
    await made.stop()
