"""A WebSocket in the gateway's hands: what is on record when, and every way in which it ends."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest_twisted import ensureDeferred
from support.ports import AUTHORITY, SECRET, Stand, Told, agent, permit, review
from twisted.internet.defer import Deferred, DeferredQueue
from wsproto import events
from wsproto.connection import Connection, ConnectionType
from zope.interface import implementer
from zope.interface.verify import verifyObject

from jitgate.core.limits import LIMITS
from jitgate.core.operation import PathTemplate
from jitgate.core.profiles import MaskingProfile
from jitgate.core.websocket import WebSockets, accept
from jitgate.errors import AgentGone, UpstreamUnreachable
from jitgate.flow.admission import Tunnel
from jitgate.flow.conversation import IN_FLIGHT
from jitgate.flow.recorder import STUCK
from jitgate.interfaces import IRequest, ISwitchedConnection, IUpstream
from jitgate.maskers.names import NameMasker
from jitgate.values import Denial, How, RequestHead, ResponseHead

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
HEAD = RequestHead("GET", "/v1/room", ((b"Sec-WebSocket-Key", KEY),), websocket=True)


class Frames:
    """What one side says in frames, and what it hears."""

    def __init__(self, kind: ConnectionType) -> None:
        self.frames = Connection(kind)
        self.heard: list[object] = []

    def said(self, *things: object) -> bytes:
        return b"".join(self.frames.send(_event(each)) for each in things)

    def hear(self, data: bytes) -> None:
        self.frames.receive_data(data)
        self.heard += [_told(each) for each in self.frames.events()]


def _event(said):
    if isinstance(said, int):
        return events.CloseConnection(code=said, reason="")
    return said if isinstance(said, events.Event) else events.TextMessage(data=said)


def _told(event):
    if isinstance(event, events.CloseConnection):
        return int(event.code)
    return event.data if isinstance(event, events.Message) else event


@implementer(IRequest)
class Near(Frames):
    """The agent, behind its handshake."""

    head, hosts, fault = HEAD, (AUTHORITY,), None

    def __init__(self) -> None:
        super().__init__(ConnectionType.CLIENT)
        self._queue: DeferredQueue = DeferredQueue()

    def say(self, *things: object) -> None:
        self._queue.put(self.said(*things))

    def hang_up(self) -> None:
        self._queue.put(AgentGone("The agent hung up."))

    async def read(self) -> bytes:
        data = await self._queue.get()
        if isinstance(data, Exception):
            raise data
        return data


class Listening(Told):
    """The agent's ears."""

    def __init__(self, near: Near, stand: Stand) -> None:
        super().__init__()
        self._near = near
        self._stand = stand

    async def write(self, data: bytes) -> None:
        self._stand.log.append("to agent")
        self._near.hear(data)


@implementer(ISwitchedConnection, IUpstream)
class Far(Frames):
    """The target, which answers the handshake and then says what it is told to."""

    fresh = True

    def __init__(self, stand: Stand) -> None:
        super().__init__(ConnectionType.SERVER)
        self.stand = stand
        self.status = 101
        self.fields = ()
        self.released = False
        self.full: Deferred[None] | None = None
        self._queue: DeferredQueue = DeferredQueue()

    async def connect(self, *, fresh: bool) -> Far:
        return self

    async def stop(self) -> None: ...

    async def send(self, head, body):
        self.stand.log.append("handshake")
        self.stand.sent.append((head, await body.read()))
        answered = accept(dict(head.headers)[b"Sec-WebSocket-Key"])
        opened = ((b"Connection", b"Upgrade"), (b"Upgrade", b"websocket"))
        fields = (*opened, (b"Sec-WebSocket-Accept", answered), *self.fields)
        return ResponseHead(self.status, fields, None if self.status == 101 else 0)

    def say(self, *things: object) -> None:
        self._queue.put(self.said(*things))

    def end(self, fault: Exception | None = None) -> None:
        self._queue.put(fault or b"")

    async def read(self) -> bytes:
        if self.status != 101:
            return b""
        data = await self._queue.get()
        if isinstance(data, Exception):
            raise data
        return data

    async def write(self, data: bytes) -> None:
        self.stand.log.append("to target")
        self.hear(data)
        if self.full is not None:
            await self.full

    def trailers(self):
        return ()

    def release(self) -> None:
        self.released = True

    def abort(self) -> None:
        self.released = True


