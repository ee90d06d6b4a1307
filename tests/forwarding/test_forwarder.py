"""The forwarder between real sockets: who gets in, what the gateway is told, how bytes pass."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import threading
import time

import pytest
from forwarding.conftest import TOKEN
from forwarding.door import OK, all_of, basic, connect_bytes, cut, dialled, head_of
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from jitgate.forwarding.answer import ANSWER_HEAD
from jitgate.forwarding.forwarder import ANSWER_WITHIN, EARLY, HEAD_WITHIN, TOLD
from jitgate.forwarding.hop import Address

MIB = 1024 * 1024
PIECE = bytes(range(256)) * 256


def answer_to(stage, data):
    """Everything that the forwarder answers to these bytes until it ends."""
    with dialled(stage.forwarder.port, data) as stream:
        return all_of(stream)


def connected(stage):
    """What CONNECT is answered with; then the agent goes."""
    with stage.asking() as stream:
        return head_of(stream)


def problem(answer):
    """Status, reason phrase and problem of an answer of the forwarder's own."""
    head, _, body = answer.partition(b"\r\n\r\n")
    line = head.split(b"\r\n")[0].decode()
    assert b"Content-Type: application/problem+json" in head
    assert f"Content-Length: {len(body)}".encode() in head
    return int(line.split()[1]), line.split(" ", 2)[2], json.loads(body)


async def until(true):
    """Wait for something that another thread brings about."""
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        await deferLater(reactor, 0.01)


# --- who gets in, and what the gateway is told


@ensureDeferred
async def test_the_gateway_is_told_the_session_and_the_token_and_nothing_else(stage):
    def story():
        agent = "User-Agent: x\r\nCookie: a=b\r\nProxy-Connection: Keep-Alive\r\n"
        with dialled(stage.forwarder.port, connect_bytes(agent + stage.admitted())) as stream:
            return head_of(stream)

    assert await deferToThread(story) == OK
    pair = base64.b64encode(f"run-1:{TOKEN}".encode())
    assert stage.door.heads == [
        b"CONNECT api.example:443 HTTP/1.1\r\nHost: api.example:443\r\n"
        b"Proxy-Authorization: Basic " + pair + b"\r\n\r\n"
    ]


@ensureDeferred
async def test_each_tunnel_gets_the_token_of_its_time(stage):
    for text in ("first", "second"):
        stage.tokens.text = text
        await deferToThread(connected, stage)
    told = [
        base64.b64decode(head.split(b"Basic ")[1].split(b"\r\n")[0]) for head in stage.door.heads
    ]
    assert told == [b"run-1:first", b"run-1:second"]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda run: "",
        lambda run: basic(run.name, run.secret + "x"),
        lambda run: basic(run.name, run.secret[:-1]),
        lambda run: basic(run.name, ""),
        lambda run: basic("run-2", run.secret),
        lambda run: basic(run.name, TOKEN),
        lambda run: f"Proxy-Authorization: Bearer {run.secret}\r\n",
        lambda run: "Proxy-Authorization: Basic !\r\n",
        lambda run: "Proxy-Authorization: Basic\r\n",
        lambda run: basic(run.name, run.secret) * 2,
        lambda run: basic(run.name, run.secret).replace("Proxy-", ""),
    ],
)
@ensureDeferred
async def test_without_the_secret_of_the_run_nobody_gets_in_and_the_gateway_hears_nothing(
    stage, wrong
):
    plain = f"GET http://jitgate.internal/ HTTP/1.1\r\nHost: x\r\n{wrong(stage.run)}\r\n".encode()
    for data in (connect_bytes(wrong(stage.run)), plain):
        answer = await deferToThread(answer_to, stage, data)
        status, _, said = problem(answer)
        assert status == said["status"] == 407
        assert b'Proxy-Authenticate: Basic realm="jitgate exec"\r\n' in answer
        assert stage.run.secret.encode() not in answer
    assert (stage.door.connections, stage.tokens.asked) == (0, 0)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.0 299\r\nX-Odd:  spaced \r\nx: y\r\n\r\n",
        b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno",
        b"HTTP/1.1 407 X\r\nProxy-Authenticate: Bearer\r\n\r\n",
    ],
)
@ensureDeferred
async def test_the_gateways_answer_is_passed_on_byte_for_byte(stage, answer):
    stage.door.handler = lambda stream: stream.sendall(answer) or stream.shutdown(socket.SHUT_WR)
    assert await deferToThread(answer_to, stage, connect_bytes(stage.admitted())) == answer


