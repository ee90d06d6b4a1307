"""Sentences of cards and modals, all of them our own words: no agent has a part in them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from jitgate.approvers.slack import limits
from jitgate.core.budgets import span
from jitgate.core.wording import action_words
from jitgate.values import (
    AccessRequest,
    AccessState,
    Given,
    Grant,
    GrantState,
    Less,
    Presence,
    Quorum,
    Risk,
)

RISKS: Final = {
    Risk.READ: "READ: it changes nothing",
    Risk.WRITE: "WRITE: it changes something",
    Risk.PRIVILEGED: "PRIVILEGED: it gives or takes power",
    Risk.DESTRUCTIVE: "DESTRUCTIVE: what it takes away cannot simply be given back",
    None: "UNKNOWN: no catalog says what it can do",
}

MARKS: Final = {
    Risk.READ: "⚪",
    Risk.WRITE: "🟡",
    Risk.PRIVILEGED: "🟠",
    Risk.DESTRUCTIVE: "🔴",
    None: "❔",
}

ENDS: Final = {
    AccessState.APPROVED: "✅ Approved",
    AccessState.DENIED: "⛔ Denied",
    AccessState.EXPIRED: "⌛ Expired, nobody decided",
    AccessState.WITHDRAWN: "↩ Withdrawn",
    AccessState.SUPERSEDED: "♻ Superseded",
}
"""How a request ended, as a heading."""


def action(request: AccessRequest) -> str:
    """What is asked for, in words of the catalog's; the name itself stands in a box beside it."""
    said = action_words(request.ask.operation)
    return said if len(said) <= limits.ACTION_CHARS else f"{said[: limits.ACTION_CHARS]}…"


def calls(uses: int) -> str:
    """So many calls."""
    return "1 call" if uses == 1 else f"{uses} calls"


def is_window(gives: Given) -> bool:
    """Whether more may go out than the one call that is shown."""
    return not gives.alone


def gives_words(request: AccessRequest, gives: Given) -> str:
    """What an approval gives, so that it cannot be taken for less."""
    within = span(gives.life)
    if gives.alone:
        return f"this ONE call, once, within {within}. Nothing else."
    what = "ONE CALL" if gives.uses == 1 else f"UP TO {gives.uses} CALLS"
    same = "of this kind, on this resource" if request.ask.operation.resource else "of this kind"
    if request.ask.operation.parameters:
        same = f"{same}, with these parameters"
    if request.ask.terms.ahead:
        return (
            f"A WINDOW, AHEAD OF ANY CALL: {what} {same}, within {within}, each with any body, "
            "fields and other query. No call is there to look at: the agent gets a token for them."
        )
    return (
        f"A WINDOW: {what} {same}, within {within}, each with any body, fields and other query. "
        "Not only the call that is shown."
    )


def less_words(less: Less) -> str:
    """By how much less somebody gives than policy offers."""
    parts = ["this call alone"] if less.once else []
    parts += [] if less.uses is None else [calls(less.uses)]
    parts += [] if less.life is None else [f"for {span(less.life)}"]
    return ", ".join(parts)


def presence_words(request: AccessRequest) -> str:
    """Whether the agent waits, and what an approval does if it does not."""
    if request.ask.terms.ahead:
        return "The agent asks ahead of its call, and comes back for the answer."
    if request.presence is Presence.ATTACHED:
        return "The agent waits for the answer: the call goes out once it is approved."
    away = "has hung up" if request.presence is Presence.DETACHED else "was told to come back"
    return f"The agent is away ({away}): nothing goes out before it sends the call again."


GRANTS: Final = {
    GrantState.ACTIVE: "Live: it can be used.",
    GrantState.IN_USE: "Live: a call is out under it now.",
    GrantState.SPENT: "Used: the call was sent, and answered.",
    GrantState.UNKNOWN: "Used: the call was sent, and what came of it is not known.",
    GrantState.EXPIRED: "Not used in time: it is good for nothing any more.",
    GrantState.REVOKED: "Revoked: nothing goes out under it any more.",
    GrantState.REVOKED_IN_FLIGHT: (
        "Revoked while a call was out: that was cut off, and may have been carried out."
    ),
}
"""What has become of a grant, as a whole."""

LIVE: Final = frozenset({GrantState.ACTIVE, GrantState.IN_USE})
"""What can be revoked."""


def grant_words(grant: Grant) -> str:
    """What has become of a grant, and of each use where it has several."""
    said = GRANTS[grant.state]
    if grant.given.uses == 1:
        return said
    parts = (
        f"{count} {'left' if state is GrantState.ACTIVE else state.value}"
        for state in GrantState
        if (count := grant.tally.get(state, 0))
    )
    return f"{said} Of {calls(grant.given.uses)}: {', '.join(parts)}."


def place_words(count: int) -> str:
    """How many people of some groups are missing."""
    return "one of " if count == 1 else f"{count} different people of "


def missing_words(places: Iterable[Quorum]) -> str:
    """How many approvals are missing."""
    missing = sum(each.count for each in places)
    return "1 approval is missing" if missing == 1 else f"{missing} approvals are missing"
