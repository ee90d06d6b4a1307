"""What an approval gives: never more than policy offers, and of several answers the least."""

from __future__ import annotations

from typing import Any, Final

from jitgate.core.budgets import span
from jitgate.values import AccessRequest, Given, Less, Terms

SHORTEST: Final = 1.0
"""Seconds that a grant lives at least: a shorter one would be gone before its call went out."""

MOST: Final = 10**9
"""Uses, or seconds, that are still said back to whoever gives them: policy offers far less."""


def more_than_offered(less: Less, terms: Terms) -> str | None:
    """Why somebody cannot give this, where it is not less than policy offers."""
    if not _is_clear(less):
        return "What this gives is not clear: uses are a whole number, and a life is seconds."
    if less.uses is not None and not 1 <= less.uses <= terms.uses:
        most = "a single use" if terms.uses == 1 else f"1 to {terms.uses} uses"
        return f"Policy offers {most} here, and {less.uses} cannot be given."
    if less.life is not None and not SHORTEST <= less.life <= terms.life:
        within = f"{span(SHORTEST)} to {span(terms.life)}"
        return f"Policy offers a life of {within} here, and {span(less.life)} cannot be given."
    if less.once and terms.ahead:
        return "There is no call yet that this could be for alone: give fewer uses, or less time."
    return None


def _is_clear(less: object) -> bool:
    """Whether what a channel hands on is of the types that it says: a plugin can hand on anything.

    True is no number of uses, and nothing can be counted against what is no number.
    """
    return (
        isinstance(less, Less)
        and isinstance(less.once, bool)
        and (less.uses is None or _is_number(less.uses, int))
        and (less.life is None or _is_number(less.life, int | float))
    )


def _is_number(value: object, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool) and abs(value) <= MOST


def given(request: AccessRequest) -> Given:
    """What an approval gives by the answers so far: the least of what each of them gives."""
    terms = request.ask.terms
    less = [each.less for each in request.answers if each.approves and each.less is not None]
    once = any(each.once for each in less)
    uses = [1] if once else [each.uses for each in less if each.uses is not None]
    life = [each.life for each in less if each.life is not None]
    return Given(
        min([terms.uses, *uses]), min([terms.life, *life]), alone=once or terms.given.alone
    )