@ensureDeferred
async def test_after_a_refusal_of_the_gateways_nothing_that_the_agent_sends_reaches_it(stage):
    seen = []

    def refuse(stream):
        stream.sendall(b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n")
        stream.settimeout(0.3)
        try:
            seen.append(stream.recv(1))
        except TimeoutError:
            seen.append(None)

    stage.door.handler = refuse
    request = connect_bytes(stage.admitted()) + b"GET http://other/ HTTP/1.1\r\n\r\n"
    await deferToThread(answer_to, stage, request)
    assert seen == [None]


@ensureDeferred
async def test_what_the_agent_sends_early_waits_for_the_answer_and_then_goes_first(stage):
    answered = threading.Event()
    seen = []

    def answer_late(stream):
        stream.settimeout(0.3)
        with pytest.raises(TimeoutError):
            stream.recv(1)
        answered.set()
        stream.settimeout(10)
        stream.sendall(OK)
        seen.append(all_of(stream))

    stage.door.handler = answer_late

    def story():
        with dialled(stage.forwarder.port, connect_bytes(stage.admitted()) + b"one,") as stream:
            time.sleep(0.05)
            stream.sendall(b"two,")
            head_of(stream)
            stream.sendall(b"three")
            stream.shutdown(socket.SHUT_WR)
            all_of(stream)

    await deferToThread(story)
    assert answered.is_set()
    assert seen == [b"one,two,three"]


# --- the gateway's own pages, and what else comes without CONNECT


@ensureDeferred
async def test_the_gateways_pages_are_had_without_tls(stage):
    page = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\npem"
    stage.door.handler = lambda stream: stream.sendall(page) or stream.shutdown(socket.SHUT_WR)
    request = (
        "GET http://JITGATE.internal:80/ca.pem?x HTTP/1.1\r\nHost: jitgate.internal\r\n"
        f"Accept: text/plain\r\nCookie: a=b\r\nAuthorization: Bearer x\r\n{stage.admitted()}\r\n"
        "GET http://jitgate.internal/second HTTP/1.1\r\n\r\n"
    )
    assert await deferToThread(answer_to, stage, request.encode()) == page
    pair = base64.b64encode(f"run-1:{TOKEN}".encode())
    assert stage.door.heads == [
        b"GET http://JITGATE.internal:80/ca.pem?x HTTP/1.1\r\nHost: jitgate.internal\r\n"
        b"Accept: text/plain\r\nConnection: close\r\nProxy-Authorization: Basic "
        + pair
        + b"\r\n\r\n"
    ]


@pytest.mark.parametrize(
    ("line", "more"),
    [
        ("GET http://api.example/ HTTP/1.1", ""),
        ("GET http://jitgate.internal.example/ HTTP/1.1", ""),
        ("GET http://jitgate.internal@api.example/ HTTP/1.1", ""),
        ("GET http://jitgate.internal:81/ HTTP/1.1", ""),
        ("GET http://jitgate.internal HTTP/1.1", ""),
        ("GET https://jitgate.internal/ HTTP/1.1", ""),
        ("GET / HTTP/1.1", ""),
        ("POST http://jitgate.internal/ HTTP/1.1", "Content-Length: 0\r\n"),
        ("GET http://jitgate.internal/ HTTP/1.1", "Content-Length: 1\r\n"),
    ],
)
@ensureDeferred
async def test_nothing_else_goes_without_connect(stage, line, more):
    data = f"{line}\r\nHost: jitgate.internal\r\n{more}{stage.admitted()}\r\n".encode()
    status, reason, said = problem(await deferToThread(answer_to, stage, data))
    assert status == 403
    assert "use https" in reason
    assert said["type"] == "https://jitgate.internal/problems/plain-http"
    assert stage.door.connections == 0


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64), 400),
        (b"CONNECT a:443 HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", 431),
    ],
)
@ensureDeferred
async def test_what_is_no_request_is_refused(stage, data, status):
    assert problem(await deferToThread(answer_to, stage, data))[0] == status
    assert stage.door.connections == 0


# --- where the gateway or the token cannot be had


@ensureDeferred
async def test_without_a_gateway_the_agent_is_told_so_and_whoever_started_it_once(staged):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    stage = await staged(Address("127.0.0.1", port))
    for _ in range(3):
        answer = await deferToThread(answer_to, stage, connect_bytes(stage.admitted()))
        status, reason, said = problem(answer)
        assert status == 502
        assert f"The gateway at http://127.0.0.1:{port} cannot be reached" in reason
        assert said["detail"] == reason
        assert TOKEN.encode() not in answer
    assert stage.said == [reason]


@ensureDeferred
async def test_a_gateway_that_comes_back_is_used_and_going_again_is_said_again(stage):
    stage.door.handler = lambda stream: stream.shutdown(socket.SHUT_RDWR)
    for handler in (stage.door.handler, lambda stream: stream.sendall(OK), stage.door.handler):
        stage.door.handler = handler
        await deferToThread(connected, stage)
    assert len(stage.said) == 2


