"""Which of many things somebody may have, who only says of several whether all of them may be had.

A token endpoint is such a one: for a set of scopes it has a token or an error, and the error does
not name the scope that it is for (RFC 6749, section 5.2).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

Ask = Callable[[Sequence[str]], Awaitable[bool]]
"""Whether all of them may be had."""


async def had(wanted: Sequence[str], ask: Ask, *, first: int) -> frozenset[str]:
    """Those of ``wanted`` that may be had; ``first``: how many are asked for together at first.

    The more of them come in a row, the more are asked for at once; where one of several is
    refused, they are halved until it is known which. So it is asked once where all may be had that
    are asked for at first, and never more than twice for each of them. Raises what ``ask`` raises.
    """
    found: list[str] = []
    at, size = 0, max(first, 1)
    refused = len(wanted) + 1
    """The end of the shortest part from here on in which one is known to be refused."""
    while at < len(wanted):
        if refused - at == 1:
            at, size, refused = at + 1, 1, len(wanted) + 1
            continue
        end = min(at + size, len(wanted))
        if refused <= len(wanted):
            end = at + (refused - at) // 2
        if await ask(wanted[at:end]):
            found += wanted[at:end]
            at, size = end, 2 * (end - at)
        else:
            refused = end
    return frozenset(found)
