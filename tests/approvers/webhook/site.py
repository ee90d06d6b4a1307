"""Webhooks over real access requests: a receiver, the admin port, and what is kept, in memory."""

import http.client
import json
import time
from dataclasses import dataclass

from approvers.site import ALICE, BOB, Site
from support.access import access_request
from support.receiver import called_back, secret
from treq.client import HTTPClient
from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.web.client import Agent

from jitgate.admin.health import AdminSite
from jitgate.approvers.webhook.answering import Callback
from jitgate.approvers.webhook.hooks import Hook, Webhooks
from jitgate.approvers.webhook.resource import SEGMENT
from jitgate.approvers.webhook.sending import Sending
from jitgate.core.answers import person
from jitgate.core.standard_webhooks import key_of
from jitgate.stores.once_memory import MemoryOnce
from jitgate.stores.posts_memory import MemoryPosts
from jitgate.upstreams.endpoint import LoopbackEndpoints

OUT, IN = secret("out"), secret("in")
NAME = "ops"


@dataclass
class Replied:
    """What was answered to a callback."""

    status: int
    said: dict
    fields: dict


class HookSite(Site):
    """One gateway with one webhook. ``clock`` stands still, at the time that it is."""

    def __init__(self, folder, receiver, others=None):
        store = None if others is None else others.store  # one more gateway, over the same
        super().__init__(folder, start=float(int(time.time())), store=store)
        self.receiver = receiver
        self.once = MemoryOnce(self.clock) if others is None else others.once
        self.posts = MemoryPosts(self.store) if others is None else others.posts
        self.hooks = self.made()
        self.hooks.adopt([self.hook()])
        self.channels[:] = self.hooks.channels.values()
        self.admin_noted = []
        self.admin = AdminSite(
            TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1"),
            {},
            self.admin_noted.append,
            callbacks={SEGMENT: self.hooks.site},
        )

    def made(self):
        return Webhooks(
            self.access,
            store=self.store,
            posts=self.posts,
            once=self.once,
            recorder=self.recorder,
            clock=self.clock,
            jitter=lambda: 0.0,
        )

    def hook(self, *, keys=(OUT,), ins=(IN,), people=(ALICE, BOB), name=NAME):
        port = int(self.receiver.url.rpartition(":")[2].partition("/")[0])
        way = LoopbackEndpoints(reactor, "127.0.0.1", port, 5.0)
        http_client = HTTPClient(Agent.usingEndpointFactory(reactor, way))
        sending = Sending(
            name, self.receiver.url, tuple(map(key_of, keys)), http_client, self.clock
        )
        return Hook(
            sending,
            Callback(name, tuple(map(key_of, ins)), {person(each): each for each in people}),
            nothing,
        )

    @property
    def channel(self):
        return self.hooks.channels[NAME]

    async def start(self):
        await self.store.open()
        await self.recorder.start()
        await self.hooks.start()
        await self.admin.start()

    async def stop(self):
        await self.admin.stop()
        await self.hooks.stop()
        self.access.stop()
        await self.recorder.stop()

    # --- what is told

    async def ask(self, key="a-1", **how):
        """A pending request, told."""
        how = {"opened_at": self.clock.seconds(), "expires_at": self.clock.seconds() + 600} | how
        await self.store.commit([access_request(key, **how)])
        request = await self.store.request(key)
        await self.channel.tell(request)
        return request

    async def settle(self):
        """Let everything happen that is due now."""
        for _ in range(400):
            self.clock.advance(0)
            await deferLater(reactor, 0.001)
            idle = not self.channel._busy and not self.hooks._ending
            if idle and not any(
                each.getTime() <= self.clock.seconds() for each in self.clock.getDelayedCalls()
            ):
                return
        raise AssertionError("it does not come to an end")

    async def later(self, seconds):
        self.clock.advance(seconds)
        await self.settle()

    # --- what comes back

    async def post(self, fields, body, path=f"/{SEGMENT}/{NAME}", method="POST"):
        port = self.admin.port.getHost().port
        return await deferToThread(_posted, port, method, path, fields, body)

    async def say(self, data, key=IN, at=0.0, path=f"/{SEGMENT}/{NAME}", **how):
        """A callback, signed as its sender would."""
        fields, body = called_back(data, key, self.clock.seconds() + at, **how)
        return await self.post(fields | how.get("fields", {}), body, path)

    async def answer(self, request, approver=ALICE, *, approves=True, **more):
        how = {name: more.pop(name) for name in ("key", "at", "id", "fields") if name in more}
        data = {
            "access_request": request.id,
            "fingerprint": request.ask.fingerprint,
            "approves": approves,
            "approver": approver,
            **more,
        }
        return await self.say(data, **how)

    def refused(self):
        return [dict(e.fields) for e in self.records.entries if e.type == "webhook.refused"]

    def answered(self):
        return [dict(e.fields) for e in self.records.entries if e.type == "access.answered"]


async def nothing():
    pass


def _posted(port, method, path, fields, body):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.putrequest(method, path)
        for name, value in fields.items():
            for each in value if isinstance(value, list) else [value]:
                connection.putheader(name, each)
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders()
        connection.send(body)
        answer = connection.getresponse()
        read = answer.read()
        said = json.loads(read) if answer.getheader("Content-Type") == "application/json" else {}
        return Replied(answer.status, said, dict(answer.getheaders()))
    finally:
        connection.close()
