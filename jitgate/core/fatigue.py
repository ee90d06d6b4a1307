"""How often people are asked: what a request for approval counts as, and when it is one too many.

Who is asked too often says yes without looking. So an agent may open so many requests in a window
that slides, and a person is asked so many times in it; who was refused asks less, and never at once
for the same. What is counted are requests: an agent that sends its call again opens none.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from jitgate.core.answers import People, others
from jitgate.core.budgets import span
from jitgate.values import Ask, Charge, Spent, Subject

COUNTED = 100
"""People that one request is counted for by themselves: each is a row in the database. Where more
are asked, their groups are counted in their place."""

MANY = 10_000
"""More than are counted of what is only looked at: there is always room for one more."""


@dataclass(frozen=True, slots=True)
class Fatigue:
    """How much people are asked; times are seconds."""

    per_agent: int = 60
    """Requests of one subject in the window: one a minute."""
    per_approver: int = 120
    """Requests that one person is asked about in it: one every half minute, which nobody reads."""
    denials: int = 3
    """Requests of one subject that people deny in it before it is taken to be astray."""
    after_denials: int = 5
    """Requests that it may open then, until those denials are out of the window."""
    within: float = 3600.0
    """The window."""
    cool_down: float = 600.0
    """For which a call that people have denied is not asked for again."""
    alike: int = 2
    """Denials of one action on one resource, in ``cool_down``, after which neither is any other:
    one may be asked for once more as people want it, and a space in its body makes no new one."""


@dataclass(frozen=True, slots=True)
class TooMany:
    """What is counted, and what is said of it where there is no room."""

    charge: Charge
    said: str
    """A sentence, with ``{when}`` where it stands when there is room again."""


def refused_before(ask: Ask, fatigue: Fatigue) -> list[TooMany]:
    """The counts of denials: of this very call, and of all that do the same to the same."""
    who, life = _who(ask.subject), fatigue.cool_down
    every = [TooMany(Charge(_key("call denied", *who, ask.fingerprint), 1, life), _NOT_AGAIN)]
    operation = ask.operation
    if operation.resource:  # else it makes something new, and the next is about something else
        resource = json.dumps(dict(operation.resource), sort_keys=True)
        what = operation.target, operation.authority, operation.action, resource
        charge = Charge(_key("alike denied", *who, *what), fatigue.alike, life)
        every.append(TooMany(charge, _NOT_ALIKE))
    return every


def astray(ask: Ask, fatigue: Fatigue) -> Charge:
    """The count of all denials of a subject."""
    key = _key("requests denied", *_who(ask.subject))
    return Charge(key, fatigue.denials, fatigue.within)


def opening(ask: Ask, people: People, fatigue: Fatigue, *, is_astray: bool) -> list[TooMany]:
    """What a request counts as that is about to be opened."""
    window, who = span(fatigue.within), _who(ask.subject)
    charge = Charge(_key("agent asks", *who), fatigue.per_agent, fatigue.within)
    every = [TooMany(charge, _said(fatigue.per_agent, f"in {window} of this agent"))]
    if is_astray:
        charge = Charge(
            _key("agent asks though denied", *who), fatigue.after_denials, fatigue.within
        )
        whose = f"in {window} of this agent after {fatigue.denials} denials"
        every.append(TooMany(charge, _said(fatigue.after_denials, whose)))
    for key in _asked(ask, people):
        charge = Charge(key, fatigue.per_approver, fatigue.within)
        whose = f"in {window} for those who would be asked"
        every.append(TooMany(charge, _said(fatigue.per_approver, whose)))
    return every


def denied(ask: Ask, fatigue: Fatigue) -> list[Charge]:
    """What a denial by people counts as."""
    charges = [each.charge for each in refused_before(ask, fatigue)] + [astray(ask, fatigue)]
    return [each._replace(uses=MANY) for each in charges]


def of(full: Spent, every: Iterable[TooMany]) -> TooMany:
    """Which of them there is no room for."""
    return next(each for each in every if each.charge == full.charge)


_NOT_AGAIN = "People have denied this call: they are not asked for it again before {when}."

_NOT_ALIKE = (
    "People have denied this action on this resource, in other forms: "
    "they are not asked for it again before {when}."
)


def _said(count: int, whose: str) -> str:
    requests = "1 request" if count == 1 else f"{count} requests"
    return f"At most {requests} for approval {whose}; room again at {{when}}."


def _asked(ask: Ask, people: People) -> list[str]:
    """The counts of those who are asked as soon as it is opened."""
    groups = {name for quorum in ask.terms.quorums for name in quorum.groups}
    every = frozenset[str]().union(*(people.get(name, ()) for name in groups))
    if len(every) > COUNTED:
        return [_key("group asked", name) for name in sorted(groups)]
    return [_key("person asked", each) for each in sorted(others(every, ask.subject))]


def _who(subject: Subject) -> tuple[str, ...]:
    """Whose requests are counted together.

    Not by the humans that its token names: an agent can get one that names more of them, or fewer
    (its scope asks for an address), and would begin anew with each.
    """
    return subject.issuer, subject.id, subject.agent or ""


def _key(*parts: str) -> str:
    """A count's name: no rule's is of this form (`jitgate.core.budgets`)."""
    return f"fatigue {json.dumps(parts)}"
