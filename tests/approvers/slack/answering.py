"""A gateway that is answered in Slack: all of what comes in, before real access requests.

Slack is `support.slack`; every click comes signed, over HTTP or through Socket Mode.
"""

import socket
import time
from dataclasses import dataclass, field, replace

from approvers.site import ALICE, BOB, Site
from support.access import access_request, ask, operation
from support.listening import until
from support.slack import payloads
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.threads import deferToThread

from jitgate.admin.bounds import Refusals as Bounded
from jitgate.admin.bounds import asked
from jitgate.admin.health import AdminSite
from jitgate.approvers.slack.about import APPROVE
from jitgate.approvers.slack.bolt import Bolt
from jitgate.approvers.slack.callback import Callback
from jitgate.approvers.slack.calls import Calls
from jitgate.approvers.slack.card import card
from jitgate.approvers.slack.cards import Cards
from jitgate.approvers.slack.clicks import Clicks
from jitgate.approvers.slack.desk import Desk
from jitgate.approvers.slack.gate import Gate
from jitgate.approvers.slack.payloads import Place
from jitgate.approvers.slack.replies import Replies, whose
from jitgate.approvers.slack.signs import SETTLED, Signs
from jitgate.approvers.slack.socket_mode import SocketMode
from jitgate.approvers.slack.who import Who
from jitgate.flow.refusals import Refusals
from jitgate.stores.once_memory import MemoryOnce
from jitgate.values import Quorum, Risk, Terms

TERMS = Terms((Quorum(("it-leads",)),))
TWO = Terms((Quorum(("it-leads",), 2),))
SIGNED = Terms((Quorum(("it-leads",), 2, signs=True, denials=2),))
LONG = "x" * 5000


class Disk:
    """A recorder's disk that keeps what it is given once it is let."""

    def __init__(self, recorder):
        self.free = Deferred()
        self.waiting = False
        self.within = recorder._in_thread
        recorder._in_thread = self.work

    async def work(self, call, *args):
        if not self.free.called:
            self.waiting = True
            await self.free
        return await self.within(call, *args)

    def let(self):
        if not self.free.called:
            self.free.callback(None)


class SlowOnce(MemoryOnce):
    """A store that says who was first once it is let."""

    free = None

    async def take(self, kind, key, until):
        if self.free is not None:
            await self.free
        return await super().take(kind, key, until)


@dataclass
class Post:
    """What a message shows."""

    request: str
    version: str | None
    since: float
    names: dict = field(default_factory=dict)


class Board:
    """Where messages are, in a dictionary."""

    def __init__(self):
        self.posts = {}

    async def at(self, channel, ts):
        return self.posts.get((channel, ts))

    async def shown(self, request):
        return [each for each in self.posts.values() if each.request == request]