QUICK = replace(LIMITS, closing=STUCK / 4, silence=STUCK / 2)
"""What ends while a disk is slow, and not taken for one that hangs."""


class Room:
    """A WebSocket from an agent to a target, both in the test's hands."""

    def __init__(self, **how) -> None:
        self.stand = Stand(**how)
        gateway = self.stand.gateway
        self.near, self.far = Near(), Far(self.stand)
        (target,) = gateway._targets.values()
        taken = WebSockets((PathTemplate("/v1/room"),))
        target = replace(target, upstream=self.far, websockets=taken)
        gateway.adopt({AUTHORITY: target}, gateway._identity)
        self.told = Listening(self.near, self.stand)

    def open(self, subject=None) -> Deferred[None]:
        subject = subject or agent()
        proved_by = self.stand.gateway._identity
        tunnel = Tunnel(AUTHORITY, "problem", "s-1", subject, token="t", proved_by=proved_by)
        serving = self.stand.gateway.serve(tunnel, self.near, self.told)
        return Deferred.fromCoroutine(serving)

    @property
    def outcome(self):
        (entry,) = self.stand.entries("outcome")
        return entry

    def order(self, *interesting: str) -> list[str]:
        return [each for each in self.stand.log if each in interesting]


def test_the_fakes_keep_what_the_ports_promise():
    room = Room()
    assert verifyObject(ISwitchedConnection, room.far)
    assert verifyObject(IRequest, room.near)


@ensureDeferred
async def test_each_step_is_on_record_before_the_next_is_taken():
    room = Room()
    serving = room.open()
    room.near.say("one")
    room.far.say("two")
    room.near.say(4000)
    assert not room.told.ended
    room.far.say(4000)
    await serving
    assert room.far.heard == ["one", 4000]
    assert room.near.heard == ["two", 4000]
    assert room.told.ended
    assert room.order("fsync decision", "handshake", "fsync message", "to target")[:4] == [
        "fsync decision",
        "handshake",
        "fsync message",
        "to target",
    ]
    assert room.order("fsync outcome", "to agent") == ["to agent", "fsync outcome", "to agent"]
    assert room.outcome["outcome"] == "completed"
    assert room.outcome["messages"] == {"agent": 1, "target": 1}
    assert room.outcome["close"] == {"by": "agent", "code": 4000}
    assert room.far.released


@ensureDeferred
async def test_no_message_leaves_before_it_is_durable_and_no_close_before_the_outcome():
    room = Room()
    serving = room.open()
    room.stand.slow_disk = True
    room.near.say("one")
    assert room.far.heard == []
    room.stand.waiting.pop().callback(None)
    assert room.far.heard == ["one"]
    room.far.say(1000)
    assert room.near.heard == []
    while room.stand.waiting:
        room.stand.waiting.pop(0).callback(None)
    await serving
    assert room.near.heard == [1000]


@ensureDeferred
async def test_messages_that_came_together_wait_for_one_sync():
    room = Room()
    serving = room.open()
    room.near.say("one", "two", "three")
    assert room.far.heard == ["one", "two", "three"]
    assert [each["number"] for each in room.stand.entries("message")] == [1, 2, 3]
    assert room.stand.log.count("to target") == 1
    room.far.say(1000)
    await serving


@pytest.mark.parametrize("who", ["near", "far"])
@ensureDeferred
async def test_only_so_many_messages_wait_for_the_disk(who):
    room = Room()
    serving = room.open()
    room.stand.slow_disk = True
    getattr(room, who).say(*["x"] * 100)
    queued = len(room.stand.recorder._queue) + 1  # one is being written
    assert queued <= IN_FLIGHT + 1
    while room.stand.waiting:
        room.stand.waiting.pop(0).callback(None)
    assert (room.far if who == "near" else room.near).heard == ["x"] * 100
    room.stand.slow_disk = False
    room.far.say(1000)
    await serving
    assert len(room.stand.entries("message")) == 100


@pytest.mark.parametrize("how", ["hang up", "close", "silence"])
@ensureDeferred
async def test_what_still_waits_for_the_disk_is_not_said_behind_the_end(how):
    room = Room(bounds=QUICK)
    serving = room.open()
    room.stand.slow_disk = True
    room.far.say(*["x"] * 100)
    assert room.near.heard == ["x"] * IN_FLIGHT
    if how == "hang up":
        room.near.hang_up()
    elif how == "close":
        room.near.say(4000)
        room.stand.clock.advance(QUICK.closing)
    else:
        room.stand.clock.advance(QUICK.silence)
    while room.stand.waiting:
        room.stand.waiting.pop(0).callback(None)
    await serving
    ends = {"hang up": [], "close": [4000], "silence": [1001]}[how]
    assert room.near.heard == ["x"] * IN_FLIGHT + ends


