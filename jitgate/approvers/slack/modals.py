"""The modals of a card; what is filled in there, `filled` reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jitgate.approvers.commands import REASON_CHARS
from jitgate.approvers.slack import words
from jitgate.approvers.slack.about import APPROVE, DENY, LESS, REVOKE, About, version_of
from jitgate.approvers.slack.blocks import Block, asks, lines, modal, plain, rich
from jitgate.approvers.slack.call import call_parts
from jitgate.approvers.slack.filled import KIND, LIFE, ONCE, REASON, USES, WINDOW, may_choose
from jitgate.approvers.slack.text import date, said
from jitgate.core.budgets import span
from jitgate.core.durations import written
from jitgate.core.giving import SHORTEST, given
from jitgate.values import AccessRequest, Grant, Terms


def approve_view(request: AccessRequest, names: Mapping[str, str]) -> dict[str, Any]:
    """Approve all that is offered, or is left of that by others' answers, and say why."""
    gives = f"Your yes gives {words.gives_words(request, given(request))}"
    blocks = [_asked(request, names, gives), _reason(request.ask.terms)]
    return modal(APPROVE, "Approve", blocks, _about(request, names), "Approve")


def deny_view(request: AccessRequest, names: Mapping[str, str]) -> dict[str, Any]:
    """Deny, and say why if there is something to say."""
    hint = "The agent is told so, and whoever runs it."
    blocks = [_asked(request, names), _why("Why not", hint, optional=True)]
    return modal(DENY, "Deny", blocks, _about(request, names), "Deny")


def revoke_view(request: AccessRequest, grant: Grant, names: Mapping[str, str]) -> dict[str, Any]:
    """Take a grant back."""
    ends = "Revoking ends it at once, and cuts off a call that is out under it."
    told = [said(f"{words.grant_words(grant)} It ends "), date(grant.expires_at)]
    blocks = [
        _asked(request, names),
        rich(lines(told, [said(ends)])),
        _why("Why", "It stands in the record.", optional=True),
    ]
    return modal(REVOKE, "Revoke", blocks, _about(request, names), "Revoke")


def less_view(request: AccessRequest, names: Mapping[str, str]) -> dict[str, Any]:
    """Approve less than policy offers."""
    terms = request.ask.terms
    offer = f"Policy offers {words.gives_words(request, terms.given)}"
    blocks = [_asked(request, names, offer)]
    if may_choose(terms):
        blocks.append(_kind(terms))
    if terms.uses > 1:
        blocks.append(_uses(terms))
    blocks += [_life(terms), _reason(terms)]
    return modal(LESS, "Approve less", blocks, _about(request, names), "Approve this")


def _about(request: AccessRequest, names: Mapping[str, str]) -> str:
    return About(request.id, version_of(request, names)).text


def _asked(request: AccessRequest, names: Mapping[str, str], gives: str = "") -> Block:
    """The request in three lines, so that nobody answers another one than they mean."""
    call = call_parts(request, names)
    told = [
        [said(words.action(request), bold=True)],
        [said("On  ", bold=True), *call.what],
        [said("Who  ", bold=True), *call.who],
    ]
    is_window = words.is_window(request.ask.terms.given)
    return rich(lines(*told, *([[said(gives, bold=is_window)]] if gives else [])))


def _reason(terms: Terms) -> Block:
    optional = not terms.needs_reason
    hint = "It stands in the record." if optional else "Policy wants a reason for this approval."
    return _why("Why", hint, optional=optional)


def _why(label: str, hint: str, *, optional: bool) -> Block:
    element = {"type": "plain_text_input", "multiline": True, "max_length": REASON_CHARS}
    return asks(REASON, label, element, hint, optional=optional)


def _kind(terms: Terms) -> Block:
    window = f"A WINDOW: up to {words.calls(terms.uses)} like this one"
    once, many = (
        {"text": plain(text), "value": value}
        for text, value in (("This call alone, once", ONCE), (window, WINDOW))
    )
    element = {"type": "radio_buttons", "options": [once, many], "initial_option": once}
    return asks(KIND, "What you give", element, "A window takes any body and query.")


def _uses(terms: Terms) -> Block:
    element = {
        "type": "number_input",
        "is_decimal_allowed": False,
        "min_value": "1",
        "max_value": f"{terms.uses}",
        "initial_value": f"{terms.uses}",
    }
    only = " Only where you give a window." if may_choose(terms) else ""
    return asks(USES, "How many calls", element, f"1 to {terms.uses}.{only}")


def _life(terms: Terms) -> Block:
    element = {"type": "plain_text_input", "initial_value": written(terms.life), "max_length": 12}
    hint = f"{span(SHORTEST)} to {span(terms.life)}, such as 30s, 2m."
    return asks(LIFE, "How long it is good for", element, hint)
