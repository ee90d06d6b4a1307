"""Whose answers count, and what comes of them: who is enough, and who is asked as well.

Nothing here waits, keeps or asks anybody. Who is active at an identity provider is an argument.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Final

from jitgate.core.access import APPROVE, DENY, NotCounted, ended
from jitgate.core.giving import given, more_than_offered
from jitgate.core.mailboxes import mailboxes
from jitgate.values import (
    AccessRequest,
    AccessState,
    Answer,
    Grant,
    GrantState,
    Quorum,
    Risk,
    Subject,
)

People = Mapping[str, frozenset[str]]
"""Groups of approvers: whom each name stands for, as `person` spells them."""

BY_POLICY: Final = "policy:"
"""Before a rule's name: who has approved what policy approves itself. Nobody else is called so."""

SIGNED: Final = frozenset({Risk.READ, Risk.WRITE})
"""Where a mere sign may be an answer, if policy says so: nothing of an unknown risk is among it."""
_IGNORED: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8"
    "\U000e0000-\U000e0fff]"
)
"""What is drawn as nothing though it is called a mark or a letter (Default_Ignorable_Code_Point
of Unicode's DerivedCoreProperties.txt, but for Cf)."""

KEPT: Final = 1024
"""Names whose one spelling is kept: most of ten thousand requests that are listed have the same."""


@functools.lru_cache(maxsize=KEPT)
def person(name: str) -> str:
    """The one spelling of a person: a verified e-mail address, or an issuer and an id.

    As Unicode compares identifiers (toNFKC_Casefold): nothing that is not seen makes another of
    it, nor does how much room is between its parts.
    """
    if name.isascii() and name.isprintable():  # all else takes long for thousands
        return " ".join(name.casefold().split())
    seen = "".join(each for each in _IGNORED.sub("", name) if _is_seen(each))
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", seen).casefold())
    return " ".join(plain.split())


def _is_seen(character: str) -> bool:
    return character.isspace() or unicodedata.category(character) not in {"Cc", "Cf"}


def is_person(name: str) -> bool:
    """Whether this spelling, which `person` gave, is one of a person's and not of anything else."""
    if name.startswith(BY_POLICY):
        return False
    divided = name.partition("@" if name.split() == [name] else " ")
    return all(divided)


def is_self(someone: str, subject: Subject) -> bool:
    """Whether a person is the agent itself, its owner, or one of those it acts for.

    All addresses that lead to one mailbox are taken for one person's here: whoever is taken for
    another by mistake cannot approve, and nothing else follows.
    """
    return not others({someone}, subject)


def others(people: AbstractSet[str], subject: Subject) -> AbstractSet[str]:
    """Those of the people who are not the agent itself, its owner, or one it acts for."""
    agent = () if subject.agent is None else (subject.agent,)
    own = _mailboxes(subject.issuer, (subject.id, *subject.humans, *agent))
    return {each for each in people if own.isdisjoint(mailboxes(person(each)))}


@functools.lru_cache(maxsize=KEPT)
def _mailboxes(issuer: str, names: tuple[str, ...]) -> frozenset[str]:
    """What leads to whoever is called so: by these names, or as that issuer's."""
    every = (*names, *(f"{issuer} {name}" for name in names))
    return frozenset[str]().union(*(mailboxes(person(name)) for name in every))


# --- an answer


def answered(
    request: AccessRequest,
    answer: Answer,
    people: People,
    now: float,
    inactive: AbstractSet[str] = frozenset(),
) -> AccessRequest | NotCounted:
    """The request after somebody's answer: still pending, approved or denied.

    Of each person the last answer counts. ``inactive`` are those, as `person` spells them, who are
    deactivated by now: whatever they have said before counts no longer. Nor does what somebody has
    said who is in none of the groups by now.
    """
    why = objection(request, answer.approver, people, now) or _lacks(request, answer, inactive)
    if why is not None:
        return NotCounted(why)
    gone = {person(answer.approver), *inactive}
    others = [
        each
        for each in request.answers
        if person(each.approver) not in gone and _is_asked(each.approver, request, people)
    ]
    request = replace(request, answers=(*others, answer))
    if not answer.approves:
        return _denied(request, answer.reason)
    if not approved(request, people):
        return request
    return ended(request, APPROVE, f"Approved by {', '.join(approvers(request))}.") or request


def taken_back(
    request: AccessRequest, someone: str, people: People, now: float
) -> AccessRequest | NotCounted:
    """The request without somebody's answer, which they take back; that decides nothing."""
    why = objection(request, someone, people, now)
    if why is not None:
        return NotCounted(why)
    others = tuple(each for each in request.answers if person(each.approver) != person(someone))
    if others == request.answers:
        return NotCounted("There is no answer of theirs to take back.")
    return replace(request, answers=others)


def _denied(request: AccessRequest, reason: str) -> AccessRequest:
    """The request, denied if enough people deny it."""
    against = [each.approver for each in request.answers if not each.approves]
    if len(against) < request.ask.terms.denials:
        return request
    said = f": {reason}" if reason else "."
    return ended(request, DENY, f"Denied by {', '.join(against)}{said}") or request


def objection(request: AccessRequest, someone: str, people: People, now: float) -> str | None:
    """Why somebody's answer would not count, whatever it is; None if it would."""
    if request.state is not AccessState.PENDING:
        return f"This request is {request.state.value} already. {request.why}".strip()
    if now >= request.expires_at:
        return "This request has expired."
    if person(someone).startswith(BY_POLICY):
        return "This is how policy is called: no person is."
    if is_self(someone, request.ask.subject):
        return "Nobody answers what they, or an agent of theirs, asked for."
    if not _is_asked(someone, request, people):
        return f"{someone} is in none of the groups that are asked: {', '.join(asked(request))}."
    return None


