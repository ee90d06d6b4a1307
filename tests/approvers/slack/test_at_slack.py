"""The channel at the Slack on loopback: over TLS, by Slack's own library, in threads."""

from dataclasses import replace
from types import MappingProxyType

import pytest
from approvers.slack.site import Site, View, answered, approved, used
from pytest_twisted import async_yield_fixture, ensureDeferred
from support.access import access_request, ask
from support.slack import Slack
from support.slack_memory import words
from twisted.internet import reactor
from twisted.internet.task import Clock, deferLater
from twisted.internet.threads import deferToThread

from jitgate.approvers.slack.calls import Calls
from jitgate.approvers.slack.messages import SlackChannel
from jitgate.approvers.slack.places import Reminder, Room, Showing
from jitgate.stores.access_memory import MemoryAccess
from jitgate.stores.posts_memory import MemoryPosts
from jitgate.values import AccessState, Quorum, Terms

DENIED = AccessState.DENIED


@pytest.fixture(scope="module")
def slack(tmp_path_factory):
    with Slack.start(tmp_path_factory.mktemp("slack")) as slack:
        yield slack


class Reactor(Clock):
    """A clock that a test moves, on the reactor's threads."""

    callFromThread = staticmethod(reactor.callFromThread)  # noqa: N815 (Twisted's name)


class At(Site):
    """The site, with the Slack on loopback in the place of the one in memory."""

    async def open(self, slack):
        self.server = slack
        self.room = await deferToThread(slack.channel)
        self.mention = slack.group("it-leads", slack["alice"])
        rooms = MappingProxyType({"it-leads": Room(self.room, self.mention)})
        users = {name: slack[name].id for name in ("alice", "bob")}
        self.showing = Showing(
            self.room,
            rooms,
            users={f"{name}@acme.com": user for name, user in users.items()},
            reminder=Reminder(),
        )
        self.reactor = Reactor()
        self.reactor.advance(self.clock.seconds())
        self.clock = self.reactor
        self.calls = Calls(
            slack.bot_token, reactor=self.reactor, base_url=slack.secure_url, trust=slack.ca
        )
        await self.calls.start()
        self.store = MemoryAccess()
        await self.store.open()
        self.posts = MemoryPosts(self.store)
        self.channel = await self.started()

    async def started(self):
        self.runs += 1
        channel = SlackChannel(
            self.calls.call,
            View(self.store),
            self.store,
            self.posts,
            self.showing,
            names=self._names,
            clock=self.reactor,
            gateway="",
            run=f"{self.runs}",
        )
        await channel.start()
        return channel

    async def quiet(self):
        """Until there is nothing to do: what waits for a time, waits no longer."""
        for _ in range(2000):
            if not self.channel.waiting:
                return
            self.reactor.advance(0.05)
            await deferLater(reactor, 0.002)
        raise AssertionError("it never came to rest")

    async def cards(self, room=None):
        return await deferToThread(self.server.messages, room or self.room)

    async def stop(self):
        await self.channel.stop()
        await self.calls.stop()
        self.server.reset()


@async_yield_fixture
async def site(slack):
    site = At()
    await site.open(slack)
    yield site
    await site.stop()


def lines(card):
    return [words(block) for each in card["replies"] for block in each["blocks"]]


@ensureDeferred
async def test_a_request_from_its_card_to_the_end_of_its_call(site):
    request = await site.asked()
    await site.quiet()
    after, given = approved(answered(request, "bob@acme.com"))
    await site.told(after, given)
    await site.quiet()
    gone, use = used(await site.store.grant(given.id))
    await site.keep(gone, use)
    await site.channel.tell_grant(gone, use)
    await site.quiet()
    (card,) = await site.cards()
    assert card["blocks"][0]["text"]["text"] == "✅ Approved: Deactivate user"
    told = [line.partition(",")[0] for line in lines(card)]
    assert told == [
        f"Asked: <{site.mention}>",
        "bob@acme.com approved",
        "alice@acme.com approved",
        "✅ Approved",
        "The call was sent",
    ]
    posted = await site.channel.at(site.room, card["ts"])
    assert posted.request == "ar-1"


@ensureDeferred
async def test_people_are_written_to_alone(site):
    terms = Terms((Quorum(("it-leads",), privately=True),))
    await site.asked(asked=ask(terms=terms))
    await site.quiet()
    assert not await site.cards()
    posts = await site.posts.of("slack", "ar-1")
    assert len(posts) == 2
    for each in posts:
        room, _, ts = each.place.partition("/")
        assert [message["ts"] for message in await site.cards(room)] == [ts]


@pytest.mark.parametrize("fault", ["fail", "limit", "lose"])
@ensureDeferred
async def test_whatever_goes_wrong_there_is_one_card_with_each_line_once(site, fault):
    getattr(site.server, fault)("chat.postMessage", times=2)
    request = await site.asked()
    await site.quiet()
    getattr(site.server, fault)(times=3)
    await site.told(replace(request, state=DENIED))
    await site.quiet()
    (card,) = await site.cards()
    assert card["blocks"][0]["text"]["text"] == "⛔ Denied: Deactivate user"
    assert lines(card) == [f"Asked: <{site.mention}>", "⛔ Denied"]


@ensureDeferred
async def test_an_outage_is_told_and_repaired(site):
    request = await site.asked()
    await site.quiet()
    with site.server.down():
        await site.told(replace(request, state=DENIED))
        await site.keep(access_request("ar-2", ask("f2")))
        for _ in range(200):
            if site.channel.down():
                break
            await deferLater(reactor, 0.01)
        assert "Slack does not answer" in site.channel.down()
    site.reactor.advance(60)
    await site.quiet()
    assert site.channel.down() is None
    assert len(await site.cards()) == 2


@ensureDeferred
async def test_a_reminder_is_seen_in_the_room_as_well(site):
    await site.asked()
    await site.quiet()
    site.reactor.advance(400)
    await site.quiet()
    broadcasts = [
        call.arguments for call in site.server.calls("chat.postMessage")
        if call.arguments.get("reply_broadcast")
    ]  # fmt: skip
    assert len(broadcasts) == 1
    (card,) = await site.cards()
    assert lines(card)[-1].startswith("⏰ 1 approval is missing.")
