"""What a card tells of people: who is asked and why, what they have said, and how it ended."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from jitgate.approvers.slack import limits, words
from jitgate.approvers.slack.blocks import lines, quote
from jitgate.approvers.slack.call import CallParts
from jitgate.approvers.slack.text import Element, Room, date, foreign, said, several
from jitgate.flow.standing import Standing
from jitgate.values import AccessRequest, AccessState, Answer, Grant

# --- why people are asked, and who


def why(request: AccessRequest, standing: Standing, call: CallParts) -> list[Element]:
    """Why it is asked, and while it is pending of whom: rich text."""
    told = [said("Why you  ", bold=True), said("rule "), *call.rule, said(" says:")]
    parts = [lines(told), quote(call.why)]
    if _is_open(request):
        parts.append(lines(*_awaited(request, standing)))
    return parts


def _awaited(request: AccessRequest, standing: Standing) -> list[list[Element]]:
    """Whose answers are missing, who is asked later, and what an answer needs."""
    terms, room = request.ask.terms, Room(limits.CARD_PEOPLE_CHARS)
    told = [[said(f"{words.missing_words(standing.missing)}:", bold=True)]]
    told += (
        [said(words.place_words(place.count)), *_named(place.groups, room, " or ")]
        for place in standing.missing[: limits.CARD_STEPS]
    )
    if standing.could_answer:
        told.append([said("Who could give it: "), *_named(standing.could_answer, room)])
    else:
        told.append([said("Nobody is left who could give it.", bold=True)])
    told += _escalations(request, room)
    if terms.needs_reason:
        told.append([said("An approval must say why.")])
    if terms.denials > 1:
        told.append([said(f"{terms.denials} people must deny it; one is not enough.")])
    return told


def _escalations(request: AccessRequest, room: Room) -> list[list[Element]]:
    steps = [each for quorum in request.ask.terms.quorums for each in quorum.escalations]
    steps.sort(key=lambda each: each.after)
    return [
        [
            said(f"Asked as well{' by now' * (each.after <= request.escalated)}: "),
            *_named(each.groups, room),
            said(", "),
            date(request.opened_at + each.after),
        ]
        for each in steps[: limits.CARD_STEPS]
    ]


def _named(names: Sequence[str], room: Room, between: str = ", ") -> list[Element]:
    """People or groups as far as there is room, and how many more there are."""
    first = [foreign(each, limits.CARD_NAME_CHARS) for each in names[: limits.CARD_NAMES]]
    fits = [*itertools.takewhile(room.takes, first)]
    shown = several(fits, between)
    more = len(names) - len(fits)
    return [*shown, said(f" and {more} more" if fits else f"{more} in all")] if more else shown


# --- what has been said, and how it ended


def so_far(request: AccessRequest) -> list[list[Element]]:
    """What has been said, and whether the agent is there: lines."""
    room = Room(limits.CARD_PEOPLE_CHARS)
    newest = map(_answer, request.answers[: -limits.CARD_ANSWERS - 1 : -1])
    last = [*itertools.takewhile(room.takes, newest)][::-1]
    told = [*_before(request.answers[: len(request.answers) - len(last)]), *last]
    if not request.answers:
        told.append([said("No answers yet." if _is_open(request) else "There were no answers.")])
    if _is_open(request):
        told.append([said(words.presence_words(request))])
        if request.away_until is not None:
            told.append([said("It is withdrawn unless that happens: "), date(request.away_until)])
    if request.asked > 1:
        told.append([said(f"Asked {request.asked} times.")])
    return told or [[said(" ")]]


def _before(answers: Sequence[Answer]) -> list[list[Element]]:
    """How many answers there were that are not shown."""
    approving = sum(each.approves for each in answers)
    denying = len(answers) - approving
    told = f"Answers before these: {approving} approve, {denying} deny."
    return [[said(told)]] if answers else []


def _is_open(request: AccessRequest) -> bool:
    return request.state is AccessState.PENDING


def _answer(answer: Answer) -> list[Element]:
    did = " approved" if answer.approves else " denied"
    told = [*foreign(answer.approver, limits.CARD_NAME_CHARS), said(did, bold=True)]
    if answer.less is not None and answer.approves:
        told.append(said(f" less ({words.less_words(answer.less)})"))
    told += [said(", "), date(answer.at)]
    if answer.reason:
        told += [said(": "), *foreign(answer.reason, limits.CARD_VALUE_CHARS)]
    return told


def ended(request: AccessRequest, grant: Grant | None) -> list[Element]:
    """How it ended, and what has become of the grant: rich text."""
    told: list[list[Element]] = [_end(request)]
    if grant is None:
        return [lines(*told)]
    told.append([said("Gave  ", bold=True), said(words.gives_words(request, grant.given))])
    told.append([said("Grant  ", bold=True), said(words.grant_words(grant), bold=True)])
    if grant.state in words.LIVE:
        told.append([said("It ends "), date(grant.expires_at)])
    if grant.why:
        told.append(foreign(grant.why, limits.CARD_VALUE_CHARS))
    return [lines(*told)]


def _end(request: AccessRequest) -> list[Element]:
    room = Room(limits.CARD_PEOPLE_CHARS)
    if request.state is AccessState.EXPIRED:
        return [said("Nobody decided in time. That is nobody's no.", bold=True)]
    if request.state is AccessState.DENIED:
        against = map(_no, (each for each in request.answers if not each.approves))
        first = [*itertools.takewhile(room.takes, itertools.islice(against, limits.CARD_ANSWERS))]
        return [said("Denied by ", bold=True), *several(first)]
    if request.state is AccessState.APPROVED:
        who = [each.approver for each in request.answers if each.approves]
        return [said("Approved by ", bold=True), *_named(who, room)]
    return foreign(request.why, limits.CARD_VALUE_CHARS)


def _no(answer: Answer) -> list[Element]:
    who = foreign(answer.approver, limits.CARD_NAME_CHARS)
    if not answer.reason:
        return who
    return [*who, said(": "), *foreign(answer.reason, limits.CARD_VALUE_CHARS)]