@ensureDeferred
async def test_many_frames_let_others_have_their_turn():
    room, turns = Room(), list[None]()

    async def turn() -> None:
        turns.append(None)

    room.stand.gateway._accounts.turn = turn
    serving = room.open()
    before = len(turns)
    room.near.say(*[events.Ping(payload=b"")] * 5000)
    assert len(turns) > before
    assert len(room.near.heard) == 5000
    room.far.say(1000)
    await serving


@ensureDeferred
async def test_to_an_agent_that_closed_meanwhile_nothing_more_is_said():
    room = Room()
    serving = room.open()
    room.stand.slow_disk = True
    room.far.say(*["x"] * 100)
    room.near.say(4000)
    room.stand.slow_disk = False
    while room.stand.waiting:
        room.stand.waiting.pop(0).callback(None)
    room.far.say(4000)
    await serving
    assert room.near.heard == ["x"] * IN_FLIGHT + [4000]
    assert room.outcome["outcome"] == "completed"
    assert room.outcome["messages"] == {"target": IN_FLIGHT}


@ensureDeferred
async def test_to_a_target_that_closed_meanwhile_nothing_more_is_said():
    room = Room()
    serving = room.open()
    room.stand.slow_disk = True
    room.near.say("one")
    full = room.far.full = Deferred()
    room.far.say(1000)
    room.stand.slow_disk = False
    while room.stand.waiting:
        room.stand.waiting.pop(0).callback(None)
    room.near.say(4000)
    full.callback(None)
    await serving
    assert room.far.heard == [1000]
    assert room.near.heard == [1000]
    assert room.outcome["outcome"] == "completed"
    assert room.outcome["close"] == {"by": "target", "code": 1000}


@ensureDeferred
async def test_no_more_is_read_of_an_agent_than_the_target_takes():
    room = Room()
    serving = room.open()
    room.far.full = Deferred()
    room.near.say("one")
    room.near.say("two")
    assert room.far.heard == ["one"]
    full, room.far.full = room.far.full, None
    full.callback(None)
    assert room.far.heard == ["one", "two"]
    room.far.say(1000)
    await serving


@ensureDeferred
async def test_pings_are_answered_by_the_gateway_itself():
    room = Room()
    serving = room.open()
    room.near.say(events.Ping(payload=b"near"))
    room.far.say(events.Ping(payload=b"far"))
    room.far.say(1000)
    await serving
    assert room.near.heard[0] == events.Pong(payload=b"near")
    assert room.far.heard[0] == events.Pong(payload=b"far")
    assert not room.stand.entries("message")


@ensureDeferred
async def test_silence_ends_it_and_a_ping_is_a_word():
    room = Room(bounds=replace(LIMITS, silence=30))
    serving = room.open()
    room.stand.clock.advance(29)
    room.near.say(events.Ping(payload=b""))
    room.stand.clock.advance(29)
    assert not room.stand.entries("outcome")
    room.stand.clock.advance(1)
    await serving
    assert room.near.heard[-1] == 1001
    assert (room.outcome["outcome"], room.outcome["denial"]) == ("truncated", "cut-short")
    assert room.far.released


@ensureDeferred
async def test_a_close_that_the_target_does_not_answer_is_waited_for_so_long():
    room = Room()
    serving = room.open()
    room.near.say(4000)
    room.far._queue.put(b"\x81\x04late")
    room.stand.clock.advance(LIMITS.closing)
    await serving
    assert room.near.heard == [4000]
    assert room.outcome["outcome"] == "completed"


@ensureDeferred
async def test_the_whole_time_of_an_exchange_counts():
    room = Room(bounds=replace(LIMITS, total=100, silence=1000))
    serving = room.open()
    room.stand.clock.advance(100)
    await serving
    assert room.told.truncated
    assert room.outcome["denial"] == "cut-short"
    assert room.far.released


