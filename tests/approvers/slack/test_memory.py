"""The Slack in memory answers as the one on loopback does, which Slack's own libraries take.

But for ``oldest``, which emulate does not heed: that is from Slack's documentation alone.
"""

from collections import deque

import pytest
from pytest_twisted import async_yield_fixture, ensureDeferred
from support.slack import Slack
from support.slack_memory import MemorySlack
from twisted.internet import reactor
from twisted.internet.task import Clock

from jitgate.approvers.slack.blocks import rich
from jitgate.approvers.slack.calls import Calls
from jitgate.approvers.slack.text import said
from jitgate.errors import SlackBusy, SlackDown, SlackRefused


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    with Slack.start(tmp_path_factory.mktemp("slack")) as slack:
        yield slack


class InMemory:
    def __init__(self, _):
        clock = Clock()
        clock.advance(1_800_000_000)
        self.slack = MemorySlack(clock, people={"alice@acme.com": "U1"})
        self.slack.rooms["C1"] = {}
        self.room, self.call, self.email = "C1", self.slack.call, "alice@acme.com"

    def fails(self, method, fault):
        self.slack.faults[method] = deque([fault])

    def texts(self):
        return [each["text"] for each in self.slack.cards("C1")]

    async def end(self):
        pass


class OnLoopback:
    def __init__(self, request):
        self.slack = request.getfixturevalue("real")
        self.calls = Calls(
            self.slack.bot_token,
            reactor=reactor,
            base_url=self.slack.secure_url,
            trust=self.slack.ca,
        )
        self.room, self.call = self.slack.channel(), self.calls.call
        self.email = "alice@acme.example"

    def fails(self, method, fault):
        {"down": self.slack.fail, "lost": self.slack.lose, "busy": self.slack.limit}[fault](method)

    def texts(self):
        return [each["text"] for each in self.slack.messages(self.room)]

    async def end(self):
        await self.calls.stop()
        self.slack.reset()


@async_yield_fixture(params=[InMemory, OnLoopback])
async def at(request):
    it = request.param(request)
    if isinstance(it, OnLoopback):
        await it.calls.start()
    yield it
    await it.end()


def line(key, text="a line"):
    return {**rich({"type": "rich_text_section", "elements": [said(text)]}), "block_id": key}


@ensureDeferred
async def test_a_message_is_posted_changed_and_found(at):
    posted = await at.call("chat.postMessage", channel=at.room, text="one", blocks=[line("k1")])
    changed = await at.call(
        "chat.update", channel=at.room, ts=posted["ts"], text="two", blocks=[line("k2")]
    )
    assert posted["channel"] == changed["channel"] == at.room
    assert posted["ts"] == changed["ts"]
    assert at.texts() == ["two"]
    since = f"{float(posted['ts']) - 60:.6f}"
    found = await at.call("conversations.history", channel=at.room, oldest=since, limit=100)
    assert [each["ts"] for each in found["messages"]] == [posted["ts"]]
    assert found["messages"][0]["blocks"][0]["block_id"] == "k2"
    assert found["messages"][0]["user"]


@ensureDeferred
async def test_a_thread_is_no_message_of_the_channel_and_is_found_with_its_first(at):
    top = await at.call("chat.postMessage", channel=at.room, text="one", blocks=[line("k1")])
    for key in ("k2", "k3"):
        told = {"channel": at.room, "thread_ts": top["ts"], "text": key, "blocks": [line(key)]}
        await at.call("chat.postMessage", **told)
    found = await at.call("conversations.replies", channel=at.room, ts=top["ts"], limit=100)
    keys = [each["blocks"][0]["block_id"] for each in found["messages"]]
    assert keys == ["k1", "k2", "k3"]
    assert len({each["user"] for each in found["messages"]}) == 1
    found = await at.call("conversations.history", channel=at.room, oldest="0.000000", limit=100)
    assert [each["ts"] for each in found["messages"]] == [top["ts"]]


@ensureDeferred
async def test_what_is_not_there_is_refused_by_its_word(at):
    with pytest.raises(SlackRefused, match="channel_not_found"):
        await at.call("chat.postMessage", channel="C0NOWHERE", text="x")
    with pytest.raises(SlackRefused, match="message_not_found"):
        await at.call("chat.update", channel=at.room, ts="1.000001", text="x", blocks=[])
    with pytest.raises(SlackRefused, match="users_not_found"):
        await at.call("users.lookupByEmail", email="nobody@acme.com")


@ensureDeferred
async def test_people_are_found_and_written_to(at):
    user = (await at.call("users.lookupByEmail", email=at.email))["user"]["id"]
    opened = (await at.call("conversations.open", users=user))["channel"]["id"]
    again = (await at.call("conversations.open", users=user))["channel"]["id"]
    assert opened == again
    assert opened.startswith("D")
    assert (await at.call("chat.postMessage", channel=opened, text="x"))["channel"] == opened


@pytest.mark.parametrize(
    ("fault", "raised", "there"),
    [("down", SlackDown, 0), ("lost", SlackDown, 1), ("busy", SlackBusy, 0)],
)
@ensureDeferred
async def test_faults_are_the_same(at, fault, raised, there):
    at.fails("chat.postMessage", fault)
    with pytest.raises(raised):
        await at.call("chat.postMessage", channel=at.room, text="x")
    assert len(at.texts()) == there
    await at.call("chat.postMessage", channel=at.room, text="x")
