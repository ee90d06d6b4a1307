"""`jitgate sessions`: what was recorded, or what was looked for of it, as a list."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from time import time
from typing import Any

from jitgate.cli.columns import hung, table, width
from jitgate.cli.contents import LINE_CHARS, cut
from jitgate.cli.finding import search, wanted
from jitgate.cli.records import print_json, reading
from jitgate.core.columns import columns_of
from jitgate.core.visible import visible
from jitgate.stores.reading import Session
from jitgate.stores.reading import sessions as every_session

EXCHANGES = 100
"""How many of the exchanges that were found are listed: a few screens."""


def sessions(arguments: argparse.Namespace) -> int:
    """List the sessions: all, or with 1 for none those with something that is wanted."""
    what = wanted(arguments, time())
    with reading(arguments) as recording:
        found = every_session(recording) if what is None else []
    if what is not None:
        found = search(recording.folder, arguments, what)
    if arguments.json:
        print_json([_session_content(session) for session in found])
    elif what is None or found:
        for line in (*_table(found), *(_exchanges(found) if what is not None else ())):
            print(line)
    else:
        print("No session has what you look for.", file=sys.stderr)
    return int(what is not None and not found)


def _table(found: Sequence[Session]) -> Iterator[str]:
    rows = [("SESSION", "SUBJECT", "STARTED", "EXCHANGES", "NOT COMPLETED")]
    for session in found:
        outcomes = [exchange.outcome for exchange in session.exchanges.values()]
        rest = {word: outcomes.count(word) for word in outcomes if word != "completed"}
        rows.append(
            (
                _word(session.id),
                _word(session.subject.get("id", "-")),
                session.started_at[:19] + "Z",
                str(len(outcomes)),
                cut(
                    ", ".join(f"{count} {visible(word)}" for word, count in rest.items()),
                    LINE_CHARS,
                ),
            )
        )
    yield from in_rows(rows)


def _exchanges(found: Sequence[Session]) -> Iterator[str]:
    """The exchanges that were found, the first of them."""
    rows = [("EXCHANGE", "ACTION", "DECISION", "STATUS", "SESSION")]
    every = [(session, each) for session in found for each in session.exchanges.values()]
    for session, each in every[:EXCHANGES]:
        asked = f"{_word(each.action)} on {_word(each.target)}"
        answered = f"{_word(each.status)}, {_word(each.outcome)}"
        decided = _word(each.effect)
        rows.append((_word(each.id), asked, decided, answered, _word(session.id)))
    if len(rows) > 1:
        yield ""
        yield from in_rows(rows)
    if len(every) > EXCHANGES:
        yield f"… {len(every) - EXCHANGES} more exchanges: --json"


def _word(value: object) -> str:
    return cut("-" if value is None else visible(str(value)), LINE_CHARS)


def in_rows(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows under their headings; where the terminal is too narrow, each by itself."""
    columns, lines = width(), list(table(rows))
    if max(map(columns_of, lines)) <= columns:
        yield from lines
        return
    for number, row in enumerate(rows[1:]):
        yield from [""] if number else []
        for label, value in zip(rows[0], row, strict=True):
            yield from hung(f"{label:<15}", value, columns)


def _session_content(session: Session) -> dict[str, Any]:
    return {
        "id": session.id,
        "subject": session.subject.get("id"),
        "started_at": session.started_at,
        "exchanges": [asdict(exchange) for exchange in session.exchanges.values()],
    }