@pytest.mark.parametrize("fault", [None, UpstreamUnreachable("The target fell.")])
@ensureDeferred
async def test_a_target_that_ends_without_a_close_is_told_by_one(fault):
    room = Room()
    serving = room.open()
    room.far.end(fault)
    await serving
    assert room.near.heard == [1011]
    assert (room.outcome["outcome"], room.outcome["denial"]) == (
        "truncated",
        "upstream-unreachable",
    )


@ensureDeferred
async def test_an_agent_that_hangs_up_ends_it_at_the_target():
    room = Room()
    serving = room.open()
    room.near.hang_up()
    await serving
    assert room.told.truncated
    assert room.outcome["denial"] == "agent-gone"
    assert room.far.released


@pytest.mark.parametrize("who", ["near", "far"])
@ensureDeferred
async def test_a_recorder_that_fails_ends_it_and_nothing_more_passes(who):
    room = Room()
    serving = room.open()
    room.stand.records.failure = OSError(28, "No space left on device")
    getattr(room, who).say("one")
    await serving
    assert room.told.truncated
    assert room.far.heard in ([], [1001])
    assert room.near.heard in ([], ["one"])  # what it answers is on record; as events are
    assert not room.told.ended


@ensureDeferred
async def test_with_the_recorder_down_no_message_is_released():
    room = Room()
    serving = room.open()
    room.stand.recorder._failed = "The disk is full."
    room.far.say("one")
    await serving
    assert room.near.heard == []
    assert room.told.truncated
    room.stand.recorder._failed = None


@ensureDeferred
async def test_a_revoked_subject_s_are_cut():
    room = Room()
    room.stand.revocations.ends["calls"] = room.stand.gateway.cut
    serving = room.open()
    room.near.say("one")
    await room.stand.revocations.revoke_subject("bot-7", "root", "")
    await serving
    assert room.told.truncated
    assert room.outcome["denial"] == "cut-short"
    assert "revoked" in room.outcome["why"]
    assert room.far.released


@ensureDeferred
async def test_under_a_grant_it_is_one_use_and_revoking_that_ends_it():
    room = Room(verdict=review())
    serving = room.open()
    await room.stand.says()
    assert room.order("handshake") == ["handshake"]
    room.near.say("one")
    assert room.far.heard == ["one"]
    await room.stand.access.revoke("g-1", "alice@acme.com", "")
    await serving
    assert room.told.truncated
    assert room.outcome["denial"] == Denial.GRANT_REVOKED.value
    assert room.far.released


@ensureDeferred
async def test_a_credential_that_the_target_echoes_is_hidden_in_messages_and_in_reasons():
    room = Room()
    serving = room.open()
    room.far.say(
        f"it is {SECRET.decode()}", events.CloseConnection(code=4001, reason=SECRET.decode())
    )
    await serving
    assert SECRET.decode() not in f"{room.near.heard}{room.told.head}"
    assert room.outcome["masks"] == {"credential": 2}
    (message,) = room.stand.entries("message")
    assert message["by"] == "target"


@ensureDeferred
async def test_messages_are_masked_by_the_profile():
    hiding = MaskingProfile("p", (NameMasker("p", ("*secret*",)),))
    room = Room(verdict=permit(mask="p"), profiles={"p": hiding})
    serving = room.open()
    room.far.say('{"secret": "hush", "n": 1.10}', '[{"secret": "hush"}]')
    assert "hush" not in f"{room.near.heard}"
    room.far.say("hush by itself, which only a detector could find")
    await serving
    assert "hush" not in f"{room.near.heard}"
    assert '"n": 1.10' in room.near.heard[0]
    assert room.near.heard[-1] == 1008
    first = next(each for each in room.stand.records.entries if each.type == "message")
    assert b"hush" not in first.bodies["message"].data
    assert room.outcome["masks"] == {"p": 2}


@ensureDeferred
async def test_a_credential_within_what_a_profile_hides_is_counted_as_one_too():
    hiding = MaskingProfile("p", (NameMasker("p", ("key",), How.LAST4),))
    room = Room(verdict=permit(mask="p"), profiles={"p": hiding})
    serving = room.open()
    room.far.say(*(f'{{"{name}": "{SECRET.decode()}"}}' for name in ("key", "other")), 1000)
    await serving
    assert SECRET.decode()[-4:] not in f"{room.near.heard}"
    assert room.outcome["masks"] == {"p": 1, "credential": 2}


