"""A webhook as a channel: what is asked is told there until it is known there, newest state first.

The store is the queue. A post says up to which revision the webhook knows a request, and who tries
to tell it more until when: so a restart forgets nothing, and of several gateways one tries. Where
one dies in between, what it tried is sent again, under the same id.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, DeferredList, DeferredSemaphore
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from jitgate.approvers.seen import Seen
from jitgate.approvers.webhook.messages import Message, next_message
from jitgate.approvers.webhook.sending import TIMEOUT, Delivered, Failed, Gone, Sending
from jitgate.approvers.webhook.tries import MOST, Tries, is_ahead, wait
from jitgate.errors import ApproversUnreachable, JitgateError, StoreDown, traced
from jitgate.flow.access import Access
from jitgate.flow.deadlines import RETRY, Deadlines
from jitgate.interfaces import IAccessStore, IGrantChannel, IPosts
from jitgate.values import AccessRequest, Grant, Post, Use

AT_ONCE: Final = 4
"""Messages that are on their way to one webhook at a time: a small receiver keeps up."""

WAITING: Final = 20_000
"""Requests of which something is to be told: as many as may be pending."""

SWEEP: Final = 60.0
"""Seconds between two looks at what the webhook does not know yet."""

TIDY: Final = 3600.0
"""Seconds between two droppings of what is kept of requests that are forgotten."""

CLAIM: Final = TIMEOUT + 20.0
"""Seconds for which one who tries keeps others from it: a try, and a slow store."""

LONGEST_PAUSE: Final = 60.0
"""Seconds for which a receiver that is down is left alone at most, unless it asks for more."""


@implementer(IGrantChannel)
class WebhookChannel:
    """Tells by ``sending``. ``jitter`` gives numbers from 0 to below 1, at random."""

    _log = Logger()

    def __init__(
        self,
        sending: Sending,
        *,
        access: Access,
        store: IAccessStore,
        posts: IPosts,
        clock: IReactorTime,
        jitter: Callable[[], float],
    ) -> None:
        self.name = sending.name
        self._sending = sending
        self._access = access
        self._store = store
        self._posts = posts
        self._clock = clock
        self._jitter = jitter
        self._due = Deadlines(clock, self._come)
        self._turns = DeferredSemaphore(AT_ONCE)
        self._busy: set[str] = set()
        self._work: set[Deferred[None]] = set()
        self._sweeping: IDelayedCall | None = None
        self._tidied = clock.seconds()
        self._closed: str | None = f"The webhook {self.name} is not served yet."
        """Why nothing is told now, and will not be."""
        self._why: str | None = None
        """Why the last try failed."""
        self._failures, self._paused_until = 0, 0.0
        self._store_is_down = False

    @property
    def down(self) -> str | None:
        """Why it cannot be reached, as far as is known."""
        return self._closed or self._why

    @property
    def waiting(self) -> int:
        """Of how many requests something is to be told yet."""
        return len(self._due) + len(self._busy)

    async def start(self) -> None:
        """Begin to tell, and first what it does not know of what went on before."""
        self._closed = None
        self._sweep()

    async def stop(self) -> None:
        """Tell nothing more; what is on its way is given up, and told again after a start."""
        self._close(f"The webhook {self.name} is not served any more.")
        work = list(self._work)
        for each in work:
            each.cancel()
        await DeferredList(work)

    async def tell(self, request: AccessRequest) -> None:
        self._soon(request.id)

    async def tell_grant(self, grant: Grant, use: Use | None) -> None:
        self._soon(grant.access_request)

    # --- what is due

    def _soon(self, key: str) -> None:
        if self._closed is not None:
            raise ApproversUnreachable(self._closed)
        if len(self._due) >= WAITING:
            raise ApproversUnreachable(f"Too much waits for the webhook {self.name}.")
        self._due.set(key, self._clock.seconds())

    async def _come(self, key: str) -> None:
        """Its time has come: begin, unless it is under way or nothing can be told now."""
        if key in self._busy:
            self._due.set(key, self._clock.seconds() + 1)  # it may have looked before the change
        elif self._paused:
            self._due.set(key, self._paused_until)
        else:
            self._due.forget(key)
            self._busy.add(key)
            self._begin(self._turns.run(self._taken, key))

    def _begin(self, work: Deferred[Any]) -> None:
        self._work.add(work)
        work.addErrback(self._stopped)
        work.addBoth(lambda _: self._work.discard(work))

    def _stopped(self, failure: Any) -> None:
        failure.trap(CancelledError)

    def _taken(self, key: str) -> Deferred[None]:
        return Deferred.fromCoroutine(self._told(key))

    @property
    def _paused(self) -> bool:
        return self._clock.seconds() < self._paused_until

    # --- one request

    async def _told(self, key: str) -> None:
        """Tell what is new of it. What fails here is tried again, and stops nothing else."""
        try:
            again = self._clock.seconds() if self._paused else await self._step(key)
        except CancelledError:
            raise  # at the stop
        except StoreDown as fault:
            self._failed(fault)
            again = self._clock.seconds() + RETRY
        except Exception as fault:  # noqa: BLE001 (the others are told all the same)
            self._failed(fault)
            again = None
        finally:
            self._busy.discard(key)
        if again is not None and self._closed is None:
            self._due.set(key, again)

    async def _step(self, key: str) -> float | None:
        """Send one message, if it is for this one to send; when to look again, None: not at all."""
        seen, now = await self._see(key), self._clock.seconds()
        if seen is None:
            return None
        every = await self._posts.of(self.name, key)
        post = every[0] if every else Post(self.name, key, slot="")
        message = next_message(self.name, seen, post.shown)
        if message is None:
            return None if post.is_over or seen.is_live else await self._over(post, now)
        before = Tries.read(post.document)
        if is_ahead(post.due, now) and before.shows == message.shows:
            return post.due  # somebody is at it, or it waits for its next try
        tries = before.another(message.shows, now)
        if tries.number > MOST:
            return await self._given_up(post, message, seen)
        claimed = await self._posts.keep(
            replace(post, due=now + CLAIM, grant=seen.request.grant, document=tries.document)
        )
        if claimed is None:
            return now  # somebody else was faster: see what is left
        return await self._sent(claimed, message, seen, tries)

    async def _see(self, key: str) -> Seen | None:
        while (request := await self._store.request(key)) is not None:
            grant = None if request.grant is None else await self._store.grant(request.grant)
            uses = () if grant is None else await self._store.uses_of(grant.id)
            again = await self._store.request(key)
            if again is not None and again.revision == request.revision:
                return Seen(request, self._access.standing(request), grant, uses)
        return None

    async def _sent(self, post: Post, message: Message, seen: Seen, tries: Tries) -> float | None:
        outcome = await self._sending.send(message, tries.since)
        now = self._clock.seconds()
        if isinstance(outcome, Delivered):
            self._works()
            return await self._shown(post, message, seen)
        if isinstance(outcome, Gone):
            await self._posts.keep(replace(post, due=now))
            self._gone()
            return None
        due = max(outcome.until, now + wait(tries.number, self._jitter()))
        await self._posts.keep(replace(post, due=due))
        self._out(outcome)
        return due

    async def _shown(self, post: Post, message: Message, seen: Seen) -> float | None:
        """It knows this now; and as the request may have changed meanwhile, look once more."""
        over = not seen.is_live and next_message(self.name, seen, message.shows) is None
        after = replace(post, shown=message.shows, due=None, document="", is_over=over)
        kept = await self._posts.keep(after)
        return None if kept is not None and over else self._clock.seconds()

    async def _over(self, post: Post, now: float) -> float | None:
        kept = await self._posts.keep(replace(post, is_over=True, due=None))
        return now if kept is None else None

    async def _given_up(self, post: Post, message: Message, seen: Seen) -> float | None:
        self._log.error(
            "The webhook {name} was not told of {request}: {tries} tries failed.",
            name=self.name,
            request=seen.request.id,
            tries=MOST,
        )
        return await self._shown(post, message, seen)

    # --- what the webhook does not know yet

    def _sweep(self) -> None:
        self._sweeping = self._clock.callLater(SWEEP, self._sweep)
        self._begin(Deferred.fromCoroutine(self._swept()))

    async def _swept(self) -> None:
        try:
            now = self._clock.seconds()
            if now >= self._tidied + TIDY:
                await self._posts.forget()
                self._tidied = now
            for key in await self._posts.behind(self.name, now):
                if key not in self._busy and self._closed is None:
                    self._due.set(key, now)  # also what waits: it may have changed elsewhere
            self._store_is_down = False
        except CancelledError:
            raise  # at the stop
        except Exception as fault:  # noqa: BLE001 (the next sweep finds what there is)
            self._failed(fault)

    # --- what goes wrong

    def _out(self, failed: Failed) -> None:
        """It failed: leave the receiver alone for a while, if it is down. Said once."""
        if self._why is None:
            self._log.error("{why} What is not told is told later.", why=failed.why)
        self._why = failed.why
        if failed.is_down and not self._paused:
            self._failures += 1
            pause = min(LONGEST_PAUSE, wait(self._failures, self._jitter()))
            self._paused_until = max(failed.until, self._clock.seconds() + pause)

    def _works(self) -> None:
        if self._why is not None:
            self._log.info("The webhook {name} can be reached again.", name=self.name)
        self._why, self._failures, self._paused_until = None, 0, 0.0

    def _gone(self) -> None:
        """It wants to hear nothing more, and does not until it is configured anew."""
        why = (
            f"The webhook {self.name} answered 410 (Gone): it is told nothing until the "
            "configuration is read again."
        )
        if self._closed is None:
            self._log.error("{why}", why=why)
        self._close(why)

    def _close(self, why: str) -> None:
        self._closed = why
        self._due.stop()
        if self._sweeping is not None and self._sweeping.active():
            self._sweeping.cancel()

    def _failed(self, fault: BaseException) -> None:
        """A store that is down is told of once."""
        if isinstance(fault, StoreDown):
            if not self._store_is_down:
                self._log.warn("What is to be told cannot be seen: {how}", how=traced(fault))
            self._store_is_down = True
            return
        say = self._log.error if isinstance(fault, JitgateError) else self._log.critical
        say("A request could not be told: {how}", how=traced(fault))
