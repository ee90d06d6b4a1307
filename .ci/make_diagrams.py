"""Writes docs/state-machines.md from the tables in jitgate.core.access."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

from jitgate.core.access import PRESENCE_MOVES, REQUEST_MOVES, USE_MOVES, Moves, diagram
from jitgate.values import AccessState, GrantState, Presence

PAGE = Path(__file__).resolve().parents[1] / "docs" / "state-machines.md"

TEXT = """\
# State machines

What can happen to an access request and to a grant. The diagrams are made from the tables in
`jitgate/core/access.py` by `.ci/make_diagrams.py`, and a test compares them: what is not drawn here
does not happen.

## An access request

It is opened for a call that policy sends to people: one for each subject and fingerprint at a time.
Every end is final. An expired request was denied by nobody.

{request}

While it is pending, its agent is there or not. One that hung up has two minutes (`linger`) to send
its call again; one that was told to come back has until the request expires.

{presence}

## A grant

Enough answers make a grant. It is spent before it is used: the use is committed to the store, then
put on record, and only then does the first byte leave. There is no way back to *active*. A grant
for several uses is so many of these machines; those that have not been taken are only counted,
because they are alike.

{use}

A use that the gateway was carrying out when it died becomes *unknown* at the next start, and stays
counted. One whose request had left, and whose answer never came, is unknown as well.
"""


def main() -> None:
    """Write the page."""
    PAGE.write_text(
        TEXT.format(
            request=_drawn(REQUEST_MOVES, AccessState.PENDING),
            presence=_drawn(PRESENCE_MOVES, Presence.ATTACHED),
            use=_drawn(USE_MOVES, GrantState.ACTIVE),
        )
    )


def _drawn(moves: Moves[Enum], start: Enum) -> str:
    return f"```mermaid\n{diagram(moves, start)}\n```"


if __name__ == "__main__":
    main()