@ensureDeferred
async def test_binary_is_withheld_without_a_profile_that_lets_it_pass():
    room = Room()
    serving = room.open()
    room.near.say(events.BytesMessage(data=b"\x00"))
    assert room.far.heard == [b"\x00"]
    room.far.say(events.BytesMessage(data=b"\x00"))
    assert room.near.heard == [1008]
    await serving
    assert room.outcome["denial"] == "response-withheld"


@pytest.mark.parametrize(
    "fields",
    [
        ((b"Sec-WebSocket-Extensions", b"permessage-deflate"),),
        ((b"Sec-WebSocket-Protocol", b"chat.v9"),),
    ],
)
@ensureDeferred
async def test_an_answer_that_was_not_asked_for_opens_nothing(fields):
    room = Room()
    room.far.fields = fields
    serving = room.open()
    assert not any(name == b"Upgrade" for name, _ in room.told.head.headers)
    await serving
    assert room.told.head.status == 403  # it may have been opened there: nobody repeats that
    assert room.outcome["denial"] == "upstream-malformed"
    assert room.far.released


@ensureDeferred
async def test_a_target_that_refuses_answers_as_ever():
    room = Room()
    room.far.status = 404
    await room.open()
    assert (room.told.head.status, room.told.ended) == (404, True)
    assert room.outcome["outcome"] == "completed"


@ensureDeferred
async def test_where_policy_keeps_no_bodies_messages_have_none():
    room = Room(verdict=permit(record="head"))
    serving = room.open()
    room.near.say("{}")
    room.far.say(1000)
    await serving
    messages = [each for each in room.stand.records.entries if each.type == "message"]
    assert [dict(each.bodies) for each in messages] == [{}]


@ensureDeferred
async def test_what_an_agent_says_is_kept_masked_and_only_where_it_is_json():
    room = Room()
    serving = room.open()
    room.near.say('{"password": "hush"}', "hush")
    room.far.say(1000)
    await serving
    first, second = [each for each in room.stand.records.entries if each.type == "message"]
    assert b"hush" not in first.bodies["message"].data
    assert not second.bodies
    assert first.fields["hmac"] != second.fields["hmac"]


ACTS = ("near", "far", "near pings", "far pings", "disk", "time")
ENDS = ("near closes", "far closes", "near hangs up", "far is gone", "silence", "cut")


def released(room):
    """Let the disk do one thing that waits for it."""
    if room.stand.waiting:
        room.stand.waiting.pop(0).callback(None)


def acted(room, act, text, said):
    """One thing that happens in a WebSocket."""
    if act in said:
        getattr(room, act).say(text)
        said[act].append(text)
    elif act == "disk":
        released(room)
    elif act == "time":
        room.stand.clock.advance(1)
    else:
        getattr(room, act.split()[0]).say(events.Ping(payload=text.encode()))


def ended(room, end):
    if end.endswith("closes"):
        getattr(room, end.split()[0]).say(4000)
        while room.stand.waiting:
            released(room)
        room.stand.clock.advance(LIMITS.closing)
    elif end == "near hangs up":
        room.near.hang_up()
    elif end == "far is gone":
        room.far.end()
    elif end == "silence":
        while room.stand.waiting:
            released(room)
        room.stand.clock.advance(LIMITS.silence)
    else:
        room.stand.gateway.cut("It was.")
    while room.stand.waiting:
        released(room)


def of(heard):
    return [each for each in heard if isinstance(each, str)]


@given(st.lists(st.sampled_from(ACTS), max_size=40), st.sampled_from(ENDS), st.booleans())
@settings(max_examples=80, deadline=None)
def test_whatever_the_order_nothing_is_heard_that_is_not_on_record(acts, end, slow):
    room, said = Room(), {"near": [], "far": []}
    serving = room.open()
    room.stand.slow_disk = slow
    for number, act in enumerate(acts):
        acted(room, act, f"{number}", said)
        on_record = [
            each.bodies["message"].data.decode()
            for each in room.stand.records.entries
            if each.type == "message" and each.fields["by"] == "agent"
        ]
        assert on_record[: len(of(room.far.heard))] == of(room.far.heard)
    ended(room, end)
    assert serving.called
    assert said["near"][: len(of(room.far.heard))] == of(room.far.heard)
    assert said["far"][: len(of(room.near.heard))] == of(room.near.heard)
    assert room.outcome["outcome"] in {"completed", "truncated"}
    assert (room.outcome["outcome"] == "completed") == end.endswith("closes")
    assert room.far.released
    assert not room.stand.lent
