"""A store with requests in it, a Slack in memory, and the channel between them."""

from collections import deque
from dataclasses import replace
from types import MappingProxyType

from support.access import NOW, access_request, grant
from support.slack_memory import Limits, MemorySlack
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from jitgate.approvers.slack.messages import PATIENCE, SlackChannel
from jitgate.approvers.slack.places import Room, Showing
from jitgate.core import answers
from jitgate.flow.standing import Standing
from jitgate.stores.access_memory import MemoryAccess
from jitgate.stores.posts_memory import MemoryPosts
from jitgate.values import AccessState, Answer, GrantState, Use

LEADS, ALL, BOSS = "C0LEADS", "C0ALL", "C0BOSS"
ALICE, BOB, CAROL = "alice@acme.com", "bob@acme.com", "carol@acme.com"
PEOPLE = {
    "it-leads": frozenset({ALICE, BOB}),
    "bosses": frozenset({CAROL}),
}
SHOWING = Showing(
    ALL,
    MappingProxyType({"it-leads": Room(LEADS, "S0LEADS"), "bosses": Room(BOSS)}),
    reminder=None,
)


class Killed:
    """What a gateway does, until it is killed: then nothing of it goes on.

    ``after``: how many of its calls of Slack and changes of the store are to come before that. Of
    the last one either nothing has happened (``done`` is False), or nobody hears that it has.
    """

    def __init__(self, clock):
        self._clock = clock
        self.timers = []
        self.is_dead = False
        self.after = None
        self.done = False
        self.seconds = clock.seconds

    def callLater(self, delay, work, *args, **named):
        self.timers = [each for each in self.timers if each.active()]
        timer = self._clock.callLater(delay, lambda: self.is_dead or work(*args, **named))
        self.timers.append(timer)
        return timer

    def kill(self):
        self.is_dead = True

    def of(self, work):
        """The same, while this gateway lives."""

        async def done(*args, **named):
            dies = self._dies()
            if self.is_dead or (dies and not self.done):
                self.kill()
                await Deferred()
            result = await work(*args, **named)
            if self.is_dead or dies:
                self.kill()
                await Deferred()
            return result

        return done

    def _dies(self):
        if self.after is None:
            return False
        self.after -= 1
        return self.after < 0


class Posts:
    """Posts as a gateway that may be killed has them."""

    def __init__(self, posts, life):
        self.of, self.at = posts.of, posts.at
        self.behind, self.forget = posts.behind, posts.forget
        self.keep = life.of(lambda post: posts.keep(post))


class View:
    """What the channel asks of Access, over a store alone."""

    def __init__(self, store):
        self.request, self.grant = store.request, store.grant

    def standing(self, request):
        missing = answers.missing(request, PEOPLE)
        return Standing(missing, answers.could_answer(request, PEOPLE), None)


class Site:
    def __init__(self, showing=SHOWING, *, limits: Limits | None = None):
        self.clock = Clock()
        self.clock.advance(NOW)
        self.slack = MemorySlack(self.clock, limits, people={ALICE: "U1", BOB: "U2"})
        self.slack.rooms = {LEADS: {}, ALL: {}, BOSS: {}}
        self.showing = showing
        self.names = {}
        self.looked_up = []
        self.runs = 0

    async def open(self):
        self.store = MemoryAccess()
        await self.store.open()
        self.posts = MemoryPosts(self.store)
        self.channel = await self.started()

    async def started(self, gateway=""):
        """A gateway's channel, begun; of another run each time. `kill` it by its ``life``."""
        self.runs += 1
        life = Killed(self.clock)
        channel = SlackChannel(
            life.of(self.slack.call),
            View(self.store),
            self.store,
            Posts(self.posts, life),
            self.showing,
            names=self._names,
            clock=life,
            gateway=gateway,
            run=f"{self.runs}",
            jitter=lambda: 1.0,
        )
        channel.life = life
        await channel.start()
        return channel

    async def _names(self, request):
        self.looked_up.append(request.id)
        return self.names

    async def keep(self, *values):
        """Keep them in the place of what they were made from; they come back as they are kept."""
        revision = await self.store.commit(values)
        assert revision is not None
        return [replace(each, revision=revision) for each in values]

    async def told(self, *values):
        """The same, and the channel is told of the requests; the first comes back."""
        kept = await self.keep(*values)
        for each in kept:
            if hasattr(each, "ask") and hasattr(each, "answers"):
                await self.channel.tell(each)
        return kept[0]

    async def asked(self, key="ar-1", **changes):
        """A new request, told."""
        return await self.told(access_request(key, **changes))

    def later(self, seconds, step=1.0):
        """So many seconds pass, in steps."""
        self.clock.pump([step] * int(seconds / step))

    def order(self, method, *faults):
        self.slack.faults.setdefault(method, deque()).extend(faults)

    def only(self, room=LEADS):
        """The one card in a room."""
        (found,) = self.slack.cards(room)
        return found

    def thread(self, room=LEADS):
        """The lines below the one card in a room."""
        return self.slack.thread(room, self.only(room)["ts"])

    async def stop(self):
        stopping = Deferred.fromCoroutine(self.channel.stop())
        self.clock.pump([PATIENCE, PATIENCE])  # whatever is under way still
        await stopping
        assert not [timer for timer in self.channel.life.timers if timer.active()]


def heading(message):
    return message["blocks"][0]["text"]["text"]


def answered(request, who=ALICE, approves=True, at=NOW + 5, **changes):
    answer = Answer(who, approves, at, "cli", **changes)
    return replace(request, answers=(*request.answers, answer))


def approved(request, at=NOW + 5):
    """The request after Alice's yes, and the grant that it becomes."""
    after = replace(answered(request, at=at), state=AccessState.APPROVED, grant=f"g-{request.id}")
    given = grant(f"g-{request.id}", asked=request.ask, access_request=request.id, made_at=at)
    return after, given


def used(given, at=NOW + 6, took=0.8, status=200):
    """The grant after its use, and the use."""
    state = GrantState.UNKNOWN if status is None else GrantState.SPENT
    use = Use(f"x-{given.id}", given.id, "f1", at, state, status=status, ended_at=at + took)
    return replace(given, tally={state: 1}), use