def garbage(stream):
    stream.sendall(b"SSH-2.0-OpenSSH\r\n")
    stream.recv(1)


def endless(stream):
    stream.sendall(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * ANSWER_HEAD)
    stream.recv(1)


def silent_end(stream):
    stream.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize(
    ("handler", "words"),
    [
        (garbage, "is no proxy"),
        (endless, "is no proxy"),
        (silent_end, "closed the connection without an answer"),
        (cut, "closed the connection without an answer"),
    ],
)
@ensureDeferred
async def test_what_is_no_answer_is_told_as_that(stage, handler, words):
    stage.door.handler = handler
    answer = await deferToThread(answer_to, stage, connect_bytes(stage.admitted()))
    status, reason, _ = problem(answer)
    assert status == 502
    assert words in reason
    assert stage.said == [reason]


@ensureDeferred
async def test_a_gateway_that_does_not_answer_is_given_up_in_time(stage):
    stage.door.handler = lambda stream: stream.recv(1)
    answering = deferToThread(answer_to, stage, connect_bytes(stage.admitted()))
    await until(lambda: stage.door.heads)
    stage.hours.clock.advance(ANSWER_WITHIN)
    status, reason, _ = problem(await answering)
    assert status == 502
    assert "did not answer within 30 s" in reason


@ensureDeferred
async def test_without_a_token_the_gateway_is_not_asked(stage):
    stage.tokens.why = "The token command failed with exit status 3; run it by hand to see why."
    answer = await deferToThread(answer_to, stage, connect_bytes(stage.admitted()))
    status, reason, said = problem(answer)
    assert (status, reason) == (502, stage.tokens.why)
    assert said["type"] == "https://jitgate.internal/problems/token-unavailable"
    assert stage.said == [reason]
    assert stage.door.connections == 0


# --- bounds


@ensureDeferred
async def test_an_agent_that_does_not_ask_is_cut_off(stage):
    stream = await deferToThread(dialled, stage.forwarder.port, b"CONNECT ")
    await until(lambda: stage.hours.clock.getDelayedCalls())
    stage.hours.clock.advance(HEAD_WITHIN)
    with stream, pytest.raises(ConnectionResetError):
        await deferToThread(stream.recv, 1)


@ensureDeferred
async def test_too_much_before_the_answer_is_cut_off(stage):
    stage.door.handler = lambda stream: stream.recv(1)

    def story():
        with stage.asking() as stream:
            stream.sendall(bytes(EARLY + 1))
            with pytest.raises(ConnectionResetError):
                stream.recv(1)

    await deferToThread(story)
    await until(lambda: not stage.forwarder._open)


@ensureDeferred
async def test_an_agent_that_hangs_up_takes_its_question_back(stage):
    seen = []
    stage.door.handler = lambda stream: seen.append(stream.recv(1))
    stream = await deferToThread(stage.asking)
    await until(lambda: stage.door.heads)
    cut(stream)
    await until(stage.door.over.is_set)
    assert seen in ([], [b""])


@ensureDeferred
async def test_stopping_cuts_what_is_open(stage):
    stage.door.handler = lambda stream: stream.sendall(OK) or stream.recv(1)
    port = stage.forwarder.port
    with await deferToThread(stage.asking) as stream:
        await deferToThread(head_of, stream)
        await stage.forwarder.stop()
        with pytest.raises(ConnectionResetError):
            await deferToThread(stream.recv, 1)
    with pytest.raises(ConnectionRefusedError):
        dialled(port)


# --- the relay


