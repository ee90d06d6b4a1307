"""The thread under a card: who was asked and has answered, and what became of the call.

Pure. Each line has a key that stays the same, and stands as its block's id in Slack: so one that
was said is not said again. Who is mentioned comes from the configuration alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from jitgate.approvers.seen import Seen
from jitgate.approvers.slack import limits, words
from jitgate.approvers.slack.blocks import Block, lines, rich
from jitgate.approvers.slack.noted import Noted
from jitgate.approvers.slack.places import Showing
from jitgate.approvers.slack.text import Element, date, foreign, said, several, unformatted
from jitgate.core.answers import person
from jitgate.values import AccessRequest, AccessState, Answer, Grant, GrantState, Use

MOST_LINES: Final = 100
"""Lines of a thread; a grant for a thousand calls would fill it, and the record has them all."""

TOGETHER: Final = 20
"""Lines of one message: Slack takes 50 blocks."""

REMINDER: Final = "jitgate.reminder"
MORE: Final = "jitgate.more"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the thread."""

    key: str
    """What it is known by, and its block's id."""
    at: float
    elements: list[Element] = field(repr=False)
    aloud: bool = False
    """Whether it is shown in the room too, and not in the thread alone."""
    whose: str = ""
    """Of an answer: who gave it."""

    @property
    def block(self) -> Block:
        return {**rich(lines(self.elements)), "block_id": self.key}

    @property
    def text(self) -> str:
        """For notifications."""
        return "".join(map(_plain, self.elements))


def _plain(element: Element) -> str:
    if element["type"] == "date":
        return str(element["fallback"])
    return unformatted(element.get("text", ""), limits.CARD_REASON_CHARS)


def unsaid(seen: Seen, noted: Noted, showing: Showing, slot: str, now: float) -> Sequence[Line]:
    """The lines that do not stand in a thread yet, in order."""
    if MORE in noted.lines:
        return []
    every = _history(seen, noted, showing, slot, now)
    new = [line for line in every if line.key not in noted.lines]
    left = MOST_LINES - len(noted.lines)
    if len(new) <= left:
        return new
    more = "More happens than is told here: all of it is on record."
    return [*new[:left], Line(MORE, now, [said(more)])]


def together(new: Sequence[Line]) -> Sequence[Line]:
    """As many of the first as go into one message."""
    alike = next((n for n, line in enumerate(new) if line.aloud != new[0].aloud), len(new))
    return new[: min(alike, TOGETHER)]


def _history(seen: Seen, noted: Noted, showing: Showing, slot: str, now: float) -> Iterable[Line]:
    request = seen.request
    answers = [_answer(answer) for answer in request.answers]
    began = [*_asked(request, showing, slot), *_escalated(request, showing, slot), *answers]
    yield from sorted(began, key=lambda line: line.at)
    yield from _gone(noted, answers, now)
    if not seen.is_pending:
        yield _end(request, now)
    elif (line := _reminder(seen, showing, slot, now)) is not None:
        yield line
    yield from sorted(map(_use, _ended(seen.uses)), key=lambda line: line.at)
    if seen.grant is not None:
        yield from _over(seen.grant, now)


def _key(kind: str, *of: object) -> str:
    told = repr(of).encode("utf-8", "backslashreplace")
    return f"jitgate.{kind}.{sha256(told).hexdigest()[:16]}"


# --- who is asked


def _asked(request: AccessRequest, showing: Showing, slot: str) -> Iterable[Line]:
    """Those who have a user group are called, as long as there is something to answer."""
    first = dict.fromkeys(name for each in request.ask.terms.quorums for name in each.groups)
    called = _mentions(first, showing, slot)
    if called and request.state is AccessState.PENDING:
        yield Line(_key("asked"), request.opened_at, [said("Asked:"), *called])


def _escalated(request: AccessRequest, showing: Showing, slot: str) -> Iterable[Line]:
    steps = {each for quorum in request.ask.terms.quorums for each in quorum.escalations}
    for step in sorted(steps, key=lambda each: (each.after, each.groups)):
        if step.after <= request.escalated:
            at = request.opened_at + step.after
            told = [said("Asked as well since "), date(at), said(": "), *_groups(step.groups)]
            if request.state is AccessState.PENDING:
                told += _mentions(step.groups, showing, slot)
            yield Line(_key("escalated", step.after, step.groups), at, told)


