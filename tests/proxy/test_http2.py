"""HTTP/2 inside a tunnel, from a real socket: each stream an exchange, whatever the others do."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pytest_twisted import ensureDeferred
from support import listening
from support.http2 import Agent2, asking, block, frame
from support.listening import until
from support.ports import JSON, SECRET, Stand, agent, review
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from jitgate.core.http2_frames import BURST, SETTINGS_FRAMES, Code, Kind
from jitgate.core.limits import LIMITS
from jitgate.errors import UpstreamUnreachable
from jitgate.proxy.http2_connection import AT_ONCE
from jitgate.values import ResponseHead

PLAIN = (b":method", b"GET"), (b":scheme", b"https"), (b":path", b"/things")


async def opened(folder, stand=None, **bounds):
    stand = stand or Stand()
    if bounds:
        stand.bounds = replace(stand.bounds, **bounds)
        stand.build()
        await stand.revocations.recover()
    return await listening.opened(folder, stand)


async def agent2(door, **how):
    tunnel = await door.tunnel(alpn=("h2",))
    return await deferToThread(Agent2, tunnel, **how)


async def over(door, *agents):
    for each in agents:
        each.close()
    await door.stop()


def inside(door):
    (connection,) = door.listener._open
    return connection._inside


@ensureDeferred
async def test_a_call_passes_both_ways(tmp_path):
    door = await opened(tmp_path)
    one = await agent2(door)
    got = await deferToThread(lambda: one.answer(one.ask(asking(b"POST"), b"{}")))
    assert (got.status, got.body, got.ended) == (200, b'{"name":"Ada"} ', True)
    assert got.header(b"content-length") == b"15"
    ((head, body),) = door.stand.sent
    assert (head.method, head.target, body) == ("POST", "/things", b"{}")
    assert dict(head.headers)[b"Authorization"] == b"Bearer " + SECRET
    assert dict(head.headers)[b"Host"] == b"api.example"
    await over(door, one)


@pytest.mark.parametrize(
    ("offered", "asked", "agreed"),
    [
        (("h2", "http/1.1"), False, "http/1.1"),
        (("h2", "http/1.1"), True, "h2"),
        (("http/1.1",), True, "http/1.1"),
        (("h2",), False, "h2"),
        ((), True, None),
        (("spdy/3",), True, None),
    ],
)
@ensureDeferred
async def test_which_version_is_spoken(tmp_path, offered, asked, agreed):
    """HTTP/2 with who offers nothing else, or where the target asks for it."""
    door = await opened(tmp_path)
    door.listener.adopt({"api.example:443"} if asked else ())
    tunnel = await door.tunnel(alpn=offered)
    assert tunnel.tls.selected_alpn_protocol() == agreed
    if agreed == "h2":
        one = await deferToThread(Agent2, tunnel)
        assert (await deferToThread(lambda: one.answer(one.ask()))).status == 200
    else:
        assert (await deferToThread(tunnel.ask, "GET", "/things")).status == 200
    await over(door, tunnel)


@ensureDeferred
async def test_http2_that_was_not_agreed_on_is_refused(tmp_path):
    door = await opened(tmp_path)
    tunnel = await door.tunnel()
    tunnel.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(Kind.SETTINGS))
    assert (await deferToThread(tunnel.reply)).status == 400
    assert door.stand.sent == []
    await over(door, tunnel)


@ensureDeferred
async def test_streams_are_answered_each_in_its_own_time(tmp_path):
    stand = Stand()
    door = await opened(tmp_path, stand)
    one = await agent2(door)
    stand.answer_when = slow = Deferred()
    first = await deferToThread(one.ask)
    await until(lambda: len(stand.sent) == 1)
    stand.answer_when = None
    second = await deferToThread(lambda: one.answer(one.ask()))
    assert second.status == 200
    assert one.streams[first].heads == []
    slow.callback(None)
    assert (await deferToThread(one.answer, first)).ended
    await over(door, one)


@ensureDeferred
async def test_one_stream_too_many_is_refused_and_the_others_live(tmp_path):
    stand = Stand()
    stand.answer_when = Deferred()
    door = await opened(tmp_path, stand, http2_streams=3)
    one = await agent2(door)
    numbers = [await deferToThread(one.ask) for _ in range(4)]
    refused = await deferToThread(one.answer, numbers[3])
    assert refused.reset == Code.REFUSED_STREAM
    assert len(stand.sent) == 3
    stand.answer_when.callback(None)
    for number in numbers[:3]:
        assert (await deferToThread(one.answer, number)).status == 200
    await over(door, one)


@ensureDeferred
async def test_what_is_given_up_still_takes_its_room_while_it_is_heard_out(tmp_path):
    """Rapid reset: the concurrent exchanges are counted, not the streams that are open."""
    stand = Stand()
    stand.answer_when = Deferred()
    door = await opened(tmp_path, stand, http2_streams=3)
    one = await agent2(door)

    def give_up():
        number = one.ask(asking(b"POST"), b"{}")
        one.h2.reset_stream(number, Code.INTERNAL_ERROR)
        one.flush()

    for _ in range(5):
        await deferToThread(give_up)
    await deferToThread(lambda: one.h2.ping(b"12345678") or one.flush())
    await deferToThread(one.until, lambda: one.pings)
    assert len(stand.sent) == 3
    stand.answer_when.callback(None)
    await over(door, one)


# --- what a request is, and is not


@ensureDeferred
async def test_what_is_malformed_is_refused_recorded_and_its_stream_alone_ends(tmp_path):
    door = await opened(tmp_path)
    one = await agent2(door)
    bad = await deferToThread(lambda: one.answer(one.ask(asking(b"GET", b"things?token=hush"))))
    assert (bad.status, bad.ended, bad.reset) == (400, False, Code.PROTOCOL_ERROR)
    assert b"The :path is none" in bad.body
    good = await deferToThread(lambda: one.answer(one.ask()))
    assert (good.status, good.ended) == (200, True)
    first, second = door.stand.entries("outcome")
    assert (first["denial"], second["outcome"]) == ("malformed-request", "completed")
    asked = [each["request"] for each in door.stand.entries("decision")]
    assert asked[0] == {"method": "GET", "target": "things?token=***"}
    assert len(door.stand.sent) == 1
    await over(door, one)


@pytest.mark.parametrize(
    ("length", "parts", "wrong"),
    [
        (b"5", [b"hel", b"lo"], b""),
        (b"5", [b"hel"], b"Less came"),
        (b"5", [b"hel", b"lo!"], b"More came"),
        (b"5", [b"hello", b"GET /admin"], b"More came"),
        (b"0", [b"x"], b"More came"),
        (b"0", [b""], b""),
        (b"05", [b"hello"], b"one decimal number"),
        (b"+5", [b"hello"], b"one decimal number"),
        (b"5, 5", [b"hello"], b"one decimal number"),
        (b"-1", [b"hello"], b"one decimal number"),
        (b"99999999999999999999", [b"hello"], b"one decimal number"),
    ],
)
@ensureDeferred
async def test_content_length_is_what_comes(tmp_path, length, parts, wrong):
    door = await opened(tmp_path)
    one = await agent2(door)

    def send():
        number = one.open(asking(b"POST", b"/things", (b"content-length", length)))
        for at, part in enumerate(parts, 1):
            one.give(number, part, ends=at == len(parts))
        return one.answer(number)

    got = await deferToThread(send)
    assert (got.status, got.ended) == ((400, False) if wrong else (200, True))
    assert wrong in got.body
    assert [body for _, body in door.stand.sent] == ([] if wrong else [b"".join(parts)])
    await over(door, one)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ([*PLAIN, (b":authority", b"api.example")], 200),
        ([*PLAIN, (b":authority", b"API.example:443")], 200),
        ([*PLAIN, (b"host", b"api.example")], 200),
        ([*PLAIN, (b":authority", b"api.example"), (b"host", b"api.example")], 200),
        ([*PLAIN, (b":authority", b"other.example")], 421),
        ([*PLAIN, (b":authority", b"api.example:8443")], 421),
        ([*PLAIN, (b":authority", b"api.example"), (b"host", b"other.example")], 421),
        ([*PLAIN, (b":authority", b"other.example"), (b"host", b"api.example")], 421),
        ([*PLAIN, (b":authority", b"a@api.example")], 400),
        ([*PLAIN], 400),
    ],
)
@ensureDeferred
async def test_every_host_that_is_named_is_the_tunnels(tmp_path, fields, status):
    door = await opened(tmp_path)
    one = await agent2(door)
    got = await deferToThread(lambda: one.answer(one.ask(fields)))
    assert got.status == status
    (outcome,) = door.stand.entries("outcome")
    denial = {421: "host-mismatch", 400: "malformed-request"}.get(status)
    assert outcome.get("denial") == denial
    assert len(door.stand.sent) == (status == 200)
    await over(door, one)


@ensureDeferred
async def test_a_head_that_is_too_large_is_told_so_and_is_the_last(tmp_path):
    door = await opened(tmp_path, head_bytes=2000)
    one = await agent2(door)
    long = asking(b"GET", b"/things", (b"x-long", b"x" * 1950))
    got = await deferToThread(lambda: one.answer(one.ask(long)))
    assert got.status == 431
    assert await deferToThread(one.end) == Code.NO_ERROR
    assert door.stand.entries("outcome")[0]["denial"] == "head-too-large"
    await over(door, one)


@ensureDeferred
async def test_trailers_are_read_and_dropped_and_what_may_be_none_is_refused(tmp_path):
    door = await opened(tmp_path)
    one = await agent2(door)

    def send(*trailers):
        number = one.open(asking(b"POST"))
        one.give(number, b"{}")
        one.h2.send_headers(number, trailers, end_stream=True)
        one.flush()
        return one.answer(number)

    assert (await deferToThread(send, (b"x-note", b"1"))).status == 200
    ((head, body),) = door.stand.sent
    assert (body, b"x-note" in dict(head.headers)) == (b"{}", False)
    for name, value in ((b"content-length", b"2"), (b":path", b"/"), (b"x", b"a\r\nb")):
        assert (await deferToThread(send, (name, value))).status == 400
    assert len(door.stand.sent) == 1
    await over(door, one)


# --- bodies


@ensureDeferred
async def test_a_body_comes_no_faster_than_it_is_read_and_holds_back_no_other(tmp_path):
    stand, gate = Stand(), Deferred()
    door = await opened(tmp_path, stand)
    one = await agent2(door)

    async def pause(what):
        if what == "connect" and len(stand.fresh_asked) == 1:
            await gate

    stand.pause = pause
    number = await deferToThread(one.open, asking(b"POST"))

    def fill():
        while room := one.h2.local_flow_control_window(number):
            one.give(number, b"x" * min(room, 16384))
        one.until(lambda: one.h2.outbound_flow_control_window)

    await deferToThread(fill)
    stream = inside(door)._streams[number]
    await until(lambda: stream.request.waiting == 65535)
    for _ in range(3):
        assert (await deferToThread(lambda: one.answer(one.ask(asking(b"POST"), b"{}")))).ended
    assert one.h2.local_flow_control_window(number) == 0
    gate.callback(None)
    await deferToThread(one.until, lambda: one.h2.local_flow_control_window(number))
    await deferToThread(lambda: one.give(number, b"y", ends=True))
    assert (await deferToThread(one.answer, number)).status == 200
    assert stand.sent[-1][1] == b"x" * 65535 + b"y"
    await over(door, one)


@ensureDeferred
async def test_large_bodies_pass_both_ways_through_every_window(tmp_path):
    sent = bytes(range(256)) * 4096  # 1 MiB
    stand = Stand(answer=ResponseHead(200, (), None), pieces=(sent[:300_000], sent[300_000:]))
    door = await opened(tmp_path, stand)
    one = await agent2(door)

    def both():
        number = one.open(asking(b"POST"))
        left = sent
        while left:
            one.until(lambda: one.h2.local_flow_control_window(number))
            room = min(one.h2.local_flow_control_window(number), 16384)
            one.give(number, left[:room], ends=len(left) <= room)
            left = left[room:]
        return one.answer(number)

    got = await deferToThread(both)
    assert got.body == sent
    assert stand.sent[0][1] == sent
    await over(door, one)


@ensureDeferred
async def test_an_agent_that_takes_nothing_of_one_answer_gets_the_others(tmp_path):
    stand = Stand(answer=ResponseHead(200, (), None), pieces=(b"x" * 65536,) * 40)
    door = await opened(tmp_path, stand)
    one = await agent2(door, takes=False)
    slow = await deferToThread(one.ask)
    await deferToThread(one.until, lambda: len(one.streams[slow].body) == 65535)
    # The window of the connection is another one: only this stream waits for its own.
    await deferToThread(lambda: one.h2.increment_flow_control_window(1_000_000) or one.flush())
    stand.answer, stand.pieces = ResponseHead(200, JSON, 2), (b"{}",)
    assert (await deferToThread(lambda: one.answer(one.ask()))).body == b"{}"
    assert not one.streams[slow].ended
    door.later(LIMITS.stalled)
    cut = await deferToThread(one.answer, slow)
    assert (cut.ended, cut.reset) == (False, Code.INTERNAL_ERROR)
    (outcome,) = [each for each in stand.entries("outcome") if each["outcome"] == "truncated"]
    assert outcome["denial"] == "agent-gone"
    await over(door, one)


@ensureDeferred
async def test_a_window_that_opens_byte_by_byte_gives_no_more_time(tmp_path):
    stand = Stand(answer=ResponseHead(200, (), None), pieces=(b"x" * 65536,) * 4)
    door = await opened(tmp_path, stand)
    one = await agent2(door, takes=False)
    number = await deferToThread(one.ask)
    await deferToThread(one.until, lambda: len(one.streams[number].body) == 65535)

    def more():
        had = len(one.streams[number].body)
        one.h2.increment_flow_control_window(1)
        one.h2.increment_flow_control_window(1, number)
        one.flush()
        one.until(lambda: len(one.streams[number].body) > had or one.streams[number].reset)

    await deferToThread(more)
    await deferToThread(more)
    door.later(LIMITS.stalled - 1)
    await deferToThread(more)
    door.later(2)
    assert (await deferToThread(one.answer, number)).reset == Code.INTERNAL_ERROR
    await over(door, one)


@ensureDeferred
async def test_expect_is_answered_when_the_body_is_asked_for(tmp_path):
    door = await opened(tmp_path)
    one = await agent2(door)
    number = await deferToThread(
        one.open, asking(b"POST", b"/things", (b"expect", b"100-continue"))
    )
    await deferToThread(one.until, lambda: one.streams[number].heads)
    assert one.streams[number].status == 100
    await deferToThread(lambda: one.give(number, b"{}", ends=True))
    assert (await deferToThread(one.answer, number)).status == 200
    assert door.stand.sent[0][1] == b"{}"
    await over(door, one)


@ensureDeferred
async def test_what_is_denied_before_its_body_came_needs_no_more_of_it(tmp_path):
    stand = Stand(subject=agent(expires_at=-1.0))
    door = await opened(tmp_path, stand)
    one = await agent2(door)
    number = await deferToThread(
        one.open, asking(b"POST", b"/things", (b"expect", b"100-continue"))
    )
    got = await deferToThread(one.answer, number)
    assert (got.status, got.ended) == (401, True)
    await deferToThread(one.until, lambda: got.reset is not None)
    assert (got.reset, len(got.heads)) == (Code.NO_ERROR, 1)
    await over(door, one)


@pytest.mark.parametrize(
    ("method", "status", "length", "shown"),
    [(b"HEAD", 200, 15, b"15"), (b"GET", 204, 0, None), (b"GET", 304, 0, None)],
)
@ensureDeferred
async def test_a_response_without_a_body_ends_with_its_head(
    tmp_path, method, status, length, shown
):
    fields = (*JSON, (b"Content-Length", b"15")) if method == b"HEAD" else ()
    stand = Stand(answer=ResponseHead(status, fields, 0), pieces=())
    door = await opened(tmp_path, stand)
    one = await agent2(door)
    got = await deferToThread(lambda: one.answer(one.ask(asking(method))))
    assert (got.status, got.body, got.ended) == (status, b"", True)
    assert got.header(b"content-length") == shown
    await over(door, one)


@ensureDeferred
async def test_trailers_of_the_target_end_the_stream(tmp_path):
    stand = Stand(answer=ResponseHead(200, (), None), pieces=(b"x" * 100_000, b"y"))
    door = await opened(tmp_path, stand)
    kind = type(await stand.gateway._targets["api.example:443"].upstream.connect(fresh=True))
    kind.trailers, before = lambda _: ((b"X-Note", b"7"), (b"Connection", b"x")), kind.trailers
    one = await agent2(door)
    try:
        got = await deferToThread(lambda: one.answer(one.ask()))
    finally:
        kind.trailers = before
    assert (got.trailers, got.ended) == ([(b"x-note", b"7")], True)
    assert got.body == b"x" * 100_000 + b"y"
    await over(door, one)


# --- how it ends


@pytest.mark.parametrize(
    ("method", "answer", "pieces"),
    [
        (b"GET", ResponseHead(200, (), None), (b"x" * 100_000, b"y")),
        (b"GET", ResponseHead(200, (), 100_001), (b"x" * 100_000, b"y")),
        (b"GET", ResponseHead(200, JSON, 2), (b"{}",)),
        (b"HEAD", ResponseHead(200, (*JSON, (b"Content-Length", b"2")), 0), ()),
        (b"GET", ResponseHead(204, (), 0), ()),
    ],
    ids=["unknown length", "announced", "small", "HEAD", "204"],
)
@ensureDeferred
async def test_the_end_of_a_stream_waits_until_its_outcome_is_durable(
    tmp_path, method, answer, pieces
):
    stand, gate = Stand(answer=answer, pieces=pieces), Deferred()
    door = await opened(tmp_path, stand)
    one = await agent2(door)
    held = []

    async def pause(what):
        if what == "record" and "send" in stand.log:
            held.append(what)
            await gate

    async def ponged():
        await deferToThread(lambda: one.h2.ping(b"12345678") or one.flush())
        await deferToThread(one.until, lambda: one.pings)

    stand.pause = pause
    number = await deferToThread(one.ask, asking(method))
    got = one.streams[number]
    is_large = answer.length is None or answer.length > 65536
    if is_large:  # it is released as it comes, but for its end
        await deferToThread(one.until, lambda: len(got.body) >= 100_000)
    await until(lambda: held)
    await ponged()
    assert not got.ended
    assert answer.length is None or len(got.body) < 100_001
    assert is_large or (got.heads, got.body) == ([], b"")
    gate.callback(None)
    got = await deferToThread(one.answer, number)
    assert (got.status, got.body, got.ended) == (answer.status, b"".join(pieces), True)
    await over(door, one)


@ensureDeferred
async def test_a_response_that_breaks_off_is_reset_never_ended(tmp_path):
    stand = Stand(answer=ResponseHead(200, (), None), pieces=(b"x" * 100_000, b"y"))
    stand.fail["read more"] = UpstreamUnreachable("The target ended early.")
    door = await opened(tmp_path, stand)
    one = await agent2(door)
    got = await deferToThread(lambda: one.answer(one.ask()))
    assert (got.status, got.ended, got.reset) == (200, False, Code.INTERNAL_ERROR)
    (outcome,) = stand.entries("outcome")
    assert (outcome["outcome"], outcome["denial"]) == ("truncated", "upstream-unreachable")
    assert one.over is None
    await over(door, one)


@ensureDeferred
async def test_a_reset_is_a_hang_up_and_detaches_what_waits_for_people(tmp_path):
    stand = Stand(verdict=review())
    door = await opened(tmp_path, stand)
    one = await agent2(door)
    number = await deferToThread(one.ask, asking(b"POST"), b"{}")
    await until(lambda: stand.access.pending.holding.awaited())
    await deferToThread(lambda: one.h2.reset_stream(number, 8) or one.flush())
    await until(lambda: not stand.access.pending.holding.awaited())
    assert (await stand.store.request("a-1")).state.value == "pending"  # it lingers
    await stand.says()
    again = await deferToThread(lambda: one.answer(one.ask(asking(b"POST"), b"{}")))
    assert again.status == 200
    assert len(stand.sent) == 1
    await over(door, one)


@ensureDeferred
async def test_who_resets_what_has_been_answered_gives_nothing_up(tmp_path):
    door = await opened(tmp_path, http2_resets=1)
    one = await agent2(door)

    def ask_and_reset():
        number = one.ask()
        assert one.answer(number).ended
        one.raw(frame(Kind.RST_STREAM, 0, number, b"\0\0\0\x08"))

    for _ in range(2 * BURST):
        await deferToThread(ask_and_reset)
    assert one.goaway is None
    await over(door, one)


@ensureDeferred
async def test_a_stop_says_goaway_and_finishes_what_is_at_hand(tmp_path):
    stand = Stand()
    stand.answer_when = Deferred()
    door = await opened(tmp_path, stand)
    one = await agent2(door)
    number = await deferToThread(one.ask)
    await until(lambda: stand.sent)
    inside(door).stop()
    await deferToThread(one.until, lambda: one.goaway is not None)
    assert one.goaway == Code.NO_ERROR
    late = await deferToThread(lambda: one.answer(one.ask()))
    assert late.reset == Code.REFUSED_STREAM
    stand.answer_when.callback(None)
    assert (await deferToThread(one.answer, number)).ended
    await deferToThread(one.end)
    assert one.over is True
    assert len(stand.sent) == 1
    await over(door, one)


@ensureDeferred
async def test_an_agent_that_says_goaway_still_gets_its_answers(tmp_path):
    stand = Stand()
    stand.answer_when = Deferred()
    door = await opened(tmp_path, stand)
    one = await agent2(door)
    number = await deferToThread(one.ask)
    await until(lambda: stand.sent)
    await deferToThread(one.raw, frame(Kind.GOAWAY, payload=b"\0" * 8))
    await deferToThread(one.until, lambda: one.goaway is not None)
    stand.answer_when.callback(None)
    assert (await deferToThread(one.answer, number)).ended
    await over(door, one)


@ensureDeferred
async def test_a_tunnel_whose_token_ends_soon_takes_no_more(tmp_path):
    stand = Stand(subject=agent(expires_at=1050.0))
    stand.clock.advance(1000)
    door = await opened(tmp_path, stand)
    door.later(1000)
    one = await agent2(door)
    got = await deferToThread(lambda: one.answer(one.ask()))
    assert got.status == 200
    assert await deferToThread(one.end) == Code.NO_ERROR
    await over(door, one)


# --- deadlines


@pytest.mark.parametrize("began", [b"", frame(Kind.PING, 0, 0, b"12345678")])
@ensureDeferred
async def test_a_connection_that_lies_idle_is_ended_whatever_it_pings(tmp_path, began):
    door = await opened(tmp_path)
    one = await agent2(door)
    assert (await deferToThread(lambda: one.answer(one.ask()))).ended
    door.later(LIMITS.idle - 1)
    await deferToThread(one.raw, began)
    await deferLater(reactor, 0.05)
    door.later(2)
    assert await deferToThread(one.end) == Code.NO_ERROR
    await over(door, one)


@ensureDeferred
async def test_a_head_that_is_not_whole_in_time_ends_the_connection(tmp_path):
    door = await opened(tmp_path)
    one = await agent2(door)
    begun = frame(Kind.HEADERS, 0, 1, block(*PLAIN))
    await deferToThread(one.raw, begun)
    await until(lambda: inside(door)._in_head)
    door.later(LIMITS.head)
    assert await deferToThread(one.end) == Code.ENHANCE_YOUR_CALM
    await over(door, one)


@ensureDeferred
async def test_a_body_that_stops_coming_ends_its_stream_alone(tmp_path):
    door = await opened(tmp_path)
    one = await agent2(door)
    number = await deferToThread(one.open, asking(b"POST"))
    await deferToThread(lambda: one.give(number, b"{"))
    await until(lambda: door.stand.read_so_far)
    door.later(LIMITS.stalled)
    assert (await deferToThread(one.answer, number)).reset == Code.INTERNAL_ERROR
    assert (await deferToThread(lambda: one.answer(one.ask()))).status == 200
    await over(door, one)


# --- floods: bounded, said, and on record

SMALL = replace(LIMITS, http2_frames=10, http2_resets=2)
FLOODS = {
    "ping": lambda n: frame(Kind.PING, 0, 0, b"12345678"),
    "ping that answers": lambda n: frame(Kind.PING, 1, 0, b"12345678"),
    "settings": lambda n: frame(Kind.SETTINGS),
    "priority": lambda n: frame(Kind.PRIORITY, 0, 1, b"\0\0\0\0\1"),
    "window": lambda n: frame(Kind.WINDOW_UPDATE, 0, 0, b"\0\0\0\1"),
    "unknown": lambda n: frame(0x55, 0, 0, b"x"),
    "empty data": lambda n: frame(Kind.DATA, 0, 1),
    "padding": lambda n: frame(Kind.DATA, 0x8, 1, b"\xff" + b"\0" * 255),
    "a byte of data": lambda n: frame(Kind.DATA, 0, 1, b"x"),
    "rapid reset": lambda n: (
        frame(Kind.HEADERS, 5, 2 * n + 3, block(*asking()))
        + frame(Kind.RST_STREAM, 0, 2 * n + 3, b"\0\0\0\x08")
    ),
    "trailers": lambda n: (
        frame(Kind.HEADERS, 4, 2 * n + 3, block(*asking(b"POST")))
        + frame(Kind.HEADERS, 5, 2 * n + 3, block((b"host", b"x")))
    ),
    "malformed": lambda n: frame(Kind.HEADERS, 5, 2 * n + 3, block(*PLAIN)),
}


@pytest.mark.parametrize("name", FLOODS)
@ensureDeferred
async def test_a_flood_ends_its_connection_and_is_on_record(tmp_path, name):
    stand = Stand()
    stand.answer_when = Deferred()
    door = await opened(tmp_path, stand, http2_frames=10, http2_resets=2, http2_streams=500)
    one = await agent2(door)
    await deferToThread(one.open, asking(b"POST"))
    flood = b"".join(FLOODS[name](n) for n in range(10 * BURST + 10))
    await deferToThread(one.raw, flood)
    assert await deferToThread(one.last_words) == Code.ENHANCE_YOUR_CALM
    stand.answer_when.callback(None)
    await until(lambda: not stand.gateway._load._spans)
    denials = [each.get("denial") for each in stand.entries("outcome")]
    assert "malformed-request" in denials
    assert len(stand.sent) <= 2 * BURST + 1
    await over(door, one)


@pytest.mark.parametrize(
    "sent",
    [
        frame(Kind.HEADERS, 0, 1, block(*PLAIN)) + frame(Kind.CONTINUATION, 0, 1) * 20,
        frame(Kind.HEADERS, 0, 1, block(*PLAIN)) + frame(Kind.CONTINUATION, 0, 1, b"x" * 16384) * 5,
        frame(Kind.SETTINGS, 0, 0, b"\x12\x34\0\0\0\1" * 33),
        frame(Kind.SETTINGS) * (SETTINGS_FRAMES + 1),
        # A large entry in the table, and a head of references to it: 4 KiB become megabytes.
        frame(Kind.HEADERS, 4, 1, b"\x40\x01x\x7f\x82\x1e" + b"x" * 3969)
        + frame(Kind.HEADERS, 4, 3, b"\xbe" * 4000),
    ],
    ids=["continuations", "a long head", "many settings", "settings again", "hpack bomb"],
)
@ensureDeferred
async def test_what_costs_more_than_it_takes_ends_the_connection(tmp_path, sent):
    stand = Stand()
    door = await opened(tmp_path, stand)
    one = await agent2(door)
    await deferToThread(one.raw, sent)
    assert await deferToThread(one.last_words) == Code.ENHANCE_YOUR_CALM
    await until(lambda: not stand.gateway._load._spans)
    denials = {each.get("denial") for each in stand.entries("outcome")}
    assert denials & {"malformed-request", "head-too-large"}
    await over(door, one)


@ensureDeferred
async def test_many_answers_that_nobody_reads_are_not_kept(tmp_path):
    """An agent that reads nothing, and has frames answered, is cut off."""
    door = await opened(tmp_path, http2_frames=1_000_000)
    one = await agent2(door)
    pings = frame(Kind.PING, 0, 0, b"12345678") * 10_000

    def flood():
        try:
            for _ in range(60):
                one.raw(pings)
        except OSError:
            pass

    await deferToThread(flood)
    await until(lambda: not door.listener._open)
    await over(door, one)


@ensureDeferred
async def test_what_breaks_the_connection_is_refused_on_record_and_ends_the_others(tmp_path):
    stand = Stand()
    stand.answer_when = Deferred()
    door = await opened(tmp_path, stand)
    one = await agent2(door)
    await deferToThread(one.ask)
    await until(lambda: stand.sent)
    await deferToThread(one.raw, frame(Kind.DATA, 0, 9, b"x"))
    assert await deferToThread(one.last_words) == Code.PROTOCOL_ERROR
    stand.answer_when.callback(None)
    await until(lambda: not stand.gateway._load._spans)
    denials = {each["denial"] for each in stand.entries("outcome")}
    assert denials == {"malformed-request", "agent-gone"}
    await over(door, one)


@ensureDeferred
async def test_others_have_their_turn_between_the_frames_of_one_read(tmp_path):
    door = await opened(tmp_path)
    one = await agent2(door)
    got = await deferToThread(lambda: one.answer(one.ask()))
    assert got.status == 200
    here, turns = inside(door), []
    many = 3 * AT_ONCE + 1
    here.dataReceived(frame(Kind.PING, payload=bytes(8)) * many)
    while here._waiting:
        turns.append(len(here._waiting))
        await deferLater(reactor, 0)
    assert turns == [2 * AT_ONCE + 1, AT_ONCE + 1, 1]
    await deferToThread(one.until, lambda: one.pings == many)
    assert (await deferToThread(lambda: one.answer(one.ask()))).status == 200  # it reads on
    here.dataReceived(frame(Kind.PING, payload=bytes(8)) * many)
    await over(door, one)  # and nothing is left to do once the agent has gone