@ensureDeferred
async def test_large_bodies_pass_both_ways_at_once_unchanged(stage):
    size = 64 * MIB
    wanted = hashlib.sha256(PIECE * (size // len(PIECE))).hexdigest()
    digests = []

    def both(stream):
        sending = threading.Thread(target=send, args=(stream,))
        sending.start()
        got = hashlib.sha256()
        while piece := stream.recv(65536):
            got.update(piece)
        digests.append(got.hexdigest())
        sending.join()

    def send(stream):
        for _ in range(size // len(PIECE)):
            stream.sendall(PIECE)
        stream.shutdown(socket.SHUT_WR)

    stage.door.handler = lambda stream: stream.sendall(OK) or both(stream)

    def story():
        with stage.asking() as stream:
            head_of(stream)
            both(stream)

    await deferToThread(story)
    await until(stage.door.over.is_set)
    assert digests == [wanted, wanted]


@pytest.mark.parametrize("sender", ["gateway", "agent"])
@ensureDeferred
async def test_who_does_not_read_holds_the_other_one_up(stage, sender):
    """What is on the way is in the kernel's buffers, some MiB, and in two transports' of 64 KiB."""
    sent, over = [], threading.Event()

    def fill(stream):
        stream.settimeout(1.0)
        total = 0
        try:
            while total < 256 * MIB:
                total += stream.send(PIECE)
        except TimeoutError:
            pass
        sent.append(total)
        over.set()

    def act(stream, *, sends):
        if sends:
            fill(stream)
        else:
            assert over.wait(30)

    stage.door.handler = lambda stream: stream.sendall(OK) or act(stream, sends=sender == "gateway")

    def story():
        with stage.asking() as stream:
            head_of(stream)
            act(stream, sends=sender == "agent")

    await deferToThread(story)
    assert sent[0] < 32 * MIB


@ensureDeferred
async def test_an_agent_may_end_its_direction_and_listen_on(stage):
    def handler(stream):
        stream.sendall(OK)
        got = all_of(stream)
        time.sleep(0.05)
        stream.sendall(b"you said " + got)
        stream.shutdown(socket.SHUT_WR)

    stage.door.handler = handler

    def story():
        with stage.asking() as stream:
            head_of(stream)
            stream.sendall(b"bye")
            stream.shutdown(socket.SHUT_WR)
            return all_of(stream)

    assert await deferToThread(story) == b"you said bye"
    await until(lambda: not stage.forwarder._open)


@ensureDeferred
async def test_a_gateway_may_end_its_direction_and_listen_on(stage):
    seen = []

    def handler(stream):
        stream.sendall(OK + b"the end")
        stream.shutdown(socket.SHUT_WR)
        seen.append(all_of(stream))

    stage.door.handler = handler

    def story():
        with stage.asking() as stream:
            got = all_of(stream)
            stream.sendall(b"thanks")
            stream.shutdown(socket.SHUT_WR)
            return got

    assert await deferToThread(story) == OK + b"the end"
    await until(stage.door.over.is_set)
    assert seen == [b"thanks"]
    await until(lambda: not stage.forwarder._open)


@ensureDeferred
async def test_a_cut_by_the_gateway_is_a_cut_for_the_agent(stage):
    stage.door.handler = lambda stream: (
        stream.sendall(OK + b"half") or stream.recv(1) or cut(stream)
    )

    def story():
        with stage.asking() as stream:
            head_of(stream)
            assert stream.recv(4) == b"half"
            stream.sendall(b"x")
            with pytest.raises(ConnectionResetError):
                stream.recv(1)

    stage.door.handler = lambda stream: (
        stream.sendall(OK + b"half"),
        stream.recv(1),
        cut(stream),
    )
    await deferToThread(story)


@ensureDeferred
async def test_a_cut_by_the_agent_is_a_cut_for_the_gateway(stage):
    stage.door.handler = lambda stream: stream.sendall(OK) or all_of(stream)

    def story():
        stream = stage.asking()
        head_of(stream)
        cut(stream)

    await deferToThread(story)
    await until(stage.door.over.is_set)
    assert [type(fault) for fault in stage.door.faults] == [ConnectionResetError]


@ensureDeferred
async def test_a_hundred_tunnels_at_once(stage):
    stage.door.handler = lambda stream: stream.sendall(OK + b"!") or stream.recv(1)

    def story():
        streams = [stage.asking() for _ in range(100)]
        heads = [head_of(stream) for stream in streams]
        for stream in streams:
            stream.close()
        return heads

    assert await deferToThread(story) == [OK] * 100
    await until(lambda: not stage.forwarder._open)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b'Content-Length: 29\r\n\r\n{"detail":"No target is so.\xc2\x9b"}', "No target is so.?"),
        (b"Content-Length: 9\r\n\r\n", "its answer is 403"),
        (b"Content-Length: 2\r\n\r\n[]", "its answer is 403"),
        (b'Content-Length: 12\r\n\r\n{"detail":1}', "its answer is 403"),
    ],
)
@ensureDeferred
async def test_why_there_is_no_tunnel_is_said_once_to_whoever_started_it(stage, answer, why):
    whole = b"HTTP/1.1 403 Forbidden\r\n" + answer
    stage.door.handler = lambda stream: stream.sendall(whole) or stream.shutdown(socket.SHUT_WR)
    for _ in range(3):
        await deferToThread(answer_to, stage, connect_bytes(stage.admitted()))
    assert [said.partition(": ")[2] for said in stage.said] == [why]


@ensureDeferred
async def test_an_agent_cannot_have_more_said_than_a_screen_holds(stage):
    stage.door.handler = lambda stream: (
        stream.sendall(b"HTTP/1.1 403 No\r\n\r\n") or stream.shutdown(socket.SHUT_WR)
    )
    for number in range(TOLD + 2):
        data = connect_bytes(stage.admitted()).replace(b".example", b".%d.example" % number)
        await deferToThread(answer_to, stage, data)
    assert len(stage.said) == TOLD
