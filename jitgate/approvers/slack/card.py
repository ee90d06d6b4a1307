"""The card: an access request as an approver sees it, who may have been woken to answer it.

Who wants what on whom, how bad it can be and what a yes gives stand first; then why it is asked and
what exactly will be sent; the buttons are below that, so that it is seen by whoever uses them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from jitgate.approvers.slack import limits, people, words
from jitgate.approvers.slack.about import APPROVE, DENY, DETAILS, LESS, REVOKE, About, version_of
from jitgate.approvers.slack.blocks import (
    Block,
    actions,
    button,
    confirmation,
    header,
    lines,
    rich,
    small,
)
from jitgate.approvers.slack.call import CallParts, call_parts
from jitgate.approvers.slack.text import Element, date, said, unformatted
from jitgate.core.budgets import span
from jitgate.core.giving import given
from jitgate.flow.standing import Standing
from jitgate.values import AccessRequest, AccessState, Grant

FINGERPRINT_CHARS: Final = 12
"""Of the keyed fingerprint: enough to find it in the record, where all of it stands."""


@dataclass(frozen=True, slots=True)
class Card:
    """A message about one request, as it is now."""

    blocks: Sequence[Block] = field(repr=False)
    text: str
    """What notifications and screen readers tell. Slack formats it, unlike the blocks; send it with
    ``parse="none"`` and without ``link_names``, though it holds nothing that either would take."""
    version: str
    """What a click or a reaction must be about to count: see `version_of`, which says what it
    covers. One on a card of another version was given for something else."""


def card(
    request: AccessRequest,
    standing: Standing,
    grant: Grant | None = None,
    *,
    names: Mapping[str, str],
    reactions: bool = False,
    is_opened: bool = False,
) -> Card:
    """The card of a request, by the people that there are now, with what has become of its grant.

    ``names``: what the target calls what a resource parameter names. ``reactions``: whether an
    emoji on the card counts as an answer. ``is_opened``: whether those who see it have opened
    Details; matters where the card leaves something out, see `hides_something`.
    """
    call = call_parts(request, names)
    version = version_of(request, names)
    about = About(request.id, version)
    is_pending = request.state is AccessState.PENDING
    blocks = [header(_heading(request)), rich(lines(*_summary(request, call)))]
    if not is_pending:
        blocks.append(rich(*people.ended(request, grant)))
    blocks += [rich(*people.why(request, standing, call)), rich(*call.exact)]
    blocks.append(rich(lines(*people.so_far(request))))
    if is_pending:
        may_approve = is_opened or not call.hides
        if call.hides:
            blocks.append(rich(lines([said(_HIDDEN, bold=True)])))
        if reactions and not call.hides:
            blocks.append(small("✅ or ❌ as a reaction counts as your answer."))
        blocks.append(actions(*_buttons(request, about, may_approve=may_approve)))
    elif grant is not None and grant.state in words.LIVE:
        blocks.append(actions(_revoke(about), _details(about, "Details…")))
    else:
        blocks.append(actions(_details(about, "Details…")))
    blocks.append(small(f"Request {request.id} · fingerprint {_fingerprint(request)}"))
    return Card(blocks, _fallback(request, names), version)


_HIDDEN: Final = (
    "⚠ This is longer than a card: some of it is hidden. Read all of it in Details, then approve."
)


def _heading(request: AccessRequest) -> str:
    what = words.action(request)
    mark = words.MARKS[request.ask.operation.risk]
    asks = f"{mark} Approve? {what}"
    ended = f"{words.ENDS.get(request.state)}: {what}"
    return asks if request.state is AccessState.PENDING else ended


def _fingerprint(request: AccessRequest) -> str:
    return request.ask.fingerprint[:FINGERPRINT_CHARS]


def _summary(request: AccessRequest, call: CallParts) -> list[list[Element]]:
    told = [
        [said("Who  ", bold=True), *call.who],
        [said("On  ", bold=True), *call.what],
        [said("Risk  ", bold=True), said(words.RISKS[request.ask.operation.risk])],
    ]
    if request.state is not AccessState.PENDING:
        return told
    gives = given(request)
    offer = words.gives_words(request, gives)
    told.append([said("Your yes gives  ", bold=True), said(offer, bold=words.is_window(gives))])
    if gives != request.ask.terms.given:
        told.append([said("That is less than policy offers: somebody has given less already.")])
    return [*told, [said("Expires  ", bold=True), date(request.expires_at)]]


# --- what can be clicked


def _buttons(request: AccessRequest, about: About, *, may_approve: bool) -> list[Element]:
    deny = button("Deny", DENY, about.text, style="danger")
    if not may_approve:
        return [_details(about, "Details, then approve…"), deny]
    approve = button(
        "Approve…" if request.ask.terms.needs_reason else "Approve",
        APPROVE,
        about.text,
        style="primary",
        confirm=_confirm(request),
    )
    return [approve, deny, button("Approve less…", LESS, about.text), _details(about, "Details…")]


def _details(about: About, label: str) -> Element:
    return button(label, DETAILS, about.text)


def _revoke(about: About) -> Element:
    return button("Revoke…", REVOKE, about.text, style="danger")


def _confirm(request: AccessRequest) -> dict[str, object] | None:
    """A window is asked for twice: it is more than what is seen."""
    gives = given(request)
    if not words.is_window(gives):
        return None
    most = f"up to {words.calls(gives.uses)} within {span(gives.life)}"
    told = f"You approve {most}, not only the call on the card. For that alone: Approve less…"
    if request.ask.terms.ahead:
        told = f"You approve {most}, and none of them is there to look at yet."
    return confirmation("Approve a window?", told, f"Approve {words.calls(gives.uses)}")


# --- in one line


def _fallback(request: AccessRequest, names: Mapping[str, str]) -> str:
    ask, operation = request.ask, request.ask.operation
    most = limits.CARD_VALUE_CHARS
    who = unformatted(ask.subject.agent or ask.subject.id, most)
    on = [names.get(name) or value for name, value in operation.resource.items()]
    what = " ".join([words.action(request), *(unformatted(each, most) for each in on[:2])])
    risk = "risk unknown" if operation.risk is None else operation.risk.value
    told = f"{what} at {unformatted(operation.target, most)} ({risk})"
    ended = words.ENDS.get(request.state)  # our words come first: ``&gt;`` would make it a quote
    return f"{f'{ended}:' if ended else 'Approve?'} {told}, asked by {who}"