def _lacks(request: AccessRequest, answer: Answer, inactive: AbstractSet[str]) -> str | None:
    """What an answer lacks of somebody who may give one."""
    if person(answer.approver) in inactive:
        return f"{answer.approver} is deactivated: their answer does not count."
    if answer.sign and not takes_signs(request):
        return "A sign alone is no answer to this request: open it, and approve or deny it there."
    if not answer.approves:
        return None
    terms = request.ask.terms
    if terms.needs_reason and not says_why(answer.reason):
        return "Policy wants a reason for this approval: say why it may go."
    return None if answer.less is None else more_than_offered(answer.less, terms)


def takes_signs(request: AccessRequest) -> bool:
    """Whether a mere sign may be an answer: policy says so, and the risk allows it."""
    return request.ask.terms.signs and request.ask.operation.risk in SIGNED


def says_why(reason: str) -> bool:
    """Whether a reason says anything."""
    return any(map(str.isalnum, reason))


def by_policy(request: AccessRequest, now: float) -> AccessRequest | None:
    """The request as policy approves it itself; None if it is for people to answer."""
    terms = request.ask.terms
    if not terms.auto or terms.quorums or request.state is not AccessState.PENDING:
        return None
    name = f"{BY_POLICY}{request.ask.rule}"
    answer = Answer(name, approves=True, at=now, channel="policy", reason=request.ask.reason)
    after = replace(request, answers=(*request.answers, answer))
    return ended(after, APPROVE, f"Approved by {name}.")


# --- who is enough


def approvers(request: AccessRequest) -> tuple[str, ...]:
    """Those whose last answer approves."""
    return tuple(each.approver for each in request.answers if each.approves)


def approved(request: AccessRequest, people: People) -> bool:
    """Whether every quorum is met, and nobody counted twice, for one group or for two."""
    return bool(request.ask.terms.quorums) and not missing(request, people)


def missing(request: AccessRequest, people: People) -> tuple[Quorum, ...]:
    """What the quorums lack: of which groups, as asked by now, how many people more.

    Places that need a person are given to people one by one; where all who fit hold other places,
    one of them moves (Kuhn's algorithm). So no more are missing than must be.
    """
    seats = [quorum for quorum in request.ask.terms.quorums for _ in range(quorum.count)]
    holder: dict[str, int] = {}

    def seated(seat: int, tried: set[str]) -> bool:
        for each in map(person, approvers(request)):
            if each in tried or not _may_answer(each, seats[seat], request, people):
                continue
            tried.add(each)
            if each not in holder or seated(holder[each], tried):
                holder[each] = seat
                return True
        return False

    unmet: dict[tuple[str, ...], int] = {}
    for seat, quorum in enumerate(seats):
        if not seated(seat, set()):
            groups = groups_of(quorum, request)
            unmet[groups] = unmet.get(groups, 0) + 1
    return tuple(Quorum(groups, count) for groups, count in unmet.items())


def groups_of(quorum: Quorum, request: AccessRequest) -> tuple[str, ...]:
    """Whose people may answer for a quorum by now: those asked first, and those asked since."""
    later = [
        name
        for each in quorum.escalations
        if each.after <= request.escalated
        for name in each.groups
    ]
    return tuple(dict.fromkeys([*quorum.groups, *later]))


def asked(request: AccessRequest) -> tuple[str, ...]:
    """Every group whose people may answer by now."""
    every = (groups_of(quorum, request) for quorum in request.ask.terms.quorums)
    return tuple(dict.fromkeys(name for groups in every for name in groups))


def could_answer(request: AccessRequest, people: People) -> tuple[str, ...]:
    """Those who could approve by now and have not, as they are spelled in the groups."""
    done = set(map(person, approvers(request)))
    named = frozenset[str]().union(*(people.get(group, ()) for group in asked(request)))
    return tuple(sorted(others(named - done, request.ask.subject)))


def _is_asked(someone: str, request: AccessRequest, people: People) -> bool:
    quorums = request.ask.terms.quorums
    return any(_may_answer(someone, quorum, request, people) for quorum in quorums)


def _may_answer(someone: str, quorum: Quorum, request: AccessRequest, people: People) -> bool:
    return any(person(someone) in people.get(group, ()) for group in groups_of(quorum, request))


# --- who is asked as well, after some time


def escalates_at(request: AccessRequest) -> float | None:
    """When more people are to be asked, if ever: seconds since the epoch."""
    step = _next_step(request)
    return None if step is None else request.opened_at + step


def escalated(request: AccessRequest, now: float) -> AccessRequest | None:
    """The request once those are asked who are to be asked by now; None if nobody more is.

    How many answers are enough stays as it was: the others may give them as well.
    """
    after = request
    while (step := _next_step(after)) is not None and request.opened_at + step <= now:
        after = replace(after, escalated=step)
    return None if after is request or request.state is not AccessState.PENDING else after


def _next_step(request: AccessRequest) -> float | None:
    """Seconds from its opening to the next escalation that has not been taken."""
    every = (each.after for quorum in request.ask.terms.quorums for each in quorum.escalations)
    return min((each for each in every if each > request.escalated), default=None)


# --- what is given


def granted(request: AccessRequest, id: str, now: float) -> Grant:  # noqa: A002 (what it is)
    """The Grant that an approved request becomes."""
    gives = given(request)
    return Grant(
        id=id,
        access_request=request.id,
        ask=request.ask,
        approved_by=approvers(request),
        made_at=now,
        expires_at=now + gives.life,
        tally={GrantState.ACTIVE: gives.uses},
        less=None if gives == request.ask.terms.given else gives,
    )
