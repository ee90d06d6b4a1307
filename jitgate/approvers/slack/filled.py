"""What people fill in in a modal, read strictly.

Whatever does not fit is told at its input (``response_action: errors``), and gives nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from jitgate.approvers.commands import REASON_CHARS
from jitgate.core.answers import says_why
from jitgate.core.durations import WANTED, duration
from jitgate.core.giving import more_than_offered
from jitgate.values import Less, Terms

REASON: Final = "reason"
KIND: Final = "kind"
USES: Final = "uses"
LIFE: Final = "life"
"""Inputs, by their ``block_id``; the element within is called the same."""

ONCE: Final = "once"
WINDOW: Final = "window"
"""What `KIND` can be."""

USES_CHARS: Final = 4
"""The longest number of uses: policy offers 1,000 at most."""

Values = Mapping[str, Any]
"""``view.state.values`` of a view that was submitted."""

Errors = dict[str, str]
"""What is wrong, by the ``block_id`` of its input."""


@dataclass(frozen=True, slots=True)
class Filled:
    """What somebody has filled in."""

    reason: str
    less: Less | None = None


def may_choose(terms: Terms) -> bool:
    """Whether a window is offered, and there is a call that could be approved alone."""
    return terms.is_scope and not terms.ahead


class _Wrong(NamedTuple):
    """Why an input says nothing of use, in a sentence for whoever filled it in."""

    why: str


_UNREADABLE: Final = _Wrong("This could not be read: close the form, and open it again.")


def reason_filled(values: Values, *, required: bool) -> Filled | Errors:
    """The reason that somebody gave, where nothing else is asked."""
    reason = _reason_in(values, required=required)
    return {REASON: reason.why} if isinstance(reason, _Wrong) else Filled(reason)


def less_filled(values: Values, terms: Terms) -> Filled | Errors:
    """By how much less somebody gives, and why; all that is wrong at once."""
    once, uses, life = _once_in(values, terms), _uses_in(values, terms), _life_in(values, terms)
    reason = _reason_in(values, required=terms.needs_reason)
    read = {KIND: once, USES: uses, LIFE: life, REASON: reason}
    errors = {name: each.why for name, each in read.items() if isinstance(each, _Wrong)}
    if once is True and isinstance(uses, int):
        errors[USES] = "You give the call alone: leave this as it is, or give a window."
    if not errors and once is False and uses is None and life is None:
        errors[LIFE] = "This is all that policy offers: give less here, or use Approve."
    if isinstance(once, _Wrong) or isinstance(uses, _Wrong) or isinstance(life, _Wrong):
        return errors
    return (
        errors if errors or isinstance(reason, _Wrong) else Filled(reason, Less(uses, life, once))
    )


def _once_in(values: Values, terms: Terms) -> bool | _Wrong:
    """Whether it is given for the call alone, where there is a choice."""
    if not may_choose(terms):
        return False
    element = _element(values, KIND)
    chosen = None if element is None else element.get("selected_option")
    kind = chosen.get("value") if isinstance(chosen, Mapping) else None
    if kind not in (ONCE, WINDOW):  # it may be what no set can hold
        return _Wrong("Choose one of the two.")
    return bool(kind == ONCE)


def _uses_in(values: Values, terms: Terms) -> int | _Wrong | None:
    """How many calls, where that is less than is offered."""
    if terms.uses == 1:
        return None
    text = _text(values, USES)
    if isinstance(text, _Wrong):
        return text
    if not (text.isascii() and text.isdigit() and len(text) <= USES_CHARS):
        return _Wrong("Give a whole number.")
    uses = int(text)
    more = more_than_offered(Less(uses=uses), terms)
    if more is not None:
        return _Wrong(more)
    return None if uses == terms.uses else uses


def _life_in(values: Values, terms: Terms) -> float | _Wrong | None:
    """For how long, where that is less than is offered."""
    text = _text(values, LIFE)
    if isinstance(text, _Wrong):
        return text
    life = duration(text)
    if life is None:
        return _Wrong(f"{WANTED[0].upper()}{WANTED[1:]}.")
    more = more_than_offered(Less(life=life), terms)
    if more is not None:
        return _Wrong(more)
    return None if life == terms.life else life


def _reason_in(values: Values, *, required: bool) -> str | _Wrong:
    reason = _text(values, REASON)
    if isinstance(reason, _Wrong):
        return reason
    if len(reason) > REASON_CHARS:
        return _Wrong(f"A reason has at most {REASON_CHARS} characters.")
    if required and not says_why(reason):
        return _Wrong("Policy wants a reason for this approval: say why it may go.")
    return reason


def _text(values: Values, name: str) -> str | _Wrong:
    """What was typed, without spaces around it; "" where nothing was."""
    element = _element(values, name)
    if element is None:
        return _UNREADABLE
    text = element.get("value")
    if text is None:
        return ""
    return text.strip() if isinstance(text, str) else _UNREADABLE


def _element(values: Values, name: str) -> Mapping[str, Any] | None:
    block = values.get(name)
    element = block.get(name) if isinstance(block, Mapping) else None
    return element if isinstance(element, Mapping) else None
