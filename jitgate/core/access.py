"""What happens to an AccessRequest and to a Grant: the machines, and who may move them.

Nothing here waits, keeps or sends anything. A function takes what is kept and what happened, and
returns what is to be kept instead, or says that it cannot be.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, TypeVar

from jitgate.values import (
    AccessRequest,
    AccessState,
    Ask,
    Decision,
    Effect,
    Grant,
    GrantState,
    Operation,
    Presence,
    Quorum,
    Terms,
    Use,
)

State = TypeVar("State", bound=Enum)
Moves = Mapping[tuple[State, str], State]

# --- the machines: what is not in a table does not happen

APPROVE: Final = "enough people approve"
DENY: Final = "somebody denies"
EXPIRE: Final = "its time is over"
WITHDRAW: Final = "the agent stays away or cancels"
SUPERSEDE: Final = "policy changes"

REQUEST_MOVES: Final[Moves[AccessState]] = {
    (AccessState.PENDING, APPROVE): AccessState.APPROVED,
    (AccessState.PENDING, DENY): AccessState.DENIED,
    (AccessState.PENDING, EXPIRE): AccessState.EXPIRED,
    (AccessState.PENDING, WITHDRAW): AccessState.WITHDRAWN,
    (AccessState.PENDING, SUPERSEDE): AccessState.SUPERSEDED,
}

HANG_UP: Final = "hangs up"
RECALL: Final = "is told to come back"
ATTACH: Final = "sends again"

PRESENCE_MOVES: Final[Moves[Presence]] = {
    (Presence.ATTACHED, HANG_UP): Presence.DETACHED,
    (Presence.ATTACHED, RECALL): Presence.RECALLED,
    (Presence.DETACHED, ATTACH): Presence.ATTACHED,
    (Presence.RECALLED, ATTACH): Presence.ATTACHED,
}

TAKE: Final = "taken"
AGE: Final = "out of time"
REVOKE: Final = "revoked"
SETTLE: Final = "answered"
LOSE: Final = "lost"

USE_MOVES: Final[Moves[GrantState]] = {
    (GrantState.ACTIVE, TAKE): GrantState.IN_USE,
    (GrantState.ACTIVE, AGE): GrantState.EXPIRED,
    (GrantState.ACTIVE, REVOKE): GrantState.REVOKED,
    (GrantState.IN_USE, SETTLE): GrantState.SPENT,
    (GrantState.IN_USE, LOSE): GrantState.UNKNOWN,
    (GrantState.IN_USE, REVOKE): GrantState.REVOKED_IN_FLIGHT,
}


def diagram(moves: Moves[State], start: State) -> str:
    """A machine as a Mermaid state diagram."""
    names = {
        state: state.value.replace(" ", "_") for pair in moves.items() for state in _ends(pair)
    }
    lines = ["stateDiagram-v2", f"    [*] --> {names[start]}"]
    lines += [f"    {names[old]} --> {names[new]}: {event}" for (old, event), new in moves.items()]
    left = {old for old, _ in moves}
    lines += [
        f"    {names[new]} --> [*]" for new in dict.fromkeys(moves.values()) if new not in left
    ]
    return "\n".join(lines)


def _ends(move: tuple[tuple[State, str], State]) -> tuple[State, State]:
    return move[0][0], move[1]


# --- an access request


def ended(request: AccessRequest, event: str, why: str) -> AccessRequest | None:
    """The request after an event that ends it; None if it has ended already."""
    state = REQUEST_MOVES.get((request.state, event))
    return None if state is None else replace(request, state=state, why=why, away_until=None)


def attached(request: AccessRequest, gateway: str = "") -> AccessRequest | None:
    """The request whose agent has sent its call again, here; None if there is nothing to change.

    One that is attached elsewhere stays so: there the agent has not hung up.
    """
    presence = PRESENCE_MOVES.get((request.presence, ATTACH))
    if presence is None or request.state is not AccessState.PENDING:
        return None
    return replace(request, presence=presence, away_until=None, gateway=gateway)


def joined(request: AccessRequest, gateway: str = "") -> AccessRequest | None:
    """The request that the agent has sent once more, here: it is there, and that is counted."""
    if request.state is not AccessState.PENDING:
        return None
    return replace(attached(request, gateway) or request, asked=request.asked + 1)


def is_elsewhere(request: AccessRequest, gateway: str) -> bool:
    """Whether its agent is attached at another gateway than this one."""
    return request.presence is Presence.ATTACHED and request.gateway != gateway


def detached(
    request: AccessRequest, now: float, linger: float, gateway: str = ""
) -> AccessRequest | None:
    """The request whose agent hung up here; it is withdrawn unless that comes back in time."""
    presence = PRESENCE_MOVES.get((request.presence, HANG_UP))
    if presence is None or request.state is not AccessState.PENDING:
        return None
    if is_elsewhere(request, gateway):
        return None
    return replace(request, presence=presence, away_until=now + linger)


def recalled(request: AccessRequest) -> AccessRequest | None:
    """The request whose agent was told to come back: it lasts until it expires."""
    if request.state is not AccessState.PENDING:
        return None
    presence = PRESENCE_MOVES.get((request.presence, RECALL), request.presence)
    return replace(request, presence=presence, away_until=None, recalls=request.recalls + 1)


def deadline(request: AccessRequest) -> tuple[float, str]:
    """When a pending request ends unless something happens before, and by which event."""
    if request.away_until is not None and request.away_until < request.expires_at:
        return request.away_until, WITHDRAW
    return request.expires_at, EXPIRE


# --- what people are asked


@dataclass(frozen=True, slots=True)
class NotCounted:
    """Why an answer does not count, in a sentence for whoever gave it."""

    reason: str


def terms_of(decision: Decision) -> Terms | None:
    """What a decision that needs humans asks for; None if it needs none, or names nobody.

    Where several rules oblige, all of their quorums must be met, and the shortest grant is given.
    Policy approves by itself only where every one of them says so, and none names people.
    """
    if decision.effect is not Effect.REVIEW:
        return None  # whatever else it obliges to
    asked = [_quorum(value) for value in decision.obliged("approvers")]
    given = [value for value in decision.obliged("grant") if isinstance(value, tuple)]
    quorums = tuple(each for each in asked if each is not None)
    if len(quorums) < len(asked):
        return None  # what a rule asks for and nobody understands, nobody can fulfil
    said = decision.obliged("auto")
    auto = bool(said) and not quorums and all(value is True for value in said)
    if not quorums and not auto:
        return None
    if not given:
        return Terms(quorums, auto=auto)
    uses, life = min(uses for uses, _ in given), min(life for _, life in given)
    return Terms(quorums, uses, life, auto=auto)


def _quorum(value: object) -> Quorum | None:
    """Whom a rule asks: a `Quorum`, or its groups and its count; None for what is neither."""
    if isinstance(value, Quorum):
        return value
    if not isinstance(value, tuple) or len(value) != 2:
        return None
    groups, count = value
    return Quorum(tuple(groups), count)


# --- a grant


def covers(grant: Grant, ask: Ask, now: float) -> bool:
    """Whether the grant is good for this call, now, under the terms that policy asks for now.

    One that was given ahead is good for calls that come with a token that names it, and for
    another such token.
    """
    given = grant.ask.terms
    if grant.left < 1 or now >= grant.expires_at or not same_terms(given, ask.terms):
        return False
    if grant.ask.subject.key != ask.subject.key:
        return False
    if grant.given.alone:
        return grant.ask.fingerprint == ask.fingerprint
    binding = ask.subject.binding
    named = binding is not None and binding.grant == grant.id
    if given.ahead and not ask.terms.ahead and not named:
        return False
    return scope(grant.ask.operation) == scope(ask.operation)


def same_terms(given: Terms, asked: Terms | None) -> bool:
    """Whether policy asks for the same, be it ahead of the call or with it."""
    return asked is not None and replace(given, ahead=False) == replace(asked, ahead=False)


def scope(operation: Operation) -> tuple[str, str, str, dict[str, str], dict[str, str]]:
    """What a grant for several uses is for: parameters that change what is done are part of it."""
    resource, parameters = dict(operation.resource), dict(operation.parameters)
    return operation.target, operation.authority, operation.action, resource, parameters


def moved(grant: Grant, event: str, why: str = "") -> Grant | None:
    """The grant with every use moved that the event moves; None if there is none.

    Only `TAKE`, `SETTLE` and `LOSE` concern one use.
    """
    one = event in {TAKE, SETTLE, LOSE}
    tally = dict(grant.tally)
    for (old, cause), new in USE_MOVES.items():
        count = min(grant.tally.get(old, 0), 1) if one else grant.tally.get(old, 0)
        if cause == event and count:
            tally[old] = tally.get(old, 0) - count
            tally[new] = tally.get(new, 0) + count
    kept = {state: count for state, count in tally.items() if count}
    return None if kept == dict(grant.tally) else replace(grant, tally=kept, why=why or grant.why)


def taken(
    grant: Grant, exchange: str, fingerprint: str, now: float, gateway: str = ""
) -> tuple[Grant, Use] | None:
    """The grant with one use less, and that use; None if there is none left."""
    rest = moved(grant, TAKE)
    if rest is None:
        return None
    return rest, Use(exchange, grant.id, fingerprint, now, gateway=gateway)


def used(
    grant: Grant, use: Use, event: str, now: float, status: int | None = None
) -> tuple[Grant, Use] | None:
    """A grant and a use of it after the use's end; None if it had ended."""
    rest, after = moved(grant, event), use_moved(use, event, now, status)
    return None if rest is None or after is None else (rest, after)


def use_moved(use: Use, event: str, now: float, status: int | None = None) -> Use | None:
    """The use after an event that ends it now; None if the event does not concern it.

    ``status`` is that of the target's answer, if there was one.
    """
    state = USE_MOVES.get((use.state, event))
    return None if state is None else replace(use, state=state, status=status, ended_at=now)