def _groups(names: Sequence[str]) -> list[Element]:
    shown = [foreign(each, limits.CARD_NAME_CHARS) for each in names[: limits.CARD_NAMES]]
    more = len(names) - len(shown)
    return [*several(shown), *([said(f" and {more} more")] if more > 0 else [])]


def _mentions(groups: Iterable[str], showing: Showing, slot: str) -> list[Element]:
    """The user groups that the configuration names for groups that are asked in this room."""
    rooms = [showing.room(group) for group in groups]
    called = dict.fromkeys(room.mention for room in rooms if room.mention and room.channel == slot)
    told: list[Element] = []
    for each in called:
        told += [said(" "), {"type": "usergroup", "usergroup_id": each}]
    return told


def _reminder(seen: Seen, showing: Showing, slot: str, now: float) -> Line | None:
    """Said aloud, once, where there is somebody left to answer."""
    request = seen.request
    at = None if showing.reminder is None else showing.reminder.at(request)
    somebody = seen.standing.could_answer or seen.standing.unknown
    if at is None or not at <= now < request.expires_at or not somebody:
        return None
    missing = seen.standing.missing
    told = [said(f"⏰ {words.missing_words(missing)}. It expires "), date(request.expires_at)]
    groups = dict.fromkeys(name for each in missing for name in each.groups)
    return Line(REMINDER, at, [*told, *_mentions(groups, showing, slot)], aloud=True)


# --- what they said, and what became of it


def _answer(answer: Answer) -> Line:
    did = " approved" if answer.approves else " denied"
    told = [*foreign(answer.approver, limits.CARD_NAME_CHARS), said(did, bold=True)]
    if answer.less is not None and answer.approves:
        told.append(said(f" less ({words.less_words(answer.less)})"))
    told += [
        said(", "),
        date(answer.at),
        said(" by "),
        *foreign(answer.channel, limits.CARD_NAME_CHARS),
    ]
    if answer.reason:
        told += [said(": "), *foreign(answer.reason, limits.CARD_REASON_CHARS)]
    key = _key("answer", person(answer.approver), answer.approves, answer.at)
    return Line(key, answer.at, told, whose=answer.approver)


def _gone(noted: Noted, answers: Sequence[Line], now: float) -> Iterable[Line]:
    """Answers that were told of and are there no more, where their givers gave no other."""
    there, still = {line.key for line in answers}, {person(line.whose) for line in answers}
    for key, whose in noted.answers.items():
        if key not in there and person(whose) not in still:
            told = [said("The answer of "), *foreign(whose, limits.CARD_NAME_CHARS)]
            told += [said(" counts no longer: it was taken back, or they are deactivated.")]
            yield Line(_key("gone", key), now, told)


def _end(request: AccessRequest, now: float) -> Line:
    told = [said(words.ENDS[request.state], bold=True)]
    if request.state in {AccessState.WITHDRAWN, AccessState.SUPERSEDED} and request.why:
        told += [said(": "), *foreign(request.why, limits.CARD_REASON_CHARS)]
    return Line("jitgate.end", now, told)


def _ended(uses: Sequence[Use]) -> Iterable[Use]:
    return (each for each in uses if each.state is not GrantState.IN_USE)


def _use(use: Use) -> Line:
    ended = use.taken_at if use.ended_at is None else use.ended_at
    if use.status is not None:
        took = f"{max(0.0, ended - use.taken_at):.1f}"
        told = [said("The call was sent, and answered with "), said(f"{use.status}", bold=True)]
        told += [said(f" after {took} seconds, "), date(ended)]
    elif use.state is GrantState.SPENT:
        told = [said("The call was sent, and answered.")]
    else:
        told = [said(words.GRANTS[use.state]), said(" "), date(ended)]
    return Line(_key("use", use.id), ended, told)


def _over(grant: Grant, now: float) -> Iterable[Line]:
    """What was left of a grant and is good for nothing any more."""
    if any(grant.tally.get(state, 0) for state in _TAKEN_BACK) and grant.why:
        told = foreign(grant.why, limits.CARD_REASON_CHARS)
        yield Line("jitgate.grant", now, told)


_TAKEN_BACK: Final = (GrantState.REVOKED, GrantState.REVOKED_IN_FLIGHT, GrantState.EXPIRED)
