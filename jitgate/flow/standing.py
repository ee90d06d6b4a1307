"""How a request stands by the people that there are now, to be shown: no answer counts by it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jitgate.core import answers
from jitgate.flow.members import Members
from jitgate.values import AccessRequest, Quorum


@dataclass(frozen=True, slots=True)
class Standing:
    """How a request stands, as far as it is known who is in its groups."""

    missing: Sequence[Quorum]
    """How many people more are needed, of which groups."""
    could_answer: Sequence[str]
    """Those who could approve and have not."""
    objection: str | None
    """Why whoever looks cannot answer, if they cannot."""
    unknown: Sequence[str] = ()
    """Those of the groups whose members are not known yet."""
    empty: Sequence[str] = ()
    """Those that nobody is in."""


def standing(request: AccessRequest, members: Members, now: float, someone: str | None) -> Standing:
    """How it stands; ``someone`` looks at it, who may be in a group that is not known yet."""
    people, groups = members.shown, answers.asked(request)
    unknown, objection = members.unknown(groups), None
    if someone is not None:
        perhaps = dict.fromkeys(unknown, frozenset({answers.person(someone)}))
        objection = answers.objection(request, someone, {**people, **perhaps}, now)
    return Standing(
        missing=answers.missing(request, people),
        could_answer=answers.could_answer(request, people),
        objection=objection,
        unknown=unknown,
        empty=[name for name in groups if name not in unknown and not people.get(name)],
    )
