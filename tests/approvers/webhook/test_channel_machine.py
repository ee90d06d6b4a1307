"""Whatever fails and dies on the way: in the end a webhook knows the newest state of what it heard of."""

import json
import tempfile
from dataclasses import replace
from pathlib import Path

from approvers.site import Site
from approvers.webhook.site import OUT
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from support.access import access_request
from support.access import now as run_now
from treq.client import HTTPClient
from treq.testing import RequestTraversalAgent
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from jitgate.approvers.webhook.channel import CLAIM, SWEEP, WebhookChannel
from jitgate.approvers.webhook.sending import Sending
from jitgate.approvers.webhook.tries import LONGEST
from jitgate.core.standard_webhooks import Proved, key_of, proved
from jitgate.errors import ApproversUnreachable
from jitgate.stores.posts_memory import MemoryPosts
from jitgate.values import AccessState

KEYS = st.sampled_from(["a-1", "a-2", "a-3"])
GATEWAYS = st.integers(0, 1)


class Hook(Resource):
    """Answers as it is told, and keeps what it has taken."""

    isLeaf = True  # noqa: N815 (twisted.web's name)

    def __init__(self, clock):
        super().__init__()
        self.clock, self.status = clock, 204
        self.taken = []

    def render(self, request):
        body = request.content.read()
        fields = {
            name.decode().lower(): values
            for name, values in request.requestHeaders.getAllRawHeaders()
        }
        proof = proved(fields, body, [key_of(OUT)], self.clock.seconds())
        assert isinstance(proof, Proved)
        if self.status == 204:
            message = json.loads(body)
            data = message["data"]
            self.taken.append((proof.id, message["type"], data["id"], data["revision"]))
        request.setResponseCode(self.status)
        gone = []
        request.notifyFinish().addErrback(gone.append)
        self.clock.callLater(0, lambda: gone or request.finish())  # others come meanwhile
        return NOT_DONE_YET


class Telling(RuleBasedStateMachine):
    @initialize()
    def begin(self):
        with tempfile.TemporaryDirectory() as folder:
            self.site = Site(Path(folder))
        self.clock, self.store = self.site.clock, self.site.store
        run_now(self.store.open())
        self.posts = MemoryPosts(self.store)
        self.hook = Hook(self.clock)
        self.killed = False
        self.gateways = [self.gateway(), self.gateway()]
        self.settle()

    def gateway(self):
        agent = RequestTraversalAgent(self.hook)
        sending = Sending(
            "ops", "http://127.0.0.1/x", (key_of(OUT),), HTTPClient(agent), self.clock
        )
        made = WebhookChannel(
            sending,
            access=self.site.access,
            store=self.store,
            posts=self.posts,
            clock=self.clock,
            jitter=lambda: 0.5,
        )
        run_now(made.start())
        return made, agent

    def settle(self):
        for _ in range(200):
            self.clock.advance(0)
            for channel, agent in self.gateways:
                agent.flush()
                assert len(channel._busy) <= 3
            due = [each.getTime() for each in self.clock.getDelayedCalls()]
            busy = any(channel._busy for channel, _ in self.gateways)
            if not busy and not any(when <= self.clock.seconds() for when in due):
                return
        raise AssertionError("it does not come to an end")

    def changed(self, key, by, **how):
        before = run_now(self.store.request(key))
        if before is None:
            after = access_request(key, expires_at=self.clock.seconds() + 1e6)
        elif before.state is not AccessState.PENDING:
            return
        else:
            after = replace(before, asked=before.asked + 1, **how)
        run_now(self.store.commit([after]))
        try:
            run_now(self.gateways[by][0].tell(run_now(self.store.request(key))))
        except ApproversUnreachable:
            raise AssertionError("nothing here is gone") from None

    @rule(key=KEYS, by=GATEWAYS)
    def asked(self, key, by):
        self.changed(key, by)
        self.settle()

    @rule(key=KEYS, by=GATEWAYS)
    def changed_where_both_are_told_of_it(self, key, by):
        self.changed(key, by)
        self.changed(key, 1 - by)
        request = run_now(self.store.request(key))
        run_now(self.gateways[by][0].tell(request))

    @rule(key=KEYS, by=GATEWAYS)
    def ended(self, key, by):
        self.changed(key, by, state=AccessState.EXPIRED, why="Nobody answered in time.")
        self.settle()

    @rule(status=st.sampled_from([204, 204, 400, 429, 500]))
    def receiver(self, status):
        self.hook.status = status

    @rule(fails=st.booleans())
    def store_of_posts(self, fails):
        self.posts.failure = OSError("gone") if fails else None

    @rule(by=GATEWAYS, settled=st.booleans())
    def killed_and_started(self, by, settled):
        if settled:
            self.settle()
        else:
            self.clock.advance(0)
            self.gateways[by][1].flush()
        self.killed = True
        channel, _ = self.gateways[by]
        stopping = channel.stop()
        try:
            stopping.send(None)
        except StopIteration:
            pass
        self.gateways[by] = self.gateway()
        self.settle()

    @rule(seconds=st.sampled_from([1.0, 5.0, CLAIM, SWEEP, 600.0]))
    def later(self, seconds):
        self.clock.advance(seconds)
        self.settle()

    def teardown(self):
        if not hasattr(self, "gateways"):
            return
        self.hook.status, self.posts.failure = 204, None
        for _ in range(4):
            self.clock.advance(SWEEP)
            self.settle()
        self.clock.advance(2 * LONGEST)
        self.settle()
        self.clock.advance(SWEEP)
        self.settle()
        for key in ("a-1", "a-2", "a-3"):
            request = run_now(self.store.request(key))
            told = [each for each in self.hook.taken if each[2] == key]
            if request is None or (not told and request.state is not AccessState.PENDING):
                continue  # it ended before anybody could be told of it
            assert max(each[3] for each in told) == request.revision
            assert told[-1][3] == request.revision or self.killed
            ended = told[-1][1] == "access_request.ended"
            assert ended is (request.state is not AccessState.PENDING) or self.killed
        assert len(set(self.hook.taken)) == len({each[0] for each in self.hook.taken})
        if not self.killed:
            assert len(set(self.hook.taken)) == len(self.hook.taken)
        for channel, _ in self.gateways:
            channel._close("over")
        self.site.access.stop()


class TestTelling(Telling.TestCase):
    settings = settings(max_examples=40, stateful_step_count=20)
