"""What is to be done about one card, as it stands and as it should: one step at a time. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from hashlib import sha256
from typing import Final

from jitgate.approvers.seen import Seen
from jitgate.approvers.slack.card import Card, card
from jitgate.approvers.slack.history import REMINDER, Line, together, unsaid
from jitgate.approvers.slack.noted import Noted
from jitgate.approvers.slack.places import Showing
from jitgate.approvers.slack.queue import POST, UPDATE, Job, Lane
from jitgate.core.answers import takes_signs
from jitgate.values import Post


class Step(Enum):
    """What comes next."""

    REST = "nothing, before something changes"
    WAIT = "nothing, before the time has come"
    POST = "to post the card"
    UPDATE = "to show it as it is now"
    SAY = "to tell in its thread what has happened"


LANES: Final = {Step.POST: POST, Step.UPDATE: UPDATE, Step.SAY: POST}
"""The methods that are called."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The next step of one card, and what it is taken with."""

    step: Step
    card: Card | None = None
    lines: Sequence[Line] = ()

    def job(self, request: str, slot: str) -> tuple[Job, int]:
        """What waits for its turn, and its rank: first what people wait for."""
        method = LANES[self.step]
        lane = Lane(method, slot if method == POST else "")
        return Job(lane, request, slot), self._rank

    @property
    def _rank(self) -> int:
        if self.step is Step.POST:
            return 1
        if self.step is Step.SAY:
            return 0 if any(line.aloud for line in self.lines) else 2
        return 0


def planned(seen: Seen, post: Post, noted: Noted, *, showing: Showing, me: str, now: float) -> Plan:
    """The next step of a card in its slot, for ``me`` to take now."""
    if noted.waits(me, now):
        is_of_use = seen.is_pending or post.place or noted.holder
        return Plan(Step.WAIT if is_of_use else Step.REST)
    if not post.place:
        # Where nobody knows what came of the claim, a card may stand there, which must not stay so.
        return Plan(Step.POST if seen.is_pending or noted.holder else Step.REST)
    if noted.trying:
        return Plan(Step.SAY)
    made = drawn(seen, noted.names)
    if digest(made) != noted.digest:
        return Plan(Step.UPDATE, made)
    new = unsaid(seen, noted, showing, post.slot, now)
    return Plan(Step.SAY, lines=together(new)) if new else Plan(Step.REST)


def drawn(seen: Seen, names: Mapping[str, str]) -> Card:
    """The card of a request as it is now."""
    signs = takes_signs(seen.request)
    # Who has opened Details is known of each person, and asked where they approve.
    return card(
        seen.request, seen.standing, seen.grant, names=names, reactions=signs, is_opened=True
    )


def digest(made: Card) -> str:
    """What stands for all that a card shows."""
    told = json.dumps([made.blocks, made.text], sort_keys=True)
    return sha256(told.encode()).hexdigest()[:32]


def rested(seen: Seen, post: Post, noted: Noted, showing: Showing, now: float) -> Post:
    """The post of a card about which nothing is to be done before something changes."""
    reminder = None if showing.reminder is None else showing.reminder.at(seen.request)
    awaits = seen.is_pending and REMINDER not in noted.lines
    due = reminder if awaits and reminder is not None and reminder > now else None
    grant = None if seen.grant is None else seen.grant.id
    over = not seen.is_live
    return replace(post, shown=seen.revision, grant=grant, due=due, is_over=over)
