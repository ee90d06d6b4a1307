"""What people are told of what they have done in Slack: to them alone, where they have done it."""

from __future__ import annotations

from collections.abc import Awaitable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from jitgate.approvers.slack.blocks import plain
from jitgate.approvers.slack.calls import Calls
from jitgate.approvers.slack.payloads import Place
from jitgate.approvers.slack.text import one_line, unformatted
from jitgate.errors import JitgateError, RecorderDown, SlackDown, SlackFault, StoreDown, traced
from jitgate.flow.refusals import Refusals
from jitgate.flow.turns import Turns

WITHIN: Final = 2.0
"""Seconds from when something has come until Slack is told that it was taken: it waits for three,
and the way there and back takes some of them."""

SAID_CHARS: Final = 1_000
"""The longest text that somebody is told: a reason and some more."""

WORDS: Final = 50
"""How many things that somebody is told may wait for those before them."""

LATE: Final = "Whether this counts is not known yet. The card will show it."
COUNTED: Final = "This counts: it took longer than Slack waits."
NOTHING: Final = "That took longer than Slack waits. Nothing is answered by it alone."
NOT_TAKEN: Final = "Nothing can be kept at present, so this does not count. Try again in a moment."
UNRECORDED: Final = "Nothing can be put on record at present, so this does not count. Try again."
UNKEPT: Final = "Whether this counts cannot be told at present. The card will show it."
FAULT: Final = "The gateway has a fault, and its log says which. The card shows what counts."


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is told to whoever did something; nothing where the card itself shows it."""

    says: str = ""
    """To them alone, where they did it."""
    errors: Mapping[str, str] = field(default_factory=dict)
    """In the form that they sent off, which stays open then, by the input."""
    counts: bool = False
    """Whether it is kept as theirs: an answer, one that is taken back, a grant that is revoked."""


DONE: Final = Outcome()
GIVEN: Final = Outcome(counts=True)


class Replies:
    """Tells people, and the record where somebody is refused. Nothing here raises."""

    _log = Logger()

    def __init__(self, calls: Calls, refusals: Refusals, clock: IReactorTime) -> None:
        self._calls = calls
        self._refusals = refusals
        self._clock = clock
        self._turns = Turns()
        """By whom something is told: it comes in the order in which it was said."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return float(self._clock.seconds())

    async def refused(
        self, user: str, what: str, why: str, *, name: str | None = None, about: str | None = None
    ) -> Outcome:
        """Somebody does not get what they wanted: that is on record, and why is told to them."""
        fields = {"user": user, "person": name, "what": what, "access_request": about, "why": why}
        await self._refusals.note(user, fields)
        return Outcome(why)

    async def in_time(
        self, work: Awaitable[Outcome], since: float, user: str, place: Place
    ) -> Outcome:
        """What comes of the work, if that is known in time; else it is told later what did."""
        doing = Deferred.fromCoroutine(self._whole(work))
        first: Deferred[Outcome] = Deferred()
        left = max(0.0, since + WITHIN - self._clock.seconds())
        timer = self._clock.callLater(left, first.callback, Outcome(LATE))

        def done(outcome: Outcome) -> None:
            if timer.active():
                timer.cancel()
                first.callback(outcome)
            else:
                told = " ".join([outcome.says, *outcome.errors.values()]).strip()
                self.say(user, place, told or (COUNTED if outcome.counts else NOTHING))

        doing.addCallback(done)
        return await first

    async def _whole(self, work: Awaitable[Outcome]) -> Outcome:
        """The outcome, of a fault too: whatever it was, nobody is told that it counts."""
        try:
            return await work
        except RecorderDown:
            return Outcome(UNRECORDED)
        except StoreDown:
            return Outcome(UNKEPT)
        except Exception as fault:  # noqa: BLE001 (whoever did it has to hear of it)
            self._log.critical("Slack: {how}", how=traced(fault))
            return Outcome(FAULT)

    def say(self, user: str, place: Place, words: str) -> None:
        """Tell somebody alone, where they have done something; nothing waits for it."""
        Deferred.fromCoroutine(self._say(user, place, words)).addErrback(self._unsaid)

    async def _say(self, user: str, place: Place, words: str) -> None:
        told = words if len(words) <= SAID_CHARS else f"{words[:SAID_CHARS]}…"
        block: dict[str, Any] = {"type": "section", "text": plain(one_line(told)[:3000])}
        turn = self._turns.at(user)
        if len(turn.waiting) >= WORDS:
            raise SlackDown("Slack is too slow for all that one person is told.")
        async with turn:
            await self._calls.call(
                "chat.postEphemeral",
                channel=place.channel,
                user=user,
                text=unformatted(told, SAID_CHARS),
                blocks=[block],
                parse="none",
            )

    def _unsaid(self, failure: Failure) -> None:
        fault = cast(BaseException, failure.value)
        how = f"{fault}" if isinstance(fault, JitgateError) else traced(fault)
        say = self._log.warn if isinstance(fault, SlackFault) else self._log.critical
        say("Slack: somebody was not told what came of it: {how}", how=how)


def whose(user: Hashable) -> Mapping[str, object]:
    """Of whom an entry is that only counts."""
    return {"user": user, "person": None, "what": None}