class SlackSite(Site):
    """Everything between Slack and what is kept."""

    def __init__(self, folder, slack, *, people=None, socket=False):
        super().__init__(folder, start=time.time())
        self.slack = slack
        self.socket_mode = socket
        self.people = people if people is not None else {slack["bob"].id: BOB}
        slack.change(slack["alice"], email=ALICE)
        self.channel = slack.channel()
        self.board = Board()
        self.once = SlowOnce(self.clock)
        self.noted, self.disk = [], None
        self.bounded = Bounded(self.noted.append, self.clock)
        self.make(self.people)

    def make(self, people):
        """Everything that a start makes anew."""
        slack, facts = self.slack, self.slack.facts
        self.calls = Calls(slack.bot_token, reactor=reactor, base_url=slack.url)
        self.refusals = Refusals(self.recorder, self.clock, "slack.refused", whose)
        replies = Replies(self.calls, self.refusals, self.clock)
        self.who = Who(self.calls, facts.team_id, people, self.clock)
        self.cards = Cards(self.access, self.board, self.clock)
        means = (self.access, self.cards, self.who, self.calls, replies)
        gate = Gate(facts.app_id, facts.team_id, self.once, self.clock)
        desk = Desk(gate, Clicks(*means), Signs(*means), replies)
        secret = None if self.socket_mode else slack.signing_secret
        self.bolt = Bolt(desk, reactor=reactor, team=facts.team_id, signing_secret=secret)
        self.parts = [self.calls]
        if self.socket_mode:
            self.link = SocketMode(
                self.bolt, slack.app_token, self.bounded, reactor, base_url=slack.url
            )
            self.parts.append(self.link)
            return
        self.callback = Callback(
            self.bolt, lambda request, why: self.bounded({**asked(request), "why": why}), reactor
        )
        endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        self.admin = AdminSite(endpoint, {}, self.bounded, callbacks={"slack": self.callback})
        self.parts += [self.callback, self.admin]

    async def start(self):
        await self.store.open()
        await self.recorder.start()
        await self.begin()

    async def begin(self):
        for part in self.parts:
            await part.start()
        if self.socket_mode:
            await until(lambda: self.link.down is None)
            self.slack.deliver_to(None)
        else:
            self.slack.deliver_to(f"{self.url}/slack/events")

    @property
    def url(self):
        return f"http://127.0.0.1:{self.admin.port.getHost().port}"

    def held(self):
        """The recorder's disk keeps nothing until it is let."""
        self.disk = Disk(self.recorder)
        return self.disk

    async def stop(self):
        if self.disk is not None:
            self.disk.let()
        await until(lambda: not self.calls._waiting)  # else the next test's people are told too
        for part in reversed(self.parts):
            await part.stop()
        await self.refusals.stop()
        self.access.stop()
        await self.recorder.stop()

    # --- what there is to answer

    async def post(self, key="ar-1", terms=TERMS, body=None, risk=Risk.WRITE, **how):
        """A pending request, and the message that shows it."""
        asked = ask(f"fingerprint of {key}", terms=terms, operation=operation(risk=risk))
        if body is not None:
            asked = replace(asked, shown=replace(asked.shown, body=body, length=len(body)))
        now = self.clock.seconds()
        await self.store.commit(
            [access_request(key, asked, opened_at=now, expires_at=now + 600, **how)]
        )
        request = await self.store.request(key)
        shown = card(request, self.access.standing(request), names={}, is_opened=True)
        told = await self.calls.call(
            "chat.postMessage", channel=self.channel, text=shown.text, blocks=shown.blocks
        )
        self.board.posts[told["channel"], told["ts"]] = Post(key, shown.version, now - SETTLED)
        return next(
            each
            for each in await self.at_slack("messages", self.channel)
            if each["ts"] == told["ts"]
        )

    async def repost(self, message):
        """The message, as its request and what is known of it are now."""
        post = self.posted(message)
        request = await self.request(post.request)
        grant = None if request.grant is None else await self.store.grant(request.grant)
        standing = self.access.standing(request)
        shown = card(request, standing, grant, names=post.names, is_opened=True)
        await self.calls.call(
            "chat.update",
            channel=message["channel"],
            ts=message["ts"],
            text=shown.text,
            blocks=shown.blocks,
        )
        post.version, post.since = shown.version, self.clock.seconds()

    async def restart(self):
        """All that is kept in memory alone is lost; the store and the record are not."""
        for part in reversed(self.parts):
            await part.stop()
        await self.refusals.stop()
        self.make(self.people)
        await self.begin()

    def posted(self, message):
        """What is kept of a message."""
        return self.board.posts[message["channel"], message["ts"]]

    def place(self, message):
        return Place(message["channel"], message["ts"])

    async def request(self, key="ar-1"):
        return await self.store.request(key)

    async def answers(self, key="ar-1"):
        """Who has answered by now, and whether they approve."""
        return [(each.approver, each.approves) for each in (await self.request(key)).answers]

    async def raw(self, fields, body, *, method="POST", path="/slack/events", length=True):
        """What is answered to these bytes, whoever sends them."""
        fields = [*(fields.items() if isinstance(fields, dict) else fields)]
        if length:
            fields.append(("Content-Length", f"{len(body)}"))
        port = self.admin.port.getHost().port
        return await deferToThread(_raw, port, method, path, fields, body)

    def is_due_after(self, seconds):
        """Whether something waits for just so long from now."""
        due = self.clock.seconds() + seconds
        return any(abs(each.getTime() - due) < 1e-3 for each in self.clock.getDelayedCalls())

    async def underway(self):
        """Something that was sent is being done."""
        await until(lambda: self.callback._at_hand)

    # --- what people do

    async def at_slack(self, what, *args, **how):
        """Have something done at Slack, and wait for it."""
        return await deferToThread(getattr(self.slack, what), *args, **how)

    async def click(self, message, action=APPROVE, name="alice", **how):
        return await self.at_slack("click", message, action, self.slack[name], **how)

    def begin_click(self, message, action=APPROVE, name="alice", **how):
        """Click, and do not wait for the answer."""
        return Deferred.fromCoroutine(self.click(message, action, name, **how))

    async def opened(self, name="alice"):
        """The form that somebody has open."""
        return self.slack.views(self.slack[name])[-1]

    async def submit(self, name="alice", values=None, **how):
        view = await self.opened(name)
        return await self.at_slack("submit", view, self.slack[name], values, **how)

    def begin_submit(self, name="alice", values=None):
        """Send a form off, and do not wait for the answer."""
        return Deferred.fromCoroutine(self.submit(name, values))

    def begin_react(self, message, sign="white_check_mark", name="alice", **how):
        """React, and do not wait for the answer."""
        return Deferred.fromCoroutine(self.react(message, sign, name, **how))

    def reaction(self, message, sign, name="alice"):
        """The event of a reaction, for which nothing in the workspace changes."""
        return payloads.reaction(message, message["channel"], self.slack[name], sign, added=True)

    async def called(self, method):
        """Slack has been asked."""
        faults = self.slack.front.faults
        await until(lambda: not any(each.times for each in faults if each.method == method))

    async def noted_as(self, why):
        """Somebody was refused for this."""
        await until(lambda: any(why in each["why"] for each in self.noted))

    async def react(self, message, sign="white_check_mark", name="alice", **how):
        return await self.at_slack("react", message, sign, self.slack[name], **how)

    async def told(self, name="alice", count=1):
        """What somebody was told alone, once there is as much of it."""
        person = self.slack[name]
        await until(lambda: len(self.slack.ephemerals(person)) >= count)
        return [each.text for each in self.slack.ephemerals(person)]

    def refused(self):
        return [dict(e.fields) for e in self.records.entries if e.type == "slack.refused"]

    def answered(self):
        return [dict(e.fields) for e in self.records.entries if e.type == "access.answered"]


def _raw(port, method, path, fields, body):
    lines = [f"{method} {path} HTTP/1.1", "Host: a", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in fields if name not in {"Host", "Connection"}]
    head = "\r\n".join([*lines, "", ""]).encode()
    with socket.create_connection(("127.0.0.1", port), 10) as peer:
        peer.sendall(head + body)
        answer = b""
        while data := peer.recv(65536):
            answer += data
    return answer
