"""The channel that shows access requests in Slack, and keeps what it shows as things are.

Two crews: one looks at what is kept and at what is shown, and finds the next step; the other takes
it, at Slack's pace. Both go by ids, so the newest state wins, and nothing is lost that waits: every
minute the store is asked what is shown as it is no more, whoever changed it.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from zope.interface import implementer

from jitgate.approvers.seen import Seen
from jitgate.approvers.slack.crew import Crew
from jitgate.approvers.slack.noted import Noted
from jitgate.approvers.slack.outage import Outage
from jitgate.approvers.slack.places import Showing
from jitgate.approvers.slack.planning import Step
from jitgate.approvers.slack.queue import LOOK, POST, UPDATE, Job, Lane
from jitgate.approvers.slack.rooms import Call, Rooms
from jitgate.approvers.slack.sending import Names, Sender
from jitgate.errors import (
    ApproversUnreachable,
    JitgateError,
    SlackBusy,
    SlackDown,
    SlackRefused,
    StoreDown,
    traced,
)
from jitgate.flow.deadlines import Deadlines
from jitgate.flow.standing import Standing
from jitgate.interfaces import IAccessStore, IGrantChannel, IPosts
from jitgate.values import AccessRequest, Grant, Post, Use

AT_ONCE: Final = 2
"""Steps that are taken at a time, and looks: of the threads that call Slack some are left."""

MOST: Final = 20_000
"""Requests that may wait, by their ids: as many as may be pending. The rest is found again."""

SWEEP: Final = 60.0
"""Seconds between two looks at everything that is shown."""

TOGETHER: Final = 200
"""Requests that are taken from what was found before everything else has its turn."""

TIDY: Final = 3600.0
"""Seconds between two droppings of what was shown long ago."""

PATIENCE: Final = 2.0
"""Seconds that a stop waits for what is under way."""

STORE_PAUSE: Final = 5.0
"""Seconds until it is tried again where the store is down."""

_SENDING: Final = (Lane(POST), Lane(UPDATE))


@dataclass(frozen=True, slots=True)
class Posted:
    """A card as it stands in Slack."""

    request: str
    """The id of the access request that it shows."""
    version: str | None
    """Of the card; None while another one is under way, or where nobody knows."""
    since: float
    """When Slack had taken that version, in seconds since the epoch."""
    names: Mapping[str, str]
    """What the card says that resources are called."""


class Requests(Protocol):
    """What is asked of `jitgate.flow.access.Access`."""

    async def request(self, key: str) -> AccessRequest | None: ...
    async def grant(self, key: str) -> Grant | None: ...
    def standing(self, request: AccessRequest) -> Standing: ...


@implementer(IGrantChannel)
class SlackChannel:
    """Shows requests as ``showing`` says.

    Args:
        call: Calls a method of Slack's.
        access: What is shown.
        store: Where what has become of a grant's uses is read.
        posts: Where what is shown is remembered.
        names: What resources are called, of a request.
        gateway: What this gateway is called where several share the store.
        run: Which run of it this is.
        jitter: A number from 0 to 1, another at each call: gateways do not come back all at once.
        name: What the configuration calls the channel.
    """

    _log = Logger()

    def __init__(
        self,
        call: Call,
        access: Requests,
        store: IAccessStore,
        posts: IPosts,
        showing: Showing,
        *,
        names: Names,
        clock: IReactorTime,
        gateway: str,
        run: str,
        jitter: Callable[[], float] = random.random,
        name: str = "slack",
    ) -> None:
        self.name = name
        self._access = access
        self._store = store
        self._posts = posts
        self._showing = showing
        self._clock = clock
        rooms = Rooms(call, lambda: self._showing, clock)
        self._sender = Sender(
            call,
            posts,
            rooms,
            names,
            showing=lambda: self._showing,
            me=f"{gateway}/{run}",
            clock=clock,
        )
        self._looking = Crew(self._looked, AT_ONCE, clock)
        self._sending = Crew(self._sent, AT_ONCE, clock)
        self._due = Deadlines(clock, self._again)
        self._sweeping: IDelayedCall | None = None
        self._tidied = 0.0
        self._running = False
        self._outage = Outage(clock, jitter)
        self._store_is_down = False

    async def start(self) -> None:
        """Begin to show; what was not shown when the gateway ended is shown now."""
        self._running = True
        self._looking.start()
        self._sending.start()
        self._sweep()

    async def stop(self) -> None:
        """Send nothing more. What is under way has two seconds."""
        self._running = False
        self._due.stop()
        if self._sweeping is not None and self._sweeping.active():
            self._sweeping.cancel()
        await self._looking.stop(PATIENCE)
        await self._sending.stop(PATIENCE)

    def adopt(self, showing: Showing) -> None:
        """Show things as this says from now on; cards that stand elsewhere stay there."""
        self._showing = showing

    # --- what is told

    async def tell(self, request: AccessRequest) -> None:
        self._tell(request.id)

    async def tell_grant(self, grant: Grant, use: Use | None) -> None:
        self._tell(grant.access_request)

    def _tell(self, request: str) -> None:
        if not self._running:
            raise ApproversUnreachable("The channel to Slack is not running.")
        self._look(request, rank=0)

    def _look(self, request: str, rank: int) -> None:
        if len(self._looking) < MOST:  # else it is found when there is room: the store has it
            self._looking.add(Job(Lane(LOOK), request), rank)

    # --- what is asked

    async def at(self, channel: str, ts: str) -> Posted | None:
        """The card that a message is; None if it is none. Raises `StoreDown`."""
        post = await self._posts.at(self.name, f"{channel}/{ts}")
        return None if post is None else _posted(post)

    async def shown(self, request: str) -> Sequence[Posted]:
        """The cards of a request, those too that are just being posted. Raises `StoreDown`."""
        return [_posted(each) for each in await self._posts.of(self.name, request)]

    @property
    def waiting(self) -> int:
        """How many requests there is something to show of."""
        return len(self._looking) + len(self._sending)

    def down(self) -> str | None:
        """Why nothing can be shown at present, for people."""
        told = self._outage.told
        return None if told is None else f"{told} {self.waiting} requests wait."

    # --- one step after the other

    async def _looked(self, job: Job) -> None:
        await self._tried(job, self._look_at)

    async def _sent(self, job: Job) -> None:
        await self._tried(job, self._send)

    async def _look_at(self, job: Job) -> None:
        """See what there is to do about a request in each of its slots."""
        seen = await self._see(job.request)
        if seen is None:
            return
        posts = {each.slot: each for each in await self._posts.of(self.name, job.request)}
        if seen.is_pending:
            for slot in self._showing.slots(seen.request, seen.standing):
                posts.setdefault(slot, Post(self.name, job.request, slot))
        for post in posts.values():
            await self._next(seen, post)

    async def _next(self, seen: Seen, post: Post) -> None:
        plan = self._sender.plan(seen, post)
        if plan.step is Step.WAIT:
            self._wake(post, Noted.read(post.document).until)
        elif plan.step is Step.REST:
            if post.revision:
                await self._sender.rest(seen, post)
            self._wake_reminder(seen, post)
        elif len(self._sending) < MOST or post.request in self._sending:
            self._sending.add(*plan.job(post.request, post.slot))

    async def _send(self, job: Job) -> None:
        """Take the step, if it is still the one to take."""
        seen = await self._see(job.request)
        if seen is None:
            return
        every = await self._posts.of(self.name, job.request)
        new = Post(self.name, job.request, job.slot)
        post = next((each for each in every if each.slot == job.slot), new)
        plan = self._sender.plan(seen, post)
        if plan.step not in {Step.REST, Step.WAIT} and plan.job(job.request, job.slot)[0] == job:
            await self._sender.take(seen, post, plan)
            self._outage.is_over()
        self._look(job.request, rank=0)

    async def _see(self, key: str) -> Seen | None:
        """A request with what has become of it, all of one moment."""
        request = await self._access.request(key)
        while request is not None:
            grant = None if request.grant is None else await self._access.grant(request.grant)
            uses = () if grant is None else await self._store.uses_of(grant.id)
            before, request = request, await self._access.request(key)
            if request is not None and request.revision == before.revision:
                return Seen(request, self._access.standing(request), grant, uses)
        return None

    # --- time

    def _wake(self, post: Post, when: float) -> None:
        """Look at a request for the sake of a slot then, unless a sweep finds it before."""
        if when < self._clock.seconds() + SWEEP:
            self._due.set(f"{post.request} {post.slot}", when)

    def _wake_reminder(self, seen: Seen, post: Post) -> None:
        reminder = self._showing.reminder
        when = None if reminder is None else reminder.at(seen.request)
        if seen.is_pending and when is not None and when > self._clock.seconds():
            self._wake(post, when)

    async def _again(self, key: str) -> None:
        self._due.forget(key)
        self._look(key.partition(" ")[0], rank=0)

    def _sweep(self) -> None:
        """Look at all that is shown as it is no more, and at what is due before the next time."""
        self._sweeping = self._clock.callLater(SWEEP, self._sweep)
        Deferred.fromCoroutine(self._swept()).addErrback(self._not_swept)

    async def _swept(self) -> None:
        now = self._clock.seconds()
        if now >= self._tidied + TIDY:
            await self._posts.forget()
            self._tidied = now
        behind = await self._posts.behind(self.name, now + SWEEP)
        for first in range(0, len(behind), TOGETHER):
            if first:
                await deferLater(self._clock, 0)
            for request in behind[first : first + TOGETHER]:
                if self._running and request not in self._sending:
                    self._look(request, rank=1)
        self._store_is_down = False

    def _not_swept(self, failure: Any) -> None:
        self._failed(failure.value)

    # --- what goes wrong

    async def _tried(self, job: Job, work: Callable[[Job], Awaitable[None]]) -> None:
        """Do it; where it cannot be done now, it is done later."""
        try:
            await work(job)
        except SlackBusy as fault:
            is_own = Lane(fault.method) in _SENDING
            self._sending.hold(Lane(fault.method) if is_own else job.lane, fault.retry_after)
            self._sending.add(job, 0)
        except (SlackDown, SlackRefused) as fault:
            pause = self._outage.failed(fault)
            for lane in _SENDING:
                self._sending.hold(lane, pause)
            self._sending.add(job, 0)
        except CancelledError:
            raise  # at the stop
        except StoreDown as fault:
            self._failed(fault)
            self._looking.hold(Lane(LOOK), STORE_PAUSE)
            self._look(job.request, rank=0)
        except Exception as fault:  # noqa: BLE001 (the others are shown all the same)
            self._failed(fault)

    def _failed(self, fault: BaseException) -> None:
        """A store that is down is told of once; the next sweep finds what was not done."""
        if isinstance(fault, StoreDown):
            if not self._store_is_down:
                self._log.warn("What is to be shown cannot be seen: {how}", how=traced(fault))
            self._store_is_down = True
            return
        say = self._log.error if isinstance(fault, JitgateError) else self._log.critical
        say("A request could not be shown: {how}", how=traced(fault))


def _posted(post: Post) -> Posted:
    noted = Noted.read(post.document)
    return Posted(post.request, noted.version or None, noted.since, noted.names)
